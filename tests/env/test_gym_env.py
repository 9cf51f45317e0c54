"""DaCirco-v0: Gymnasium's contract, rewards, masks, determinism, and what its docstring says."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as check_with_gymnasium
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import env
from env.actions import KEEP_INDEX, action_from_index
from env.config import load_profile
from env.cost import MAX_PREFERENCE, MIN_PREFERENCE, CostVector, cost_so_far
from env.episodes import Episode, EpisodeSampler, random_episodes, scenario_episodes
from env.errors import DaCircoError, UnknownNameError
from env.families import FAMILIES
from env.gym_env import RENDER_MODES, DaCircoEnv
from env.observation import features, schema
from env.scenario import load_scenario
from tests.env.worlds import make_profile, make_work

FLAVORS = ["s10.tiny", "s10.small", "s10.medium"]

Chooser = Callable[[DaCircoEnv], int]


def any_action(seed: int) -> Chooser:
    """Chooses at random, legal or not."""
    rng = np.random.default_rng(seed)
    return lambda world: int(rng.integers(world.action_space.n))


def legal_action(seed: int) -> Chooser:
    """Chooses at random among what can be carried out, keep more often than the rest."""
    rng = np.random.default_rng(seed)

    def choose(world: DaCircoEnv) -> int:
        if rng.random() < 0.6:
            return KEEP_INDEX
        return int(rng.choice(np.flatnonzero(world.action_masks())))

    return choose


def play(
    world: DaCircoEnv, choose: Chooser, most_steps: int = 10**9
) -> Iterator[tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]]:
    """Steps until the episode ends; the environment was reset before."""
    for _ in range(most_steps):
        result = world.step(choose(world))
        yield result
        if result[2] or result[3]:
            return


def one_scenario(arrivals_s: list[float], services_s: list[float], **profile: Any) -> DaCircoEnv:
    """An environment that always replays the same few requests."""
    requests, catalog = make_work(arrivals_s, services_s)
    where = make_profile(**profile)
    episode = Episode(where, requests, catalog, preference=0.5, seed=0, horizon_s=inf)
    return DaCircoEnv(where, sampler=lambda _: episode)


# -- Gymnasium's contract ---------------------------------------------------------------


def test_is_registered() -> None:
    world = gymnasium.make("DaCirco-v0")
    assert isinstance(world.unwrapped, DaCircoEnv)
    assert world.spec is not None
    assert world.spec.max_episode_steps is None


def test_importing_again_does_not_register_twice() -> None:
    importlib.reload(env)  # a second registration would warn, and warnings are errors


def test_can_be_made_without_importing_env() -> None:
    code = "import gymnasium; print(gymnasium.make('env:DaCirco-v0').spec.id)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "DaCirco-v0"


def test_training_imports_neither_pictures_nor_torch() -> None:
    code = "import sys, env.gym_env; print(sorted({'matplotlib', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("profile", ["openstack", "kubernetes"])
@pytest.mark.parametrize("render_mode", [None, *RENDER_MODES])
def test_checkers_find_nothing(profile: str, render_mode: str | None) -> None:
    from stable_baselines3.common.env_checker import check_env as check_with_sb3

    world = gymnasium.make("DaCirco-v0", profile=profile, render_mode=render_mode)
    check_with_gymnasium(world.unwrapped)
    check_with_sb3(world.unwrapped)


def test_sb3_contrib_finds_the_masks() -> None:
    from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported

    world = gymnasium.make("DaCirco-v0")
    world.reset(seed=0)
    assert is_masking_supported(world)
    assert get_action_masks(world).tolist() == [True, True, True, True, False, False, False]


def test_vectorises() -> None:
    worlds = gymnasium.make_vec("DaCirco-v0", num_envs=3, vectorization_mode="sync")
    observations, _ = worlds.reset(seed=5)
    assert observations.shape == (3, len(features(FLAVORS)))
    assert len(set(observations[:, 0].tolist())) == 3  # each draws its own preference
    worlds.close()


def test_must_be_reset_first() -> None:
    world = DaCircoEnv()
    for call in (lambda: world.step(0), world.action_masks, world.metrics):
        with pytest.raises(gymnasium.error.ResetNeeded):
            call()


def test_an_action_outside_the_space_is_an_error() -> None:
    world = DaCircoEnv()
    world.reset(seed=0)
    with pytest.raises(ValueError, match="7"):
        world.step(7)


def test_render_without_a_mode_warns() -> None:
    world = DaCircoEnv()
    world.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert world.render() is None


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("render_mode", "human"),
        ("load", 0.0),
        ("load", float("nan")),
        ("episode_s", -1.0),
        ("max_jobs_per_core", 0.0),
        ("preference", 0.95),
        ("preference", float("nan")),
    ],
)
def test_a_bad_argument_is_named(argument: str, value: Any) -> None:
    with pytest.raises(DaCircoError, match=str(value)) as error:
        DaCircoEnv(**{argument: value})
    assert argument in str(error.value)


def test_unknown_names_are_refused_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="poisson"):
        DaCircoEnv(family="poison")
    with pytest.raises(UnknownNameError, match="openstack"):
        DaCircoEnv("openstak")


def test_a_sampler_with_other_flavors_is_refused() -> None:
    profile = make_profile()
    requests, catalog = make_work([0.0], [1.0])
    world = DaCircoEnv(sampler=lambda _: Episode(profile, requests, catalog, 0.5, 0, inf))
    with pytest.raises(DaCircoError, match="flavor0"):
        world.reset()


# -- the docstring ----------------------------------------------------------------------


def rows_under(heading: str) -> list[list[str]]:
    """The cells of the table under a heading of the docstring."""
    text = inspect.getdoc(DaCircoEnv) or ""
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_docstring_lists_every_feature() -> None:
    expected = [
        [str(i), feature.name, f"{feature.low:g}", f"{feature.high:g}", feature.meaning]
        for i, feature in enumerate(features(FLAVORS))
    ]
    assert rows_under("Observation Space") == expected
    assert [flavor.name for flavor in load_profile("openstack").cluster.flavors] == FLAVORS


def test_docstring_lists_every_action() -> None:
    expected = [[str(i), action] for i, action in enumerate(schema(FLAVORS)["actions"])]
    assert rows_under("Action Space") == expected


def test_docstring_lists_every_argument() -> None:
    parameters = list(inspect.signature(DaCircoEnv).parameters.values())
    documented = [(row[0].strip("`"), row[1].strip("`")) for row in rows_under("Arguments")]
    expected = [(p.name, repr(p.default).replace("'", '"')) for p in parameters]
    assert documented == expected


def test_docstring_names_every_info_key() -> None:
    world = DaCircoEnv()
    _, at_reset = world.reset(seed=0)
    info = world.step(0)[4]
    section = (inspect.getdoc(DaCircoEnv) or "").split("## Information\n")[1].split("\n## ")[0]
    listed = [line.split("`")[1] for line in section.splitlines() if line.startswith("- ")]
    assert list(info) == listed
    assert list(at_reset) == ["preference"]
    assert "`reset` returns `preference`." in section


# -- rewards ----------------------------------------------------------------------------


@pytest.mark.parametrize("preference", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_rewards_add_up_to_minus_the_cost(family: str, preference: float) -> None:
    world = DaCircoEnv(family=family, load=0.8, preference=preference, episode_s=600.0)
    world.reset(seed=3)
    rewards, vectors, elapsed = [], [], 0.0
    for _, reward, _, _, info in play(world, legal_action(4)):
        jobs, cores = info["vector_reward"]
        assert reward == pytest.approx(preference * jobs + (1 - preference) * cores)
        rewards.append(reward)
        vectors.append(info["vector_reward"])
        elapsed += info["elapsed_s"]
    cost, metrics = cost_so_far(world.simulator.cluster), world.metrics()
    assert sum(rewards) == pytest.approx(-cost.weighed(preference))
    assert sum(rewards) == pytest.approx(-metrics.cost)
    assert np.sum(vectors, axis=0) == pytest.approx([-metrics.job_seconds, -metrics.core_seconds])
    assert elapsed == pytest.approx(metrics.makespan_s)


def test_job_cost_is_the_sum_of_delays() -> None:
    # Little's law, on jobs that all end.
    world = one_scenario([0.0, 1.0, 50.0], [10.0, 20.0, 5.0], tick_s=5.0)
    world.reset()
    total = sum(info["vector_reward"][0] for *_, info in play(world, legal_action(0)))
    simulator = world.simulator
    delays = np.array(simulator.ended_s) - [r.arrival_s for r in simulator.requests]
    assert -total == pytest.approx(delays.sum())


def test_rewards_by_hand() -> None:
    # 18 cores, 48 GiB: the smallest worker is 18 * (1/18 + 2/48) / 2 = 0.875 cores. One job
    # comes at 10 s and works 30 s from the end of the boot (1 s) on: it ends at 41 s.
    world = one_scenario([10.0], [30.0])
    world.reset()
    _, reward, *_, info = world.step(KEEP_INDEX)
    assert (reward, info["elapsed_s"], info["epoch"]) == (0.0, 10.0, "ARRIVAL")
    _, reward, *_, info = world.step(1)
    assert (reward, info["elapsed_s"]) == (0.0, 0.0)
    _, reward, _, _, info = world.step(KEEP_INDEX)
    assert (info["elapsed_s"], info["epoch"]) == (pytest.approx(1.0), "WORKER_READY")
    assert reward == pytest.approx(-(0.5 * 1.0 + 0.5 * 0.875))
    _, reward, terminated, truncated, info = world.step(KEEP_INDEX)
    assert info["vector_reward"] == pytest.approx([-30.0, -30.0 * 0.875])
    assert (info["epoch"], terminated, truncated) == ("TASK_ENDED", True, False)
    assert world.simulator.now == pytest.approx(41.0)


# -- masks and invalid actions ----------------------------------------------------------


@given(
    seed=st.integers(0, 10**6),
    profile=st.sampled_from(["openstack", "kubernetes"]),
    load=st.floats(0.05, 2.0),
    max_workers=st.none() | st.integers(1, 20),
)
def test_masks_tell_what_can_be_done(
    seed: int, profile: str, load: float, max_workers: int | None
) -> None:
    home = load_profile(profile)
    home = replace(home, cluster=replace(home.cluster, max_workers=max_workers))
    world = DaCircoEnv(home, load=load, episode_s=120.0)
    world.reset(seed=seed)
    row = np.empty(world.action_space.n, dtype=np.bool_)
    choose = any_action(seed)
    invalid = 0
    done = False
    while not done:
        mask = world.action_masks()
        cluster = world.simulator.cluster
        n = cluster.n_flavors
        possible = [cluster.can(action_from_index(i, n)) for i in range(len(mask))]
        assert mask.tolist()[1:] == possible[1:]
        nobody = cluster.n_workers == cluster.n_draining
        assert mask[KEEP_INDEX] == (not (cluster.waiting and nobody) or not any(cluster.fits))
        world.mask_into(row)
        assert row.tolist() == mask.tolist()
        action = choose(world)
        *_, terminated, truncated, info = world.step(action)
        invalid += not possible[action]
        assert info["invalid_actions"] == invalid
        done = terminated or truncated
    assert world.metrics().invalid_actions == invalid


@given(seed=st.integers(0, 10**6), steps=st.integers(0, 150))
def test_an_invalid_action_is_keep_and_counted(seed: int, steps: int) -> None:
    one, other = (DaCircoEnv(load=0.7, episode_s=600.0) for _ in range(2))
    one.reset(seed=seed)
    other.reset(seed=seed)
    actions: list[int] = []
    choose = legal_action(seed)

    def choose_and_note(world: DaCircoEnv) -> int:
        actions.append(choose(world))
        return actions[-1]

    for _ in play(one, choose_and_note, steps):
        pass
    for action in actions:
        other.step(action)
    cluster = one.simulator.cluster
    every = range(int(one.action_space.n))
    impossible = [i for i in every if not cluster.can(action_from_index(i, cluster.n_flavors))]
    if not impossible:
        return
    result, kept = one.step(impossible[seed % len(impossible)]), other.step(KEEP_INDEX)
    assert np.array_equal(result[0], kept[0])
    assert result[1:4] == kept[1:4]
    assert result[4].pop("invalid_actions") == kept[4].pop("invalid_actions") + 1
    assert result[4].pop("vector_reward").tolist() == kept[4].pop("vector_reward").tolist()
    assert result[4] == kept[4]


def test_spawn_and_kill_take_no_time() -> None:
    world = DaCircoEnv(load=0.1)
    world.reset(seed=1)
    choose = legal_action(2)
    ordered = 0
    done = False
    while not done:
        action = choose(world)
        _, reward, terminated, truncated, info = world.step(action)
        done = terminated or truncated
        if action != KEEP_INDEX:
            ordered += 1
            assert (reward, info["elapsed_s"]) == (0.0, 0.0)
    assert ordered > 100


# -- determinism ------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["openstack", "kubernetes"])
def test_same_seed_same_trajectory(profile: str) -> None:
    trajectories = []
    for _ in range(2):
        world = DaCircoEnv(profile, family="bursts", episode_s=900.0)
        world.reset(seed=11)
        trajectory = []
        for observation, reward, *_, info in play(world, legal_action(12)):
            trajectory.append((observation.tolist(), reward, info["elapsed_s"], info["epoch"]))
        world.reset()  # the second episode too follows from the seed
        for observation, reward, *_, info in play(world, legal_action(13)):
            trajectory.append((observation.tolist(), reward, info["elapsed_s"], info["epoch"]))
        trajectories.append((trajectory, world.metrics()))
    assert trajectories[0] == trajectories[1]


def test_another_seed_another_trajectory() -> None:
    world = DaCircoEnv()
    world.reset(seed=1)
    first = world.simulator.requests
    world.reset(seed=2)
    assert world.simulator.requests != first


def test_the_same_jobs_whatever_is_done() -> None:
    fates = []
    for choose in (legal_action(1), lambda _: KEEP_INDEX, any_action(2)):
        world = DaCircoEnv(episode_s=300.0, max_jobs_per_core=1e6)
        world.reset(seed=7)
        for _ in play(world, choose):
            pass
        fates.append((world.simulator.requests, world.simulator.cluster.preference))
    assert fates[0] == fates[1] == fates[2]


def test_the_picture_changes_nothing() -> None:
    results = []
    for mode in (None, *RENDER_MODES):
        world = DaCircoEnv(episode_s=300.0, render_mode=mode)
        world.reset(seed=4)
        results.append([(o.tolist(), r) for o, r, *_ in play(world, legal_action(5))])
    assert results[0] == results[1] == results[2]


# -- the preference ---------------------------------------------------------------------


def told(world: DaCircoEnv, observation: NDArray[np.float32]) -> float:
    """The preference that the observation shows."""
    names = [feature.name for feature in features(FLAVORS)]
    return float(observation[names.index("preference")]) * 0.4 + 0.5


def test_preference_is_drawn_for_each_episode() -> None:
    world = DaCircoEnv(episode_s=60.0)
    drawn = []
    for i in range(300):
        observation, info = world.reset(seed=0 if i == 0 else None)
        assert told(world, observation) == pytest.approx(info["preference"], abs=1e-6)
        assert info["preference"] == world.preference
        drawn.append(info["preference"])
    assert min(drawn) >= MIN_PREFERENCE
    assert max(drawn) <= MAX_PREFERENCE
    assert np.histogram(drawn, bins=4, range=(MIN_PREFERENCE, MAX_PREFERENCE))[0].min() > 50


def test_preference_of_the_environment_and_of_an_episode() -> None:
    world = DaCircoEnv(preference=0.33)
    observation, info = world.reset(seed=0)
    assert info["preference"] == 0.33
    observation, info = world.reset(options={"preference": 0.67})
    assert info["preference"] == 0.67
    assert told(world, observation) == pytest.approx(0.67, abs=1e-6)
    assert world.reset(options={})[1]["preference"] == 0.33
    with pytest.raises(DaCircoError, match="7"):
        world.reset(options={"preference": 7})


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"preferance": 0.5}, "'preferance'"),
        ({"preference": 0.5, "seed": 1}, "'seed'"),
        ({0: 0.5}, "no option 0"),
        ({"preference": "0.5"}, r"'0.5' \(str\)"),
        ({"preference": True}, r"True \(bool\)"),
        ({"preference": [0.5]}, r"\(list\)"),
        ({"preference": 0.5j}, "complex"),
        ({"preference": float("nan")}, "nan"),
        ({"preference": 0.95}, "0.95"),
        ([("preference", 0.5)], "not a dictionary"),
        (0.5, "not a dictionary"),
    ],
)
def test_options_that_mean_nothing_are_refused_and_change_nothing(options: Any, wrong: str) -> None:
    world = DaCircoEnv()
    world.reset(seed=3)
    simulator, chance = world.simulator, world.np_random.bit_generator.state
    with pytest.raises(DaCircoError, match=wrong):
        world.reset(seed=4, options=options)
    assert world.simulator is simulator
    assert world.np_random.bit_generator.state == chance


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), 0.5])
def test_any_real_number_is_a_preference(value: Any) -> None:
    assert DaCircoEnv().reset(options={"preference": value})[1] == {"preference": 0.5}


# -- written down and read back -----------------------------------------------------------


def by_pickle(world: Any) -> Any:
    return pickle.loads(pickle.dumps(world))


def trajectory(world: Any, steps: int, seed: int) -> list[tuple[bytes, float, bool, float]]:
    """Steps with random actions, over ends of episodes."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(steps):
        observation, reward, terminated, truncated, info = world.step(
            int(rng.integers(world.action_space.n))
        )
        if terminated or truncated:
            observation, info = world.reset()
        found.append((observation.tobytes(), reward, terminated, info.get("elapsed_s", 0.0)))
    return found


