"""One campaign: start the service, submit jobs, disturb its parts, wait for the end, judge."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import requests

from deploy.chaos.clips import Clip, make_clips, write_catalog
from deploy.chaos.disks import disks_can_be_made, small_disk
from deploy.chaos.faults import Faults
from deploy.chaos.plan import FaultKind, Plan
from deploy.chaos.sickroom import Sickroom
from deploy.chaos.verdict import Verdict, judge
from deploy.chaos.victims import processes_of
from deploy.embedded.commands import environment
from deploy.embedded.data_folder import DataFolder
from deploy.media.ffmpeg import FFMPEG_VARIABLE, find_ffmpeg
from env.errors import DaCircoError

_PATIENCE_S: Final = 300.0
_POLL_S: Final = 0.2
_CALL_TIMEOUT_S: Final = 15.0
_ENDED: Final = ("Completed", "Error")
_SERVICE_DISK_MIB: Final = 512
_WORKERS_DISK_MIB: Final = 64


class ChaosError(DaCircoError):
    """The service did not do in time what it must."""


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
        DaCircoError: the folder is not empty, or full disks alone are wanted where none can be
            made.
    """

    def __init__(self, plan: Plan, folder: Path, log: Callable[[str], None] = print) -> None:
        if folder.is_dir() and any(folder.iterdir()):
            raise DaCircoError(f"the folder {folder} is not empty: choose another")
        folder.mkdir(parents=True, exist_ok=True)
        self._plan, self._log = plan, log
        self._folder = folder.absolute()
        self._full_disks = FaultKind.FULL_DISK in plan.kinds and disks_can_be_made(self._folder)
        if FaultKind.FULL_DISK in plan.kinds and not self._full_disks:
            if len(plan.kinds) == 1:
                raise DaCircoError("disks that can be full need a user who may mount them: root")
            log("*** full disks are left out: they need a user who may mount disks (root) ***")
        self._rng = Random(plan.seed)
        self._service: subprocess.Popen[bytes] | None = None
        self._data: DataFolder
        self._faults: Faults
        self._sickroom: Sickroom

    def run(self) -> Verdict:
        """Do it all; whatever happens, no process and no disk stays behind.

        Raises:
            ChaosError: the service did not start, or jobs did not end in time.
        """
        plan = self._plan
        with ExitStack() as stack:
            disks = self._mount(stack)
            self._data = DataFolder(self._folder / "service")
            self._sickroom = Sickroom(self._folder / "sickroom", find_ffmpeg())
            self._faults = Faults(plan, self._data, self._rng, self._sickroom, disks, self._log)
            clips = make_clips(
                self._data.storage / "input-videos",
                plan.jobs - plan.bad_jobs,
                plan.bad_jobs,
                self._rng,
            )
            write_catalog(self._catalog, clips)
            stack.callback(self._sweep)
            try:
                self._start()
                submitted = self._submit_and_disturb(clips)
                self._wait_for_ends(submitted)
                self._stop()
            except BaseException:
                self._keep(disks)
                raise
            left = processes_of(self._data.path)
            verdict = judge(self._data, submitted.accepted, len(left), self._faults.begun)
            if verdict.wrong:
                self._keep(disks)
            return verdict

    @property
    def _catalog(self) -> Path:
        return self._folder / "chaos.csv"

    def _mount(self, stack: ExitStack) -> dict[str, Path]:
        """The disks that can be full, by name."""
        if not self._full_disks:
            return {}
        service = self._folder / "service"
        workers = service / "workers"
        stack.enter_context(small_disk(service, _SERVICE_DISK_MIB))
        stack.enter_context(small_disk(workers, _WORKERS_DISK_MIB))
        return {"the disk of the service": service, "the disk of the workers": workers}

    def _start(self) -> None:
        """Start the service; while a disk is full it may end, and is started again."""
        deadline = time.monotonic() + _PATIENCE_S
        ports = self._data.read_state().get("ports", {})
        self._data.clear_state()
        while True:
            self._launch(ports)
            ended = self._until(
                lambda: bool(self._data.read_state()), "the service starts", may_end=True
            )
            if not ended:
                return
            if time.monotonic() > deadline or not self._faults.lasting:
                raise ChaosError(f"the service does not start: {self._last_words()}")

    def _launch(self, ports: dict[str, int]) -> None:
        command = [sys.executable, "-m", "deploy.up", "--data", str(self._data.path)]
        # Free ports at first, and then the same ones: workers outlive the service and call back.
        for name in ("rest", "grpc", "http"):
            command += [f"--{name}-port", str(ports.get(name, 0))]
        command += ["--catalog", str(self._catalog), "--max-attempts", "1000"]
        command += ["--most-restarts", "1000", *self._plan.options]
        variables = environment(self._data) | {FFMPEG_VARIABLE: str(self._sickroom.ffmpeg)}
        variables.pop("DACIRCO_SERVICE")
        with self._log_file.open("ab") as log:
            self._service = subprocess.Popen(
                command,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def _log_file(self) -> Path:
        return self._folder / "up.log"  # beside the disk that may be full

    def _last_words(self) -> str:
        return self._log_file.read_text(errors="replace")[-500:]

    def _submit_and_disturb(self, clips: list[Clip]) -> Submitted:
        plan = self._plan
        submitted = Submitted()
        waiting = list(clips)
        # A job before the first fault, so that there is something to lose.
        self._submit(waiting.pop(), submitted)
        share = (len(waiting) + plan.faults) / max(1, plan.faults)
        for _ in range(plan.faults):
            for clip in [waiting.pop() for _ in range(min(len(waiting), int(share)))]:
                self._submit(clip, submitted)
            self._pause(self._faults.draw_gap())
            # There may be no worker now: another fault is drawn then.
            self._until(self._faults.begin_one, "there is something to disturb")
            if self._faults.service_killed:
                self._faults.service_killed = False
                assert self._service is not None
                self._service.wait()
                self._start()
        for clip in waiting:
            self._submit(clip, submitted)
        self._log(f"{len(submitted.accepted)} jobs are answered 201; waiting for their ends")
        return submitted

    def _submit(self, clip: Clip, submitted: Submitted) -> None:
        """Ask until the answer is 201, as a client that does not give up would."""
        body = {
            "id_video": clip.name,
            "bitrate": self._rng.randint(500, 8000),
            "speed": self._rng.choice(("ultrafast", "fast")),
        }

        def accepted() -> bool:
            try:
                url = f"{self._data.read_state()['rest_url']}/jobs"
                answer = requests.post(url, json=body, timeout=_CALL_TIMEOUT_S)
            except (requests.RequestException, KeyError):
                submitted.unanswered += 1
                return False
            if answer.status_code != requests.codes.created:
                return False
            submitted.accepted[str(answer.json())] = clip
            return True

        self._until(accepted, f"{clip.name} is answered 201")

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
            self._until(all_ended, "all jobs have ended", patience_s=self._plan.patience_s)
        except ChaosError as error:
            raise ChaosError(f"{error}; still open: {', '.join(open_jobs)}") from None

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._faults.end_due()
            time.sleep(min(_POLL_S, max(0.0, end - time.monotonic())))

    def _until(
        self,
        condition: Callable[[], bool],
        what: str,
        *,
        patience_s: float = _PATIENCE_S,
        may_end: bool = False,
    ) -> bool:
        """Wait for something, and meanwhile end the faults whose time is over.

        Args:
            condition: what is waited for.
            what: it in words.
            patience_s: how long, seconds.
            may_end: whether the service may end meanwhile.

        Returns:
            Whether the service has ended.

        Raises:
            ChaosError: the time is over, or the service has ended though it must not.
        """
        deadline = time.monotonic() + patience_s
        while not condition():
            self._faults.end_due()
            if self._service is not None and self._service.poll() is not None:
                if may_end:
                    return True
                raise ChaosError(f"the service has ended while {what}: {self._last_words()}")
            if time.monotonic() > deadline:
                raise ChaosError(f"waited {patience_s:.0f} s in vain until {what}")
            time.sleep(_POLL_S)
        return False

    def _stop(self) -> None:
        """As Ctrl-C does."""
        assert self._service is not None
        self._service.send_signal(signal.SIGINT)
        code = self._service.wait(_PATIENCE_S)
        if code != 0:
            raise ChaosError(f"the service ended with code {code} after Ctrl-C")

    def _keep(self, disks: dict[str, Path]) -> None:
        """Copy what a disk in memory holds to where it can be looked at afterwards."""
        self._faults.end_all()
        self._sweep()
        if disks:
            shutil.copytree(self._data.path, self._folder / "kept", ignore_dangling_symlinks=True)

    def _sweep(self) -> None:
        self._faults.end_all()
        if self._service is not None and self._service.poll() is None:
            self._service.terminate()
            try:
                self._service.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._service.kill()
                self._service.wait()
        for process in processes_of(self._data.path):
            process.kill()
