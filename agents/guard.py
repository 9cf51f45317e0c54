"""A policy under guard: where it fails, a fallback decides, and after too many failures stays.

A policy's wrong is found after the fact: also the deadline, for an answer that takes for ever
inside a native call cannot be broken off within the process. A thread for each answer would tell
that it hangs, but could not end it either, and would cost a hand-over of tens of microseconds for
each decision; a process that does not answer is for its supervisor to end (docs/guard.md).
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite, isnan
from typing import TYPE_CHECKING, Final

import numpy as np

from agents.breaker import Breaker, BreakerLimits, BreakerState
from agents.decision import Decision, Source
from agents.network_policy import NetworkPolicy
from agents.policy import Policy
from env.actions import KEEP, Action, ActionKind
from env.errors import DaCircoError
from env.observation import Observer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from env.cluster import Cluster

_LOG = logging.getLogger(__name__)

# Reasons of decisions, see `agents.decision.Decision`.
DECIDED: Final = "policy"
RAISED: Final = "raised"
NOT_AN_ACTION: Final = "not-an-action"
MASKED: Final = "masked-action"
NOT_FINITE: Final = "non-finite"
DEADLINE: Final = "deadline-missed"
OUTSIDE: Final = "outside-envelope"
BREAKER_OPEN: Final = "breaker-open"
UNUSABLE: Final = "unusable"
FALLBACK_FAILED: Final = "fallback-failed"


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """What counts as a failure, and how many are too many.

    Attributes:
        deadline_s: longest time that the policy may take for one decision, seconds.
        breaker: see `BreakerLimits`.
    """

    deadline_s: float = 0.05
    breaker: BreakerLimits = field(default_factory=BreakerLimits)

    def __post_init__(self) -> None:
        if not self.deadline_s > 0:
            raise DaCircoError(f"guard: deadline_s is {self.deadline_s}: must be above 0")


@dataclass(frozen=True, slots=True)
class Switch:
    """Control has gone over to the fallback, back to the policy, or to it on trial.

    Attributes:
        now: the cluster's time, seconds.
        before, after: the breaker's states.
        source: who is in charge from now on.
        reason: of the failure that opened the breaker, else ``cool-down-over`` or
            ``trial-passed``.
        detail: one line for people.
    """

    now: float
    before: BreakerState
    after: BreakerState
    source: Source
    reason: str
    detail: str = ""


class _FailedError(Exception):
    """The policy failed at one decision."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def fingerprint(row: NDArray[np.float32]) -> str:
    """The sha256 of an observation: its figures as little-endian single-precision floats."""
    return hashlib.sha256(row.astype("<f4", copy=False).tobytes()).hexdigest()


