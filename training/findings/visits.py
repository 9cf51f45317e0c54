"""The frozen policy at work: the states that it visits, what it orders there, what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agents.network_policy import NetworkPolicy
from agents.policy import Policy
from env.actions import Action, action_index, n_actions
from env.cluster import Cluster
from env.families import ArrivalFamily, Bursts, DaCirco, DayNight, Poisson
from env.jobs import Request
from env.metrics import EpisodeMetrics, measure
from training.findings.readable import readable
from training.findings.world import GRACE, MINIMIZE, Track, World

FIT_SEED, HELD_OUT_SEED = 1000, 2000
"""Seeds of the episodes that trees are fitted on, and of those that they are judged on."""


@dataclass(frozen=True)
class Watched:
    """An episode that the policies are watched in: arrivals, seed of the noise, w."""

    name: str
    requests: tuple[Request, ...] = field(repr=False)
    seed: int
    preference: float


@dataclass
class Diary:
    """Decisions: figures of the state, the network's observation, what was allowed and ordered."""

    figures: list[NDArray[np.float64]] = field(default_factory=list)
    observations: list[NDArray[np.float32]] = field(default_factory=list)
    masks: list[NDArray[np.bool_]] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)

    def table(self) -> Decisions:
        """As arrays."""
        return Decisions(
            np.array(self.figures),
            np.array(self.observations),
            np.array(self.masks),
            np.array(self.actions, dtype=np.intp),
        )


@dataclass(frozen=True)
class Decisions:
    """A `Diary` as arrays; one row for each decision."""

    figures: NDArray[np.float64]
    observations: NDArray[np.float32]
    masks: NDArray[np.bool_]
    actions: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.actions)

    def joined(self, other: Decisions) -> Decisions:
        """These decisions and the others."""
        return Decisions(
            np.concatenate([self.figures, other.figures]),
            np.concatenate([self.observations, other.observations]),
            np.concatenate([self.masks, other.masks]),
            np.concatenate([self.actions, other.actions]),
        )


class Recorder(Policy):
    """Does what a network does, and writes it down."""

    def __init__(self, network: NetworkPolicy, diary: Diary) -> None:
        self.name = network.name
        self.discipline = network.discipline
        self._network = network
        self._diary = diary

    def reset(self, cluster: Cluster) -> None:
        """Prepare to serve this cluster."""
        self._network.reset(cluster)

    def act(self, cluster: Cluster) -> Action:
        """The network's order, noted."""
        row = self._network.observe(cluster)
        mask = self._network.mask(cluster)
        action = self._network.choose(self._network.logits(row)[0], mask)
        if mask.sum() > 1:  # where only keep is allowed there is nothing to explain
            self._diary.figures.append(readable(cluster))
            self._diary.observations.append(row[0].copy())
            self._diary.masks.append(mask.copy())
            self._diary.actions.append(action_index(action, cluster.n_flavors))
        return action


class Corrected(Recorder):
    """Does what a pupil does, and writes down what the network would have done."""

    def __init__(self, network: NetworkPolicy, diary: Diary, pupil: Policy) -> None:
        super().__init__(network, diary)
        self._pupil = pupil

    def reset(self, cluster: Cluster) -> None:
        """Prepare to serve this cluster."""
        super().reset(cluster)
        self._pupil.reset(cluster)

    def act(self, cluster: Cluster) -> Action:
        """The pupil's order."""
        super().act(cluster)
        return self._pupil.act(cluster)

    def wake_at(self, cluster: Cluster) -> float | None:
        """When the pupil wants to be asked again."""
        return self._pupil.wake_at(cluster)


@dataclass(frozen=True)
class Habits:
    """What the policy does at one preference, over the held-out episodes.

    Attributes:
        preference: w.
        spawns: workers of each flavor for 100 jobs.
        delay_s: mean delay. core_s: reserved core-seconds for each job.
        to_minimize, to_grace: cost relative to each naive algorithm, geometric mean.
        delay_to_grace, p95_to_grace, core_to_grace: mean delay, 95th percentile of the delay
            and reserved core-seconds relative to grace-period, likewise.
        helped, to_helped: the naive algorithm that does best at this preference when it serves as
            the policy does and has the best flavor (see `helped_naive`), and the cost
            relative to it, likewise.
    """

    preference: float
    spawns: tuple[float, ...]
    delay_s: float
    core_s: float
    to_minimize: float
    to_grace: float
    delay_to_grace: float
    p95_to_grace: float
    core_to_grace: float
    helped: str
    to_helped: float


@dataclass(frozen=True)
class Loss:
    """An episode where a naive algorithm was cheaper than the policy."""

    episode: str
    preference: float
    winner: str
    ratio: float


@dataclass(frozen=True)
class Visits:
    """What was seen.

    Attributes:
        fit, held_out: decisions to fit trees on, and to judge them on.
        lessons: the episodes of the former.
        episodes: those of the latter.
        costs: of the policy on these, in order.
        habits: one for each preference.
        losses: to a naive algorithm, the largest first.
        jobs: of all episodes.
    """

    fit: Decisions
    held_out: Decisions
    lessons: tuple[Watched, ...]
    episodes: tuple[Watched, ...]
    costs: NDArray[np.float64]
    habits: tuple[Habits, ...]
    losses: tuple[Loss, ...]
    jobs: int


