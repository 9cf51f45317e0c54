"""The door of the gRPC server on its own: who is where, who may, and how many at once."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from pydantic import SecretStr

from deploy.controller import servicer
from deploy.controller.refusals import Trickle
from deploy.controller.servicer import make_server
from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api import dacirco_pb2_grpc as rpc
from deploy.grpc_api.door import NONE_OR_TOO_LONG, REFUSAL, Door
from deploy.grpc_api.front_ends import CERTIFICATE, NO_CREDENTIAL, WRONG_TOKEN, FrontEnds
from deploy.grpc_api.peers import OwnAddresses, address_of, is_unix
from deploy.grpc_api.tokens import Tokens, as_metadata, read_tokens
from env.errors import DaCircoError

TOKEN = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
SERVICE = "/dacirco_grpc_service.DaCircogRPCService/"


# -- where a call comes from ----------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:5000", "127.0.0.1"),
        ("ipv4:10.1.2.3:1", "10.1.2.3"),
        ("ipv6:[::1]:5000", "::1"),
        ("ipv6:%5B::1%5D:5000", "::1"),
        ("ipv6:%5B::ffff:10.1.2.3%5D:5000", "10.1.2.3"),
        ("ipv6:[::ffff:7f00:1]:5000", "127.0.0.1"),
        ("ipv6:[fe80::1%25eth0]:5000", "fe80::1"),
        ("unix:/run/dacirco.sock", None),
        ("unix:", None),
        ("127.0.0.1:5000", None),
        ("ipv4:localhost:5000", None),
        ("ipv4:", None),
        ("", None),
        ("vsock:2:1", None),
    ],
)
def test_the_address_in_a_peer(peer: str, address: str | None) -> None:
    assert str(address_of(peer)) == str(address)


def test_sockets_of_the_file_system_are_of_this_machine() -> None:
    assert is_unix("unix:")
    assert is_unix("unix:/run/x")
    assert is_unix("unix-abstract:x")
    assert not is_unix("ipv4:1.2.3.4:5")
    assert not is_unix("unixoid:1")


def test_an_own_address_is_believed_only_for_a_while() -> None:
    now, interfaces = [0.0], [ipaddress.ip_address("10.0.0.1")]
    own = OwnAddresses(lambda: list(interfaces), lambda: now[0])
    mine, other = interfaces[0], ipaddress.ip_address("10.0.0.2")
    assert mine in own
    assert other not in own
    interfaces[:] = [other]
    now[0] = 60.0
    assert mine not in own
    assert other in own


def test_this_machines_interfaces_are_its_own() -> None:
    assert ipaddress.ip_address("127.0.0.1") in OwnAddresses()
    assert ipaddress.ip_address("192.0.2.1") not in OwnAddresses()  # kept for documentation


# -- who may --------------------------------------------------------------------------


def front_ends(**changes: Any) -> FrontEnds:
    own = OwnAddresses(lambda: [ipaddress.ip_address("10.0.0.1")])
    return FrontEnds(**{"own": own} | changes)


LOCAL = ["ipv4:127.0.0.1:5", "ipv4:127.9.9.9:5", "ipv6:[::1]:5", "unix:", "ipv4:10.0.0.1:5"]
LOCAL += ["ipv6:[::ffff:127.0.0.1]:5", "ipv6:[::ffff:10.0.0.1]:5"]
REMOTE = ["ipv4:10.0.0.2:5", "ipv6:[2001:db8::1]:5", "ipv6:[::ffff:10.0.0.2]:5", "vsock:2:1", ""]


@pytest.mark.parametrize("peer", LOCAL)
def test_front_ends_of_this_machine_need_nothing_unless_told_to(peer: str) -> None:
    assert front_ends().refusal(peer, (), {}) is None
    assert front_ends(local_needs_token=True).refusal(peer, (), {}) is NO_CREDENTIAL


@pytest.mark.parametrize("peer", REMOTE)
def test_others_need_a_token_a_certificate_or_trust(peer: str) -> None:
    tokens = Tokens([SecretStr(TOKEN), SecretStr(OTHER)])
    shown = [as_metadata(SecretStr(token)) for token in (TOKEN, OTHER)]
    assert front_ends().refusal(peer, (), {}) is NO_CREDENTIAL
    assert front_ends().refusal(peer, shown, {}) is NO_CREDENTIAL  # there is no token to match
    guarded = front_ends(tokens=tokens)
    assert guarded.refusal(peer, (), {}) is NO_CREDENTIAL
    for each in shown:
        assert guarded.refusal(peer, (("user-agent", "x"), each), {}) is None
    assert guarded.refusal(peer, (("authorization", f"Bearer {TOKEN}1"),), {}) is WRONG_TOKEN
    assert guarded.refusal(peer, (("authorization", b"\xff\xfe"),), {}) is WRONG_TOKEN  # type: ignore[arg-type]
    assert front_ends().refusal(peer, (), {CERTIFICATE: [b"..."]}) is None


def test_a_trusted_network_is_trusted_in_both_spellings_and_no_other_is() -> None:
    trusting = front_ends(
        trusted=(ipaddress.ip_network("10.0.1.0/24"), ipaddress.ip_network("2001:db8::/64"))
    )
    for peer in ("ipv4:10.0.1.9:5", "ipv6:[::ffff:10.0.1.9]:5", "ipv6:[2001:db8::7]:5"):
        assert trusting.refusal(peer, (), {}) is None
    for peer in ("ipv4:10.0.2.9:5", "ipv6:[2001:db8:1::7]:5", ""):
        assert trusting.refusal(peer, (), {}) is NO_CREDENTIAL


def test_a_tokens_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text(f"# rotated in May\n\n{TOKEN}\n  {OTHER}  \n")
    assert [token.get_secret_value() for token in read_tokens(path)] == [TOKEN, OTHER]
    path.chmod(0o440)  # as Kubernetes mounts a Secret for a group
    assert read_tokens(path)
    for mode in (0o644, 0o602, 0o620, 0o601):
        path.chmod(mode)
        with pytest.raises(DaCircoError, match=r"others can read or change it .*chmod 600"):
            read_tokens(path)
    path.chmod(0o600)
    for text, wrong in (
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("short\n", "shorter than 16"),
        (f"{TOKEN} {OTHER}\n", "has a blank"),
        ("ü" * 20, "other than ASCII"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DaCircoError, match=wrong) as caught:
            read_tokens(path)
        assert TOKEN not in str(caught.value)
    with pytest.raises(DaCircoError, match="not a plain file"):
        read_tokens(tmp_path)
    with pytest.raises(DaCircoError, match="No such file"):
        read_tokens(tmp_path / "none")


# -- how many -------------------------------------------------------------------------


def test_a_trickle_lets_a_burst_through_then_a_few_a_minute_and_tells_the_rest() -> None:
    now = [0.0]
    trickle = Trickle(burst=3, per_minute=6, clock=lambda: now[0])
    assert [trickle.let() for _ in range(5)] == [0, 0, 0, None, None]
    now[0] += 10.0
    assert [trickle.let() for _ in range(3)] == [2, None, None]
    now[0] += 3600.0  # what is saved up is no more than a burst
    assert [trickle.let() for _ in range(5)] == [2, 0, 0, None, None]


class Answers(rpc.DaCircogRPCServiceServicer):
    """Answers; has never seen a message that was not whole."""

    async def submit_event(self, request: pb.GrpcEvent, context: Any) -> pb.gRPCServiceReply:
        return pb.gRPCServiceReply(success=True, error_message=request.worker_id)

    async def get_tasks(self, request: pb.WorkerDesc, context: Any) -> None:
        for number in range(3):
            await context.write(pb.TCTask(task_id=str(number), worker_id=request.id))


@asynccontextmanager
async def serving(door: Door, ports: list[int] | None = None) -> AsyncIterator[grpc.aio.Channel]:
    server = make_server(door)
    rpc.add_DaCircogRPCServiceServicer_to_server(Answers(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    if ports is not None:
        ports.append(port)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


def begun(channel: grpc.aio.Channel, method: str = "submit_event") -> Any:
    """A call that is begun and sends nothing: on the wire a stream of one message may."""
    open_call: Callable[..., Any] = channel.stream_unary(f"{SERVICE}{method}")  # type: ignore[call-arg]
    return open_call()


def test_a_call_that_sends_nothing_holds_nothing_for_long() -> None:
    refused: list[tuple[str, str]] = []

    async def story() -> None:
        door = Door(request_timeout_s=0.3, most_unread=5)
        door.on_refused = lambda call, peer, kind, why: refused.append((call, kind))
        async with serving(door) as channel:
            stub: Any = rpc.DaCircogRPCServiceStub(channel)  # type: ignore[no-untyped-call]
            idle = [begun(channel) for _ in range(12)]
            codes = await asyncio.gather(*(call.code() for call in idle))
            late = codes.count(grpc.StatusCode.DEADLINE_EXCEEDED)
            assert late + codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 12
            assert 5 <= late < 12
            # All that they held is free again.
            for _ in range(10):
                event = pb.GrpcEvent(worker_id="w")
                assert (await stub.submit_event(event)).error_message == "w"
            tasks = [task.task_id async for task in stub.get_tasks(pb.WorkerDesc(id="w"))]
            assert tasks == ["0", "1", "2"]
            assert (door._n_unread, dict(door._unread)) == (0, {})

    asyncio.run(story())
    assert set(refused) == {("submit_event", "no-message"), ("submit_event", "too-many")}


def test_a_message_that_is_too_long_is_not_told_of_as_one_that_never_came() -> None:
    refused: list[tuple[str, str, str]] = []

    async def story() -> None:
        door = Door(request_timeout_s=600.0)
        door.on_refused = lambda call, peer, kind, why: refused.append((call, kind, why))
        async with serving(door) as channel:
            stub: Any = rpc.DaCircogRPCServiceStub(channel)  # type: ignore[no-untyped-call]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.submit_event(pb.GrpcEvent(task_id="x" * 2 * servicer.MOST_RECEIVED))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            ended = begun(channel)
            await ended.done_writing()
            assert await ended.code() is grpc.StatusCode.INVALID_ARGUMENT

    asyncio.run(story())
    assert refused == [("submit_event", "unreadable", NONE_OR_TOO_LONG)] * 2


def test_callers_of_one_address_cannot_take_the_room_of_others() -> None:
    async def story() -> None:
        door = Door(request_timeout_s=30.0, most_unread_of_peer=2)
        here = ["198.51.100.7"]
        door._peer = lambda _: here[0]  # type: ignore[method-assign]
        async with serving(door) as channel:
            stub: Any = rpc.DaCircogRPCServiceStub(channel)  # type: ignore[no-untyped-call]
            idle = [begun(channel) for _ in range(6)]
            async with asyncio.timeout(30):
                while sum(call.done() for call in idle) < 4:
                    await asyncio.sleep(0.01)
            assert door._n_unread == 2
            here[0] = "198.51.100.8"
            assert (await stub.submit_event(pb.GrpcEvent(worker_id="w"))).success
            for call in idle:
                call.cancel()
            async with asyncio.timeout(30):
                while door._n_unread:
                    await asyncio.sleep(0.01)

    asyncio.run(story())


def test_connections_beyond_the_limit_are_closed_and_those_inside_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servicer, "MOST_CONNECTIONS", 20)

    ports: list[int] = []

    async def story() -> None:
        async with serving(Door(), ports) as channel:
            stub: Any = rpc.DaCircogRPCServiceStub(channel)  # type: ignore[no-untyped-call]
            assert (await stub.submit_event(pb.GrpcEvent())).success
            idle = [await asyncio.open_connection("127.0.0.1", ports[0]) for _ in range(40)]
            closed = [asyncio.create_task(reader.read()) for reader, _ in idle]
            async with asyncio.timeout(30):
                while sum(task.done() for task in closed) < 20:
                    await asyncio.sleep(0.01)
            assert (await stub.submit_event(pb.GrpcEvent())).success
            for task in closed:
                task.cancel()
            await asyncio.gather(*closed, return_exceptions=True)
            for _, writer in idle:
                writer.close()

    asyncio.run(story())


def test_bytes_that_are_no_message_and_a_call_that_is_none() -> None:
    async def story() -> None:
        async with serving(Door()) as channel:
            raw: Any = channel.unary_unary(f"{SERVICE}submit_event")  # type: ignore[call-arg]
            for data, code in (
                (b"\xff\xff\xff", grpc.StatusCode.INTERNAL),
                (b"x" * 100_000, grpc.StatusCode.RESOURCE_EXHAUSTED),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await raw(data)
                assert caught.value.code() is code
                assert code is not grpc.StatusCode.INTERNAL or caught.value.details() == REFUSAL
            other: Any = channel.unary_unary(f"{SERVICE}drop_all")  # type: ignore[call-arg]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await other(b"")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    asyncio.run(story())
