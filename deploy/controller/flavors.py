"""Which sizes of worker a controller offers to its policy.

The existing system has one size: ``--os-flavor``, or the ``--pod-...`` sizes. Its version of 2024
names several in a parameter file: ``default`` for the algorithms with one size, others for those
with several. A policy that chooses among several takes those of the file, else those of the
profile, or of ``--flavors``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil
from typing import Final

from agents.parameters import OneFlavorParameters, describe_parameters
from agents.registry import FURTHER, NAIVE, is_rule, policy_class, split_spec
from deploy.controller.parameter_files import DEFAULT_TYPE
from deploy.controller.settings import Settings
from deploy.managers.pod.settings import PodType
from env.config import FlavorConfig, Profile
from env.errors import DaCircoError, UnknownNameError

POD_FLAVOR: Final = "pod"
"""Name of the one size that the ``--pod-...`` options make."""
OWN_ALGORITHMS: Final = frozenset({*NAIVE, *FURTHER})
"""All algorithms of the existing system."""
ONE_SIZE: Final = frozenset(
    name
    for name in OWN_ALGORITHMS
    if issubclass(policy_class(name).parameters_type, OneFlavorParameters)
)
"""Those that know one size of worker."""
_SMALL_AND_LARGE: Final = ("small", "large")
_COUNTED_CPU: Final = "1"
_COUNTED_MEMORY: Final = "1Gi"


def rule_name(spec: str) -> str:
    """The name of the policy that a text means, as the registry writes that of a rule."""
    name = spec.partition(":")[0].strip()
    return policy_class(name).name if is_rule(name) else name


def with_idle_time(spec: str, max_idle_time_s: float) -> str:
    """``--max-idle-time`` gives the default of that parameter to the existing algorithms."""
    if rule_name(spec) not in OWN_ALGORITHMS or "max_idle_time" not in _parameters(spec):
        return spec
    return _with(spec, max_idle_time=f"{max_idle_time_s:g}")


def offers_one_size(settings: Settings) -> bool:
    """Whether the options mean the existing system's one size."""
    return not settings.flavors and rule_name(settings.scheduler) in ONE_SIZE


def vm_flavors(settings: Settings, profile: Profile) -> tuple[str, ...]:
    """Names of the VMs' flavors; the cloud tells their sizes.

    Raises:
        DaCircoError: the parameter file lacks one.
    """
    if settings.vm_types:
        return _of_file(settings, list(settings.vm_types), "--vm-params-file")
    if offers_one_size(settings):
        return (settings.openstack.flavor,)
    return settings.flavors or tuple(flavor.name for flavor in profile.cluster.flavors)


def pod_flavors(settings: Settings, profile: Profile) -> tuple[FlavorConfig, ...]:
    """Sizes of the pods, small to large.

    Raises:
        DaCircoError: a size that is not in the parameter file or the profile, or is not one.
    """
    if settings.pod_types:
        names = _of_file(settings, list(settings.pod_types), "--pod-params-file")
        return _sorted(counted(name, settings.pod_types[name]) for name in names)
    if offers_one_size(settings):
        return (counted(POD_FLAVOR, settings.pod.size),)
    known = {flavor.name: flavor for flavor in profile.cluster.flavors}
    unknown = [name for name in settings.flavors if name not in known]
    if unknown:
        raise DaCircoError(
            f"--flavors: {unknown[0]!r} is not a size of profile {profile.name!r}, "
            f"which has {', '.join(known)}"
        )
    return _sorted(known[name] for name in settings.flavors or known)


def pod_types(settings: Settings) -> Mapping[str, PodType]:
    """What the pods of the offered sizes are, where it is not all that the size says."""
    if settings.pod_types or not offers_one_size(settings):
        return settings.pod_types
    return {POD_FLAVOR: settings.pod.size}


def counted(name: str, kind: PodType) -> FlavorConfig:
    """A type of pod as a size: what it reserves, in whole cores.

    That is its request; without one its limit, which Kubernetes then takes for the request;
    without both a pod reserves nothing, and is counted as one core and 1 GiB.

    Raises:
        DaCircoError: a request is above its limit.
    """
    # The Kubernetes client takes a second to import.
    from deploy.managers.pod.quantity import cpus, gib

    for what, read, request, limit in (
        ("cpu", cpus, kind.cpu_request, kind.cpu_limit),
        ("memory", gib, kind.memory_request, kind.memory_limit),
    ):
        if request and limit and read(request) > read(limit):
            raise DaCircoError(
                f"pods of type {name!r}: the {what} request {request} is above the limit {limit}"
            )
    reserved = kind.cpu_request or kind.cpu_limit or _COUNTED_CPU
    ram = kind.memory_request or kind.memory_limit or _COUNTED_MEMORY
    try:
        return FlavorConfig(name, max(1, ceil(cpus(reserved))), gib(ram))
    except ValueError:
        raise DaCircoError(
            f"pods of type {name!r}: {reserved} cores and {ram} of memory are no size of a worker: "
            "give 0 for no limit, else at least 0.01Gi"
        ) from None


def fitted_spec(spec: str, flavors: tuple[FlavorConfig, ...]) -> str:
    """The policy's text with the flavors that there are, where it must name some and does not."""
    name = rule_name(spec)
    if not is_rule(name):
        return spec
    kind, names = policy_class(name).parameters_type, [flavor.name for flavor in flavors]
    wanted: dict[str, str] = {}
    if len(flavors) == 1 and issubclass(kind, OneFlavorParameters):
        wanted["flavor"] = names[0]
    defaults = _parameters(spec)
    if all(key in defaults and defaults[key] not in names for key in _SMALL_AND_LARGE):
        for key, place in zip(_SMALL_AND_LARGE, (0, -1), strict=True):
            wanted[key] = key if key in names else names[place]
    return _with(spec, **wanted)


def _parameters(spec: str) -> dict[str, object]:
    """The defaults of a rule's parameters by name."""
    kind = policy_class(rule_name(spec)).parameters_type
    return {info.name: info.default for info in describe_parameters(kind)}


def _with(spec: str, **values: str) -> str:
    """The text with these parameters, where it does not give them itself."""
    given = {key.replace("-", "_") for key in split_spec(spec)[1]}
    more = [f"{key}={value}" for key, value in values.items() if key not in given]
    return f"{spec}{',' if given else ':'}{','.join(more)}" if more else spec


def _of_file(settings: Settings, tables: list[str], option: str) -> tuple[str, ...]:
    for name in settings.flavors:
        if name not in tables:
            raise DaCircoError(f"--flavors: {option}: {UnknownNameError('table', name, tables)}")
    if settings.flavors:
        return settings.flavors
    if not offers_one_size(settings):
        return tuple(name for name in tables if name != DEFAULT_TYPE) or (DEFAULT_TYPE,)
    if DEFAULT_TYPE in tables or len(tables) == 1:
        return (DEFAULT_TYPE if DEFAULT_TYPE in tables else tables[0],)
    raise DaCircoError(
        f"{option} has no table [{DEFAULT_TYPE}], which {settings.scheduler} takes: add it, or "
        f"choose one of {', '.join(tables)} with --flavors"
    )


def _sorted(flavors: Iterable[FlavorConfig]) -> tuple[FlavorConfig, ...]:
    return tuple(sorted(flavors, key=lambda flavor: (flavor.vcpus, flavor.ram_gib)))
