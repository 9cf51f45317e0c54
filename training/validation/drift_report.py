"""A verdict on a profile in words and figures: for the terminal and as JSON."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final

from training.validation.drift import OVERDUE, Drift, FaultDrift, StepDrift, Verdict

_FAULT_NAMES: Final = {
    "spawn_failure": ("spawn failures", "spawns"),
    "transcode_error": ("transcode errors", "transcodes"),
    "worker_loss_per_hour": ("workers lost", "worker-hours"),
    OVERDUE: ("transcodes that never end", "begun"),
}


def headline(drift: Drift) -> str:
    """The verdict as one sentence."""
    runs = drift.runs[0] if len(drift.runs) == 1 else f"{len(drift.runs)} runs"
    if drift.verdict is Verdict.DESCRIBES:
        return f"{drift.profile} still describes {runs}."
    if drift.verdict is Verdict.TOO_LITTLE_DATA:
        missing = "measure longer, or pass more logs"
        return f"Too little data in {runs} to judge {drift.profile}: {missing}."
    found = [
        f"{step.step} takes {step.ratio:.2f} times as long as expected"
        for step in drift.steps
        if step.verdict is Verdict.DRIFTED
    ]
    found += [_fault_words(f) for f in drift.faults if f.verdict is Verdict.DRIFTED]
    return f"{drift.profile} has drifted: {'; '.join(found)}."


def advice(drift: Drift) -> list[str]:
    """What to do about it, one sentence each."""
    lines = []
    if drift.recalibrate:
        lines.append(
            f"Recalibrate {', '.join(drift.recalibrate)}: python -m training.calibrate LOGS "
            f"--base {drift.profile} --out NEW.toml, then train again."
        )
    if drift.overdue:
        lines.append("Workers hang in transcodes: look at them first; no profile describes that.")
    thin = [step.step for step in drift.steps if step.verdict is Verdict.TOO_LITTLE_DATA]
    if thin and drift.verdict is not Verdict.TOO_LITTLE_DATA:
        sizes = " (downloads need size_bytes in the catalog)" if "download" in thin else ""
        lines.append(f"Not judged for lack of data: {', '.join(thin)}{sizes}.")
    return lines


def drift_text(drift: Drift) -> str:
    """Figures, verdict and advice for the terminal."""
    rows = [["step", "n", "measured/expected", "interval", "shows from", "spread", "verdict"]]
    rows += [_step_row(step) for step in drift.steps]
    rows += [_fault_row(fault) for fault in drift.faults]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(
        [*table, "", f"Verdict: {drift.verdict.value}. {headline(drift)}", *advice(drift)]
    )


def drift_json(drift: Drift) -> dict[str, Any]:
    """All figures as plain values; one that does not exist is none."""
    return {
        "verdict": drift.verdict.value,
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
