"""A program that the embedded service starts, watches and starts again when it dies."""

from __future__ import annotations

import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from env.errors import DaCircoError

_WINDOW_S: Final = 60.0
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
        most_restarts: more of them within a minute are an error.
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
        self._recent: deque[float] = deque()
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
        """Start it, in a session of its own: a Ctrl-C is for the service to handle."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def restart(self) -> None:
        """Start it again after it died.

        Raises:
            ChildError: it has died too often within a minute.
        """
        now = time.monotonic()
        while self._recent and now - self._recent[0] > _WINDOW_S:
            self._recent.popleft()
        if len(self._recent) >= self._most_restarts:
            raise ChildError(
                f"{self.name} died {len(self._recent) + 1} times within a minute; "
                f"the last words of {self.log}: {self.last_words()}"
            )
        self._recent.append(now)
        self.restarts += 1
        self.start()

    def check(self) -> None:
        """See that it runs.

        Raises:
            ChildError: it has ended; the message has the end of its log.
        """
        if not self.alive:
            raise ChildError(f"{self.name} has {self.how_it_ended()}: {self.last_words()}")

    def how_it_ended(self) -> str:
        """The way it went, for people."""
        code = None if self._process is None else self._process.poll()
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
