"""Decision trees that imitate the frozen policy: how well, and what running them costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from agents.network_policy import NetworkPolicy
from agents.policy import Policy
from env.actions import Action, action_from_index
from env.cluster import Cluster
from env.cost import cost_so_far
from env.dispatch import Discipline
from env.observation import action_mask, features
from training.findings.readable import readable, readable_names
from training.findings.visits import Corrected, Decisions, Diary, Visits, action_names
from training.findings.world import Track, World

_LEAF_STATES = 20
"""Fewest decisions in a leaf: less would be noise."""

_SHUFFLED = 4000
"""Most held-out decisions that a feature is shuffled over."""

_LISTED = 12

_PUPILS = (32, 128)
"""Leaves of the trees that act while the network corrects them."""

_READABLE = 32
"""Most leaves that a person will read."""

_CLOSE = 1.1
"""A tree that costs less than this times the network's cost is close enough to be shown."""


class TreePolicy(Policy):
    """Orders what a decision tree says, of what is allowed.

    Args:
        tree: fitted on `readable` figures.
        discipline: of the policy that it imitates.
    """

    def __init__(self, tree: DecisionTreeClassifier, discipline: Discipline) -> None:
        self.name = f"tree of {tree.get_n_leaves()} leaves"
        self.discipline = discipline
        inner = tree.tree_
        self._feature: list[int] = inner.feature.tolist()
        self._threshold: list[float] = inner.threshold.tolist()
        self._left: list[int] = inner.children_left.tolist()
        self._right: list[int] = inner.children_right.tolist()
        # Actions of each node, the likeliest first.
        self._ranked = tree.classes_[np.argsort(-inner.value[:, 0, :], axis=1)].tolist()

    def reset(self, cluster: Cluster) -> None:
        """Prepare to serve this cluster."""
        self._mask = np.zeros(1 + 2 * cluster.n_flavors, dtype=np.bool_)
        self._n_flavors = cluster.n_flavors

    def act(self, cluster: Cluster) -> Action:
        """The likeliest action of the leaf that can be carried out."""
        # The tree was fitted on 32-bit figures and compares those.
        row = readable(cluster).astype(np.float32).tolist()
        node = 0
        while self._left[node] >= 0:
            below = row[self._feature[node]] <= self._threshold[node]
            node = self._left[node] if below else self._right[node]
        action_mask(cluster, self._mask)
        for index in self._ranked[node]:
            if self._mask[index]:
                return action_from_index(int(index), self._n_flavors)
        return action_from_index(0, self._n_flavors)


@dataclass(frozen=True)
class Fidelity:
    """How well one tree imitates, on held-out episodes.

    Attributes:
        leaves: of the tree. depth: longest path.
        accuracy: share of the decisions that are the network's.
        balanced: mean over the actions of the share of each that the tree gives too.
        cost_ratio: cost of running the tree relative to the network, geometric mean.
        worst: largest of these ratios. by_preference: geometric mean at each w.
    """

    leaves: int
    depth: int
    accuracy: float
    balanced: float
    cost_ratio: float
    worst: float
    by_preference: tuple[float, ...]


@dataclass(frozen=True)
class ActionFidelity:
    """One action: how often the network gives it, how often the tree does then, and vice versa."""

    action: str
    share: float
    recall: float
    precision: float


@dataclass(frozen=True)
class Surrogate:
    """What the trees tell.

    Attributes:
        sizes: fidelity of each tree, small to large.
        corrections: decisions that were added in states that pupils got into.
        shown: fidelity of the printed one.
        text: the printed tree.
        actions: its fidelity for each action.
        baseline: accuracy of always naming the commonest action.
        tree_features: figures that the largest tree splits by, with their share of the gain.
        network_features: observations of the network, with the share of its decisions that
            change when that one is shuffled among states.
    """

    sizes: tuple[Fidelity, ...]
    corrections: int
    shown: Fidelity
    text: str
    actions: tuple[ActionFidelity, ...]
    baseline: float
    tree_features: tuple[tuple[str, float], ...]
    network_features: tuple[tuple[str, float], ...]


