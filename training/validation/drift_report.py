"""A verdict on a profile in words and figures: for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from training.validation.consequence import MATTERS, Consequence
from training.validation.drift import HUNG, OVERDUE, Drift, FaultDrift, StepDrift, Verdict

_FAULT_NAMES: Final = {
    "spawn_failure": ("spawn failures", "spawns"),
    "transcode_error": ("transcode errors", "transcodes"),
    "worker_loss_per_hour": ("workers lost", "worker-hours"),
    OVERDUE: ("transcodes that never end", "begun"),
    HUNG: ("tasks that stopped getting on", "tasks given to a worker"),
}
_NAMED: Final = 5


def headline(drift: Drift) -> str:
    """The verdict as one sentence."""
    runs = drift.runs[0] if len(drift.runs) == 1 else f"{len(drift.runs)} runs"
    if drift.verdict is Verdict.DESCRIBES:
        return f"{drift.profile} still describes {runs}."
    if drift.verdict is Verdict.TOO_LITTLE_DATA:
        missing = "measure longer, or pass more logs"
        return f"Too little data in {runs} to judge {drift.profile}: {missing}."
    found = [_step_words(step) for step in drift.steps if step.verdict is Verdict.DRIFTED]
    found += [_fault_words(f) for f in drift.faults if f.verdict is Verdict.DRIFTED]
    return f"{drift.profile} has drifted: {'; '.join(found)}."


def _step_words(step: StepDrift) -> str:
    if step.scattered:
        return (
            f"{step.step} scatters by {step.spread:.2f} (logarithm), {step.expected_spread:.2f} "
            "expected"
        )
    return f"{step.step} takes {step.ratio:.2f} times as long as expected"


def consequence_lines(drift: Drift, found: Mapping[str, Consequence], why_not: str) -> list[str]:
    """Whether what has drifted matters, one sentence each.

    Args:
        drift: what has.
        found: what the changed steps bring about.
        why_not: why that could not be found, empty if it could.
    """
    lines = []
    for step, one in found.items():
        word = "matters" if one.matters else "does not matter"
        lines.append(
            f"The change of {step} {word}: {one.delay_share:+.1%} of the delay, cost x "
            f"{one.cost_ratio:.3f} under {one.policy} at w = {one.preference:g}."
        )
    if why_not:
        lines.append(f"Whether the change matters is not known: {why_not}.")
    if drift.verdict is Verdict.DRIFTED and not drift.matters(found):
        lines.append(
            f"Nothing that has drifted changes delay or cost by {MATTERS:.0%}: the profile will do."
        )
    return lines


def boot_lines(drift: Drift) -> list[str]:
    """Which boots are not judged, and why."""
    lines = []
    if drift.copies:
        lines.append(
            f"{drift.copies} slow first boots on a node are taken to have copied the image and are "
            "not judged."
        )
    if drift.boots_unclear:
        lines.append(
            "Hardly another boot is there to judge by. If the nodes held the image before (pass "
            f"--warm-nodes), boots take {drift.copy_ratio:.1f} times as long as expected."
        )
    if drift.waited:
        lines.append(f"{drift.waited} boots are taken to have waited for room: not judged.")
    return lines


def hung_lines(drift: Drift) -> list[str]:
    """Tasks that stopped getting on, and transcodes that never ended, by name."""
    lines: list[str] = []
    for word, tasks in (("Hung", drift.hung), ("Endless", drift.endless)):
        lines += [f"{word}: run {task.run}, {task}." for task in tasks[:_NAMED]]
        more = len(tasks) - _NAMED
        lines += [f"{word}: {more} more."] if more > 0 else []
    return lines


def advice(drift: Drift) -> list[str]:
    """What to do about it, one sentence each."""
    lines = []
    if drift.recalibrate:
        lines.append(
            f"Recalibrate {', '.join(drift.recalibrate)}: python -m training.calibrate LOGS "
            f"--base {drift.profile} --out NEW.toml, then train again."
        )
    if drift.overdue:
        lines.append("Workers hang: look at them first; no profile describes that.")
    scattered = [step.step for step in drift.steps if step.scattered]
    if scattered:
        lines.append(
            f"{', '.join(scattered)}: do the logs hold more than one kind of worker, or of time? "
            "Judge each by its own profile (--runner, --only)."
        )
    thin = [step.step for step in drift.steps if step.verdict is Verdict.TOO_LITTLE_DATA]
    if thin and drift.verdict is not Verdict.TOO_LITTLE_DATA:
        sizes = " (downloads need size_bytes in the catalog)" if "download" in thin else ""
        lines.append(f"Not judged for lack of data: {', '.join(thin)}{sizes}.")
    return lines


def drift_text(
    drift: Drift, found: Mapping[str, Consequence] | None = None, why_not: str = ""
) -> str:
    """Figures, verdict, what it means and advice for the terminal."""
    rows = [["step", "n", "measured/expected", "interval", "shows from", "spread", "verdict"]]
    rows += [_step_row(step) for step in drift.steps]
    rows += [_fault_row(fault) for fault in drift.faults]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines = [*consequence_lines(drift, found or {}, why_not), *hung_lines(drift), *advice(drift)]
    lines += boot_lines(drift)
    return "\n".join([*table, "", f"Verdict: {drift.verdict.value}. {headline(drift)}", *lines])


def drift_json(
    drift: Drift, found: Mapping[str, Consequence] | None = None, why_not: str = ""
) -> dict[str, Any]:
    """All figures as plain values; one that does not exist is none."""
    found = found or {}
    return {
        "verdict": drift.verdict.value,
        "matters": drift.verdict is Verdict.DRIFTED and drift.matters(found),
        "consequences": {
            step: {
                "delay_share": one.delay_share,
                "cost_ratio": one.cost_ratio,
                "matters": one.matters,
                "policy": one.policy,
                "preference": one.preference,
            }
            for step, one in found.items()
        },
        "consequences_unknown": why_not,
        "hung": [f"run {task.run}, {task}" for task in drift.hung],
        "endless": [f"run {task.run}, {task}" for task in drift.endless],
        "boots_not_judged": {"copies": drift.copies, "waited": drift.waited},
        "profile": drift.profile,
        "runs": list(drift.runs),
        "recalibrate": drift.recalibrate,
        "headline": headline(drift),
        "advice": advice(drift),
        "steps": {
            step.step: {
                "n": step.n,
                "ratio": _number(step.ratio),
                "low": _number(step.low),
                "high": _number(step.high),
                "spread": _number(step.spread),
                "expected_spread": step.expected_spread,
                "scattered": step.scattered,
                "shows_from": _number(step.shows_from),
                "verdict": step.verdict.value,
            }
            for step in drift.steps
        },
        "faults": {
            fault.fault: {
                "events": fault.events,
                "exposure": fault.exposure,
                "allowed": fault.allowed,
                "p_value": fault.p_value,
                "verdict": fault.verdict.value,
            }
            for fault in drift.faults
        },
    }


def _step_row(step: StepDrift) -> list[str]:
    name = f"{step.step} time"
    if not isfinite(step.low):
        ratio = f"{step.ratio:.3f}" if isfinite(step.ratio) else "-"
        return [name, str(step.n), ratio, "-", "-", "-", step.verdict.value]
    return [
        name,
        str(step.n),
        f"{step.ratio:.3f}",
        f"{step.low:.3f} to {step.high:.3f}",
        f"x{step.shows_from:.2f}",
        f"{step.spread:.2f} ({step.expected_spread:.2f})",
        step.verdict.value,
    ]


def _fault_row(fault: FaultDrift) -> list[str]:
    name, chances = _FAULT_NAMES[fault.fault]
    exposure = f"{fault.events} of {fault.exposure:.4g} {chances}"
    allowed = f"allowed {fault.allowed:.2g}"
    return [name, "", exposure, allowed, "", "", fault.verdict.value]


def _fault_words(fault: FaultDrift) -> str:
    name, chances = _FAULT_NAMES[fault.fault]
    return f"{fault.events} {name} in {fault.exposure:.4g} {chances}"


def _number(value: float) -> float | None:
    return value if isfinite(value) else None
