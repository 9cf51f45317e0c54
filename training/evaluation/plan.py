"""What is to be evaluated, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from agents.by_preference import ByPreference
from agents.heuristic import Heuristic
from agents.registry import MODELS, NAIVE, make_policy, policy_names
from agents.shipped import model_folder
from agents.tuned import tuned_name, tuned_specs
from env.catalog import DEFAULT_CATALOG, Catalog, load_catalog
from env.cluster import Cluster
from env.config import Profile, load_profile
from env.cost import check_preference
from env.errors import DaCircoError, UnknownNameError
from env.scenario import SPLITS, Scenario, load_scenario, scenario_names

SHIPPED_POLICY: Final = MODELS / "dacirco"
BASELINE: Final = "grace-period"
DEFAULT_PROFILE: Final = "openstack"
DEFAULT_PREFERENCE: Final = 0.5
DEFAULT_SEEDS: Final = 3


class Task(NamedTuple):
    """One run: indices into the plan's policies and scenarios, the preference, the seed."""

    policy: int
    preference: float
    scenario: int
    seed: int


@dataclass(frozen=True)
class Plan:
    """Every policy on every scenario at every preference and seed, in one data centre.

    A scenario and a seed fix the jobs: all policies and preferences serve the same ones.

    Attributes:
        profile: data centre and timing.
        catalog: the scenarios' movies.
        scenarios: of different names.
        policies: as `agents.registry.make_policy` takes them.
        preferences: w.
        seeds: of the simulator.
        baseline: the policy, one of `policies`, that ratios are relative to.
        frozen: those of the policies that are networks, not rules.
    """

    profile: Profile
    catalog: Catalog
    scenarios: tuple[Scenario, ...]
    policies: tuple[str, ...]
    preferences: tuple[float, ...]
    seeds: tuple[int, ...]
    baseline: str
    frozen: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """How many policies, preferences, scenarios and seeds."""
        return (
            len(self.policies),
            len(self.preferences),
            len(self.scenarios),
            len(self.seeds),
        )

    def tasks(self) -> Iterator[Task]:
        """Every run, seeds fastest, then scenarios, preferences, policies."""
        for policy in range(len(self.policies)):
            for preference in self.preferences:
                for scenario in range(len(self.scenarios)):
                    for seed in self.seeds:
                        yield Task(policy, preference, scenario, seed)


def default_policies(*, tuned: bool = True) -> list[str]:
    """The frozen policy that ships, where it is there, and every rule.

    Args:
        tuned: the rules as they were tuned for each preference, and besides these the naive
            ones at their defaults; else every rule at its defaults.
    """
    shipped = [SHIPPED_POLICY.as_posix()] if model_folder(SHIPPED_POLICY).is_dir() else []
    if not tuned:
        return [*shipped, *policy_names()]
    return [*shipped, *(tuned_name(rule) for rule in tuned_specs()), *NAIVE]


def make_plan(
    *,
    scenarios: Sequence[str] = (),
    policies: Sequence[str] = (),
    preferences: Sequence[float] = (),
    seeds: int = DEFAULT_SEEDS,
    profile: str | Path = DEFAULT_PROFILE,
    catalog: str | Path = DEFAULT_CATALOG,
    baseline: str | None = None,
    tuned: bool = True,
) -> Plan:
    """Look up all names, read all files and check that they go together.

    Args:
        scenarios: names, files, or a whole split (``train``, ``test``); default: the test
            split. What is named twice runs once, as with policies and preferences.
        policies: default: see `default_policies`.
        preferences: default: 0.5.
        seeds: how many; they are 0, 1, ...
        profile: name or TOML file.
        catalog: name or CSV file.
        baseline: a policy, which is added if it is not among them; default: the naive
            ``grace-period`` if it is among them, else the first policy.
        tuned: what the default policies are, see `default_policies`.

    Raises:
        DaCircoError: a name is unknown, a file or a value is not valid, or a policy cannot
            serve the data centre.
    """
    data_centre = load_profile(profile)
    movies = load_catalog(catalog)
    chosen = _load_scenarios(scenarios or ["test"], movies)
    specs = _unique(
        [*(policies or default_policies(tuned=tuned)), *([baseline] if baseline else [])]
    )
    made = {spec: make_policy(spec) for spec in specs}
    for policy in made.values():
        policy.reset(Cluster(data_centre))
    if baseline is None:
        # A policy's own spec knows neither aliases nor parameters that are the defaults.
        naive = (spec for spec, policy in made.items() if policy.spec == BASELINE)
        baseline = next(naive, specs[0])
    return Plan(
        profile=data_centre,
        catalog=movies,
        scenarios=tuple(chosen),
        policies=tuple(specs),
        preferences=tuple(
            dict.fromkeys(check_preference(w) for w in preferences or [DEFAULT_PREFERENCE])
        ),
        seeds=tuple(range(seeds)),
        baseline=baseline.strip(),
        frozen=tuple(
            spec
            for spec, policy in made.items()
            if not isinstance(policy, (Heuristic, ByPreference))
        ),
    )


def _unique(specs: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(spec.strip() for spec in specs))


def _load_scenarios(names: Sequence[str], catalog: Catalog) -> list[Scenario]:
    loaded: dict[str, Scenario] = {}
    sources: dict[str, str] = {}
    for name in names:
        for source in scenario_names(name) if name in SPLITS else [name]:
            try:
                scenario = load_scenario(source, catalog)
            except UnknownNameError as error:
                if error.kind != "scenario":
                    raise
                raise UnknownNameError("scenario", name, [*error.known, *SPLITS]) from None
            if loaded.setdefault(scenario.name, scenario) != scenario:
                raise DaCircoError(
                    f"scenarios {sources[scenario.name]!r} and {source!r} are both called "
                    f"{scenario.name!r}: rename one of the files"
                )
            sources.setdefault(scenario.name, source)
    return list(loaded.values())