def surrogate(world: World, visits: Visits, track: Track) -> Surrogate:
    """Fit trees on what the policy did, judge them on held-out episodes, and run them."""
    network = world.policy(world.frozen)
    if not isinstance(network, NetworkPolicy):
        raise TypeError(f"{world.frozen} is not a network")
    names = action_names(world.flavors)
    lessons = taught(world, visits, network, track)
    trees = {leaves: fit_tree(lessons, leaves) for leaves in world.effort.leaves}
    sizes = {}
    for leaves, tree in track(list(trees.items()), "surrogate trees"):
        sizes[leaves] = _judge(world, visits, tree, TreePolicy(tree, network.discipline))
    size = readable_size(sizes)
    shown = trees[size]
    largest = trees[max(trees)]
    figures = readable_names(world.flavors)
    gains = sorted(zip(figures, largest.feature_importances_, strict=True), key=lambda x: -x[1])
    commonest = np.bincount(visits.fit.actions).argmax()
    return Surrogate(
        tuple(sizes.values()),
        len(lessons) - len(visits.fit),
        sizes[size],
        tree_text(shown, figures, names),
        tuple(_by_action(shown, visits.held_out, names)),
        float((visits.held_out.actions == commonest).mean()),
        tuple((name, float(gain)) for name, gain in gains[:_LISTED] if gain > 0),
        tuple(shuffled_importance(network, visits.held_out, world.flavors)[:_LISTED]),
    )


def taught(world: World, visits: Visits, network: NetworkPolicy, track: Track) -> Decisions:
    """The network's decisions, also in states that only a pupil gets into.

    A tree that is fitted on the network's own path does not know what to do beside it, and one
    wrong order leads there. So pupils act in the fitting episodes and the network says what it
    would have done (DAgger: Ross, Gordon, Bagnell, AISTATS 2011; for trees VIPER: Bastani, Pu,
    Solar-Lezama, NeurIPS 2018).
    """
    lessons = visits.fit
    limit_s = 2 * 3600.0 * world.effort.visit_hours  # a pupil that starts nobody must not wait on
    for leaves in _PUPILS:
        pupil = TreePolicy(fit_tree(lessons, leaves), network.discipline)
        diary = Diary()
        for lesson in track(visits.lessons, f"pupil of {leaves} leaves"):
            world.simulate(
                lesson.requests,
                Corrected(network, diary, pupil),
                seed=lesson.seed,
                preference=lesson.preference,
                limit_s=limit_s,
            )
        lessons = lessons.joined(diary.table())
    return lessons


def readable_size(sizes: Mapping[int, Fidelity]) -> int:
    """The smallest tree that costs little more than the network; else the largest readable one."""
    within = [size for size, one in sizes.items() if one.cost_ratio < _CLOSE]
    return min(min(within, default=_READABLE), max(s for s in sizes if s <= _READABLE))


