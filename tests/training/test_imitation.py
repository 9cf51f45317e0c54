"""Behaviour cloning: what is collected, and that the network learns what it is shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from agents.network_policy import masked_argmax
from agents.policy import Policy
from env.actions import KEEP, Action, action_index, kill, spawn
from env.cluster import Cluster
from env.dispatch import Discipline
from env.observation import features
from tests.training.small_world import (
    FLAVORS,
    members,
    recorded,
    small_model,
    taught_model,
    teachings,
)
from training.imitation import Decisions, clone, collect
from training.lockstep import greedy
from training.network import Actor, standardiser
from training.teacher import load_teacher


class Greedy(Policy):
    """Orders a tiny worker always, whether there is room or not; counts its episodes."""

    name = "greedy"
    discipline: Discipline = "sjf"

    def __init__(self) -> None:
        self.clusters: list[Cluster] = []

    def reset(self, cluster: Cluster) -> None:
        """A new episode."""
        self.clusters.append(cluster)

    def act(self, cluster: Cluster) -> Action:
        """Spawn."""
        assert cluster is self.clusters[-1]
        return spawn(0)


class OneForEach(Policy):
    """A tiny worker for each waiting job beyond those booting; idle ones are killed."""

    name = "one-for-each"
    discipline: Discipline = "sjf"

    def act(self, cluster: Cluster) -> Action:
        """Spawn, kill or keep."""
        if cluster.waiting > cluster.n_booting and cluster.can_spawn(0):
            return spawn(0)
        if cluster.idle[0] and not cluster.waiting:
            return kill(0)
        return KEEP


def collected(n: int, seed: int = 0, **options: object) -> Decisions:
    """What the rule above decides."""
    return collect(members(4, seed), OneForEach, n, np.random.default_rng(seed), **options)  # type: ignore[arg-type]


# -- collect ------------------------------------------------------------------------------


@pytest.mark.parametrize("random_share", [0.0, 0.3, 1.0])
def test_the_teachers_labels_are_legal(random_share: float) -> None:
    data = collect(
        members(8, load=0.3),
        load_teacher,
        6000,
        np.random.default_rng(0),
        random_share=random_share,
    )
    assert len(data) == 6000
    assert data.masks[np.arange(len(data)), data.labels].all()
    # Random orders start more workers than the teacher ever wants: it need not add any.
    orders = {0, 4} if random_share == 1.0 else {0, 1, 4}
    assert orders <= set(data.labels.tolist())


def test_an_order_that_cannot_be_carried_out_is_keep() -> None:
    data = collect(members(2), Greedy, 2000, np.random.default_rng(0))
    room = data.masks[:, 1]
    assert room.any()
    assert not room.all()
    assert data.labels.tolist() == room.astype(int).tolist()


def test_the_rule_is_followed_and_labels_are_what_it_orders() -> None:
    data = collected(2000)
    names = [feature.name for feature in features(FLAVORS)]
    waiting = np.expm1(data.observations[:, names.index("waiting")] * 4).round()
    booting = np.expm1(data.observations[:, names.index("booting[s10.tiny]")] * 3).round()
    idle = data.masks[:, 4]
    expected = np.where(
        (waiting > booting) & data.masks[:, 1], 1, np.where(idle & (waiting == 0), 4, 0)
    )
    assert data.labels.tolist() == expected.tolist()
    # Who follows it never has workers of another flavor.
    assert (data.observations[:, names.index("busy[s10.small]")] == 0).all()


def test_random_actions_lead_off_the_path() -> None:
    names = [feature.name for feature in features(FLAVORS)]
    data = collected(2000, random_share=0.3)
    assert (data.observations[:, names.index("busy[s10.small]")] > 0).any()


def test_each_teacher_is_reset_with_its_episodes() -> None:
    teachers: list[Greedy] = []

    def make() -> Greedy:
        teachers.append(Greedy())
        return teachers[-1]

    worlds = members(3)
    collect(worlds, make, 6000, np.random.default_rng(0))
    assert len(teachers) == 3
    for teacher, world in zip(teachers, worlds, strict=True):
        assert len(teacher.clusters) > 3
        assert teacher.clusters[-1] is world.simulator.cluster
        assert len({id(cluster) for cluster in teacher.clusters}) == len(teacher.clusters)


def test_the_student_acts_while_the_teacher_labels() -> None:
    seen = []

    def never(observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        seen.append((observations.copy(), masks.copy()))
        return np.zeros(len(observations), dtype=np.int64)

    data = collected(400, student=never)
    assert set(data.labels.tolist()) == {0, 1}
    assert not data.masks[:, 4:].any()  # nothing was ever spawned
    assert np.array_equal(data.observations, np.concatenate([o for o, _ in seen]))
    assert np.array_equal(data.masks, np.concatenate([m for _, m in seen]))


def test_whole_rounds_and_progress() -> None:
    told: list[int] = []
    data = collected(403, progress=told.append)
    assert len(data) == sum(told) == 400


def test_the_same_seed_collects_the_same() -> None:
    student = greedy(Actor(taught_model()))
    for options in ({"random_share": 0.2}, {"random_share": 0.2, "student": student}):
        one, two, other = (collected(800, seed, **options) for seed in (1, 1, 2))
        for a, b in ((one.observations, two.observations), (one.labels, two.labels)):
            assert np.array_equal(a, b)
        assert np.array_equal(one.masks, two.masks)
        assert not np.array_equal(one.observations, other.observations)


def test_join_keeps_the_order() -> None:
    one, two = collected(40, 1), collected(80, 2)
    both = Decisions.join([one, two])
    assert len(both) == 120
    assert np.array_equal(both.labels[40:], two.labels)
    assert np.array_equal(both.observations[:40], one.observations)
    assert np.array_equal(both.masks[40:], two.masks)


# -- clone --------------------------------------------------------------------------------


def taught(data: Decisions, smoothing: float = 0.0, epochs: int = 20, seed: int = 0) -> Actor:
    """A small actor that was shown these decisions."""
    model = small_model()
    standardiser(model).fit(data.observations)
    clone(
        Actor(model),
        data,
        epochs=epochs,
        batch_size=128,
        learning_rate=1e-2,
        smoothing=smoothing,
        rng=np.random.default_rng(seed),
    )
    return Actor(model)


def choices(actor: Actor, data: Decisions) -> NDArray[np.int64]:
    """What the actor decides."""
    with torch.no_grad():
        return masked_argmax(actor(torch.as_tensor(data.observations)).numpy(), data.masks)


def test_learns_a_plain_rule_so_that_it_holds_elsewhere() -> None:
    actor = taught(collected(6000, random_share=0.1))
    fresh = collected(2000, seed=5, random_share=0.1)
    right = choices(actor, fresh) == fresh.labels
    assert right.mean() > 0.97
    for action in (0, 1, 4):
        assert right[fresh.labels == action].mean() > 0.9


def test_says_how_often_it_agrees() -> None:
    data = collected(2048)
    model = small_model()
    told: list[int] = []
    agreement = clone(
        Actor(model),
        data,
        epochs=3,
        batch_size=1000,
        learning_rate=0.0,  # as it is
        smoothing=0.0,
        rng=np.random.default_rng(0),
        progress=told.append,
    )
    whole = (choices(Actor(model), data) == data.labels).mean()
    assert agreement == pytest.approx(whole, abs=48 / 2000)
    assert told == [1000] * 6  # two whole batches of each pass


def test_smoothing_leaves_every_allowed_action_a_chance() -> None:
    data = collected(4000)
    rows = torch.as_tensor(data.observations)
    forbidden = torch.as_tensor(~data.masks)
    least = {}
    for smoothing in (0.0, 0.2):
        actor = taught(data, smoothing)
        with torch.no_grad():
            logits = actor(rows).masked_fill(forbidden, -1e8)
        chances = functional.softmax(logits, dim=1)
        assert torch.isfinite(chances).all()
        least[smoothing] = float(chances.masked_fill(forbidden, 1.0).min(dim=1).values.median())
    # 0.2 spread over two to five allowed actions.
    assert least[0.0] < 0.005
    assert 0.02 < least[0.2] < 0.1


def test_cloning_moves_the_actor_only() -> None:
    data = collected(512)
    model = small_model()
    standardiser(model).fit(recorded())
    mean = standardiser(model).mean.clone()
    critic = [p.detach().clone() for p in model.policy.mlp_extractor.value_net.parameters()]
    actor = [p.detach().clone() for p in Actor(model).parameters()]
    clone(
        Actor(model),
        data,
        epochs=1,
        batch_size=128,
        learning_rate=1e-2,
        smoothing=0.1,
        rng=np.random.default_rng(0),
    )
    assert torch.equal(standardiser(model).mean, mean)
    now = model.policy.mlp_extractor.value_net.parameters()
    assert all(torch.equal(a, b) for a, b in zip(critic, now, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(actor, Actor(model).parameters(), strict=True))


def test_the_same_seed_learns_the_same() -> None:
    data = collected(1024)
    one, two, other = (taught(data, epochs=2, seed=seed) for seed in (1, 1, 2))
    rows = torch.as_tensor(data.observations)
    with torch.no_grad():
        assert torch.equal(one(rows), two(rows))
        assert not torch.equal(one(rows), other(rows))


def test_the_network_of_the_other_tests_learned_its_lesson() -> None:
    data = teachings()
    assert (choices(Actor(taught_model()), data) == data.labels).mean() > 0.85
    assert action_index(KEEP, 3) == 0
