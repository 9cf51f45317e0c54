"""The policy that takes charge of a live cluster: guarded, shielded, and there in any case."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from agents.guard import Guarded, GuardLimits, Switch, one_line
from agents.policy import Policy
from agents.registry import is_model, make_policy
from agents.shield import Shielded, ShieldLimits
from env.actions import Action
from env.cluster import Cluster
from env.dispatch import Discipline
from env.errors import DaCircoError, PolicyError

_LOG = logging.getLogger(__name__)

DEFAULT_FALLBACK: Final = "grace-period"


class UnusablePolicy(Policy):
    """Stands in for a frozen policy that cannot be loaded, and serves no cluster.

    Args:
        name: of the frozen policy.
        discipline: of whoever decides in its place.
        why: what is wrong with it, one line.
    """

    def __init__(self, name: str, discipline: Discipline, why: str) -> None:
        self.name, self.discipline, self.why = name, discipline, why

    def reset(self, cluster: Cluster) -> None:
        """Raises PolicyError: what is wrong."""
        raise PolicyError(self.why)

    def act(self, cluster: Cluster) -> Action:
        """Raises PolicyError: what is wrong."""
        raise PolicyError(self.why)


class LivePolicy(Shielded):
    """The whole stack: shield, guard, and the two policies.

    Attributes:
        guard: tells who is in charge, and why.
    """

    def __init__(self, guard: Guarded, limits: ShieldLimits | None = None) -> None:
        super().__init__(guard, limits)
        self.guard = guard

    def fingerprint(self, cluster: Cluster) -> str:
        """As of the guard's decisions: the log tells of each what was seen."""
        return self.guard.fingerprint(cluster)


def load_policy(spec: str, discipline: Discipline) -> tuple[Policy, tuple[str, ...]]:
    """A policy from its text; a frozen one that is missing or corrupt is stood in for.

    Args:
        spec: see `agents.registry.make_policy`.
        discipline: of the stand-in.

    Returns:
        The policy, and what its operator must know, one line each.

    Raises:
        UnknownNameError: it is no frozen policy, and there is no such rule or parameter.
        PolicyError: it is a rule with a parameter's value that cannot be.
    """
    name = spec.partition(":")[0].strip()
    if not name or not is_model(name):
        return make_policy(spec), ()
    try:
        policy = make_policy(spec)
    except Exception as error:  # also what a damaged installation raises on import
        why = str(error) if isinstance(error, DaCircoError) else one_line(error)
        return UnusablePolicy(name, discipline, why), (f"{name} cannot be used: {why}",)
    if getattr(policy, "envelope", None) is None:
        why = "its card has no observation_envelope: what it was not trained on cannot be told"
        return policy, (f"{name}: {why}",)
    return policy, ()


def live_policy(
    spec: str,
    fallback_spec: str = DEFAULT_FALLBACK,
    *,
    guard: GuardLimits | None = None,
    shield: ShieldLimits | None = None,
    on_switch: Callable[[Switch], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[LivePolicy, tuple[str, ...]]:
    """The policy for a live cluster: ``Shielded(Guarded(policy, fallback))``.

    A frozen policy that is missing or corrupt is no error: the fallback decides. One that does
    not match the cluster is found out by `Policy.reset`; ``.guard.unusable`` then says why.

    Args:
        spec: the policy in charge, a rule or a frozen one (see `agents.registry.make_policy`).
        fallback_spec: the rule that decides where it fails.
        guard: what counts as a failure.
        shield: the bounds for both.
        on_switch: called when control goes over to the fallback or back.
        clock: seconds, for the deadline.

    Returns:
        The policy, and what its operator must know, one line each; they are logged too.

    Raises:
        UnknownNameError: there is no such rule or parameter, of either.
        PolicyError: a rule's parameter is wrong, or the fallback is no rule: one that may be
            missing or corrupt is nothing to fall back on.
    """
    fallback_name = fallback_spec.partition(":")[0].strip()
    if is_model(fallback_name):
        raise PolicyError(
            f"fallback {fallback_spec!r} is a frozen policy: the fallback must be a rule, "
            f"for instance {DEFAULT_FALLBACK}"
        )
    fallback = make_policy(fallback_spec)
    policy, warnings = load_policy(spec, fallback.discipline)
    if isinstance(policy, UnusablePolicy):
        warnings = tuple(f"{line}; {fallback.spec} decides instead" for line in warnings)
    for line in warnings:
        _LOG.warning("%s", line)
    guarded = Guarded(policy, fallback, guard, hashed=True, on_switch=on_switch, clock=clock)
    return LivePolicy(guarded, shield), warnings
