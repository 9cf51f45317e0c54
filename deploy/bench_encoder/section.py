"""The fit as tables of a profile, to be pasted into its TOML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import isfinite

from deploy.bench_encoder.fit import QUIET_CORES, BenchFit, Figure
from deploy.bench_encoder.rows import Row
from env.config import TranscodeTiming, UploadTiming


def section_text(
    fit: BenchFit, rows: Sequence[Row], base: TranscodeTiming, upload: UploadTiming
) -> str:
    """The tables ``timing.transcode`` and ``timing.upload`` with a comment on each figure.

    Args:
        fit: of the rows.
        rows: that were measured; what they are of stands above the tables.
        base: gives the keys that are no matter of the bench.
        upload: likewise.
    """
    threads = sorted({row.threads for row in rows})
    spread = float(fit.residuals.std()) if len(fit.residuals) else 0.0
    when = f"{min(row.begun for row in rows)} to {max(row.begun for row in rows)}"
    head = [
        "made by python -m deploy.bench_encoder",
        f"machine: {rows[0].machine}, {rows[0].cores} cores; {rows[0].encoder}",
        f"{fit.rows} transcodes with {_listed(threads)} threads, {when}",
        f"{fit.quiet_rows} rows with less than {QUIET_CORES:g} cores taken by other programs",
        f"rows scatter around the law by {spread:.3f} (deviation of the logarithm)",
        f"a transcode with one thread keeps {fit.cores_busy.value:.3f} cores busy"
        + _words(fit.cores_busy),
        *fit.notes,
    ]
    lines = [f"# {line}" for line in head]
    lines += _table("timing.transcode", fit.transcode, base)
    lines += _table("timing.upload", fit.upload, upload)
    return "\n".join(lines) + "\n"


def _table(
    name: str, figures: Mapping[str, Figure], base: TranscodeTiming | UploadTiming
) -> list[str]:
    lines = ["", f"[{name}]"]
    for key in (field.name for field in fields(base)):
        figure = figures.get(key, Figure(getattr(base, key), held="no matter of the bench"))
        lines.append(f"{f'{key} = {_rounded(figure.value)}':<34} #{_words(figure)}")
    return lines


def _words(figure: Figure) -> str:
    if figure.held:
        return f" held at the base profile's: {figure.held}"
    return f" fitted +- {figure.error:.3g}" if isfinite(figure.error) else " fitted"


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
