"""Check the simulator, or a profile, against what a cluster really did.

Replay measured runs in the simulator and compare::

    python -m training.validate --runs RUNS... [--profile P]

Exit code 0: every complete run lies within the limits; 1: one does not; 3: no run is
complete (or has requests enough), so there is nothing to judge.

Ask whether a profile still describes a cluster::

    python -m training.validate --event-log tc-events-01.txt... --profile P

Exit code 0: it still describes the cluster, or what has changed does not matter (neither the
delay nor the cost under the policy changes by 2 %); 1: it has drifted, and that matters; 3: too
little data.

Exit code 2 is bad input, in both. RUNS are event logs of the controller
(tc-events-01.txt), CSV exports made of them (tc-events-01-ok-requests.csv), SQLite files of the
2024 system (dacirco.db) or folders with requests.csv and workers.csv; so are the logs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, Final, get_args

from agents.registry import make_policy
from env.catalog import DEFAULT_CATALOG, load_catalog
from env.command import CommandParser, UsageError, positive_seconds, run_command, whole_number
from env.config import Profile, load_profile
from env.cost import check_preference
from env.errors import DaCircoError
from env.textfile import write_atomically
from training.calibration.bitrate_unit import BitrateUnit
from training.calibration.observations import Observations
from training.calibration.sources import read_observations
from training.evaluation.plan import BASELINE, DEFAULT_PREFERENCE, SHIPPED_POLICY
from training.rollouts.play import add_engine_option
from training.validation.bitrate_units import check_profile_units
from training.validation.comparison import Comparison, compare
from training.validation.consequence import Consequence, consequences
from training.validation.drift import TOLERANCE, Drift, Verdict, find_drift, log_ratios
from training.validation.drift_plot import write_drift_plot
from training.validation.drift_report import drift_json, drift_text
from training.validation.errors import ValidationError
from training.validation.measured_flavor import check_nodes
from training.validation.measured_run import MeasuredRun, measured_runs
from training.validation.replay import BY_RUNNER, Placing, replay
from training.validation.replay_plots import write_replay_plot
from training.validation.replay_report import as_json, markdown_report, text_report, verdict

NAME: Final = "training.validate"
HOLDS: Final = 0
DIFFERS: Final = 1
UNDECIDED: Final = 3

_STDOUT: Final = "-"
_REPLAY_CODES: Final = {True: HOLDS, False: DIFFERS, None: UNDECIDED}


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    result = CommandParser(
        prog=f"python -m {NAME}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = result.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--runs", type=Path, nargs="+", metavar="PATH", help="Measured runs to replay."
    )
    source.add_argument(
        "--event-log",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="Logs to judge a profile by; several are taken together.",
    )
    result.add_argument(
        "--profile",
        help="Shipped profile or TOML file. By default a replay takes "
        + " and ".join(f"{name} for runs on {kind}s" for kind, name in BY_RUNNER.items())
        + "; needed with --event-log.",
    )
    result.add_argument(
        "--catalog",
        default=DEFAULT_CATALOG,
        help="Videos of logs and exports: shipped catalog or CSV file; "
        f"folders describe their own ({DEFAULT_CATALOG}).",
    )
    result.add_argument(
        "--vcpus",
        nargs=2,
        action="append",
        default=[],
        metavar=("KEY", "N"),
        help="vCPUs of a flavor key of a folder that is not known; may be repeated.",
    )
    result.add_argument(
        "--bitrate-unit",
        choices=get_args(BitrateUnit),
        default="auto",
        help="In which workers read the asked bitrate: those of the existing system bit, ours "
        "kbit; auto: as the run records it (our event logs do), else bit (auto).",
    )
    result.add_argument(
        "--only", action="append", metavar="RUN", help="Take this run alone; may be repeated."
    )
    result.add_argument(
        "--runner", choices=sorted(BY_RUNNER), help="Take only runs with this kind of worker."
    )
    result.add_argument(
        "--report", type=Path, metavar="DIR", help="Write figures and pictures to this folder."
    )
    result.add_argument(
        "--json",
        nargs="?",
        const=_STDOUT,
        metavar="FILE",
        help="Print figures as JSON instead of text, or write them to a file.",
    )
    _add_replay_options(result.add_argument_group("replay"))
    drift = result.add_argument_group("drift")
    drift.add_argument(
        "--tolerance",
        type=_share,
        default=TOLERANCE,
        metavar="SHARE",
        help=f"Times that are off by less than this are no drift ({TOLERANCE:g}).",
    )
    drift.add_argument(
        "--warm-nodes",
        action="store_true",
        help="All nodes held the workers' image before: no boot copied it.",
    )
    drift.add_argument(
        "--policy",
        metavar="POLICY",
        help="Under whom a change is weighed (the shipped policy, else grace-period).",
    )
    drift.add_argument(
        "--preference",
        type=float,
        default=DEFAULT_PREFERENCE,
        metavar="W",
        help=f"At which preference ({DEFAULT_PREFERENCE:g}).",
    )
    add_engine_option(drift)
    return result


def _add_replay_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--seeds", type=whole_number, default=100, metavar="N", help="Simulations of a run (100)."
    )
    group.add_argument(
        "--algorithm",
        metavar="POLICY",
        help="Replay with this policy, e.g. grace-period:max_idle_time=30, instead of the "
        "run's own. Needed where the runs do not name it (logs and exports).",
    )
    group.add_argument(
        "--max-workers",
        type=whole_number,
        metavar="N",
        help="Limit of workers, instead of the run's own.",
    )
    group.add_argument(
        "--flavor", help="Flavor of the profile for all workers, instead of the nearest."
    )
    group.add_argument(
        "--placing",
        choices=get_args(Placing),
        default="measured",
        help="Node of each worker: as measured, or by the profile's rule (measured).",
    )
    group.add_argument(
        "--until",
        type=positive_seconds,
        default=inf,
        metavar="SECONDS",
        help="Compare only what had happened this long after a run's first request.",
    )
    group.add_argument("--details", action="store_true", help="Print the figures of every part.")


def validate(options: argparse.Namespace) -> int:
    """Do what the command line asks for; returns the exit code.

    Raises:
        DaCircoError: an input is not valid, or a file cannot be written.
    """
    observations = _read(options)
    if options.report is not None:
        try:
            options.report.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValidationError(f"cannot make {options.report}: {error.strerror}") from error
    if options.event_log is not None:
        return _judge(observations, options)
    comparisons = [_replay(run, observations, options) for run in measured_runs(observations)]
    figures = as_json(comparisons)
    if options.report is not None:
        for comparison in comparisons:
            name = comparison.replay.run.name
            write_replay_plot(comparison, options.report / f"{name}.png")
        write_atomically(options.report / "replay.md", markdown_report(comparisons))
        _write_json(figures, options.report / "replay.json")
    _print(figures, text_report(comparisons, details=options.details), options.json)
    return _REPLAY_CODES[verdict(comparisons)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    code = HOLDS

    def work() -> None:
        nonlocal code
        code = validate(parser().parse_args(arguments))

    return run_command(NAME, work) or code


def _read(options: argparse.Namespace) -> Observations:
    paths = options.runs if options.runs is not None else options.event_log
    sizes = {key: _vcpus(key, text) for key, text in options.vcpus}
    observations = read_observations(
        paths, load_catalog(options.catalog), sizes, options.bitrate_unit
    )
    if options.runner is not None:
        observations = observations.only(options.runner)
    return observations.of(options.only) if options.only else observations


def _judge(observations: Observations, options: argparse.Namespace) -> int:
    check_preference(options.preference)
    if options.profile is None:
        raise UsageError("--event-log needs --profile: the profile to judge")
    profile = load_profile(options.profile)
    check_profile_units(observations, profile)
    if options.warm_nodes:
        profile = replace(profile, image_cached=True)
    for run in observations.runs:
        nodes = observations.workers["node"][observations.workers["run"] == run]
        check_nodes(run, nodes, profile.cluster)
    drift = find_drift(observations, profile, name=options.profile, tolerance=options.tolerance)
    found, why_not = _consequences(drift, observations, profile, options)
    figures = drift_json(drift, found, why_not)
    if options.report is not None:
        write_drift_plot(drift, log_ratios(observations, profile), options.report / "drift.png")
        _write_json(figures, options.report / "drift.json")
    _print(figures, drift_text(drift, found, why_not), options.json)
    if drift.verdict is Verdict.TOO_LITTLE_DATA:
        return UNDECIDED
    return DIFFERS if drift.verdict is Verdict.DRIFTED and drift.matters(found) else HOLDS


def _consequences(
    drift: Drift, observations: Observations, profile: Profile, options: argparse.Namespace
) -> tuple[dict[str, Consequence], str]:
    """What the changed steps bring about, and why not if that cannot be said."""
    policy = options.policy or (SHIPPED_POLICY.as_posix() if SHIPPED_POLICY.is_dir() else BASELINE)
    if options.policy is not None:
        make_policy(policy)  # a wrong one is the user's to put right
    try:
        return (
            consequences(
                observations,
                profile,
                drift.changed,
                policy=policy,
                preference=options.preference,
                engine=options.engine,
            ),
            "",
        )
    except DaCircoError as error:
        return {}, str(error)


def _replay(
    run: MeasuredRun, observations: Observations, options: argparse.Namespace
) -> Comparison:
    if options.profile is None and run.runner not in BY_RUNNER:
        raise ValidationError(
            f"run {run.name} does not say what kind of workers it had: pass --profile NAME"
        )
    profile = load_profile(options.profile or BY_RUNNER[run.runner])
    check_nodes(run.name, run.worker_nodes, profile.cluster)
    check_profile_units(observations.of([run.name]), profile)
    run = replace(run, until=min(run.until, options.until))
    if options.max_workers is not None:
        run = replace(run, max_workers=options.max_workers)
    return compare(
        replay(
            run,
            profile,
            seeds=options.seeds,
            algorithm=options.algorithm,
            flavor=options.flavor,
            placing=options.placing,
        )
    )


def _print(figures: dict[str, Any], text: str, json_to: str | None) -> None:
    if json_to == _STDOUT:
        print(json.dumps(figures, indent=2, allow_nan=False))
        return
    if json_to is not None:
        _write_json(figures, Path(json_to))
    print(text)


def _write_json(figures: dict[str, Any], path: Path) -> None:
    write_atomically(path, json.dumps(figures, indent=2, allow_nan=False) + "\n")


def _vcpus(key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < inf:
        raise UsageError(f"--vcpus {key} {text}: {text!r} is not a number of vCPUs above 0")
    return value


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 10:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share of 0 or more, e.g. 0.1")
    return value


if __name__ == "__main__":
    sys.exit(main())
