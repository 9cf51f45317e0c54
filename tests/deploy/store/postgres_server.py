"""A PostgreSQL of the tests' own: started where its programs are installed, gone with the tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import psycopg

_PATIENCE_S = 60.0
_USER = "postgres"
"""PostgreSQL refuses to run as root: then it runs as this one, whom its package makes."""


def programs() -> Path | None:
    """Where the newest installed PostgreSQL has its programs; none if there is none."""
    on_path = shutil.which("initdb")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    if on_path is not None:
        return Path(on_path).parent
    return found[-1] if found else None


class PostgresServer:
    """A server with databases in a new folder; a context."""

    def __init__(self) -> None:
        found = programs()
        assert found is not None
        self._programs = found
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # Not pytest's own folder, which only its user may enter.
        self._folder = Path(tempfile.mkdtemp(prefix="dacirco-postgres-"))
        if os.getuid() == 0:
            shutil.chown(self._folder, _USER)
        options = ["-A", "trust", "-U", _USER, "--no-sync", "-E", "UTF8", "--no-locale"]
        command = self._command("initdb", "-D", self._folder / "data", *options)
        try:
            subprocess.run(command, check=True, capture_output=True, cwd="/")
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)  # killed outright it would leave shared memory behind
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start it, on the same port each time, and wait until it answers."""
        command = self._command(
            *("postgres", "-D", self._folder / "data", "-p", str(self.port), "-k", self._folder),
            *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"),
        )
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log)
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                psycopg.connect(self._conninfo("postgres")).close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < deadline, "PostgreSQL does not start"
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT breaks off all sessions, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_PATIENCE_S)
            self._process = None

    def new_database(self) -> str:
        """An empty database: its URL."""
        name = f"test{time.monotonic_ns()}"
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        return f"postgresql+psycopg://{_USER}@127.0.0.1:{self.port}/{name}"

    def _conninfo(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user={_USER} dbname={database}"

    def _command(self, program: str, *arguments: str | Path) -> list[str]:
        # It ends with us however we end, so that nothing is left behind.
        wrapped = ["setpriv", "--pdeathsig", "QUIT"]
        if os.getuid() == 0:
            wrapped += [f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]
        return [*wrapped, str(self._programs / program), *map(str, arguments)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