def fit_tree(decisions: Decisions, leaves: int) -> DecisionTreeClassifier:
    """A tree of at most so many leaves, the same for the same decisions.

    Rare orders weigh more (each by the root of its share): a spawn that is missed costs far more
    than a keep, of which there are many.
    """
    counts = np.bincount(decisions.actions)
    tree = DecisionTreeClassifier(
        max_leaf_nodes=leaves,
        min_samples_leaf=min(_LEAF_STATES, max(1, len(decisions) // 50)),
        random_state=0,
    )
    weights = 1.0 / np.sqrt(counts[decisions.actions])
    tree.fit(
        decisions.figures, decisions.actions, sample_weight=weights * len(weights) / weights.sum()
    )
    return tree


def predict(tree: DecisionTreeClassifier, decisions: Decisions) -> NDArray[np.intp]:
    """What the tree would order in each state, of what is allowed there."""
    shares = np.zeros(decisions.masks.shape)
    shares[:, tree.classes_] = tree.predict_proba(decisions.figures)
    # A share of 0 must still beat what is not allowed.
    found: NDArray[np.intp] = np.where(decisions.masks, shares, -1.0).argmax(axis=1)
    return found


def tree_text(tree: DecisionTreeClassifier, figures: Sequence[str], actions: Sequence[str]) -> str:
    """The tree as text; branches that all end in the same order are folded into one.

    Each end tells the share (by weight, see `fit_tree`) of the fitted decisions there that are
    the order given.
    """
    inner = tree.tree_
    left, right = inner.children_left.tolist(), inner.children_right.tolist()
    counts: NDArray[np.float64] = inner.value[:, 0, :] * inner.weighted_n_node_samples[:, None]

    def orders(node: int) -> set[int]:
        if left[node] < 0:
            return {int(counts[node].argmax())}
        return orders(left[node]) | orders(right[node])

    lines: list[str] = []

    def write(node: int, depth: int, condition: str) -> None:
        given = orders(node)
        start = "    " * depth + condition
        if len(given) > 1:
            if condition:
                lines.append(f"{start}:")
            name = figures[inner.feature[node]]
            at = inner.threshold[node]
            inside = depth + bool(condition)
            write(left[node], inside, f"{name} <= {at:.3g}")
            write(right[node], inside, f"{name} > {at:.3g}")
            return
        order = given.pop()
        share = counts[node, order] / counts[node].sum()
        action = actions[tree.classes_[order]]
        lines.append(f"{start + ': ' if condition else ''}{action.upper()}  ({share:.0%})")

    write(0, 0, "")
    return "\n".join(lines)


def _judge(
    world: World, visits: Visits, tree: DecisionTreeClassifier, policy: TreePolicy
) -> Fidelity:
    held = visits.held_out
    said = predict(tree, held)
    recalls = [
        float((said[held.actions == a] == a).mean()) for a in np.unique(held.actions).tolist()
    ]
    costs = []
    for episode in visits.episodes:
        run = world.simulate(
            episode.requests, policy, seed=episode.seed, preference=episode.preference
        )
        costs.append(cost_so_far(run.cluster).weighed(episode.preference))
    logs = np.log(np.array(costs) / visits.costs)
    at = np.array([episode.preference for episode in visits.episodes])
    return Fidelity(
        int(tree.get_n_leaves()),
        int(tree.get_depth()),
        float((said == held.actions).mean()),
        float(np.mean(recalls)),
        float(np.exp(logs.mean())),
        float(np.exp(logs.max())),
        tuple(float(np.exp(logs[at == w].mean())) for w in world.effort.preferences),
    )


def _by_action(
    tree: DecisionTreeClassifier, held: Decisions, names: Sequence[str]
) -> list[ActionFidelity]:
    said = predict(tree, held)
    rows = []
    for index, name in enumerate(names):
        theirs, ours = held.actions == index, said == index
        both = float((theirs & ours).sum())
        if theirs.any() or ours.any():
            rows.append(
                ActionFidelity(
                    name,
                    float(theirs.mean()),
                    both / max(1.0, float(theirs.sum())),
                    both / max(1.0, float(ours.sum())),
                )
            )
    return rows


def shuffled_importance(
    network: NetworkPolicy, held: Decisions, flavors: Sequence[str]
) -> list[tuple[str, float]]:
    """Share of the network's decisions that change when one observation is shuffled."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(held))[:_SHUFFLED]
    rows, masks = held.observations[chosen], held.masks[chosen]

    def orders(observations: NDArray[np.float32]) -> NDArray[np.intp]:
        found: NDArray[np.intp] = np.where(masks, network.logits(observations), -np.inf).argmax(
            axis=1
        )
        return found

    before = orders(rows)
    changed = []
    for column, feature in enumerate(features(flavors)):
        other = rows.copy()
        other[:, column] = rng.permutation(other[:, column])
        changed.append((feature.name, float((orders(other) != before).mean())))
    return sorted(changed, key=lambda one: -one[1])
