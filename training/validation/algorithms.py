"""The policy that replays a measured run: the run's own algorithm, or another if asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agents.parameters import describe_parameters
from agents.registry import FURTHER, NAIVE, is_rule, make_policy, policy_class, split_spec
from env.errors import UnknownNameError
from training.validation.errors import ValidationError
from training.validation.measured_run import MeasuredRun


@dataclass(frozen=True)
class ReplayPolicy:
    """How a run's decisions are replayed.

    Attributes:
        spec: for `agents.registry.make_policy`.
        takes_flavor: whether all its workers are of the one flavor that the run used.
        note: how it differs from the run's algorithm; empty if it does not.
    """

    spec: str
    takes_flavor: bool
    note: str


def replay_policy(
    run: MeasuredRun,
    override: str | None,
    flavor: str,
    of_key: Mapping[str, str] | None = None,
) -> ReplayPolicy:
    """The policy that replays a run.

    Args:
        run: names its algorithm and its limit.
        override: a policy to replay with, whatever the run used.
        flavor: of most workers; given to the policy unless `override` names one.
        of_key: flavors by their keys, for a policy of several sizes (``small``, ``large``).

    Raises:
        ValidationError: the run does not name its algorithm, or one that is not known, and
            there is no `override`.
        UnknownNameError, PolicyError: `override` is not a policy.
    """
    if override is not None:
        policy = _completed(override, run, flavor, of_key or {})
        if run.algorithm and _normal(split_spec(override)[0]) != _normal(run.algorithm):
            return replace(policy, note=f"{run.algorithm} is replayed with {override}, as asked")
        return policy
    if not run.algorithm:
        raise ValidationError(
            f"run {run.name} does not say which algorithm it used: pass --algorithm NAME, "
            f"one of {', '.join((*NAIVE, *FURTHER))}"
        )
    name = _normal(run.algorithm)
    if not is_rule(name):
        try:
            policy_class(name)
        except UnknownNameError as error:
            raise ValidationError(
                f"run {run.name}: {error}; or pass --algorithm NAME to replay it with another"
            ) from None
    return _completed(name, run, flavor, of_key or {})


def _normal(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _completed(spec: str, run: MeasuredRun, flavor: str, of_key: Mapping[str, str]) -> ReplayPolicy:
    make_policy(spec)  # refuses a wrong one before anything is added to it
    name, given = split_spec(spec)
    try:
        known = {info.name for info in describe_parameters(policy_class(name).parameters_type)}
    except UnknownNameError:  # a frozen policy
        return ReplayPolicy(spec, False, "")
    given = {key.replace("-", "_"): value for key, value in given.items()}
    sizes = [key for key in ("flavor", "small", "large") if key in known]
    for key in sizes:
        given.setdefault(key, of_key.get(key, flavor))
    if "max_workers" in known and run.max_workers is not None:
        given.setdefault("max_workers", str(run.max_workers))
    text = ",".join(f"{key}={value}" for key, value in given.items())
    return ReplayPolicy(f"{name}:{text}" if text else name, bool(sizes), "")