def with_sampler(sampler: EpisodeSampler) -> Callable[[], Any]:
    return lambda: DaCircoEnv(sampler=sampler)


@pytest.mark.parametrize("copied", [by_pickle, copy.deepcopy])
@pytest.mark.parametrize(
    "make",
    [
        lambda: gymnasium.make("DaCirco-v0", episode_s=600.0),
        lambda: DaCircoEnv(episode_s=600.0, render_mode="ansi", family="day-night"),
        lambda: DaCircoEnv("kubernetes", episode_s=600.0),
        with_sampler(random_episodes()),
        with_sampler(
            scenario_episodes(load_profile("openstack"), [load_scenario("near-idle-single")])
        ),
    ],
    ids=["made", "rendered", "pods", "random", "scenario"],
)
def test_a_copy_goes_on_as_the_original(make: Callable[[], Any], copied: Any) -> None:
    world = make()
    world.reset(seed=8)
    trajectory(world, 150, seed=1)
    twin = copied(world)
    assert trajectory(twin, 200, seed=2) == trajectory(world, 200, seed=2)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_environment_that_was_never_reset_can_be_pickled(family: str) -> None:
    world = DaCircoEnv(family=family, episode_s=300.0)
    twin = by_pickle(world)
    assert twin.reset(seed=1)[0].tobytes() == world.reset(seed=1)[0].tobytes()


