"""The rule that is imitated: one for each preference, the nearest counts."""

from __future__ import annotations

import tomllib
from importlib import resources
from types import SimpleNamespace

import pytest

from agents.by_preference import ByPreference
from agents.policy import Policy
from agents.registry import make_policy
from env.actions import KEEP, Action
from env.cluster import Cluster
from env.cost import MAX_PREFERENCE, MIN_PREFERENCE
from env.dispatch import Discipline
from env.metrics import measure
from tests.training.small_world import short_episodes
from training.lockstep import simulate
from training.preferences import PREFERENCES
from training.teacher import load_teacher


def rules() -> dict[float, str]:
    """What the shipped file says."""
    text = (resources.files("training") / "teacher.toml").read_text(encoding="utf-8")
    return {float(w): spec for w, spec in tomllib.loads(text)["rules"].items()}


class Named(Policy):
    """Only tells that it was asked."""

    discipline: Discipline = "sjf"

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[str] = []

    def reset(self, cluster: Cluster) -> None:
        """Noted."""
        self.asked.append("reset")

    def act(self, cluster: Cluster) -> Action:
        """Noted."""
        self.asked.append("act")
        return KEEP

    def wake_at(self, cluster: Cluster) -> float | None:
        """Noted."""
        self.asked.append("wake")
        return 17.0


@pytest.mark.parametrize(
    ("preference", "chosen"), [(0.1, 0.2), (0.34, 0.2), (0.36, 0.5), (0.64, 0.5), (0.9, 0.8)]
)
def test_the_nearest_rule_counts(preference: float, chosen: float) -> None:
    followed = {w: Named(str(w)) for w in (0.2, 0.5, 0.8)}
    teacher = ByPreference("teacher", followed)
    cluster = simulate(short_episodes(1)[0], preference).cluster
    teacher.reset(cluster)
    assert teacher.act(cluster) is KEEP
    assert teacher.wake_at(cluster) == 17.0
    for w, rule in followed.items():
        assert rule.asked == (["reset", "act", "wake"] if w == chosen else [])


def test_the_rule_may_change_with_the_episode() -> None:
    followed = {w: Named(str(w)) for w in (0.1, 0.9)}
    teacher = ByPreference("teacher", followed)
    for preference in (0.1, 0.9, 0.9):
        teacher.reset(simulate(short_episodes(1)[0], preference).cluster)
    assert followed[0.1].asked == ["reset"]
    assert followed[0.9].asked == ["reset", "reset"]


def test_the_shipped_rules_cover_the_dial() -> None:
    assert set(PREFERENCES) <= set(rules())
    assert all(MIN_PREFERENCE <= w <= MAX_PREFERENCE for w in rules())


@pytest.mark.parametrize("preference", sorted(rules()))
def test_the_teacher_does_what_its_rule_does(preference: float) -> None:
    episode = short_episodes(1, seed=2)[0]
    figures = []
    for policy in (load_teacher(), make_policy(rules()[preference])):
        assert policy.discipline == "sjf"  # as the network that imitates it
        simulator = simulate(episode, preference, policy.discipline)
        simulator.run(policy)
        figures.append(measure(simulator))
    assert figures[0] == figures[1]


def test_each_teacher_has_rules_of_its_own() -> None:
    one, two = load_teacher(), load_teacher()
    ours, theirs = (SimpleNamespace(**vars(teacher)) for teacher in (one, two))
    assert ours._rules.keys() == theirs._rules.keys()
    assert not set(map(id, ours._rules.values())) & set(map(id, theirs._rules.values()))
