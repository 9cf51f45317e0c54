"""The law of transcoding from measured rows, with numpy alone.

What is fitted, by least squares on logarithms with Huber's weights::

    log cpu_s = level + duration_exponent * log seconds + pixels_exponent * log pixels
        + pixels_curvature * (log pixels)**2 + log(fast_factor) * fast
    + source_mbps_exponent * log source_mbps
        + bitrate_exponent * max(0, log(kbps / floor)) + overhead * log threads + scene

(pixels in units of 1920x1080; the effects of the scenes add up to nothing, so that the level
is that of the mean scene). The floor's three figures are found by a grid that closes in on the
least sum of squares. The processor's time is what other programs disturb least.

How much faster several threads are is told by the cores that a transcode keeps busy,
``log(cpu_s / wall_s) = cores + (gain + slope * log pixels) * log threads``, from rows that
other programs left alone. A figure that the rows do not show is held at the base profile's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import exp, log, nan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deploy.bench_encoder.clips import BenchError
from deploy.bench_encoder.grid import SIZES
from deploy.bench_encoder.rows import Row
from env.config import TranscodeTiming, UploadTiming
from env.timing import FULL_HD_MEGAPIXELS

Floats = NDArray[np.float64]

QUIET_CORES: Final = 0.1
"""Other programs may take so many cores from a row whose wall time counts."""
QUIET_SHARE: Final = 0.5
"""If so many rows are quiet, the others are left out altogether: neighbours stretch the
processor time, too, by a tenth and more (two threads of one core share it)."""
MIN_ROWS: Final = 12
MIN_QUIET: Final = 8
_KEYFRAMES: Final = 250
"""Pictures from one that is coded whole to the next, in libx265 as the worker runs it."""
_OVER: Final = 1.5
"""An output of more than so many times what was asked: the encoder could not write less."""
_HUBER: Final = 1.345
_LEFT_OVER: Final = 0.005
_GRID: Final = 9
_ROUNDS: Final = 7


@dataclass(frozen=True, slots=True)
class Figure:
    """One key of the profile.

    Attributes:
        value: of the key.
        error: standard error; NaN if it is held.
        held: why it is not fitted; empty if it is.
    """

    value: float
    error: float = nan
    held: str = ""


@dataclass(frozen=True)
class BenchFit:
    """What the rows say.

    Attributes:
        transcode: keys of ``timing.transcode``.
        upload: keys of ``timing.upload`` that the encoder sets.
        cores_busy: cores that a transcode with one thread keeps busy.
        rows: how many the law was fitted to.
        quiet_rows: of them, how many told wall times.
        residuals: of the rows, in logarithms of processor time, shape (rows,).
        notes: what is to be known beside the figures, a sentence each.
    """

    transcode: dict[str, Figure]
    upload: dict[str, Figure]
    cores_busy: Figure
    rows: int
    quiet_rows: int
    residuals: Floats
    notes: list[str] = field(default_factory=list)

    def law(self, base: TranscodeTiming) -> TranscodeTiming:
        """The table as a profile holds it; keys that are no matter of the bench are the base's."""
        return replace(base, **{key: figure.value for key, figure in self.transcode.items()})


@dataclass(frozen=True)
class _Columns:
    """The rows as columns, logarithms."""

    cpu: Floats
    busy: Floats
    seconds: Floats
    pixels: Floats
    fast: Floats
    source: Floats
    kbps: Floats
    threads: Floats
    scene: NDArray[np.str_]
    quiet: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> _Columns:
        def column(name: str) -> Floats:
            return np.asarray(np.log([float(getattr(row, name)) for row in rows]))

        cpu, wall = column("cpu_s"), column("wall_s")
        sizes = np.array([SIZES[row.lines] for row in rows], dtype=float)
        return cls(
            cpu=cpu,
            busy=cpu - wall,
            seconds=column("seconds"),
            pixels=np.log(sizes.prod(axis=1) / 1e6 / FULL_HD_MEGAPIXELS),
            fast=np.array([row.speed == "fast" for row in rows], dtype=float),
            source=column("source_mbps"),
            kbps=column("kbps"),
            threads=column("threads"),
            scene=np.array([row.scene for row in rows]),
            quiet=np.array(
                [row.others_cores <= QUIET_CORES and row.threads <= row.cores for row in rows]
            ),
        )


