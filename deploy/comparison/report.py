"""The comparison as JSON, as a Markdown table, and as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.comparison.figures import Figures
from deploy.comparison.live_run import LiveRun
from env.textfile import write_atomically


@dataclass(frozen=True, slots=True)
class Row:
    """One policy.

    Attributes:
        policy: its name.
        live: the real run.
        predicted: mean of the simulations.
        simulations: each of them.
    """

    policy: str
    live: LiveRun
    predicted: Figures
    simulations: tuple[Figures, ...]


_COLUMNS: tuple[tuple[str, str, str, str], ...] = (
    ("delay, mean (s)", "delay_mean_s", "{:.1f}", ""),
    ("delay, p95 (s)", "delay_p95_s", "{:.1f}", ""),
    ("CPU reserved (vCPU)", "cpu_reserved_mean", "{:.2f}", "cpu_reserved_p95"),
    ("CPU used (cores)", "cpu_used_mean", "{:.2f}", "cpu_used_p95"),
    ("RAM reserved (GiB)", "ram_reserved_mean", "{:.2f}", "ram_reserved_p95"),
    ("RAM used (GiB)", "ram_used_mean", "{:.2f}", "ram_used_p95"),
    ("workers started", "boots", "{:.1f}", ""),
    ("makespan (s)", "makespan_s", "{:.0f}", ""),
    ("cost per job", "cost", "{:.1f}", ""),
)


def markdown(rows: Sequence[Row]) -> str:
    """A table: for each policy what was measured, and below it what the simulator predicts."""
    names = [name for name, *_ in _COLUMNS]
    lines = [
        "| policy | | " + " | ".join(names) + " |",
        "| --- " * (len(names) + 2) + "|",
    ]
    for row in rows:
        measured = row.live.measurement.figures
        for who, figures, name in (
            ("measured", measured, row.policy),
            ("simulated", row.predicted, ""),
        ):
            lines.append(f"| {name} | {who} | " + " | ".join(_cells(figures)) + " |")
    lines += ["", "| policy | decisions by source and reason |", "| --- | --- |"]
    lines += [f"| {row.policy} | {_shares(row.live.decisions)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cells(figures: Figures) -> list[str]:
    cells = []
    for _, name, pattern, p95 in _COLUMNS:
        value = getattr(figures, name)
        if name == "cost":
            value /= figures.jobs
        cell = pattern.format(value)
        if p95:
            cell += f", p95 {pattern.format(getattr(figures, p95))}"
        cells.append(cell)
    return cells


def _shares(decisions: dict[str, int]) -> str:
    total = sum(decisions.values())
    return ", ".join(f"{key} {100 * count / total:.0f} %" for key, count in decisions.items())


def to_json(rows: Sequence[Row], facts: dict[str, Any]) -> str:
    """All figures, and what they were measured with."""
    return json.dumps(
        {
            "facts": facts,
            "policies": {
                row.policy: {
                    "measured": asdict(row.live.measurement.figures),
                    "delays_s": list(row.live.measurement.delays_s),
                    "failed": row.live.failed,
                    "decisions": row.live.decisions,
                    "simulated": asdict(row.predicted),
                    "simulations": [asdict(run) for run in row.simulations],
                }
                for row in rows
            },
        },
        indent=1,
    )


def write_report(folder: Path, rows: Sequence[Row], facts: dict[str, Any]) -> list[Path]:
    """Write ``comparison.json``, ``comparison.md`` and ``comparison.png``; their paths."""
    data, table, picture = (folder / f"comparison.{kind}" for kind in ("json", "md", "png"))
    write_atomically(data, to_json(rows, facts) + "\n")
    write_atomically(table, markdown(rows))
    _draw(picture, rows)
    return [data, table, picture]


def _draw(path: Path, rows: Sequence[Row]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.4 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, row in zip(axes, rows, strict=True):
        measured = row.live.measurement
        reserved, jobs, used = measured.reserved_vcpus, measured.jobs, measured.used_cores
        axis.fill_between(
            reserved.times_s,
            reserved.values,
            step="post",
            color="#9ecae1",
            label="reserved vCPUs",
        )
        axis.plot(used.times_s, used.values, color="#08519c", lw=1, label="used cores")
        axis.step(jobs.times_s, jobs.values, where="post", color="#d94801", lw=1.2, label="jobs")
        figures = measured.figures
        axis.set_title(
            f"{row.policy}: delay {figures.delay_mean_s:.1f} s (simulated "
            f"{row.predicted.delay_mean_s:.1f}), reserved {figures.cpu_reserved_mean:.2f} vCPU "
            f"(simulated {row.predicted.cpu_reserved_mean:.2f})",
            fontsize=10,
            loc="left",
        )
        axis.set_ylim(bottom=0)
        axis.margins(x=0)
    axes[0].legend(loc="upper right", ncols=3, fontsize=8)
    axes[-1].set_xlabel("seconds since the start of the scenario")
    figure.savefig(path, dpi=110)