def helped_naive(flavors: Sequence[str]) -> list[str]:
    """Both naive algorithms with each flavor and the policy's queue discipline."""
    return [
        f"{name}:flavor={flavor},discipline=sjf" for name in (MINIMIZE, GRACE) for flavor in flavors
    ]


def families(world: World) -> dict[str, ArrivalFamily]:
    """The arrival processes of the watched episodes by name."""
    found: dict[str, ArrivalFamily] = {
        f"Poisson, load {load:g}": Poisson(world.rate(load)) for load in world.effort.visit_loads
    }
    found["bursts, load 0.25"] = Bursts(world.rate(0.25))
    found["day and night, load 0.4"] = DayNight(world.rate(0.4), period_s=3600.0)
    found["native DaCirco workload"] = DaCirco()
    return found


def watched_episodes(world: World, base_seed: int) -> list[Watched]:
    """Each family at each preference."""
    effort = world.effort
    episodes = []
    for offset, (name, family) in enumerate(families(world).items()):
        requests = tuple(world.requests(family, base_seed + offset, effort.visit_hours))
        if requests:
            episodes += [Watched(name, requests, base_seed + offset, w) for w in effort.preferences]
    return episodes


def watch(world: World, track: Track) -> Visits:
    """The policy on the episodes to fit on and on the held-out ones, the naive ones beside it."""
    network = world.policy(world.frozen)
    if not isinstance(network, NetworkPolicy):
        raise TypeError(f"{world.frozen} is not a network")
    fit, held = Diary(), Diary()
    episodes = watched_episodes(world, HELD_OUT_SEED)
    first = watched_episodes(world, FIT_SEED)
    ours: list[EpisodeMetrics] = []
    spawned: list[tuple[int, ...]] = []
    naive: dict[str, list[EpisodeMetrics]] = {
        name: [] for name in (MINIMIZE, GRACE, *helped_naive(world.flavors))
    }
    for episode in track([*first, *episodes], "frozen policy"):
        judged = episode.seed >= HELD_OUT_SEED
        diary = held if judged else fit
        before = len(diary.actions)
        run = world.simulate(
            episode.requests,
            Recorder(network, diary),
            seed=episode.seed,
            preference=episode.preference,
        )
        if not judged:
            continue
        ours.append(measure(run))
        actions = np.array(diary.actions[before:], dtype=np.intp)
        spawned.append(tuple(int((actions == 1 + f).sum()) for f in range(len(world.flavors))))
    for name, theirs in naive.items():
        cells = [
            world.cell(episode.requests, name, seed=episode.seed, preference=episode.preference)
            for episode in episodes
        ]
        theirs.extend(played.metrics for played in world.stage.play(cells))
    costs = np.array([one.cost for one in ours])
    return Visits(
        fit.table(),
        held.table(),
        tuple(first),
        tuple(episodes),
        costs,
        tuple(_habits(world, episodes, ours, spawned, naive)),
        tuple(_losses(episodes, ours, naive)),
        sum(len(episode.requests) for episode in (*first, *episodes)),
    )


def _habits(
    world: World,
    episodes: Sequence[Watched],
    ours: Sequence[EpisodeMetrics],
    spawned: Sequence[tuple[int, ...]],
    naive: Mapping[str, Sequence[EpisodeMetrics]],
) -> list[Habits]:
    rows = []
    for w in world.effort.preferences:
        mine = [i for i, episode in enumerate(episodes) if episode.preference == w]
        jobs = sum(ours[i].jobs for i in mine)

        def ratio(rival: str, figure: str, mine: list[int] = mine) -> float:
            pairs = [(getattr(ours[i], figure), getattr(naive[rival][i], figure)) for i in mine]
            return float(np.exp(np.mean([np.log(one / other) for one, other in pairs])))

        helped = max(helped_naive(world.flavors), key=lambda rival: ratio(rival, "cost"))
        rows.append(
            Habits(
                w,
                tuple(
                    100 * sum(spawned[i][f] for i in mine) / jobs for f in range(len(world.flavors))
                ),
                sum(ours[i].job_seconds for i in mine) / jobs,
                sum(ours[i].core_seconds for i in mine) / jobs,
                ratio(MINIMIZE, "cost"),
                ratio(GRACE, "cost"),
                ratio(GRACE, "delay_mean_s"),
                ratio(GRACE, "delay_p95_s"),
                ratio(GRACE, "core_seconds"),
                helped,
                ratio(helped, "cost"),
            )
        )
    return rows


def _losses(
    episodes: Sequence[Watched],
    ours: Sequence[EpisodeMetrics],
    naive: Mapping[str, Sequence[EpisodeMetrics]],
) -> list[Loss]:
    found = [
        Loss(episode.name, episode.preference, name, one.cost / other.cost)
        for name in (MINIMIZE, GRACE)
        for episode, one, other in zip(episodes, ours, naive[name], strict=True)
        if one.cost > other.cost
    ]
    return sorted(found, key=lambda loss: -loss.ratio)


def action_names(flavors: Sequence[str]) -> list[str]:
    """Each action of the network in words."""
    short = [name.rpartition(".")[2] for name in flavors]
    names = ["keep", *(f"spawn {one}" for one in short), *(f"kill {one}" for one in short)]
    assert len(names) == n_actions(len(flavors))
    return names
