"""Writing the event log: one log for each start of the controller, one line for each event."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from deploy.eventlog.config_file import config_path
from deploy.eventlog.single import SingleLines
from env.errors import EventLogError
from env.event_log import ADDED_KEYS, EVENT_KEYS, EventCode, description_of, read_file
from env.log_parts import last_part, part_path
from env.moments import epoch_text, local_text

FIRST_OWN_CODE: Final = 20
"""Codes from EV20 on are ours: their lines may hold more than the keys that they must have."""
MIB: Final = 1024 * 1024
_BLOCK: Final = 65536

_LOGGER = logging.getLogger(__name__)


class EventLog:
    """An event log that is open for writing.

    Each line reaches the kernel in one write, so that a killed process leaves at most its last
    line cut off; no line is lost but by a failure of the machine. When the disk is full the
    service goes on: the lines that could not be written are counted in `lost`, and a line (EV46)
    tells of them when there is room again.

    Args:
        folder: where the log is made: the first ``tc-events-XY.txt`` that is free, XY from 01
            to 99.
        path: a file to write instead; lines are added to a log that is already there.
        clock: gives the time of an event, seconds since the epoch.
        max_bytes: a file that would grow beyond this is continued in another, see
            `env.log_parts`; 0 for never.

    Attributes:
        path: the log's first file.
        current: the file that is written to.
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
        max_bytes: int = 0,
    ) -> None:
        self._single = SingleLines()
        self._part = 1
        if path is None:
            self.path, self._file = _first_free(folder)
            self.current = self.path
        else:
            self.path, self._part = path, last_part(path)
            self.current = part_path(path, self._part)
            self._file = _add_to(path, self.current, self._single)
        self.lost = 0
        self._numbered = path is None
        self._clock = clock
        self._max_bytes = max_bytes
        self._untold = 0  # lines lost since the last line that tells of such
        self._lost_since = 0.0
        self._no_part = False  # the latest try to go on in another file has failed
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
            description: for people; default: see `description_of`.
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
        texts = {key: str(keys[key]) for key in (*expected, *added)}
        with self._lock:
            if self._file < 0:
                raise ValueError(f"{self.path} is closed")
            when = self._clock() if moment is None else moment
            self._make_room(code, texts, description, when)
            if self._untold and not self._tell_of_lost(when):
                self._lose(when)
                return
            for each, its_keys in self._single.lines(code, texts):
                if self._append(each, its_keys, when, description if each is code else ""):
                    self._single.note(each, its_keys)
                else:
                    self._lose(when)

    def close(self) -> None:
        """Close the log; nothing can be written afterwards.

        A numbered log in which nothing was written is removed: a start that came to nothing
        uses up no number.
        """
        with self._lock:
            if self._file < 0:
                return
            unused = self._numbered and self._part == 1 and os.fstat(self._file).st_size == 0
            os.close(self._file)
            self._file = -1
            if unused and not self.lost:
                for path in (self.path, config_path(self.path)):
                    with suppress(OSError):
                        path.unlink()

    def _append(
        self, code: EventCode, keys: Mapping[str, str], moment: float, description: str = ""
    ) -> bool:
        line = _line(code, keys, moment, description)
        end = os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) < len(line):
                os.ftruncate(self._file, end)  # half a line would spoil the next one
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            if not self._untold:  # a full disk must not fill the journal, too
                _LOGGER.error("events are lost: cannot write %s: %s", self.current, error.strerror)
            return False
        return True

    def _lose(self, moment: float) -> None:
        if not self._untold:
            self._lost_since = moment
        self._untold += 1
        self.lost += 1

    def _tell_of_lost(self, moment: float) -> bool:
        keys = {"lines": str(self._untold), "since": epoch_text(self._lost_since)}
        if not self._append(EventCode.LINES_LOST, keys, moment):
            return False
        _LOGGER.error("%s: %d events were lost, now it goes on", self.current, self._untold)
        self._untold = 0
        return True

    def _make_room(
        self, code: EventCode, keys: Mapping[str, str], description: str, moment: float
    ) -> None:
        """Go on in another file if this one would grow too large."""
        if not self._max_bytes:
            return
        size = os.fstat(self._file).st_size
        if not size or size + len(_line(code, keys, moment, description)) <= self._max_bytes:
            return
        path = part_path(self.path, self._part + 1)
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except OSError as error:
            self._stay(error.strerror or "")
            return
        former, self._file = self._file, file
        head = {"log": self.path.name, "part": str(self._part + 1)}
        if not self._append(EventCode.LOG_CONTINUED, head, moment):
            self._file = former
            os.close(file)
            with suppress(OSError):
                path.unlink()
            self._stay("no room")
            return
        os.close(former)
        self._part += 1
        self.current, self._no_part, self._single = path, False, SingleLines()

    def _stay(self, reason: str) -> None:
        if not self._no_part:
            _LOGGER.error("%s grows on: it cannot be continued: %s", self.current, reason)
        self._no_part = True


def _line(code: EventCode, keys: Mapping[str, str], moment: float, description: str) -> bytes:
    record = {
        "time": local_text(moment),
        "code": str(code),
        "description": description or description_of(code),
        **keys,
        "time_epoch": epoch_text(moment),
    }
    return json.dumps(record).encode("ascii") + b"\n"


def _is_own(code: EventCode) -> bool:
    return int(code.removeprefix("EV")) >= FIRST_OWN_CODE


def _first_free(folder: Path) -> tuple[Path, int]:
    for number in range(1, 100):
        path = folder / f"tc-events-{number:02d}.txt"
        if not path.exists() and last_part(path) > 1:
            continue  # its first file was moved away, and parts of it were left
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


def _add_to(path: Path, part: Path, single: SingleLines) -> int:
    """Open a log that was named, without what a killed controller left of its last line.

    Args:
        path: its first file.
        part: its last one, to be opened.
        single: is told what stands in it.
    """
    try:
        file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise EventLogError(f"cannot write {part}: {error.strerror}") from error
    try:
        if not path.exists():
            raise EventLogError(f"{path} is missing, but {part.name} continues it: put it back")
        events = 0
        for _, event in read_file(part):
            if event:
                events += 1
                _note(single, event)
        if os.fstat(file).st_size and not events:
            raise EventLogError(f"{part} is no event log")
        os.ftruncate(file, _end_of_lines(file))
    except (EventLogError, OSError) as error:
        os.close(file)
        raise EventLogError(f"cannot add to {path}: {error}") from error
    return file


def _note(single: SingleLines, event: Mapping[str, str]) -> None:
    with suppress(ValueError, KeyError):  # a code of another version, or a damaged line
        single.note(EventCode(event["code"]), event)


def _end_of_lines(file: int) -> int:
    """Where the last whole line of a file ends."""
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - _BLOCK)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