def fit_rows(rows: Sequence[Row], base: TranscodeTiming, upload: UploadTiming) -> BenchFit:
    """Fit the law.

    Args:
        rows: measured.
        base: gives the figures that the rows do not show.
        upload: likewise.

    Raises:
        BenchError: there are too few rows.
    """
    if len(rows) < MIN_ROWS:
        raise BenchError(
            f"{len(rows)} rows are too few to fit a law; at least {MIN_ROWS} are needed: "
            "measure longer (--minutes)"
        )
    notes: list[str] = []
    quiet = [row for row in rows if row.others_cores <= QUIET_CORES]
    if len(rows) > len(quiet) >= max(MIN_ROWS, QUIET_SHARE * len(rows)):
        notes.append(
            f"{len(rows) - len(quiet)} more rows are left out: other programs took more than "
            f"{QUIET_CORES:g} cores meanwhile"
        )
        rows = quiet
    columns = _Columns.of(rows)
    law, overhead, residuals = _cpu_law(columns, base)
    busy, gain, remarks = _cores_busy(columns, base)
    level = law.pop("level")
    transcode = {
        "intercept": Figure(
            level.value - log(busy.value),
            float(np.hypot(level.error, 0.0 if busy.held else busy.error / busy.value)),
            level.held,
        ),
        **law,
        "sigma": Figure(base.sigma, held="a bench scatters less than a cluster"),
        **_parallel(gain, overhead, base),
    }
    return BenchFit(
        transcode=transcode,
        upload=_least_written(rows, columns, upload),
        cores_busy=busy,
        rows=len(rows),
        quiet_rows=int(columns.quiet.sum()),
        residuals=residuals,
        notes=[*notes, *remarks],
    )


# -- processor time ---------------------------------------------------------------------


def _cpu_law(c: _Columns, base: TranscodeTiming) -> tuple[dict[str, Figure], Figure, Floats]:
    """The law's figures, the overhead of several threads, and the residuals."""
    y = c.cpu - base.source_mbps_exponent * c.source
    names = sorted(set(c.scene))
    scenes = {
        f"scene {name}": (c.scene == name).astype(float) - (c.scene == names[-1])
        for name in names[:-1]
    }
    columns = {
        "level": np.ones(len(y)),
        "pixels_exponent": c.pixels,
        "pixels_curvature": c.pixels**2,
        "duration_exponent": c.seconds,
        "fast": c.fast,
        "overhead": c.threads,
        **scenes,
    }
    held = {
        "pixels_exponent": base.pixels_exponent,
        "pixels_curvature": base.pixels_curvature,
        "duration_exponent": base.duration_exponent,
        "fast": log(base.fast_factor),
        "overhead": 0.0,
    }
    free = _identifiable(columns)
    y = y - sum(
        (value * columns[name] for name, value in held.items() if name not in free),
        np.zeros_like(y),
    )
    design = np.column_stack([columns[name] for name in free])
    start = np.array(
        [
            log(base.floor_kbps),
            base.floor_pixels_exponent,
            log(base.floor_fast_factor),
        ]
    )
    bitrates = np.unique(np.round(c.kbps, 9))
    sees_bitrate = len(bitrates) >= 3 and bitrates[-1] - bitrates[0] >= log(10.0)
    moves = np.array([sees_bitrate, "pixels_exponent" in free, "fast" in free]) & sees_bitrate
    weights = np.ones(len(y))
    floor = start
    for _ in range(3):
        if sees_bitrate:
            floor = _closest_floor(y, design, weights, c, start, moves)
            full = np.column_stack([design, _above(c, floor)])
        else:
            y_above = y - base.bitrate_exponent * _above(c, floor)
            full, y_fit = design, y_above
        y_fit = y if sees_bitrate else y_above
        values = _solve(y_fit, full, weights)
        residuals = y_fit - full @ values
        weights = _huber(residuals)
    names_free = [*free, *(["bitrate_exponent"] if sees_bitrate else [])]
    exponent = float(values[-1]) if sees_bitrate else base.bitrate_exponent
    inside = (_above(c, floor) > 0).astype(float) * -exponent
    bends = np.column_stack([inside, inside * c.pixels, inside * c.fast])[:, moves]
    errors = _errors(np.column_stack([full, bends]), residuals, weights)
    found = dict(zip(names_free, values.tolist(), strict=True))
    sure = dict(zip(names_free, errors.tolist(), strict=False))
    of_floor = iter(errors[len(names_free) :].tolist())
    floor_errors = [next(of_floor) if moved else nan for moved in moves]

    def figure(key: str, name: str, prior: float, why: str, *, power: bool = False) -> Figure:
        if name not in found:
            return Figure(prior, held=why)
        value, error = found[name], sure[name]
        return Figure(exp(value), error * exp(value)) if power else Figure(value, error)

    few = "too few bitrates" if not sees_bitrate else "only one of them was measured"
    law = {
        "level": Figure(found["level"], sure["level"]),
        "duration_exponent": figure(
            "duration_exponent", "duration_exponent", base.duration_exponent, "too few lengths"
        ),
        "pixels_exponent": figure(
            "pixels_exponent", "pixels_exponent", base.pixels_exponent, "one size of picture"
        ),
        "fast_factor": figure("fast_factor", "fast", base.fast_factor, "one speed", power=True),
        "source_mbps_exponent": Figure(
            base.source_mbps_exponent, held="the clips' bitrate goes with their size"
        ),
        "pixels_curvature": figure(
            "pixels_curvature", "pixels_curvature", base.pixels_curvature, "too few sizes"
        ),
        "bitrate_exponent": figure(
            "bitrate_exponent", "bitrate_exponent", base.bitrate_exponent, few
        ),
        "floor_kbps": Figure(exp(floor[0]), floor_errors[0] * exp(floor[0]), _why(moves[0], few)),
        "floor_pixels_exponent": Figure(float(floor[1]), floor_errors[1], _why(moves[1], few)),
        "floor_fast_factor": Figure(
            exp(floor[2]), floor_errors[2] * exp(floor[2]), _why(moves[2], few)
        ),
    }
    overhead = Figure(found.get("overhead", 0.0), sure.get("overhead", nan))
    return law, overhead, residuals