def test_a_copy_leaves_the_original_alone() -> None:
    world = DaCircoEnv(episode_s=600.0)
    world.reset(seed=8)
    trajectory(by_pickle(world), 100, seed=1)
    assert (world.now, world.simulator.cluster.jobs_in_system) == (0.0, 0)


def test_preference_does_not_change_the_jobs() -> None:
    world = DaCircoEnv()
    world.reset(seed=5, options={"preference": 0.1})
    first = world.simulator.requests
    world.reset(seed=5, options={"preference": 0.9})
    assert world.simulator.requests == first


def test_preference_can_change_at_run_time() -> None:
    world = DaCircoEnv(preference=0.1)
    world.reset(seed=0)
    world.simulator.cluster.preference = 0.9
    observation, reward, *_, info = world.step(KEEP_INDEX)
    assert told(world, observation) == pytest.approx(0.9, abs=1e-6)
    vector = CostVector(*-info["vector_reward"])
    assert reward == -vector.weighed(0.9)


# -- how episodes end -------------------------------------------------------------------


def test_truncated_at_its_length() -> None:
    world = DaCircoEnv(episode_s=61.0, load=0.3)
    world.reset(seed=0)
    *_, (_, _, terminated, truncated, _) = play(world, lambda _: KEEP_INDEX)
    assert (terminated, truncated) == (False, True)
    assert world.simulator.now == 61.0


