"""Pictures of a calibration: predicted against measured, and what is left over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from training.calibration.crowding import Crowding
from training.calibration.errors import CalibrationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from training.calibration.fitting import Calibration

Floats = NDArray[np.float64]
_DOT_AREA: Final = 14


def write_plots(calibration: Calibration, folder: Path) -> list[Path]:
    """Draw ``transcode.png``, ``residuals.png``, ``boot.png`` and ``transfers.png``.

    Args:
        calibration: what to draw.
        folder: made if it does not exist.

    Returns:
        The files.

    Raises:
        CalibrationError: the folder cannot be written to.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    drawings = {
        "transcode.png": (_transcode, 2),
        "residuals.png": (_residuals, 4),
        "boot.png": (_boot, 2),
        "transfers.png": (_transfers, 2),
    }
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, (draw, n) in drawings.items():
            rows, columns = (n + 1) // 2, 2
            figure, grid = plt.subplots(
                rows, columns, figsize=(10, 4.2 * rows), layout="constrained", squeeze=False
            )
            draw(list(grid.flat), calibration)
            path = folder / name
            figure.savefig(path, dpi=120)
            plt.close(figure)
            files.append(path)
    except OSError as error:
        raise CalibrationError(f"cannot write plots to {folder}: {error.strerror}") from error
    return files


def _transcode(axes: list[Axes], calibration: Calibration) -> None:
    sample, validation = calibration.sample, calibration.validation
    fitted = calibration.transcode.predict(sample)
    _identity(axes[0], sample.seconds, fitted, sample.run, "transcode: fitted")
    title = f"transcode: leave one {validation.scheme} out, MAPE {validation.mape:.1f} %"
    _identity(axes[1], sample.seconds, validation.predicted_s, sample.run, title)


def _residuals(axes: list[Axes], calibration: Calibration) -> None:
    sample = calibration.sample
    left = calibration.transcode.regression.residuals
    columns = (
        ("mean load of the node (busy vCPUs)", sample.busy, "linear"),
        ("measured time (s)", sample.seconds, "log"),
        ("length of the video (s)", np.exp(sample.duration), "log"),
        ("pixels (1 = 1920x1080)", np.exp(sample.pixels), "log"),
    )
    for axis, (label, x, scale) in zip(axes, columns, strict=True):
        axis.axhline(0.0, color="0.6", linewidth=1)
        for speed, color in ((0.0, "tab:blue"), (1.0, "tab:orange")):
            chosen = sample.fast == speed
            name = "fast" if speed else "ultrafast"
            axis.scatter(x[chosen], left[chosen], color=color, label=name, s=_DOT_AREA, alpha=0.75)
        axis.set(xscale=scale, xlabel=label, ylabel="log(measured / fitted)")
        if scale == "log":
            _plain_ticks(axis.xaxis)
    axes[0].legend(fontsize=8)


def _boot(axes: list[Axes], calibration: Calibration) -> None:
    boots, fit = calibration.boots, calibration.boot
    law = fit.law
    load = np.array([piece.mean_load for piece in boots.load])
    crowding = Crowding(law.crowd_knee_share * fit.cores, limit=law.crowd_limit)
    slowdown, _ = crowding.log_slowdown(boots.load, law.crowd_slope)
    fitted = np.exp(fit.regression["log_median"] + slowdown)
    if not len(load):
        return
    axes[0].scatter(load, boots.seconds, s=_DOT_AREA, alpha=0.75)
    axes[0].axvline(law.crowd_knee_share * fit.cores, color="0.6", linestyle="--", linewidth=1)
    axes[0].set(xlabel="mean load of the node (busy vCPUs)", ylabel="boot (s)", title="warm boots")
    _identity(axes[1], boots.seconds, fitted, None, "boot: fitted")


def _transfers(axes: list[Axes], calibration: Calibration) -> None:
    for axis, name in zip(axes, ("download", "upload"), strict=True):
        sample = calibration.download if name == "download" else calibration.upload
        section = calibration.section(f"timing.{name}")
        axis.scatter(sample.megabytes, sample.seconds, s=_DOT_AREA, alpha=0.75)
        if len(sample.megabytes):
            size = np.linspace(0.0, float(sample.megabytes.max()), 50)
            median = section.value("base_s") + section.value("per_megabyte_s") * size
            spread = np.exp(section.value("sigma"))
            axis.plot(size, median, color="tab:orange")
            axis.fill_between(size, median / spread, median * spread, color="tab:orange", alpha=0.2)
        axis.set(xlabel="size (MB)", ylabel="time (s)", title=f"{name}: median and one sigma")


def _identity(
    axis: Axes, measured: Floats, predicted: Floats, group: NDArray[np.object_] | None, title: str
) -> None:
    known = np.isfinite(predicted)
    if group is None:
        axis.scatter(measured[known], predicted[known], s=_DOT_AREA, alpha=0.75)
    else:
        for i, name in enumerate(sorted(set(group))):
            chosen = known & np.asarray(group == name)
            axis.scatter(
                measured[chosen],
                predicted[chosen],
                color=f"C{i % 10}",
                marker="os^Dv"[i // 10 % 5],
                label=str(name),
                s=_DOT_AREA,
                alpha=0.75,
            )
        axis.legend(fontsize=6, ncol=2)
    ends = [float(measured.min()) * 0.9, float(measured.max()) * 1.1]
    axis.plot(ends, ends, color="0.6", linewidth=1)
    axis.set(xscale="log", yscale="log", xlabel="measured (s)", ylabel="predicted (s)", title=title)
    _plain_ticks(axis.xaxis)
    _plain_ticks(axis.yaxis)


def _plain_ticks(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5 with plain figures."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_formatter(NullFormatter())
