"""The validated, frozen description of a data centre and of its timing: a profile.

A profile is a TOML file. It is checked once, here; every error names the key.
Shipped profiles live in ``env/profiles``.
"""

from __future__ import annotations

import tomllib
from dataclasses import field
from functools import cache
from importlib import resources
from math import exp
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from env.errors import ConfigError, UnknownNameError

PlacementName = Literal["least-loaded", "spread", "concentrate"]

# Strict: a quoted number or a boolean is a slip of the pen, not a number.
Finite = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Positive = Annotated[Finite, Field(gt=0)]
NonNegative = Annotated[Finite, Field(ge=0)]
Probability = Annotated[Finite, Field(ge=0, le=1)]
Ram = Annotated[Finite, Field(ge=0.01)]
"""GiB; the cluster counts whole MiB, so it must not be next to nothing."""
Count = Annotated[int, Field(gt=0, le=1_000_000, strict=True)]
Name = Annotated[str, Field(min_length=1, max_length=100)]

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class NodeConfig:
    """A compute node: physical cores, RAM and disk (GiB)."""

    name: Name
    cores: Count
    ram_gib: Ram
    disk_gib: Positive = 600.0


@dataclass(frozen=True, config=_STRICT)
class FlavorConfig:
    """A size of worker: vCPUs and RAM (GiB)."""

    name: Name
    vcpus: Count
    ram_gib: Ram