def _why(moved: np.bool_, few: str) -> str:
    return "" if moved else few


def _above(c: _Columns, floor: Floats) -> Floats:
    """Log of the asked bitrate over the floor, 0 below."""
    at = c.kbps - floor[0] - floor[1] * c.pixels - floor[2] * c.fast
    return np.asarray(np.maximum(0.0, at))


def _closest_floor(
    y: Floats,
    design: Floats,
    weights: Floats,
    c: _Columns,
    start: Floats,
    moves: NDArray[np.bool_],
) -> Floats:
    """The floor with the least sum of squares, by a grid that closes in."""
    low = np.where(moves, [log(5.0), 0.0, log(0.25)], start)
    high = np.where(moves, [log(20_000.0), 2.0, log(6.0)], start)
    limits = low, high
    # What the other columns explain is taken out once; each candidate is then a product.
    root = np.sqrt(weights)[:, None]
    basis, _ = np.linalg.qr(design * root)
    rest = y * root[:, 0]
    rest = rest - basis @ (basis.T @ rest)
    best, least = start, np.inf
    for _ in range(_ROUNDS):
        axes = [np.unique(np.linspace(a, b, _GRID)) for a, b in zip(low, high, strict=True)]
        floors = np.array(np.meshgrid(*axes)).reshape(3, -1)
        above = c.kbps[:, None] - floors[0] - np.outer(c.pixels, floors[1])
        above = root * np.maximum(0.0, above - np.outer(c.fast, floors[2]))
        above -= basis @ (basis.T @ above)
        size = np.maximum((above**2).sum(axis=0), 1e-12)
        along = rest @ above
        squares = np.where((along >= 0) & (along <= size), -(along**2) / size, np.inf)
        chosen = int(squares.argmin())
        if squares[chosen] < least:
            best, least = floors[:, chosen], float(squares[chosen])
        reach = (high - low) / 4
        low, high = np.maximum(limits[0], best - reach), np.minimum(limits[1], best + reach)
    return best


# -- several threads --------------------------------------------------------------------


def _cores_busy(
    c: _Columns, base: TranscodeTiming
) -> tuple[Figure, tuple[Figure, Figure] | None, list[str]]:
    """Cores kept busy with one thread, the exponents of the threads, and remarks."""
    quiet = c.quiet
    if quiet.sum() < MIN_QUIET:
        note = (
            f"other programs disturbed all but {int(quiet.sum())} of {len(quiet)} rows: wall "
            "times and the gain of several threads are not fitted; run the bench again while "
            "the machine is quiet"
        )
        return Figure(1.0, held="the machine was busy"), None, [note]
    pixels, threads = c.pixels[quiet], c.threads[quiet]
    columns = {"cores": np.ones(len(pixels)), "gain": threads, "slope": threads * pixels}
    free = _identifiable(columns)
    design = np.column_stack([columns[name] for name in free])
    weights = np.ones(len(pixels))
    for _ in range(5):
        values = _solve(c.busy[quiet], design, weights)
        residuals = c.busy[quiet] - design @ values
        weights = _huber(residuals)
    errors = _errors(design, residuals, weights)
    found = {
        name: Figure(float(v), float(e)) for name, v, e in zip(free, values, errors, strict=True)
    }
    busy = exp(found["cores"].value)
    gain = None
    if "gain" in found:
        held = Figure(base.parallel_slope, held="one size of picture")
        gain = found["gain"], found.get("slope", held)
    return Figure(busy, found["cores"].error * busy), gain, []


