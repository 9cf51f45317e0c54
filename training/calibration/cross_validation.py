"""How well the law predicts runs that it was not fitted to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from env.config import ContentionTiming, TranscodeTiming
from training.calibration.transcode_law import (
    MIN_TRANSCODES,
    TranscodeSample,
    errors_percent,
    fit_transcode,
)

Floats = NDArray[np.float64]
MIN_RUNS: Final = 3
FOLDS: Final = 10


@dataclass(frozen=True)
class CrossValidation:
    """Predictions of transcodes that were left out of the fit.

    Attributes:
        scheme: what was left out at a time: ``run`` or ``tenth of the transcodes``.
        predicted_s: predicted median time of each transcode, shape (n,); NaN where the
            rest was too small to fit.
        measured_s: measured time, shape (n,).
        group: what each belongs to.
    """

    scheme: str
    predicted_s: Floats
    measured_s: Floats
    group: NDArray[np.object_]

    @property
    def errors_percent(self) -> Floats:
        """Absolute percentage error of each prediction that could be made."""
        error = errors_percent(self.predicted_s, self.measured_s)
        return np.asarray(error[np.isfinite(error)])

    @property
    def mape(self) -> float:
        """Mean absolute percentage error."""
        return float(self.errors_percent.mean())

    def summary(self) -> dict[str, float | int | str]:
        """Mean, median and 90th percentile of the absolute percentage error."""
        errors = self.errors_percent
        return {
            "scheme": f"leave one {self.scheme} out",
            "groups": len(set(self.group)),
            "predictions": len(errors),
            "mape": self.mape,
            "median_ape": float(np.median(errors)),
            "p90_ape": float(np.quantile(errors, 0.9)),
        }


def cross_validate(
    sample: TranscodeSample,
    law: TranscodeTiming,
    contention: ContentionTiming,
    cores: float,
    *,
    fixed: Collection[str] = (),
) -> CrossValidation:
    """Leave one run out at a time (with fewer than 3 runs, a tenth of the transcodes).

    Everything that the data choose, the knee too, is chosen again without what is left
    out. A prediction uses the load that was measured on the node while the job ran.

    Args:
        sample: finished transcodes.
        law: priors of the law, as for `fit_transcode`.
        contention: priors of the contention.
        cores: physical cores of a node.
        fixed: keys of `law` to keep whatever the sample says.
    """
    group = sample.run
    scheme = "run"
    if len(set(group)) < MIN_RUNS:
        group = np.array([str(i % FOLDS) for i in range(len(sample))], dtype=object)
        scheme = "tenth of the transcodes"
    predicted = np.full(len(sample), np.nan)
    for name in sorted(set(group)):
        out = np.asarray(group == name)
        if (~out).sum() < MIN_TRANSCODES:
            continue
        fit = fit_transcode(sample.subset(~out), law, contention, cores, fixed=fixed)
        predicted[out] = fit.predict(sample.subset(out))
    return CrossValidation(scheme, predicted, sample.seconds, group)