@dataclass(frozen=True, config=_STRICT)
class ClusterConfig:
    """Nodes, flavors (small to large), placement and limits.

    Attributes:
        nodes: the compute nodes.
        flavors: the sizes of worker, ordered by vCPUs.
        placement: which node a new worker lands on: ``least-loaded`` (most free
            vCPUs), ``spread`` (fewest workers) or ``concentrate`` (fewest free
            vCPUs that still fit it).
        vcpu_overcommit: schedulable vCPUs for each physical core.
        ram_overcommit: schedulable RAM for each GiB of physical RAM.
        max_workers: most workers at once; none means as many as fit.
        max_vcpus: most vCPUs reserved at once; none means as many as fit.
        max_ram_gib: most RAM (GiB) reserved at once; none means as much as fits.
    """

    nodes: Annotated[tuple[NodeConfig, ...], Field(min_length=1)]
    flavors: Annotated[tuple[FlavorConfig, ...], Field(min_length=1)]
    placement: PlacementName = "least-loaded"
    vcpu_overcommit: Positive = 1.0
    ram_overcommit: Positive = 1.0
    max_workers: Count | None = None
    max_vcpus: Positive | None = None
    max_ram_gib: Positive | None = None

    @model_validator(mode="after")
    def _check(self) -> ClusterConfig:
        for what, names in (
            ("nodes", [node.name for node in self.nodes]),
            ("flavors", [flavor.name for flavor in self.flavors]),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{what}: the name {sorted(twice)[0]!r} is used twice")
        sizes = [flavor.vcpus for flavor in self.flavors]
        if sizes != sorted(sizes):
            raise ValueError(f"flavors: order them by vcpus, small to large (got {sizes})")
        for flavor in self.flavors:
            if not any(
                flavor.vcpus <= node.cores * self.vcpu_overcommit
                and flavor.ram_gib <= node.ram_gib * self.ram_overcommit
                for node in self.nodes
            ):
                raise ValueError(f"flavors: {flavor.name!r} is larger than every node")
        for key, limit, least in (
            ("max_vcpus", self.max_vcpus, min(flavor.vcpus for flavor in self.flavors)),
            ("max_ram_gib", self.max_ram_gib, min(flavor.ram_gib for flavor in self.flavors)),
        ):
            if limit is not None and limit < least:
                raise ValueError(f"{key}: {limit:g} leaves no room for any flavor")
        return self


@dataclass(frozen=True, config=_STRICT)
class BootTiming:
    """From the order to spawn until the worker registers (setup time), seconds.

    Attributes:
        median_s: median on a node that holds the image and is not crowded.
        sigma: spread, standard deviation of the logarithm.
        first_on_node_s: added while the node has never held the image (it is copied).
        crowd_knee_share: with a load above this share of the node's cores ...
        crowd_slope: ... the time is multiplied by exp(slope * (load - knee * cores)) ...
        crowd_limit: ... but by no more than this.
        spacing_s: workers that are ordered sooner are created one after the other, this far
            apart (a cloud's interface takes one order at a time); 0 if all begin at once.
        first_on_node_sigma: spread of `first_on_node_s`, standard deviation of the logarithm.
    """

    median_s: Positive
    sigma: NonNegative = 0.0
    first_on_node_s: NonNegative = 0.0
    crowd_knee_share: NonNegative = 1.0
    crowd_slope: NonNegative = 0.0
    crowd_limit: Annotated[Finite, Field(ge=1)] = 1.0
    spacing_s: NonNegative = 0.0
    first_on_node_sigma: NonNegative = 0.0


@dataclass(frozen=True, config=_STRICT)
class StopTiming:
    """From the order to kill until the resources are free, seconds (lognormal)."""

    median_s: NonNegative = 0.0
    sigma: NonNegative = 0.0


@dataclass(frozen=True, config=_STRICT)
class TransferTiming:
    """A transfer's median is ``base_s + per_megabyte_s * size``; it scatters lognormally."""

    base_s: NonNegative = 0.0
    per_megabyte_s: NonNegative = 0.0
    sigma: NonNegative = 0.0


@dataclass(frozen=True, config=_STRICT)
class UploadTiming(TransferTiming):
    """The transfer of a result, whose size is the bitrate that was written times the duration.

    The encoder writes the asked bitrate, but no less than its coarsest picture takes:
    ``least_kbps * (megapixels / 2.0736)**least_pixels_exponent``, times `least_fast_factor`
    if the speed is fast (kbit/s; 0 where it is not known).
    """

    least_kbps: NonNegative = 0.0
    least_pixels_exponent: NonNegative = 1.0
    least_fast_factor: Positive = 1.0


@dataclass(frozen=True, config=_STRICT)
class TranscodeTiming:
    """Transcoding time alone on a node: log-linear in the video's properties.

    On one vCPU: ``exp(intercept) * duration_s**duration_exponent *
    (megapixels / 2.0736)**pixels_exponent * source_mbps**source_mbps_exponent``, times
    ``exp(pixels_curvature * ln(megapixels / 2.0736)**2)``, times `fast_factor` if the speed is
    fast, times ``max(1, kbps / floor)**bitrate_exponent`` for the asked bitrate of ``kbps``
    kbit/s; on v vCPUs that divided by ``v**alpha`` with
    ``alpha = parallel_exponent + parallel_slope * ln(megapixels / 2.0736)`` clipped to
    [0.1, 0.9] (2.0736 megapixels is 1920x1080). The measured time scatters around it
    lognormally with `sigma`. `typical_source_mbps` stands in for the source's bitrate
    (Mbit/s) where the catalog gives no file size.

    The floor, in kbit/s, is ``floor_kbps * (megapixels / 2.0736)**floor_pixels_exponent``,
    times `floor_fast_factor` if the speed is fast: below it the encoder spends next to all
    its time on finding coarse pictures, and what it writes no longer counts.
    """

    intercept: Finite
    duration_exponent: NonNegative
    pixels_exponent: NonNegative
    fast_factor: Positive
    source_mbps_exponent: NonNegative = 0.0
    typical_source_mbps: Positive = 8.0
    sigma: NonNegative = 0.0
    pixels_curvature: Finite = 0.0
    parallel_exponent: Probability = 0.5
    parallel_slope: Finite = 0.0
    bitrate_exponent: Probability = 0.0
    floor_kbps: Positive = 1000.0
    floor_pixels_exponent: NonNegative = 1.0
    floor_fast_factor: Positive = 1.0


@dataclass(frozen=True, config=_STRICT)
class ContentionTiming:
    """How a transcode slows when its node is crowded.

    A node's load is the number of vCPUs kept busy on it: v**alpha for each transcode on
    v vCPUs (see `TranscodeTiming`) and `boot_load` for each boot. A transcode's progress
    is divided by ``exp(slope_per_core * max(0, load - knee_share * cores))``, and once
    the load exceeds the physical cores also by ``load / cores`` (they are shared).
    """

    knee_share: Probability = 1.0
    slope_per_core: NonNegative = 0.0
    boot_load: NonNegative = 1.0

    def slowdown(self, load: float, cores: float) -> float:
        """By which factor a transcode takes longer on a node.

        Args:
            load: of the node, vCPUs kept busy.
            cores: of the node.
        """
        factor = exp(self.slope_per_core * max(0.0, load - self.knee_share * cores))
        return factor * max(1.0, load / cores)


@dataclass(frozen=True, config=_STRICT)
class UsageConfig:
    """What a worker really uses of the cores and RAM that it reserves.

    Attributes:
        transcode_cores: cores used by a transcode on one vCPU; on v vCPUs this grows
            as the speed-up does (the same work in less time).
        boot_cores: cores used while booting (per worker, at most its vCPUs).
        idle_cores: cores used by an idle worker.
        base_ram_gib: RAM of a worker that runs nothing.
        ram_per_megapixel_gib: further RAM of a transcode, by frame size; a worker never
            uses more than its flavor gives.
    """

    transcode_cores: Positive = 0.9
    boot_cores: NonNegative = 0.5
    idle_cores: NonNegative = 0.01
    base_ram_gib: NonNegative = 0.4
    ram_per_megapixel_gib: NonNegative = 0.15


@dataclass(frozen=True, config=_STRICT)
class TimingConfig:
    """All timing of a profile."""

    boot: BootTiming
    transcode: TranscodeTiming
    stop: StopTiming = field(default_factory=StopTiming)
    download: TransferTiming = field(default_factory=TransferTiming)
    upload: UploadTiming = field(default_factory=UploadTiming)
    contention: ContentionTiming = field(default_factory=ContentionTiming)
    usage: UsageConfig = field(default_factory=UsageConfig)


@dataclass(frozen=True, config=_STRICT)
class FaultConfig:
    """Rates of what goes wrong.

    Attributes:
        spawn_failure: probability that a spawn ends in failure instead of a worker.
        worker_loss_per_hour: rate at which a worker vanishes, per worker-hour.
        transcode_error: probability that a transcode fails (its job ends in error).
    """

    spawn_failure: Probability = 0.0
    worker_loss_per_hour: NonNegative = 0.0
    transcode_error: Probability = 0.0


@dataclass(frozen=True, config=_STRICT)
class Profile:
    """A data centre and its timing, as one TOML file describes it.

    Attributes:
        name: the profile's name.
        cluster: nodes, flavors, limits.
        timing: setup, transfer and service times.
        faults: rates of failures, zero unless the file says otherwise.
        tick_s: period of the decision epochs that need no event, seconds.
        image_cached: whether the nodes hold the worker image from the start.
        description: one paragraph for people.
        provenance: how the figures were found; kept, not used.
    """

    name: Name
    cluster: ClusterConfig
    timing: TimingConfig
    faults: FaultConfig = field(default_factory=FaultConfig)
    tick_s: Positive = 5.0
    image_cached: Annotated[bool, Field(strict=True)] = False
    description: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)