def _parallel(
    gain: tuple[Figure, Figure] | None, overhead: Figure, base: TranscodeTiming
) -> dict[str, Figure]:
    if gain is None:
        why = "no quiet rows with several threads"
        return {
            "parallel_exponent": Figure(base.parallel_exponent, held=why),
            "parallel_slope": Figure(base.parallel_slope, held=why),
        }
    exponent = gain[0].value - overhead.value
    error = float(np.hypot(gain[0].error, np.nan_to_num(overhead.error)))
    return {
        "parallel_exponent": Figure(min(1.0, max(0.0, exponent)), error),
        "parallel_slope": gain[1],
    }


# -- what is written --------------------------------------------------------------------


def _least_written(rows: Sequence[Row], c: _Columns, base: UploadTiming) -> dict[str, Figure]:
    """The least bitrate that the encoder writes, for videos of `_KEYFRAMES` pictures and more."""
    over = np.array([row.output_kbps > _OVER * row.kbps for row in rows])
    if over.sum() < 4:
        why = "no bitrate was so low that the encoder could not write less"
        return {
            "least_kbps": Figure(base.least_kbps, held=why),
            "least_pixels_exponent": Figure(base.least_pixels_exponent, held=why),
            "least_fast_factor": Figure(base.least_fast_factor, held=why),
        }
    count = np.array([row.seconds for row in rows])[over] * 24.0 / _KEYFRAMES
    columns = {
        "level": np.ones(int(over.sum())),
        "pixels": c.pixels[over],
        "fast": c.fast[over],
        # The first picture is coded whole; the fewer follow, the more it counts.
        "short": np.log(np.minimum(count, 1.0)),
    }
    free = _identifiable(columns)
    design = np.column_stack([columns[name] for name in free])
    y = np.log(np.array([row.output_kbps for row in rows])[over])
    values = _solve(y, design, np.ones(len(y)))
    errors = _errors(design, y - design @ values, np.ones(len(y)))
    found = {
        name: Figure(float(v), float(e)) for name, v, e in zip(free, values, errors, strict=True)
    }
    level, fast = found["level"], found.get("fast")
    return {
        "least_kbps": Figure(exp(level.value), level.error * exp(level.value)),
        "least_pixels_exponent": found.get(
            "pixels", Figure(base.least_pixels_exponent, held="one size of picture")
        ),
        "least_fast_factor": Figure(base.least_fast_factor, held="one speed")
        if fast is None
        else Figure(exp(fast.value), fast.error * exp(fast.value)),
    }


# -- least squares ----------------------------------------------------------------------


def _identifiable(columns: dict[str, Floats]) -> list[str]:
    """The columns that vary beyond what those before them explain; the first always."""
    chosen: list[str] = []
    for name, column in columns.items():
        if chosen:
            spread = float(np.var(column))
            others = np.column_stack([columns[other] for other in chosen])
            solution = np.linalg.lstsq(others, column, rcond=None)[0]
            left = float(np.mean((column - others @ solution) ** 2))
            if spread < 1e-12 or left < _LEFT_OVER * spread:
                continue
        chosen.append(name)
    return chosen


def _solve(y: Floats, design: Floats, weights: Floats) -> Floats:
    root = np.sqrt(weights)
    values, *_ = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)
    return np.asarray(values, dtype=np.float64)


def _huber(residuals: Floats) -> Floats:
    scale = 1.4826 * float(np.median(np.abs(residuals - np.median(residuals)))) + 1e-9
    return np.asarray(np.minimum(1.0, _HUBER * scale / np.maximum(np.abs(residuals), 1e-12)))


def _errors(jacobian: Floats, residuals: Floats, weights: Floats) -> Floats:
    freedom = max(1, len(residuals) - jacobian.shape[1])
    variance = float((weights * residuals**2).sum()) / freedom
    inverse = np.linalg.pinv(jacobian.T @ (jacobian * weights[:, None]))
    return np.asarray(np.sqrt(np.maximum(variance * np.diag(inverse), 0.0)))
