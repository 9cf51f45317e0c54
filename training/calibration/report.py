"""A calibration in words, for the terminal."""

from __future__ import annotations

from training.calibration.estimates import Estimate
from training.calibration.fitting import Calibration
from training.calibration.profile_text import rounded, unseen

_ERROR_FIGURES = 3


def report(calibration: Calibration) -> str:
    """Figures with their standard errors, the goodness of fit, and what stays unknown."""
    lines: list[str] = []
    for section in calibration.sections:
        lines += [f"[{section.section}]"]
        lines += [f"  {key:<22} {_figure(e)}" for key, e in section.estimates.items()]
        lines += [
            f"    {key}: {rounded(value, 4) if isinstance(value, float) else value}"
            for key, value in section.quality.items()
        ]
        lines += [f"    note: {note}" for note in section.notes]
    lines += ["What these runs cannot show:"]
    lines += [f"  - {gap}" for gap in unseen(calibration)]
    validation = calibration.validation
    left_out = f"Transcoding time, leave one {validation.scheme} out"
    lines += [f"{left_out}: mean absolute percentage error {validation.mape:.1f} %"]
    return "\n".join(lines)


def _figure(estimate: Estimate) -> str:
    value = f"{rounded(estimate.value):<10g}"
    if estimate.origin != "fitted":
        return f"{value} {estimate.origin}"
    error = estimate.standard_error
    spread = "" if error is None else f"+- {rounded(error, _ERROR_FIGURES):g} "
    return f"{value} {spread}(n = {estimate.n})"
