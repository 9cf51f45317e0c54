"""A policy that is a rule with parameters (as opposed to a learned one)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from agents.parameters import DisciplineParameters, Parameters, changed_values
from agents.policy import Policy
from env.errors import UnknownNameError

if TYPE_CHECKING:
    from env.cluster import Cluster


class Heuristic(Policy):
    """A rule, its parameters, and where it comes from.

    Class attributes:
        name: registered name, in kebab-case.
        aliases: further names that the registry accepts.
        summary: one line for the listing.
        source: the paper or project that the rule is taken from.
        parameters_type: the class of its parameters.

    Without a `discipline` parameter the rule serves first come, first served.
    """

    aliases: ClassVar[tuple[str, ...]] = ()
    summary: ClassVar[str]
    source: ClassVar[str]
    parameters_type: ClassVar[type[Parameters]]
    parameters: Parameters

    def __init__(self, parameters: Parameters | None = None) -> None:
        if parameters is None:
            parameters = self.parameters_type()
        if type(parameters) is not self.parameters_type:
            raise TypeError(
                f"{self.name} takes {self.parameters_type.__name__}, "
                f"not {type(parameters).__name__}"
            )
        self.parameters = parameters
        self.discipline = (
            parameters.discipline if isinstance(parameters, DisciplineParameters) else "fcfs"
        )

    @property
    def spec(self) -> str:
        """The name and every parameter that differs from its default."""
        changed = ",".join(f"{k}={v}" for k, v in changed_values(self.parameters).items())
        return f"{self.name}:{changed}" if changed else self.name

    def __repr__(self) -> str:
        return f"<policy {self.spec}>"


def flavor_index(cluster: Cluster, name: str) -> int:
    """Position of a flavor in `cluster.flavors`.

    Raises:
        UnknownNameError: the cluster has no flavor of that name.
    """
    names = [flavor.name for flavor in cluster.flavors]
    if name not in names:
        raise UnknownNameError("flavor", name, names)
    return names.index(name)
