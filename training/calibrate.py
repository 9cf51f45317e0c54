"""Fit a timing profile to measured runs: ``python -m training.calibrate RUNS... --out FILE``.

RUNS are event logs of the controller (``tc-events-01.txt``), CSV exports made of them
(``tc-events-01-ok-requests.csv``) or folders with ``requests.csv`` and ``workers.csv``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from env.catalog import DEFAULT_CATALOG, load_catalog
from env.command import run_command
from env.config import load_profile
from env.textfile import write_atomically
from training.calibration.bitrate_unit import BitrateUnit
from training.calibration.errors import CalibrationError
from training.calibration.fitting import Calibration, calibrate
from training.calibration.plots import write_plots
from training.calibration.profile_text import profile_text
from training.calibration.report import report
from training.calibration.sources import read_observations


@dataclass(frozen=True)
class CalibrateOptions:
    """Fit a timing profile to measured runs.

    Attributes:
        runs: event logs, CSV exports (...-ok-requests.csv) or folders with requests.csv
            and workers.csv.
        out: TOML file to write the profile to.
        base: profile whose figures are kept where the runs show none.
        name: of the new profile; by default the base's.
        runner: use only the runs with this kind of worker (folders say which).
        without: leave this run out (for instance to validate against it); may be repeated.
        catalog: the videos of the runs: a shipped catalog or a CSV file. Folders
            describe their own.
        one_vcpu_from: hold the law of one vCPU of this profile fixed, for runs that had no
            worker of one vCPU.
        shape_from: hold how this profile's times depend on the video, on the vCPUs and on the
            crowd, and fit the level alone (and what a quota of CPU costs), for runs whose workers
            all had the same several vCPUs.
        vcpus: size of a flavor key of a folder, e.g. --vcpus large 4.
        bitrate_unit: in which workers read the asked bitrate: those of the existing system
            bit, ours kbit. By default as the run records it (our event logs do), else bit.
        plots: folder for plots.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    out: Path
    base: str = "openstack"
    name: str | None = None
    runner: Literal["vm", "pod"] | None = None
    without: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    catalog: str = DEFAULT_CATALOG
    one_vcpu_from: str | None = None
    shape_from: str | None = None
    vcpus: dict[str, float] = field(default_factory=dict)
    bitrate_unit: BitrateUnit = "auto"
    plots: Path | None = None


def run(options: CalibrateOptions) -> Calibration:
    """Read, fit and write.

    Raises:
        DaCircoError: an input is not valid or too small, or a file cannot be written.
    """
    base = load_profile(options.base)
    observations = read_observations(
        options.runs, load_catalog(options.catalog), options.vcpus, options.bitrate_unit
    )
    if options.runner is not None:
        observations = observations.only(options.runner)
    if options.without:
        observations = observations.without(options.without)
    reference, shape = options.one_vcpu_from, options.shape_from
    if reference is not None and shape is not None:
        raise CalibrationError("--one-vcpu-from and --shape-from: give one of them")
    calibration = calibrate(
        observations,
        base,
        one_vcpu=None if reference is None else load_profile(reference).timing.transcode,
        shape=None if shape is None else load_profile(shape),
    )
    write_atomically(options.out, profile_text(calibration, options.name or base.name))
    if options.plots is not None:
        write_plots(calibration, options.plots)
    return calibration


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = tyro.cli(
        CalibrateOptions, prog="python -m training.calibrate", args=arguments, description=__doc__
    )

    def work() -> None:
        print(report(run(options)))
        print(f"wrote {options.out}" + (f", plots in {options.plots}" if options.plots else ""))

    return run_command("training.calibrate", work)


if __name__ == "__main__":
    sys.exit(main())
