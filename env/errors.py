"""Errors that a user of DaCirco can cause and put right.

Commands print the message of a `DaCircoError` as one line and exit with code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DaCircoError(Exception):
    """Bad input: the message names the bad value and the fix."""


class ConfigError(DaCircoError):
    """A profile or configuration file is not valid; the message names the key."""


class ScenarioError(DaCircoError):
    """A scenario or catalog file is not valid; the message names file and line."""


class PolicyError(DaCircoError):
    """A policy's name, parameters or files are not usable."""


class EventLogError(DaCircoError):
    """An event log cannot be read or written; the message names the file and the line."""


class UnknownNameError(DaCircoError):
    """A name that is not among the known ones; suggests the closest."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        choices = sorted(known)
        close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(choices)}"
        super().__init__(f"unknown {kind} {name!r}: {hint}")
        self.kind, self.name, self.known = kind, name, choices

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, list[str]]]:
        """How it is copied: a worker process hands it to its parent."""
        return type(self), (self.kind, self.name, self.known)


class IllegalEventError(RuntimeError):
    """An event that the cluster's state does not allow; nothing was changed."""

    def __init__(self, event: str, subject: object, state: str) -> None:
        super().__init__(f"illegal event {event!r} for {subject!r}: {state}")
        self.event, self.subject, self.state = event, subject, state
