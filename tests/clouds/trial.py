"""The tests of one control plane, from its set-up to its end, each step within its time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from tests.clouds.cloud import Cloud
from tests.clouds.machine import REPOSITORY

_GRACE_S = 30.0
"""What is told to end for its time has so long to end by itself, seconds."""
_TAIL = 30
"""Lines of a failed set-up's output that are shown."""
_TESTS_FAILED = 1  # pytest's exit code


class Verdict(Enum):
    """What became of a trial."""

    PASSED = "passed"
    FAILED = "FAILED"
    NOT_RUN = "NOT RUN"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each step may take, seconds.

    Attributes:
        set_up_s: packages, the first build, and the start.
        tests_s: the tests.
        again_s: once more those that failed.
    """

    set_up_s: float = 60 * 60.0
    tests_s: float = 15 * 60.0
    again_s: float = 10 * 60.0

    def within(self, left_s: float) -> Limits | None:
        """Limits under which all steps end in so many seconds, none if the tests might not."""
        set_up_s = min(self.set_up_s, left_s - self.tests_s - self.again_s)
        return Limits(set_up_s, self.tests_s, self.again_s) if set_up_s > 0 else None


class Trial:
    """One control plane that is set up, tested and ended.

    One that a developer had started is used, and left up.

    Args:
        cloud: the control plane.
        set_up: command that brings it up; the last line that a failed one prints tells why.
        tests: words that follow pytest.
        limits: of each step.
        patient: what keeps the tests from running to their end is no failure, and tests that
            fail are run once more by themselves: only what fails twice has failed.
    """

    def __init__(
        self,
        cloud: Cloud,
        set_up: Sequence[str],
        tests: Sequence[str],
        *,
        limits: Limits,
        patient: bool = False,
    ) -> None:
        self._cloud, self._set_up, self._limits = cloud, set_up, limits
        self._patient = patient
        self._cache = cloud.state.with_name("pytest")
        self._tests = [sys.executable, "-m", "pytest", *tests, "-o", f"cache_dir={self._cache}"]

    def run(self) -> tuple[Verdict, str]:
        """Run the steps; the verdict, and in a few words why."""
        start = time.monotonic()
        if self._cloud.running():
            return self._test(lambda: None)
        verdict, why = Verdict.NOT_RUN, ""
        try:
            problem = self._up()
            verdict, why = (Verdict.NOT_RUN, problem) if problem else self._test(self._anew)
        finally:
            left = self._down()
        if left and verdict is Verdict.PASSED:
            return Verdict.FAILED, f"left behind: {', '.join(left)}"
        return verdict, why or f"{(time.monotonic() - start) / 60:.1f} min"

    def _test(self, anew: Callable[[], str | None]) -> tuple[Verdict, str]:
        """Run the tests; `anew` sets up a fresh control plane for those that failed."""
        (self._cache / "v/cache/lastfailed").unlink(missing_ok=True)
        code = self._step(self._tests, self._limits.tests_s)
        if code == 0:
            return Verdict.PASSED, ""
        failed = self._failed()
        if code is None:
            why = f"they had not ended after {self._limits.tests_s / 60:g} min"
        else:
            why = ", ".join(failed) or f"pytest ended with {code}"
        if not self._patient or code not in (None, _TESTS_FAILED):
            return Verdict.FAILED, why
        if not failed:
            return Verdict.NOT_RUN, why
        print(f"*** {self._cloud.name}: once more: {', '.join(failed)} ***", flush=True)
        problem = anew()
        if problem:
            return Verdict.FAILED, f"{why}; and then: {problem}"
        code = self._step([*self._tests, "--last-failed"], self._limits.again_s)
        if code == 0:
            return Verdict.PASSED, f"at the second try: {', '.join(failed)}"
        return Verdict.FAILED, ", ".join(self._failed()) or why

    def _anew(self) -> str | None:
        self._down()
        return self._up()

    def _up(self) -> str | None:
        """Set up; why that failed, none if it did not."""
        print(f"{self._cloud.name}: setting up", flush=True)
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            code = self._step(self._set_up, self._limits.set_up_s, output)
            if code == 0:
                return None
            output.seek(0)
            lines = output.read().strip().splitlines()
        print(*lines[-_TAIL:], sep="\n", flush=True)
        if code is None:
            return f"it was not up after {self._limits.set_up_s / 60:.0f} min"
        return lines[-1] if lines else f"its set-up ended with {code}"

    def _down(self) -> list[str]:
        """End the control plane and whatever runs for it; what is still there."""
        try:
            return self._cloud.down()
        except Exception as error:  # whatever it is, something may be left
            return [repr(error)]

    def _failed(self) -> list[str]:
        """The tests that failed in the latest run."""
        try:
            names = json.loads((self._cache / "v/cache/lastfailed").read_text())
        except FileNotFoundError:
            return []
        return [name.rpartition("::")[2] for name in names]

    def _step(
        self, command: Sequence[str], limit_s: float, output: object | None = None
    ) -> int | None:
        """Run a command; its exit code, none if it had to be ended for its time.

        It and all that it starts carries the control plane's marker: what does not end with it
        is ended with the control plane.
        """
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            # Steps have limits of their own, and the first test may wait for a build.
            env={**self._cloud.processes.environment(), "PYTEST_TIMEOUT": "0"},
            stdout=output,  # type: ignore[call-overload]
            stderr=output,
            start_new_session=True,
        )
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
