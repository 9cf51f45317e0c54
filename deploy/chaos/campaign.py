"""One campaign: start the service, submit jobs, kill its parts, wait for the end, judge."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import requests

from deploy.chaos.clips import Clip, make_clips, write_catalog
from deploy.chaos.verdict import Verdict, judge
from deploy.chaos.victims import Victim, kill_one, processes_of
from deploy.embedded.commands import environment
from deploy.embedded.data_folder import DataFolder
from env.errors import DaCircoError

_PATIENCE_S: Final = 300.0
_POLL_S: Final = 0.2
_CALL_TIMEOUT_S: Final = 15.0
_ENDED: Final = ("Completed", "Error")
_MOST_LOGS: Final = 90
"""The event log has 99 names, and each start of the controller takes one."""


class ChaosError(DaCircoError):
    """The service did not do in time what it must."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a campaign does.

    Attributes:
        jobs: how many are submitted.
        bad_jobs: how many of them have a file that is no video.
        kills: how many processes are killed while jobs come and run.
        seed: of everything random.
        mean_gap_s: mean time between two kills, seconds (exponential).
        patience_s: after the last kill, how long until every job must have ended, seconds.
        service_share: share of the kills that hit the program that keeps the others running.
        options: further options of ``python -m deploy.up``.
    """

    jobs: int = 8
    bad_jobs: int = 2
    kills: int = 6
    seed: int = 0
    mean_gap_s: float = 3.0
    patience_s: float = 180.0
    service_share: float = 0.1
    options: tuple[str, ...] = ()


@dataclass(slots=True)
class Submitted:
    """What clients know.

    Attributes:
        accepted: the clip of each job that was answered 201, by id.
        unanswered: calls that got no answer: their jobs may be there or not.
    """

    accepted: dict[str, Clip] = field(default_factory=dict)
    unanswered: int = 0


class Campaign:
    """Runs a plan in an empty folder.

    Args:
        plan: what to do.
        folder: for the service's data and its output.
        log: told in one line what happens.

    Raises:
        DaCircoError: the folder is not empty, or the plan has more kills than logs.
    """

    def __init__(self, plan: Plan, folder: Path, log: Callable[[str], None] = print) -> None:
        if plan.kills > _MOST_LOGS:
            raise DaCircoError(f"{plan.kills} kills are too many: at most {_MOST_LOGS}")
        if not 0 <= plan.bad_jobs <= plan.jobs:
            raise DaCircoError(f"{plan.bad_jobs} of {plan.jobs} jobs cannot be bad")
        if folder.is_dir() and any(folder.iterdir()):
            raise DaCircoError(f"the folder {folder} is not empty: choose another")
        self._plan = plan
        self._log = log
        self._rng = Random(plan.seed)
        self._data = DataFolder(folder)
        self._catalog = self._data.path / "chaos.csv"
        self._service: subprocess.Popen[bytes] | None = None
        self.kills: Counter[Victim] = Counter()

    def run(self) -> Verdict:
        """Do it all; whatever happens, no process stays behind.

        Raises:
            ChaosError: the service did not start, or jobs did not end in time.
        """
        plan = self._plan
        inputs = self._data.storage / "input-videos"
        clips = make_clips(inputs, plan.jobs - plan.bad_jobs, plan.bad_jobs, self._rng)
        write_catalog(self._catalog, clips)
        try:
            self._start()
            submitted = self._submit_and_kill(clips)
            self._wait_for_ends(submitted)
            self._stop()
            left = processes_of(self._data.path)
        finally:
            self._sweep()
        return judge(self._data, submitted.accepted, len(left), self.kills)

    def _start(self) -> None:
        command = [sys.executable, "-m", "deploy.up", "--data", str(self._data.path)]
        # Free ports at first, and then the same ones: workers outlive the service and call back.
        ports = self._data.read_state().get("ports", {})
        for name in ("rest", "grpc", "http"):
            command += [f"--{name}-port", str(ports.get(name, 0))]
        command += ["--catalog", str(self._catalog), "--max-attempts", "1000"]
        command += ["--most-restarts", "1000", *self._plan.options]
        variables = environment(self._data)
        variables.pop("DACIRCO_SERVICE")
        self._data.clear_state()
        with (self._data.logs / "up.log").open("ab") as log:
            self._service = subprocess.Popen(
                command,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._until(lambda: bool(self._data.read_state()), "the service starts", _PATIENCE_S)

    def _submit_and_kill(self, clips: list[Clip]) -> Submitted:
        plan, rng = self._plan, self._rng
        submitted = Submitted()
        waiting = list(clips)
        # A job before the first kill, so that there is something to lose.
        self._submit(waiting.pop(), submitted)
        share = (len(waiting) + plan.kills) / max(1, plan.kills)
        for _ in range(plan.kills):
            for clip in [waiting.pop() for _ in range(min(len(waiting), int(share)))]:
                self._submit(clip, submitted)
            time.sleep(min(rng.expovariate(1 / plan.mean_gap_s), 4 * plan.mean_gap_s))
            self._kill()
        for clip in waiting:
            self._submit(clip, submitted)
        return submitted

    def _submit(self, clip: Clip, submitted: Submitted) -> None:
        """Ask until the answer is 201, as a client that does not give up would."""
        body = {
            "id_video": clip.name,
            "bitrate": self._rng.randint(500, 8000),
            "speed": self._rng.choice(("ultrafast", "fast")),
        }
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            try:
                url = f"{self._data.read_state()['rest_url']}/jobs"
                answer = requests.post(url, json=body, timeout=_CALL_TIMEOUT_S)
            except (requests.RequestException, KeyError):
                submitted.unanswered += 1
            else:
                if answer.status_code == requests.codes.created:
                    submitted.accepted[str(answer.json())] = clip
                    return
            time.sleep(_POLL_S)
        raise ChaosError(f"no answer of 201 to {clip.name} within {_PATIENCE_S:.0f} s")

    def _kill(self) -> None:
        rng, data = self._rng, self._data.path
        if rng.random() < self._plan.service_share:
            assert self._service is not None
            self._service.kill()
            self._service.wait()
            self.kills[Victim.SERVICE] += 1
            self._log("killed the service; starting it again")
            self._start()
            return
        wanted = [Victim.CONTROLLER, Victim.REST_API, Victim.WORKER, Victim.WORKER]
        rng.shuffle(wanted)

        def kill() -> bool:
            """Kill the first wanted that is there: there may be no worker now."""
            victim = next((victim for victim in wanted if kill_one(data, victim, rng)), None)
            if victim is not None:
                self.kills[victim] += 1
                self._log(f"killed a {victim}")
            return victim is not None

        self._until(kill, "there is something to kill", _PATIENCE_S)

    def _wait_for_ends(self, submitted: Submitted) -> None:
        open_jobs: list[str] = []

        def all_ended() -> bool:
            nonlocal open_jobs
            try:
                url = self._data.read_state()["rest_url"]
                ids = requests.get(f"{url}/jobs", timeout=_CALL_TIMEOUT_S).json()["items"]
                states = {
                    job: requests.get(f"{url}/jobs/{job}/state", timeout=_CALL_TIMEOUT_S).json()
                    for job in ids
                }
            except (requests.RequestException, KeyError, TypeError):
                return False
            open_jobs = [job for job, state in states.items() if state not in _ENDED]
            return not open_jobs and set(submitted.accepted) <= set(states)

        try:
            self._until(all_ended, "all jobs have ended", self._plan.patience_s)
        except ChaosError as error:
            raise ChaosError(f"{error}; still open: {', '.join(open_jobs)}") from None

    def _until(self, condition: Callable[[], bool], what: str, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            if self._service is not None and self._service.poll() is not None:
                log = (self._data.logs / "up.log").read_text(errors="replace")
                raise ChaosError(f"the service has ended while waiting until {what}: {log[-500:]}")
            if time.monotonic() > deadline:
                raise ChaosError(f"waited {patience_s:.0f} s in vain until {what}")
            time.sleep(_POLL_S)

    def _stop(self) -> None:
        """As Ctrl-C does."""
        assert self._service is not None
        self._service.send_signal(signal.SIGINT)
        code = self._service.wait(_PATIENCE_S)
        if code != 0:
            raise ChaosError(f"the service ended with code {code} after Ctrl-C")

    def _sweep(self) -> None:
        if self._service is not None and self._service.poll() is None:
            self._service.terminate()
            try:
                self._service.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._service.kill()
                self._service.wait()
        for process in processes_of(self._data.path):
            process.kill()
