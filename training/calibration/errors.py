"""Errors of a calibration that its user can put right."""

from __future__ import annotations

from env.errors import DaCircoError


class CalibrationError(DaCircoError):
    """A measurement cannot be read or is too small; the message says which and what to do."""
