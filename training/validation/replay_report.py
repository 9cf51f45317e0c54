"""Replays in words and figures: for the terminal, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Final

from training.validation.comparison import (
    MEAN_LIMIT,
    MIN_REQUESTS,
    P95_LIMIT,
    Comparison,
    Figure,
    PartComparison,
)
from training.validation.explanation import explanation

_PASSED: Final = {True: "holds", False: "MISSED"}

Rows = list[list[str]]


def verdict(comparisons: Sequence[Comparison]) -> bool | None:
    """Whether every complete run keeps its limits; none if there is no complete run."""
    judged = [comparison.passed for comparison in comparisons if comparison.passed is not None]
    return all(judged) if judged else None


def headline(comparisons: Sequence[Comparison]) -> str:
    """The verdict as one sentence."""
    judged = [comparison.passed for comparison in comparisons if comparison.passed is not None]
    limits = f"{MEAN_LIMIT:.0%} in the mean and {P95_LIMIT:.0%} in the 95th percentile of the delay"
    if not judged:
        return (
            f"No run of {MIN_REQUESTS} requests or more is complete, so none can be judged; "
            "stopped runs are compared up to the stop."
        )
    return f"{sum(judged)} of {len(judged)} complete runs lie within {limits}."


def result_word(comparison: Comparison) -> str:
    """What came of a run: ``holds``, ``MISSED``, or why it cannot be judged."""
    if comparison.passed is not None:
        return _PASSED[comparison.passed]
    return "too few requests" if comparison.replay.run.complete else "stopped early"


def summary_rows(comparisons: Sequence[Comparison]) -> Rows:
    """One row for each run, the first row being the header."""
    rows = [["run", "policy", "delay mean", "ratio", "delay p95", "ratio", "ended", "result"]]
    for comparison in comparisons:
        run, delay, ended = comparison.replay.run, comparison.parts["delay"], comparison.ended
        star = "" if comparison.replay.same_algorithm else "*"
        rows.append(
            [
                run.name if run.complete else f"{run.name} to {run.until:.0f} s",
                comparison.replay.policy.partition(":")[0] + star,
                _pair(delay.mean),
                _ratio(delay.mean),
                _pair(delay.p95),
                _ratio(delay.p95),
                f"{ended.measured:.0f} | {_range(ended, '.0f')} of {len(run.requests)}",
                result_word(comparison),
            ]
        )
    return rows


def part_rows(comparison: Comparison) -> Rows:
    """One row for each figure of a run, the first row being the header."""
    rows = [["figure", "n", "measured", "simulated", "95 % of simulations", "ratio", "KS", "p"]]
    for name, part in comparison.parts.items():
        if part.n:
            rows += _rows_of_part(name, part)
    others = {
        "makespan (s)": comparison.makespan,
        "requests given to a worker": comparison.assigned,
        "requests ended": comparison.ended,
        "workers created": comparison.created,
        "workers, mean over time": comparison.workers.mean,
    }
    rows += [
        [name, "", *_figures(figure), "", ""]
        for name, figure in others.items()
        if figure is not None
    ]
    return rows


def remarks(comparison: Comparison) -> list[str]:
    """How the replay differs from the run, and what the run did that no simulation does."""
    run = comparison.replay.run
    lines = list(comparison.replay.notes)
    if not run.complete:
        lines.append(
            f"stopped at {run.until:.0f} s, and so are its simulations: delays and waits count as "
            "they stood then, steps only if they had ended"
        )
    lines.append(
        f"number of workers within the range of the simulations for "
        f"{comparison.workers.inside:.0%} of the time"
    )
    why = explanation(comparison)
    lines += [f"missed: {why}"] if why else []
    return lines + [f"measured only: {text}" for text in comparison.anomalies]


def text_report(comparisons: Sequence[Comparison], *, details: bool) -> str:
    """All replays for the terminal.

    Args:
        comparisons: the runs.
        details: with the figures of every part.
    """
    lines = [_legend(comparisons), *_aligned(summary_rows(comparisons))]
    for comparison in comparisons:
        lines += ["", f"{comparison.replay.run.name}: {comparison.replay.policy}"]
        if details:
            lines += [f"  {line}" for line in _aligned(part_rows(comparison))]
        lines += [f"  - {remark}" for remark in remarks(comparison)]
    return "\n".join([*lines, "", headline(comparisons)])


def markdown_report(comparisons: Sequence[Comparison]) -> str:
    """All replays as a page that shows the pictures beside it (``RUN.png``)."""
    lines = [
        "# Replays of measured runs",
        "",
        headline(comparisons),
        "",
        _legend(comparisons),
        "",
        *_table(summary_rows(comparisons)),
    ]
    for comparison in comparisons:
        name = comparison.replay.run.name
        lines += ["", f"## {name}", "", f"Replayed with `{comparison.replay.policy}`.", ""]
        lines += _table(part_rows(comparison))
        lines += ["", *(f"- {remark}" for remark in remarks(comparison))]
        lines += ["", f"![{name}]({name}.png)"]
    return "\n".join(lines) + "\n"


def as_json(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """All figures as plain values; one that does not exist is none."""
    return {
        "passed": verdict(comparisons),
        "limits": {"delay_mean": MEAN_LIMIT, "delay_p95": P95_LIMIT},
        "simulations": len(comparisons[0].replay.simulated),
        "runs": {comparison.replay.run.name: _json(comparison) for comparison in comparisons},
    }


def _legend(comparisons: Sequence[Comparison]) -> str:
    seeds = len(comparisons[0].replay.simulated)
    return (
        f"Measured | mean of {seeds} simulations, in seconds; * with another algorithm; "
        "ended: measured | range of 95 % of the simulations."
    )


def _json(comparison: Comparison) -> dict[str, Any]:
    run, workers = comparison.replay.run, comparison.workers
    counts = {
        "makespan_s": comparison.makespan,
        "assigned": comparison.assigned,
        "ended": comparison.ended,
        "workers_created": comparison.created,
        "workers_mean": workers.mean,
    }
    return {
        "passed": comparison.passed,
        "complete": run.complete,
        "stopped_at_s": None if run.complete else run.until,
        "requests": len(run.requests),
        "algorithm": run.algorithm,
        "profile": comparison.replay.profile.name,
        "policy": comparison.replay.policy,
        "same_algorithm": comparison.replay.same_algorithm,
        "parts": {
            name: {
                "n": part.n,
                "mean_s": _figure_json(part.mean),
                "median_s": _figure_json(part.median),
                "p95_s": _figure_json(part.p95),
                "ks_distance": _number(part.distance),
                "ks_p_value": _number(part.p_value),
            }
            for name, part in comparison.parts.items()
        },
        **{name: None if f is None else _figure_json(f) for name, f in counts.items()},
        "workers": {
            "time_s": workers.times.tolist(),
            "measured": workers.measured.tolist(),
            "simulated": workers.simulated.tolist(),
            "low": workers.low.tolist(),
            "high": workers.high.tolist(),
            "share_of_time_inside": workers.inside,
        },
        "remarks": remarks(comparison),
    }


def _figure_json(figure: Figure) -> dict[str, float | None]:
    return {
        "measured": _number(figure.measured),
        "simulated": _number(figure.simulated),
        "low": _number(figure.low),
        "high": _number(figure.high),
        "ratio": _number(figure.ratio),
    }


def _number(value: float) -> float | None:
    return value if isfinite(value) else None


def _rows_of_part(name: str, part: PartComparison) -> Rows:
    known = isfinite(part.p_value)
    test = [f"{part.distance:.2f}", f"{part.p_value:.2f}"] if known else ["-", "-"]
    mean = [f"{name} mean (s)", str(part.n), *_figures(part.mean), *test]
    return [mean, [f"{name} p95 (s)", "", *_figures(part.p95), "", ""]]


def _figures(figure: Figure) -> list[str]:
    if not isfinite(figure.simulated):
        return [f"{figure.measured:.3g}", "-", "-", "-"]
    texts = [f"{figure.measured:.4g}", f"{figure.simulated:.4g}", _range(figure, ".4g")]
    return [*texts, _ratio(figure)]


def _pair(figure: Figure) -> str:
    return f"{figure.measured:.1f} | {figure.simulated:.1f}"


def _ratio(figure: Figure) -> str:
    return f"{figure.ratio:.3f}" if isfinite(figure.ratio) else "-"


def _range(figure: Figure, form: str) -> str:
    return f"{figure.low:{form}} to {figure.high:{form}}"


def _aligned(rows: Rows) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _table(rows: Rows) -> list[str]:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]
