"""TLS with real certificates: the worker, the front end, and who else may or may not connect."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.catalog import fill
from deploy.controller.access import read_access
from deploy.controller.settings import AccessSettings
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api.dacirco_pb2_grpc import DaCircogRPCServiceStub
from deploy.grpc_api.tls import ClientTls, as_inline, open_channel, read_ca, read_certificate
from deploy.managers.base import SpawnOrder
from deploy.managers.environment import WorkerLink
from deploy.storage.directory import DirectoryStorage
from deploy.worker.settings import read_settings
from env.catalog import load_catalog
from env.config import load_profile
from env.errors import DaCircoError
from tests.deploy.certificates import Authority, Files
from tests.deploy.live_controller import controller_in
from tests.deploy.worker_process import running_worker

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0
NOBODY = pb.RequestID(request_id="nobody")


def with_tls(files: Files, **changes: Any) -> AccessSettings:
    made = AccessSettings(tls_cert=files.certificate, tls_key=files.key, tls_ca=files.ca)
    return replace(made, **changes)


async def ask(port: int, tls: ClientTls | None, metadata: Any = ()) -> grpc.StatusCode:
    """What comes of a front end's call."""
    async with open_channel(f"127.0.0.1:{port}", tls) as channel:
        stub: Any = DaCircogRPCServiceStub(channel)  # type: ignore[no-untyped-call]
        try:
            await stub.get_request_status(NOBODY, timeout=5, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_who_gets_through_which_port(authority: Authority, tmp_path: Path) -> None:
    server = authority.sign("controller", ip="127.0.0.1", dns="controller.test")
    fronts = Authority(tmp_path, "front-ends")
    front, stranger = fronts.sign("rest-api"), authority.sign("no-front-end")
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("t" * 32)
    access = with_tls(
        server,
        plaintext_port=0,
        front_end_port=0,
        front_end_ca=fronts.path,
        front_end_token_file=token,
        local_needs_token=True,
    )
    ca = authority.path.read_bytes()
    ours = ClientTls(ca)
    away, no_one = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED
    bearer = (("authorization", "Bearer " + "t" * 32),)

    async def story() -> None:
        async with controller_in(tmp_path, access=access) as running:
            ports = running.controller.ports
            assert ports.plaintext is not None
            assert ports.front_ends is not None
            assert len({ports.main, ports.plaintext, ports.front_ends}) == 3
            assert await ask(ports.main, ours) is no_one
            assert await ask(ports.main, ours, bearer) is grpc.StatusCode.OK
            named = ClientTls(ca, "controller.test")
            assert await ask(ports.main, named, bearer) is grpc.StatusCode.OK
            assert await ask(ports.main, ClientTls(ca, "other.test"), bearer) is away
            assert await ask(ports.main, ClientTls(fronts.path.read_bytes()), bearer) is away
            assert await ask(ports.main, None, bearer) is away
            assert await ask(ports.plaintext, None, bearer) is grpc.StatusCode.OK
            assert await ask(ports.plaintext, None) is no_one
            own = read_certificate(front.certificate, front.key)
            assert await ask(ports.front_ends, replace(ours, own=own)) is grpc.StatusCode.OK
            foreign = read_certificate(stranger.certificate, stranger.key)
            assert await ask(ports.front_ends, replace(ours, own=foreign)) is away
            assert await ask(ports.front_ends, ours, bearer) is away
            # At the other ports a certificate is not asked for, and opens nothing.
            assert await ask(ports.main, replace(ours, own=own)) is no_one

    asyncio.run(story())


def test_our_worker_and_one_that_knows_no_tls_beside_each_other(
    authority: Authority, tmp_path: Path
) -> None:
    server = authority.sign("controller", dns="controller.test")
    access = with_tls(server, plaintext_port=0, tls_server_name="controller.test")

    async def story() -> None:
        async with controller_in(
            tmp_path, access=access, scheduler="reserve-k:spares=2"
        ) as running:
            first, second = await running.spawned(1), await running.spawned(2)
            # The one of the existing system: contract variables only, spoken to in plain text.
            assert await running.register(second.worker_id)
            conductor = running.controller.conductor
            inline = as_inline(read_ca(str(authority.path), "--tls-ca"))
            ports = running.controller.ports
            link = WorkerLink(
                "127.0.0.1",
                ports.plaintext or 0,
                storage=str(tmp_path / "storage"),
                tls_ca=inline,
                tls_server_name="controller.test",
                tls_port=ports.main,
            )
            variables = {
                name.removeprefix("TCWORKER_"): value
                for name, value in link.environment(first).items()
            }

            def work() -> None:
                given = {**variables, "GRPC_PORT": "1"}  # nobody listens there: TLS_PORT counts
                with running_worker(tmp_path, 1, link.storage, **given):
                    deadline = time.monotonic() + PATIENCE_S
                    while not conductor.streams.is_open(first.worker_id):
                        assert time.monotonic() < deadline
                        time.sleep(0.05)

            await asyncio.to_thread(work)
            log = next(tmp_path.glob("*.log")).read_text()
            assert "registered as" in log
            assert first.secret not in log

    asyncio.run(story())


def test_the_environment_tells_a_worker_all_of_it(authority: Authority) -> None:
    order = SpawnOrder("w", "tc", load_profile("openstack").cluster.flavors[0], secret="s")
    ca = read_ca(str(authority.path), "--tls-ca")
    plain = {"storage": "/data"}
    link = WorkerLink("10.0.0.1", 50051, **plain, tls_ca=as_inline(ca), tls_server_name="name")  # type: ignore[arg-type]
    settings = read_settings([], link.environment(order))
    assert settings.tls == ClientTls(ca, "name")
    assert settings.controller_port == 50051
    settings = read_settings([], replace(link, tls_port=50052).environment(order))
    assert settings.controller_port == 50052
    without = read_settings([], WorkerLink("10.0.0.1", storage="/data").environment(order))
    assert without.tls is None
    assert without.controller_port == 50051


def test_what_cannot_work_is_told_at_the_start(authority: Authority, tmp_path: Path) -> None:
    good = authority.sign("controller", ip="127.0.0.1")
    late = authority.sign("late", ip="127.0.0.1", lasts=timedelta(days=-1))
    other = Authority(tmp_path, "other").path

    async def start(access: AccessSettings) -> None:
        async with controller_in(tmp_path, access=access):
            pass

    for access, words in (
        (with_tls(good, tls_server_name="other.test"), "--tls-server-name"),
        (with_tls(good, tls_ca=other), "clients would not accept"),
        (with_tls(late), "expired"),
        (with_tls(good, tls_key=late.key), "key values mismatch"),
        (with_tls(good, tls_key=None), "all of --tls-cert, --tls-key and --tls-ca"),
        (with_tls(good, tls_cert=tmp_path / "none"), "No such file"),
        (with_tls(good, tls_ca=good.key), "no certificate in PEM"),
        (with_tls(good, front_end_port=0), "--front-end-ca"),
        (AccessSettings(plaintext_port=1), "--plaintext-port needs"),
        (AccessSettings(trusted_front_ends=("10.0.0.1/8",)), "10.0.0.1/8.*host bits"),
        (AccessSettings(trusted_front_ends=("front.test",)), "front.test"),
        (AccessSettings(local_needs_token=True), "shuts every front end out"),
    ):
        with pytest.raises(DaCircoError, match=words):
            asyncio.run(start(access))
    good.key.chmod(0o644)
    with pytest.raises(DaCircoError, match="chmod 600"):
        read_access(with_tls(good))


# -- as a user does -------------------------------------------------------------------


@contextmanager
def program(module: str, options: Sequence[object], folder: Path, said: str) -> Iterator[str]:
    """A program that has said that it serves: the line in which it did."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, options)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: queue.Queue[str] = queue.Queue()
    told: list[str] = []
    assert process.stdout is not None
    out = process.stdout

    def read() -> None:
        for line in out:
            lines.put(line)
        lines.put("")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        while True:
            line = lines.get(timeout=PATIENCE_S)
            assert line, "".join(told)
            told.append(line)
            if said in line:
                break
        yield line
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()
            process.wait()
            reader.join()
            out.close()


def http(url: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_job_from_the_front_end_to_a_worker_with_every_wire_encrypted(
    authority: Authority, tmp_path: Path
) -> None:
    server = authority.sign("controller", dns="controller.test")
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("t" * 32)
    movies = tmp_path / "movies.csv"
    movies.write_text("video,duration_s,width,height\nbbb_0.mp4,1,64,48\n")
    storage = DirectoryStorage(tmp_path / "storage")
    storage.prepare()
    fill(storage, load_catalog(str(movies)))
    controller = ["--runner-type", "process", "--port", 0, "--http-port", 0, "--stop-workers"]
    controller += ["--storage", tmp_path / "storage", "--catalog", movies]
    controller += ["--tls-cert", server.certificate, "--tls-key", server.key]
    controller += ["--tls-ca", authority.path, "--tls-server-name", "controller.test"]
    controller += ["--front-end-token-file", token, "--local-front-ends-need-token"]
    with program("deploy.controller.command", controller, tmp_path, "controller ready") as line:
        port = line.split("gRPC port ")[1].split(",")[0]
        front = ["--port", 0, "--grpc-server", "127.0.0.1", "--grpc-port", port]
        front += ["--tls-ca", authority.path, "--tls-server-name", "controller.test"]
        job = {"id_video": "bbb_0.mp4", "bitrate": 500, "speed": "ultrafast"}
        served = "Job API on http://"
        with program("deploy.rest.command", front, tmp_path, served) as said:
            url = "http://" + said.split(served)[1].split(",")[0]
            status, answer = http(f"{url}/jobs", job)
            assert status == 502
            assert "--front-end-token-file" in answer["detail"]
        front += ["--front-end-token-file", token]
        with program("deploy.rest.command", front, tmp_path, served) as said:
            url = "http://" + said.split(served)[1].split(",")[0]
            status, job_id = http(f"{url}/jobs", job)
            assert status == 201
            deadline = time.monotonic() + PATIENCE_S
            while (state := http(f"{url}/jobs/{job_id}/state")[1]) != "Completed":
                assert state != "Error"
                assert time.monotonic() < deadline
                time.sleep(0.1)
    assert storage.size("output-videos/out-bbb_0.mp4") > 0
