"""A program that the embedded service starts, watches and starts again when it dies."""

from __future__ import annotations

import os
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from env.errors import DaCircoError

_WINDOW_S: Final = 60.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 15.0
_END_PATIENCE_S: Final = 15.0
_TAIL_BYTES: Final = 4000


class ChildError(DaCircoError):
    """A program does not stay alive."""


class Child:
    """One program.

    Args:
        name: for messages.
        command: its command line; may be changed before the next start.
        environment: all of its environment.
        folder: its working directory.
        log: file for its output, appended to.
        most_restarts: more of them within a minute are made after growing pauses.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        most_restarts: int,
    ) -> None:
        self.name = name
        self.log = log
        self.restarts = 0
        self.command = list(command)
        self._environment = dict(environment)
        self._folder = folder
        self._most_restarts = most_restarts
        self._deaths: deque[float] = deque()
        self._pause_s = 0.0
        self._due = 0.0
        self._error = "not been started"
        self._seen_dead = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, none while it does not run."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, in a session of its own: a Ctrl-C is for the service to handle.

        Raises:
            OSError: it cannot be started.
        """
        self._seen_dead = False
        with self._open_log() as log:
            self._process = subprocess.Popen(
                self.command,
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _open_log(self) -> IO[bytes]:
        try:
            return self.log.open("ab")
        except OSError:  # a full disk must not keep a program from running
            return Path(os.devnull).open("ab")

    def revive(self) -> str:
        """Start it again if it is dead and its pause is over; to be called again and again.

        Returns:
            What there is to tell: that it has died, or that it has been started; mostly nothing.
        """
        if self.alive:
            return ""
        now = time.monotonic()
        if not self._seen_dead:
            self._seen_dead = True
            self._due = now + self._next_pause(now)
            if self._due > now:
                return (
                    f"{self.name} has {self.how_it_ended()} ({self.last_words()}); the next try "
                    f"is in {self._due - now:g} s, the rest goes on"
                )
            how = self.how_it_ended()
            self._try()
            return f"{self.name} has {how}; starting it again"
        if now < self._due:
            return ""
        self._try()
        return f"starting {self.name} again"

    def _next_pause(self, now: float) -> float:
        self._deaths.append(now)
        while now - self._deaths[0] > _WINDOW_S:
            self._deaths.popleft()
        if len(self._deaths) <= self._most_restarts and not self._pause_s:
            return 0.0
        if len(self._deaths) == 1:  # it had lived for long
            self._pause_s = 0.0
            return 0.0
        self._pause_s = min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)
        return self._pause_s

    def _try(self) -> None:
        self.restarts += 1
        try:
            self.start()
        except OSError as error:
            self._process, self._error = None, f"not been started: {error.strerror}"

    def check(self) -> None:
        """See that it runs.

        Raises:
            ChildError: it has ended; the message has the end of its log.
        """
        if not self.alive:
            raise ChildError(f"{self.name} has {self.how_it_ended()}: {self.last_words()}")

    def how_it_ended(self) -> str:
        """The way it went, for people."""
        if self._process is None:
            return self._error
        code = self._process.poll()
        if code is None:
            return "not ended"
        return f"been ended by signal {-code}" if code < 0 else f"ended with code {code}"

    def stop(self) -> None:
        """Ask it to end, and kill it if it takes too long."""
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_END_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None

    def last_words(self) -> str:
        """The last line of its log."""
        try:
            tail = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return "(it wrote nothing)"
        lines = [line.strip() for line in tail.splitlines() if line.strip()]
        return lines[-1] if lines else "(it wrote nothing)"
