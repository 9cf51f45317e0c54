"""What a calibration found beside the laws, as the profile's provenance tells it."""

from __future__ import annotations

from math import inf, isinf

from env.config import Profile


def order_delay_s(profile: Profile) -> float:
    """Share of the profile's boot time that passes before the worker counts as created.

    A profile's boot begins with the order; a measured one when the cloud has answered it.
    """
    return _figure(profile, "boot", "order_delay_s", 0.0)


def throttle_of(profile: Profile) -> float:
    """How many times longer a transcode of the existing system takes while a quota throttles it."""
    return max(1.0, _figure(profile, "transcode", "throttle", 1.0))


def between_runs(profile: Profile, step: str) -> float:
    """Variance of the mean logarithm of a step's time in a run that the profile never saw.

    The share that the calibration found is that of its own runs around a law that was fitted to
    them. With R runs their variance is R / (R - 1) times as large, and a new run differs from
    their mean by 1 + 1 / R times that.
    """
    share = _figure(profile, step, "share_of_spread_between_runs", 0.0)
    runs = max(2.0, _figure(profile, step, "runs", inf))
    few = 1.0 if isinf(runs) else (runs + 1.0) / (runs - 1.0)
    return share * few * float(getattr(profile.timing, step).sigma) ** 2


def _figure(profile: Profile, table: str, key: str, otherwise: float) -> float:
    found = profile.provenance.get(table, {})
    value = found.get(key, otherwise) if isinstance(found, dict) else otherwise
    return float(value) if isinstance(value, int | float) else otherwise
