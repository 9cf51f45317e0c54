"""Webhooks: where they may go, their signature, and that each is delivered in the end."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.controller.settings import WebhookSettings
from deploy.controller.webhook_options import make_sender
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api import jobs_pb2 as jobs
from deploy.grpc_api.jobs_pb2_grpc import DaCircoJobsStub
from deploy.webhooks.sender import DeliveryError, Sender
from deploy.webhooks.signature import EVENT_HEADER, SIGNATURE_HEADER, sign, verify
from deploy.webhooks.target import Allowed, TargetError, parse_target
from env.errors import DaCircoError
from tests.deploy.live_controller import Running, controller_in, until

SECRET = b"a secret of some length"


@dataclass
class Receiver:
    """What a client's server has got, and how it answers."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def receiving(*answers: int) -> Iterator[Receiver]:
    """A client's server on loopback; answers in this order, then with 200."""
    receiver = Receiver(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append((dict(self.headers), body))
            self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook?x=1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# -- where they may go ----------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http:///x",
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://exam ple.com/",
        "http://example.com/\r\nHost: x",
        "http://example.com\\@127.0.0.1/",
        "http://ex\u00e4mple.com/",
        "http://[::1/",
        "http://a..b/",
        "http://" + "a" * 64 + ".com/",
        "http://example.com/" + "x" * 1000,
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(TargetError):
        parse_target(url)


def test_a_url_in_its_parts() -> None:
    target = parse_target("HTTPS://Example.COM.:8443/a/b?c=d#e")
    assert (target.secure, target.host, target.port) == (True, "example.com", 8443)
    assert (target.path, target.authority) == ("/a/b?c=d", "example.com:8443")
    target = parse_target("http://[2001:db8::1]")
    assert (target.host, target.port, target.path) == ("2001:db8::1", 80, "/")
    assert target.authority == "[2001:db8::1]"


PRIVATE = (
    *("127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0"),
    *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1"),
    *("::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "2001::1"),
)


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    literal = f"[{address}]" if ":" in address else address
    allowed = Allowed(look_up=lambda *_: [address])
    with pytest.raises(TargetError, match="not a public one"):
        allowed.check_early(parse_target(f"http://{literal}/"))
    # Also behind a name, and beside a public address.
    for found in ([address], ["8.8.8.8", address]):
        with pytest.raises(TargetError, match="not a public one"):
            Allowed(look_up=lambda *_, found=found: found).address_of(
                parse_target("http://innocent.example/")
            )


@pytest.mark.parametrize("odd", ["0x7f.1", "2130706433", "127.1", "localhost"])
def test_other_spellings_of_loopback_are_refused(odd: str) -> None:
    with pytest.raises(TargetError):
        Allowed().address_of(parse_target(f"http://{odd}:1/"))


def test_what_the_operator_allows() -> None:
    def allowed(*more: str) -> Allowed:
        return Allowed(more, look_up=lambda *_: ["10.1.2.3"])

    inside, below = parse_target("http://hooks.internal/"), parse_target("http://a.corp.example/")
    assert allowed("10.0.0.0/8").address_of(inside) == "10.1.2.3"
    assert allowed("10.1.2.3").address_of(inside) == "10.1.2.3"
    assert allowed("Hooks.Internal").address_of(inside) == "10.1.2.3"
    assert allowed("*.corp.example").address_of(below) == "10.1.2.3"
    for more in (("10.2.0.0/16",), ("internal",), ("*.hooks.internal",), ()):
        with pytest.raises(TargetError):
            allowed(*more).address_of(inside)
    public = Allowed(look_up=lambda *_: ["8.8.8.8", "2606:4700::1111"])
    assert public.address_of(inside) == "8.8.8.8"
    with pytest.raises(TargetError, match="cannot be found"):
        Allowed(look_up=lambda *_: []).address_of(inside)
    for wrong in ("10.0.0.1/8", "http://x", "", "*."):
        with pytest.raises(DaCircoError, match="webhook-allow"):
            Allowed([wrong])


# -- the signature --------------------------------------------------------------------


@given(st.binary(max_size=50), st.integers(10**9, 10**10))
def test_a_signature_holds_for_its_secret_body_and_time(body: bytes, moment: int) -> None:
    header = sign(SECRET, body, moment)
    assert verify(SECRET, header, body, now=moment + 10)
    assert not verify(b"another", header, body, now=moment)
    assert not verify(SECRET, header, body + b"x", now=moment)
    assert not verify(SECRET, header, body, now=moment + 301)
    assert not verify(SECRET, header, body, now=moment - 301)
    assert not verify(SECRET, header.replace("t=", "t=1"), body, now=moment)


@given(st.text(max_size=40))
def test_whatever_is_in_the_header(header: str) -> None:
    assert not verify(SECRET, header, b"x")


# -- delivery -------------------------------------------------------------------------


def test_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # not for these
    with receiving(200, 302, 500, 410) as receiver:
        sender = Sender(SECRET, Allowed(["127.0.0.1"]))
        sender.send(receiver.url, '{"a": 1}', "e1", 1_800_000_000.5)
        headers, body = receiver.got[0]
        assert body == b'{"a": 1}'
        assert headers["Host"] == receiver.url.split("/")[2]
        assert headers[EVENT_HEADER] == "e1"
        assert headers["Content-Type"] == "application/json"
        assert verify(SECRET, headers[SIGNATURE_HEADER], body, now=1_800_000_000)
        for final in (False, False, True):
            with pytest.raises(DeliveryError) as error:
                sender.send(receiver.url, "{}", "e1", 1.0)
            assert error.value.final is final
        assert len(receiver.got) == 4  # a redirection is not followed
    with pytest.raises(DeliveryError, match="no answer"):
        sender.send(receiver.url, "{}", "e1", 1.0)
    with pytest.raises(DeliveryError, match="not a public one"):
        Sender(SECRET, Allowed()).send(receiver.url, "{}", "e1", 1.0)


def new_job(**wishes: Any) -> jobs.NewJob:
    asked = {"input_video": "bbb_0.mp4", "output_video": "out-bbb_0.mp4"}
    return jobs.NewJob(**asked, bitrate=1000, speed="fast", **wishes)


@pytest.fixture
def webhooks(tmp_path: Path) -> WebhookSettings:
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\n")
    path.chmod(0o600)
    return WebhookSettings(path, ("127.0.0.1",), first_pause_s=0.05)


def stub(running: Running) -> Any:
    return DaCircoJobsStub(running.channel)  # type: ignore[no-untyped-call]


def test_the_end_of_a_job_is_told_until_it_is_taken_also_after_a_restart(
    tmp_path: Path, webhooks: WebhookSettings
) -> None:
    async def story() -> None:
        with receiving(*[503] * 1000) as receiver:
            async with controller_in(tmp_path, webhooks=webhooks) as running:
                job = new_job(webhook=receiver.url)
                job_id = (await stub(running).submit_job(job)).job_id
                await running.submit()  # one that wants none
                details = await stub(running).describe_job(jobs.JobName(job_id=job_id))
                assert details.webhook == receiver.url
                order = await running.spawned()
                assert await running.register(order.worker_id)
                task = await running.tasks(order.worker_id).read()
                await running.finish(order.worker_id, task.task_id)
                await until(lambda: len(receiver.got) >= 3)
            receiver.answers.clear()
            failed = len(receiver.got)
            async with controller_in(tmp_path, running.cloud, webhooks=webhooks) as running:
                await until(lambda: len(receiver.got) > failed)
                cancelled = (await stub(running).submit_job(job)).job_id
                await stub(running).cancel_job(jobs.JobName(job_id=cancelled))
                await until(lambda: len(receiver.got) > failed + 1)
                exposition = running.controller.conductor.metrics.exposition

                def delivered() -> bool:
                    line = 'dacirco_webhook_tries_total{outcome="delivered"} 2.0'
                    return line in exposition().decode()

                await until(delivered)
            told = [json.loads(body) for _, body in receiver.got]
            assert len({headers[EVENT_HEADER] for headers, _ in receiver.got[: failed + 1]}) == 1
            assert told[0] == told[failed]
            assert told[0]["event"] == "job.ended"
            assert told[0]["job"] == {
                "id": job_id,
                "id_video": "bbb_0.mp4",
                "bitrate": 1000,
                "speed": "fast",
                "state": "Completed",
                "error": None,
            }
            assert told[-1]["job"]["id"] == cancelled
            assert told[-1]["job"]["state"] == "Cancelled"
            for headers, body in receiver.got:
                assert verify(SECRET, headers[SIGNATURE_HEADER], body)

    asyncio.run(story())


def test_a_webhook_that_may_not_be_is_refused(tmp_path: Path, webhooks: WebhookSettings) -> None:
    async def story() -> None:
        refused = [(webhooks, "http://10.0.0.1/"), (webhooks, "ftp://example.com/")]
        refused += [(webhooks, "http://localhost/"), (WebhookSettings(), "http://example.com/")]
        for settings, url in refused:
            async with controller_in(tmp_path, webhooks=settings) as running:
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await stub(running).submit_job(new_job(webhook=url))
                assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert not (await running.stub.get_requests(pb.Empty())).request_ids

    asyncio.run(story())


def test_a_secret_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_text("short")
    path.chmod(0o600)
    with pytest.raises(DaCircoError, match="openssl rand"):
        make_sender(WebhookSettings(path))
    path.chmod(0o644)
    with pytest.raises(DaCircoError, match="others can read"):
        make_sender(WebhookSettings(path))
    with pytest.raises(DaCircoError, match="needs --webhook-secret-file"):
        make_sender(WebhookSettings(None, ("10.0.0.1",)))
    assert make_sender(WebhookSettings()) is None