def test_truncated_when_the_queue_overflows() -> None:
    world = DaCircoEnv(max_jobs_per_core=0.5)
    world.reset(seed=0)
    *_, (_, _, terminated, truncated, _) = play(world, lambda _: KEEP_INDEX)
    assert (terminated, truncated) == (False, True)
    assert world.simulator.cluster.jobs_in_system == 10  # more than half of 18


def test_terminated_after_the_last_job() -> None:
    world = one_scenario([0.0, 3.0], [10.0, 10.0], tick_s=5.0)
    world.reset()
    *_, (_, _, terminated, truncated, _) = play(world, legal_action(0))
    assert (terminated, truncated) == (True, False)
    assert world.metrics().completed == 2


def test_truncated_when_nobody_ever_serves() -> None:
    world = one_scenario([0.0], [10.0])
    world.reset()
    *_, (_, _, terminated, truncated, _) = play(world, lambda _: KEEP_INDEX)
    assert (terminated, truncated) == (False, True)
    assert world.metrics().unfinished == 1


def test_after_its_end_nothing_happens_any_more() -> None:
    world = DaCircoEnv(episode_s=60.0)
    world.reset(seed=0)
    *_, (observation, *_) = play(world, legal_action(0))
    again, reward, terminated, truncated, info = world.step(KEEP_INDEX)
    assert np.array_equal(again, observation)
    assert (reward, terminated, truncated, info["elapsed_s"]) == (0.0, False, True, 0.0)
