"""The calibrated profile: the base with the fitted figures, and where each one is from."""

from __future__ import annotations

from dataclasses import asdict
from math import exp
from typing import Any, Final

from env.config import Profile, profile_from_dict
from training.calibration.estimates import Estimate, SectionFit
from training.calibration.fitting import Calibration
from training.calibration.toml_text import toml_text

_FIGURES: Final = 5
_ERROR_FIGURES: Final = 3


def calibrated_profile(calibration: Calibration, name: str) -> dict[str, Any]:
    """The profile as a tree of plain values, provenance included.

    Args:
        calibration: what was found.
        name: of the new profile.
    """
    data: dict[str, Any] = asdict(calibration.base)
    data["name"] = name
    for section in calibration.sections:
        table = data
        for key in section.section.split("."):
            table = table[key]
        table |= {key: rounded(e.value) for key, e in section.estimates.items()}
    data["provenance"] = _provenance(calibration)
    return data


def profile_text(calibration: Calibration, name: str) -> str:
    """The profile as TOML; a comment on each timing and fault tells where it is from.

    Raises:
        ConfigError: a fitted figure is outside what a profile may hold.
    """
    data = calibrated_profile(calibration, name)
    profile_from_dict(data, "the calibrated profile")
    comments = {
        f"{section.section}.{key}": _comment(estimate)
        for section in calibration.sections
        for key, estimate in section.estimates.items()
    }
    return toml_text(data, comments)


def fitted_profile(calibration: Calibration, name: str) -> Profile:
    """The profile, validated."""
    return profile_from_dict(calibrated_profile(calibration, name), "the calibrated profile")


def rounded(value: float, figures: int = _FIGURES) -> float:
    """To so many significant figures."""
    return float(f"{value:.{figures}g}")


def _comment(estimate: Estimate) -> str:
    if estimate.origin == "prior":
        return f"prior: {estimate.note}" if estimate.note else "prior"
    if estimate.origin == "bound":
        return f"at its bound: {estimate.note}" if estimate.note else "at its bound"
    error = estimate.standard_error
    spread = "" if error is None else f" +- {rounded(error, _ERROR_FIGURES):g}"
    return f"fitted{spread} (n = {estimate.n})"


def _provenance(calibration: Calibration) -> dict[str, Any]:
    observations = calibration.observations
    return {
        "how": "python -m training.calibrate",
        "runs": observations.runs,
        "tasks": len(observations.tasks),
        "workers": len(observations.workers),
        "unseen": unseen(calibration),
        "notes": [note for section in calibration.sections for note in section.notes],
        **{
            section.section.rpartition(".")[2]: _section_provenance(section)
            for section in calibration.sections
        },
    }


def _section_provenance(section: SectionFit) -> dict[str, Any]:
    quality = {
        key: rounded(value) if isinstance(value, float) else value
        for key, value in section.quality.items()
    }
    errors = {
        key: rounded(e.standard_error, _ERROR_FIGURES)
        for key, e in section.estimates.items()
        if e.standard_error is not None
    }
    prior = [key for key, e in section.estimates.items() if e.origin == "prior"]
    return {
        **quality,
        **({"kept_from_the_base": prior} if prior else {}),
        "standard_errors": errors,
    }


def unseen(calibration: Calibration) -> list[str]:
    """What the runs cannot show, one sentence for each gap."""
    gaps = [
        f"{section.section}.{key}: {estimate.note}"
        for section in calibration.sections
        for key, estimate in section.estimates.items()
        if estimate.origin == "prior" and estimate.note
    ]
    measured = {round(exp(v), 6) for v in set(calibration.sample.vcpus)}
    missing = [
        f"{flavor.name} ({flavor.vcpus} vCPU)"
        for flavor in calibration.base.cluster.flavors
        if flavor.vcpus not in measured
    ]
    if missing:
        gaps.append("flavors never measured: " + ", ".join(missing))
    excluded = int((calibration.observations.tasks["vcpus"] < 1).sum())
    if excluded:
        gaps.append(
            f"{excluded} tasks on workers with less than one vCPU are not used: "
            "a profile's flavors have whole vCPUs"
        )
    return gaps