def one_line(error: BaseException) -> str:
    """An exception as one line for people."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def check_action(action: object, cluster: Cluster) -> tuple[str, str]:
    """What is wrong with an action, as reason and detail; both empty if nothing is."""
    kind: object = getattr(action, "kind", None)
    flavor: object = getattr(action, "flavor", None)
    # A number that only equals an index would be a riddle further on.
    if not (isinstance(action, Action) and isinstance(kind, ActionKind) and type(flavor) is int):
        return NOT_AN_ACTION, f"{action!r:.100} is not an action"
    if not cluster.can(action):
        return MASKED, f"{action.kind.name.lower()} of flavor {action.flavor} is not possible now"
    return "", ""


def check_wake(time_s: object) -> float | None:
    """A time that a policy wishes to be woken at, or none.

    Raises:
        TypeError, ValueError: it is no time.
    """
    if time_s is None:
        return None
    if not isinstance(time_s, int | float):
        raise TypeError(f"{time_s!r:.100} is not a time")
    if isnan(time_s):
        raise ValueError("nan is not a time")
    return float(time_s)


class Guarded(Policy):
    """Asks the policy; where that fails, the fallback decides.

    Args:
        policy: whom to ask. Of a `NetworkPolicy` each step is checked.
        fallback: a rule that is known to work on this cluster.
        limits: see `GuardLimits`.
        hashed: make the observation's hash also where the policy looks at none, for the log.
        on_switch: called at each switch of control, see `Switch`.
        clock: seconds, for the deadline only; windows and cool-downs follow the cluster's time.

    Attributes:
        failures: how often the policy failed, by reason.
        unusable: why the policy cannot serve this cluster at all, empty if it can.
        last_failure: the latest failure in words, empty if there was none.
    """

    def __init__(
        self,
        policy: Policy,
        fallback: Policy,
        limits: GuardLimits | None = None,
        *,
        hashed: bool = False,
        on_switch: Callable[[Switch], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.policy, self.fallback = policy, fallback
        self.name = policy.name
        self.discipline = policy.discipline  # the queue has one order, whoever decides
        self.limits = limits or GuardLimits()
        self.on_switch = on_switch
        self.failures: Counter[str] = Counter()
        self.unusable = ""
        self.last_failure = ""
        self._network = policy if isinstance(policy, NetworkPolicy) else None
        self._hashed = hashed
        self._clock = clock
        self._breaker = Breaker(self.limits.breaker)
        self._cluster: Cluster | None = None
        self._observer: Observer | None = None
        self._row: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._seen = ""

    @property
    def spec(self) -> str:
        """The policy's."""
        return self.policy.spec

    @property
    def state(self) -> BreakerState:
        """Whether the policy is asked; open for good where it is unusable."""
        return BreakerState.OPEN if self.unusable else self._breaker.state

    @property
    def in_charge(self) -> Source:
        """Who decides now, as far as nothing goes wrong."""
        return Source.FALLBACK if self.state is BreakerState.OPEN else Source.POLICY

    @property
    def times_opened(self) -> int:
        """How often the breaker has opened."""
        return self._breaker.opened

    def reset(self, cluster: Cluster) -> None:
        """Prepare both; a policy that cannot serve this cluster leaves it to the fallback.

        Raises:
            DaCircoError: the fallback cannot serve this cluster.
        """
        self.fallback.reset(cluster)
        self._cluster = cluster
        self._breaker = Breaker(self.limits.breaker)
        self.failures.clear()
        self.unusable = self.last_failure = self._seen = ""
        self._observer = Observer(cluster)
        self._row = np.zeros(self._observer.size, dtype=np.float32)
        try:
            self.policy.reset(cluster)
            if self._network is not None:
                self._rehearse(self._network, cluster)
        except Exception as error:  # whatever it is, the service must start
            told = str(error) if isinstance(error, DaCircoError) else one_line(error)
            self.unusable = self.last_failure = told
            _LOG.warning("%s cannot be used, %s decides: %s", self.name, self.fallback.spec, told)
            self._tell(
                Switch(
                    cluster.now,
                    BreakerState.CLOSED,
                    BreakerState.OPEN,
                    Source.FALLBACK,
                    UNUSABLE,
                    told,
                )
            )

    def _rehearse(self, network: NetworkPolicy, cluster: Cluster) -> None:
        """Let the network answer once before it counts: the first answer is slow."""
        row = network.observe(cluster)
        logits = network.logits(row)
        if logits.shape != (1, len(network.mask(cluster))):
            raise ValueError(f"the network answers in the shape {logits.shape}")

    def act(self, cluster: Cluster) -> Action:
        """The action of `decide`."""
        return self.decide(cluster).action

    def decide(self, cluster: Cluster) -> Decision:
        """The policy's action if all is well with it, else the fallback's; never raises."""
        if cluster is not self._cluster:
            self.reset(cluster)
        self._seen = ""
        if self.unusable:
            return self._fall_back(cluster, UNUSABLE, self.unusable)
        before = self._breaker.state
        if not self._breaker.allows(cluster.now):
            return self._fall_back(cluster, BREAKER_OPEN, self.last_failure)
        self._note_switch(cluster, before, "cool-down-over", "")
        before = self._breaker.state
        try:
            action = self._ask(cluster)
        except _FailedError as failure:
            self._fail(cluster, before, failure)
            return self._fall_back(cluster, failure.reason, failure.detail)
        self._breaker.succeeded()
        self._note_switch(cluster, before, "trial-passed", "")
        return Decision(action, Source.POLICY, DECIDED, observation=self._seen)

    def wake_at(self, cluster: Cluster) -> float | None:
        """As whoever is in charge wishes, and when an open breaker begins its trial."""
        if self.in_charge is Source.POLICY:
            before = self._breaker.state
            try:
                return check_wake(self.policy.wake_at(cluster))
            except Exception as error:
                self._fail(cluster, before, _FailedError(RAISED, f"wake_at: {one_line(error)}"))
        try:
            wake = check_wake(self.fallback.wake_at(cluster))
        except Exception as error:
            _LOG.warning("the fallback %s failed: %s", self.fallback.spec, one_line(error))
            wake = None
        retry = None if self.unusable else self._breaker.retry_at
        times = [time_s for time_s in (wake, retry) if time_s is not None]
        return min(times, default=None)

    # -- asking -----------------------------------------------------------------------

    def _ask(self, cluster: Cluster) -> Action:
        """The policy's action, checked.

        Raises:
            _FailedError: something is wrong with it.
        """
        start = self._clock()
        try:
            if self._network is not None:
                action = self._ask_network(self._network, cluster)
            else:
                if self._hashed:
                    self._seen = self.fingerprint(cluster)
                action = self.policy.act(cluster)
        except _FailedError:
            raise
        except Exception as error:
            raise _FailedError(RAISED, one_line(error)) from error
        took = self._clock() - start
        reason, detail = check_action(action, cluster)
        if reason:
            raise _FailedError(reason, detail)
        if not took <= self.limits.deadline_s:
            raise _FailedError(
                DEADLINE, f"took {took * 1e3:.1f} ms of {self.limits.deadline_s * 1e3:g} ms"
            )
        return action

    def _ask_network(self, network: NetworkPolicy, cluster: Cluster) -> Action:
        observation = network.observe(cluster)
        row = observation[0]
        self._seen = fingerprint(row)
        if network.envelope is not None:
            outside = network.envelope.outside(row)
            if outside:
                raise _FailedError(OUTSIDE, outside)
        logits = network.logits(observation)[0]
        # The sum of finite figures is finite, unless they are too large to mean anything.
        if not isfinite(logits.sum()):
            raise _FailedError(NOT_FINITE, f"the network answers {np.array2string(logits):.200}")
        return network.choose(logits, network.mask(cluster))

    def fingerprint(self, cluster: Cluster) -> str:
        """The hash of the observation of this moment."""
        if cluster is not self._cluster:
            self.reset(cluster)
        assert self._observer is not None
        self._observer.write(self._row)
        return fingerprint(self._row)

    # -- failing ----------------------------------------------------------------------

    def _fall_back(self, cluster: Cluster, reason: str, detail: str) -> Decision:
        try:
            if not self._seen and (self._hashed or self._network is not None):
                self._seen = self.fingerprint(cluster)
            action = self.fallback.act(cluster)
            wrong = check_action(action, cluster)[1]
        except Exception as error:
            wrong = one_line(error)
        if wrong:
            _LOG.warning("the fallback %s failed: %s", self.fallback.spec, wrong)
            self.failures[FALLBACK_FAILED] += 1
            return Decision(
                KEEP, Source.FALLBACK, FALLBACK_FAILED, f"{wrong}; {reason}: {detail}", self._seen
            )
        return Decision(action, Source.FALLBACK, reason, detail, self._seen)

    def _fail(self, cluster: Cluster, before: BreakerState, failure: _FailedError) -> None:
        self.failures[failure.reason] += 1
        self.last_failure = f"{failure.reason}: {failure.detail}"
        self._breaker.failed(cluster.now)
        self._note_switch(cluster, before, failure.reason, failure.detail)

    def _note_switch(
        self, cluster: Cluster, before: BreakerState, reason: str, detail: str
    ) -> None:
        after = self._breaker.state
        if after is not before:
            self._tell(Switch(cluster.now, before, after, self.in_charge, reason, detail))

    def _tell(self, switch: Switch) -> None:
        if switch.reason != UNUSABLE:
            _LOG.warning(
                "%s -> %s at %.1f s: %s decides (%s%s)",
                switch.before,
                switch.after,
                switch.now,
                self.policy.spec if switch.source is Source.POLICY else self.fallback.spec,
                switch.reason,
                f": {switch.detail}" if switch.detail else "",
            )
        if self.on_switch is not None:
            self.on_switch(switch)
