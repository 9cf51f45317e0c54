"""Errors of a validation that its user can put right."""

from __future__ import annotations

from env.errors import DaCircoError


class ValidationError(DaCircoError):
    """A measured run cannot be replayed or judged; the message says which and what to do."""
