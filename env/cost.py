"""What a stretch of time costs at a preference: the one definition of cost and reward.

The cost rate is ``c(t) = w N(t) + (1 - w) R(t)``. N is the number of jobs waiting or in
process; its integral is the sum of the delays (Little's law). R is what is reserved, in
equivalent cores: half the reserved share of the vCPUs plus half that of the RAM, times
the physical cores. At w = 0.5 a second of one job's delay weighs as much as a second of
one reserved core with its RAM.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from env.errors import DaCircoError

MIN_PREFERENCE: Final = 0.1
MAX_PREFERENCE: Final = 0.9


class CostVector(NamedTuple):
    """The two costs that the bosses fight over, as integrals over time.

    Attributes:
        job_seconds: integral of N.
        core_seconds: integral of R, equivalent core-seconds.
    """

    job_seconds: float
    core_seconds: float

    def since(self, earlier: CostVector) -> CostVector:
        """What was added since `earlier`."""
        return CostVector(
            self.job_seconds - earlier.job_seconds, self.core_seconds - earlier.core_seconds
        )

    def weighed(self, preference: float) -> float:
        """The scalar cost at preference w."""
        return preference * self.job_seconds + (1.0 - preference) * self.core_seconds


class Costly(Protocol):
    """What has cost something: a `Cluster`, or another that keeps its books."""

    def jobs_integral(self) -> float:
        """See `Cluster.jobs_integral`."""

    def reserved_cores_integral(self) -> float:
        """See `Cluster.reserved_cores_integral`."""


def cost_so_far(cluster: Costly) -> CostVector:
    """The cost vector from the start to the cluster's now."""
    return CostVector(cluster.jobs_integral(), cluster.reserved_cores_integral())


def check_preference(preference: float) -> float:
    """Return the preference if it is one.

    Raises:
        DaCircoError: it is outside [0.1, 0.9].
    """
    if not MIN_PREFERENCE <= preference <= MAX_PREFERENCE:
        raise DaCircoError(
            f"preference {preference} is outside [{MIN_PREFERENCE}, {MAX_PREFERENCE}]: "
            "0.1 is lean, 0.9 is fast"
        )
    return preference