_ADAPTER = TypeAdapter(Profile)


def _where(location: tuple[int | str, ...]) -> str:
    """Write pydantic's location as a TOML reader would: ``cluster.nodes[1].cores``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if part.isprintable() else repr(part)
            text += f".{name}" if text else name
    return text


def profile_from_dict(data: dict[str, Any], source: str) -> Profile:
    """Validate a parsed profile.

    Args:
        data: the tables of the TOML file.
        source: what to call it in an error.

    Raises:
        ConfigError: with one line that names the first wrong key and its value.
    """
    try:
        return _ADAPTER.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = _where(first["loc"]) or "the profile"
        message = first["msg"].removeprefix("Value error, ")
        given = first["input"]
        got = "" if isinstance(given, dict | list | tuple) else f" (got {given!r})"
        if first["type"] == "missing":
            got = ""
        more = error.error_count() - 1
        rest = f"; and {more} more" if more else ""
        raise ConfigError(f"{source}: {key}: {message}{got}{rest}") from None


def profile_names() -> list[str]:
    """Names of the shipped profiles."""
    folder = resources.files("env") / "profiles"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name[-5:] == ".toml")


@cache
def _shipped(name: str) -> Profile:
    text = (resources.files("env") / "profiles" / f"{name}.toml").read_text(encoding="utf-8")
    return profile_from_dict(tomllib.loads(text), f"profile {name!r}")


def load_profile(name_or_path: str | Path) -> Profile:
    """Load a shipped profile by name, or any by its path.

    Raises:
        ConfigError: the file is not valid TOML or not a valid profile.
        UnknownNameError: no shipped profile has the name and no such file exists.
    """
    if isinstance(name_or_path, str) and name_or_path in profile_names():
        return _shipped(name_or_path)
    path = Path(name_or_path)
    try:
        if not path.is_file():
            if path.suffix == ".toml" or len(path.parts) > 1:
                raise ConfigError(f"profile file {str(path)!r} does not exist")
            raise UnknownNameError("profile", str(name_or_path), profile_names())
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or "not readable"
        raise ConfigError(f"profile file {str(path)[:200]!r}: {reason}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    return profile_from_dict(data, str(path))
