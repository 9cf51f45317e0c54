"""``python -m deploy.up`` as a user would start it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from deploy.chaos.clips import make_clips, write_catalog
from deploy.chaos.victims import processes_of
from deploy.clients.job_api import JobApi
from deploy.embedded.data_folder import DataFolder


def wait_for(condition: Callable[[], object], what: str, patience_s: float = 90.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


class Service:
    """``python -m deploy.up`` in a folder, as a user would start it."""

    def __init__(self, folder: Path) -> None:
        self.data = DataFolder(folder)
        self.catalog = folder / "clips.csv"
        self.clips = make_clips(self.data.storage / "input-videos", 3, 0, Random(0))
        write_catalog(self.catalog, self.clips)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        command = [sys.executable, "-m", "deploy.up", "--data", str(self.data.path)]
        command += ["--catalog", str(self.catalog), *options]
        for name in ("rest", "grpc", "http"):
            command += [f"--{name}-port", "0"]
        with (self.data.path / "up.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        wait_for(lambda: self.data.read_state() or self.process.poll() is not None, "the service")
        assert self.process.poll() is None, self.output

    def api(self) -> JobApi:
        port = int(str(self.data.read_state()["rest_url"]).rpartition(":")[2])
        return JobApi("127.0.0.1", port, {})

    @property
    def output(self) -> str:
        return (self.data.path / "up.log").read_text()

    def interrupt(self) -> None:
        """As Ctrl-C does in a terminal."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)
        assert self.process.wait(60) == 0, self.output
        assert processes_of(self.data.path) == []

    def sweep(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for process in processes_of(self.data.path):
            process.kill()
