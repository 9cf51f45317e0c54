"""A real controller process above a real control plane, and what tests ask of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc

from deploy.catalog import fill
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api.dacirco_pb2_grpc import DaCircogRPCServiceStub
from deploy.storage.directory import DirectoryStorage
from env.catalog import load_catalog
from env.event_log import Event, read_events
from env.log_parts import logs_in
from tests.clouds.machine import free_ports
from tests.clouds.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 300.0
MOVIES = "video,duration_s,width,height\n" + "".join(
    f"bbb_{n}.mp4,{1 + n % 3},{160 + 32 * n},{90 + 18 * n}\n" for n in range(10)
)
"""Ten clips that a busy machine transcodes in a second or two."""

LONG_MOVIES = "video,duration_s,width,height\n" + "".join(
    f"bbb_{n}.mp4,30,640,360\n" for n in range(3)
)
"""Three clips that keep a worker of one vCPU busy for seven seconds or more at speed fast."""

COMPLETED, ERROR = pb.REQUEST_STATUS_COMPLETED, pb.REQUEST_STATUS_ERROR


class LiveController:
    """A controller that can be killed and started again in the same folder.

    Args:
        folder: its working directory: store, event logs, output.
        options: of `dacirco_controller`, beside ports, storage and catalog.
        environment: further variables (credentials).
        storage: folder with the videos; shared by controllers beside each other.
        movies: the catalog, as text.
    """

    def __init__(
        self,
        folder: Path,
        options: Sequence[str],
        environment: Mapping[str, str],
        storage: Path,
        movies: str = MOVIES,
    ) -> None:
        self.folder = folder
        # Fixed, so that workers find the next life where the last one was.
        self.port, http_port = free_ports(2)
        catalog = folder / "movies.csv"
        catalog.write_text(movies)
        store = DirectoryStorage(storage)
        store.prepare()
        fill(store, load_catalog(str(catalog)))
        self.storage = store
        self._command = [
            *(sys.executable, "-m", "deploy.controller.command"),
            *("--port", str(self.port), "--http-port", str(http_port)),
            *("--bind", "127.0.0.1", "--ip-address", "127.0.0.1"),
            *("--storage", f"dir://{storage}", "--catalog", str(catalog)),
            *options,
        ]
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """What all lives printed."""
        return (self.folder / "controller.log").read_text(errors="replace")

    def start(self) -> None:
        """Begin a life, and wait until it schedules."""
        lives = self.output.count("controller ready") if self._process else 0
        with (self.folder / "controller.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        process = self._process

        def ready() -> bool:
            assert process.poll() is None, self.output[-3000:]
            return self.output.count("controller ready") > lives

        wait_for(ready, "a ready controller", timeout_s=PATIENCE_S)

    def kill(self) -> None:
        """End this life at once, as a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End this life in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(120)
            finally:
                self._process.kill()
                self._process.wait()

    # -- jobs -------------------------------------------------------------------------

    def submit(self, count: int, first: int = 0, speed: str = "ultrafast") -> list[str]:
        """Submit so many jobs, each with an output of its own."""
        return [
            self.submit_one(f"bbb_{n % 10}.mp4", f"out-{n}.mp4", 500, speed)
            for n in range(first, first + count)
        ]

    def submit_one(self, video: str, output: str, bitrate_kbps: int, speed: str) -> str:
        """Submit a job and return its id."""
        request = pb.TCRequest(
            input_video=video, output_video=output, bitrate=bitrate_kbps, speed=speed
        )
        with self._stub() as stub:
            reply = stub.submit_request(request, timeout=60)
        assert reply.success, reply.error_message
        return str(reply.request_id)

    def states(self, ids: Sequence[str]) -> list[int]:
        """State of each job, as the contract numbers it."""
        with self._stub() as stub:
            return [
                int(
                    stub.get_request_status(pb.RequestID(request_id=job), timeout=60).request_status
                )
                for job in ids
            ]

    def await_completed(self, ids: Sequence[str], least: int | None = None) -> None:
        """Wait until all jobs (or so many) are completed; an error ends the wait."""

        def done() -> bool:
            states = self.states(ids)
            assert ERROR not in states, self.output[-3000:]
            return states.count(COMPLETED) >= (len(ids) if least is None else least)

        wait_for(done, "the jobs", timeout_s=PATIENCE_S, every_s=0.5)

    def await_event(self, code: str, count: int = 1) -> None:
        """Wait until so many events of a code are in the logs."""
        wait_for(lambda: self.codes()[code] >= count, code, timeout_s=PATIENCE_S)

    def events(self) -> list[Event]:
        """The events of all lives."""
        return [event for log in logs_in(self.folder) for _, event in read_events(log)]

    def codes(self) -> Counter[str]:
        """How often each code was logged."""
        return Counter(event["code"] for event in self.events())

    def await_transcoding(self, least: int) -> list[str]:
        """Wait until so many workers transcode at the same time; their names."""

        def busy() -> list[str] | None:
            state: dict[str, bool] = {}
            for event in self.events():
                if event["code"] in {"EV5", "EV6", "EV8", "EV23"}:
                    state[event["worker_id"]] = event["code"] == "EV5"
            names = self._names()
            found = sorted(names[worker_id] for worker_id, holds in state.items() if holds)
            return found if len(found) >= least else None

        return wait_for(busy, f"{least} transcodes", timeout_s=PATIENCE_S)

    def lost(self) -> list[str]:
        """Names of the workers that vanished or fell silent, in order."""
        names = self._names()
        return [names[event["worker_id"]] for event in self.events() if event["code"] == "EV23"]

    def _names(self) -> dict[str, str]:
        return {e["worker_id"]: e["name"] for e in self.events() if e["code"] == "EV2"}

    def check_each_job_ended_once(self, ids: Sequence[str]) -> None:
        """Every job was delivered once, and its video is whole."""
        uploaded = Counter(e["request_id"] for e in self.events() if e["code"] == "EV7")
        assert set(uploaded) <= set(ids)
        assert set(uploaded.values()) <= {1}
        assert self.states(ids) == [COMPLETED] * len(ids)
        for number in range(len(ids)):
            assert self.storage.size(f"output-videos/out-{number}.mp4") > 0

    @contextmanager
    def _stub(self) -> Iterator[DaCircogRPCServiceStub]:
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            grpc.channel_ready_future(channel).result(60)
            yield DaCircogRPCServiceStub(channel)  # type: ignore[no-untyped-call]


@contextmanager
def living(controller: LiveController) -> Iterator[LiveController]:
    """Started, and ended whatever happens."""
    try:
        controller.start()
        yield controller
    finally:
        controller.stop()
