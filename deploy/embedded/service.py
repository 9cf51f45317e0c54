"""The embedded service: controller and Job API as programs, kept running until it is stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import psutil
import requests

from deploy.embedded.child import Child
from deploy.embedded.commands import (
    CONTROLLER_MODULE,
    REST_MODULE,
    SERVICE_VARIABLE,
    controller_command,
    environment,
    rest_command,
)
from deploy.embedded.data_folder import DataFolder
from deploy.embedded.ports import claim
from deploy.embedded.settings import LOOPBACK, EmbeddedSettings
from deploy.managers.confinement import choose_confinement
from deploy.managers.process import CONTROLLER_VARIABLE
from deploy.managers.tagged import command_line, kill_all, tagged, variables_of
from env.errors import DaCircoError

_READY_PATIENCE_S: Final = 180.0
_POLL_S: Final = 0.1
_TELL_AGAIN_S: Final = 5.0
_WORKER_GRACE_S: Final = 3.0


class EmbeddedService:
    """Controller, Job API and workers on this machine.

    Args:
        settings: ports, policy and folder.
        log: told in one line what happens.

    Raises:
        DaCircoError: the folder is in use or cannot be made, or a port is taken.
    """

    def __init__(self, settings: EmbeddedSettings, log: Callable[[str], None] = print) -> None:
        self.data = DataFolder(settings.data)
        self._log = log
        self._untold = 0.0  # when the state is to be written again, if it could not be
        self.data.lock()
        try:
            self._end_strays()
            self.settings = replace(
                settings,
                rest_port=claim(settings.rest_port, "the Job API", "--rest-port"),
                grpc_port=claim(settings.grpc_port, "the controller", "--grpc-port"),
                http_port=claim(settings.http_port, "the controller's metrics", "--http-port"),
            )
        except BaseException:
            self.data.unlock()
            raise
        self._controller = self._child("controller", controller_command(self.settings, self.data))
        self._rest = self._child("rest-api", rest_command(self.settings))

    @property
    def rest_url(self) -> str:
        """Address of the Job API."""
        return f"http://{LOOPBACK}:{self.settings.rest_port}"

    @property
    def controller_url(self) -> str:
        """Address of the controller's metrics, health and preference."""
        return f"http://{LOOPBACK}:{self.settings.http_port}"

    def start(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Start the programs and wait until they are ready.

        Args:
            stopped: asked several times a second; ends the wait.

        Raises:
            DaCircoError: one ends, or is not ready within three minutes.
        """
        for child, url in ((self._controller, self.controller_url), (self._rest, self.rest_url)):
            child.start()
            self._wait_ready(child, f"{url}/ready", stopped)
        # From now on the store knows the preference, and how the operator has changed it since.
        self._controller.command = controller_command(
            replace(self.settings, preference=None), self.data
        )
        self._tell_state()

    def keep_running(self, stopped: Callable[[], bool]) -> None:
        """Start again what dies, until told to stop; what lives is left alone meanwhile.

        Args:
            stopped: asked several times a second.
        """
        while not stopped():
            time.sleep(_POLL_S)
            for child in (self._controller, self._rest):
                news = child.revive()
                if news:
                    self._log(news)
                    self._tell_state()
            if self._untold and time.monotonic() >= self._untold:
                self._tell_state()

    def stop(self) -> None:
        """End everything, workers too. Jobs that have not ended go on at the next start."""
        self._rest.stop()
        self._controller.stop()
        self._end_workers()
        self.data.clear_state()
        self.data.unlock()

    def _child(self, name: str, command: list[str]) -> Child:
        log = self.data.logs / f"{name}.log"
        most = self.settings.most_restarts
        return Child(name, command, environment(self.data), self.data.path, log, most)

    def _wait_ready(self, child: Child, url: str, stopped: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY_PATIENCE_S
        while time.monotonic() < deadline:
            if stopped():
                return
            child.check()
            try:
                if requests.get(url, timeout=2).ok:
                    return
            except requests.RequestException:
                pass
            time.sleep(_POLL_S)
        raise DaCircoError(
            f"the {child.name} is not ready after {_READY_PATIENCE_S:.0f} s; see {child.log}"
        )

    def _tell_state(self) -> None:
        """Write it down; a disk that takes nothing does not end a service that works."""
        try:
            self.data.write_state(self._state())
        except DaCircoError as error:
            if not self._untold:
                self._log(f"{error}; the service goes on, and tries it again")
            self._untold = time.monotonic() + _TELL_AGAIN_S
        else:
            self._untold = 0.0

    def _state(self) -> dict[str, object]:
        return {
            "service": os.getpid(),
            "controller": self._controller.pid,
            "rest_api": self._rest.pid,
            "restarts": self._controller.restarts + self._rest.restarts,
            "ports": {
                "rest": self.settings.rest_port,
                "grpc": self.settings.grpc_port,
                "http": self.settings.http_port,
            },
            "rest_url": self.rest_url,
            "controller_url": self.controller_url,
        }

    def _ours(self) -> list[psutil.Process]:
        return tagged(SERVICE_VARIABLE, str(self.data.path))

    def _end_strays(self) -> None:
        """End the programs of a service of this folder that was killed; workers are adopted."""
        kill_all(
            lambda: [
                process
                for process in self._ours()
                if CONTROLLER_VARIABLE not in variables_of(process)
                and {CONTROLLER_MODULE, REST_MODULE} & set(command_line(process))
            ]
        )

    def _end_workers(self) -> None:
        ours = self._ours()
        owners = {variables_of(process).get(CONTROLLER_VARIABLE) for process in ours} - {None}
        for process in ours:
            try:
                process.terminate()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(ours, timeout=_WORKER_GRACE_S)
        kill_all(self._ours)
        for owner in owners:
            choose_confinement(str(owner)).tidy()
