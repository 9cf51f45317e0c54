"""Writing the event log: one file for each start of the controller, one line for each event."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from env.errors import EventLogError
from env.event_log import ADDED_KEYS, EVENT_KEYS, EventCode, read_events

FIRST_OWN_CODE: Final = 20
"""Codes from EV20 on are ours: their lines may hold more than the keys that they must have."""

_LOGGER = logging.getLogger(__name__)


class EventLog:
    """An event log that is open for writing.

    Each line reaches the kernel in one write, so that a killed process leaves at most its last
    line cut off; no line is lost but by a failure of the machine. When the disk is full the
    service goes on: the lines that could not be written are counted in `lost`.

    Args:
        folder: where the log is made: the first ``tc-events-XY.txt`` that is free, XY from 01
            to 99.
        path: a file to write instead; lines are added to a log that is already there.
        clock: gives the time of an event, seconds since the epoch.

    Attributes:
        path: the log.
        lost: how many lines could not be written.

    Raises:
        EventLogError: all 99 names are taken, the file is there and is no event log, or it
            cannot be written.
    """

    def __init__(
        self,
        folder: Path = Path(),
        *,
        path: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path, self._file = _first_free(folder) if path is None else (path, _add_to(path))
        self.lost = 0
        self._clock = clock
        self._lock = threading.Lock()

    def write(
        self,
        code: EventCode,
        *,
        moment: float | None = None,
        description: str = "",
        **keys: str | int | float,
    ) -> None:
        """Add one event.

        Args:
            code: what happened.
            moment: when, seconds since the epoch; default: now.
            description: for people; default: the code's own name in words.
            keys: all keys of `EVENT_KEYS`; values are written as strings.

        Raises:
            ValueError: a key is missing, or is none of this code's: a mistake in the program.
        """
        expected = EVENT_KEYS[code]
        missing = [key for key in expected if key not in keys]
        added = [key for key in keys if key not in expected]
        foreign = set(added) - ADDED_KEYS.get(code, frozenset()) if not _is_own(code) else ()
        if missing or foreign:
            raise ValueError(f"{code}: missing keys {missing}, unknown keys {sorted(foreign)}")
        record = {
            "time": f"{self._clock() if moment is None else moment:.6f}",
            "code": str(code),
            "description": description or code.name.replace("_", " ").lower(),
        }
        record |= {key: str(keys[key]) for key in (*expected, *added)}
        self._append(json.dumps(record).encode("ascii") + b"\n")

    def close(self) -> None:
        """Close the file; nothing can be written afterwards."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _append(self, line: bytes) -> None:
        with self._lock:
            if self._file < 0:
                raise ValueError(f"{self.path} is closed")
            end = os.fstat(self._file).st_size
            try:
                if os.write(self._file, line) < len(line):
                    os.ftruncate(self._file, end)  # half a line would spoil the next one
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                self.lost += 1
                _LOGGER.error("event lost: cannot write %s: %s", self.path, error.strerror)


def _is_own(code: EventCode) -> bool:
    return int(code.removeprefix("EV")) >= FIRST_OWN_CODE


def _first_free(folder: Path) -> tuple[Path, int]:
    for number in range(1, 100):
        path = folder / f"tc-events-{number:02d}.txt"
        try:
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except FileExistsError:
            continue
        except OSError as error:
            raise EventLogError(f"cannot write {path}: {error.strerror}") from error
    raise EventLogError(
        f"all event logs tc-events-01.txt to tc-events-99.txt in {folder.resolve()} are taken: "
        "move or delete old ones"
    )


def _add_to(path: Path) -> int:
    """Open a log that was named, without what a killed controller left of its last line."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise EventLogError(f"cannot write {path}: {error.strerror}") from error
    try:
        events = sum(1 for _ in read_events(path))
        content = path.read_bytes()
        if content and not events:
            raise EventLogError(f"{path} is no event log")
        os.ftruncate(file, content.rfind(b"\n") + 1)
    except (EventLogError, OSError) as error:
        os.close(file)
        raise EventLogError(f"cannot add to {path}: {error}") from error
    return file
