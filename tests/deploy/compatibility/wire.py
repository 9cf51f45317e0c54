"""Calls over gRPC by a peer that knows the contract's tables, and nothing of our code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import grpc

from tests.deploy.rest.contract import ENUMS, RPCS, SERVICE, STATES_OF_2024, message, path

GENERATIONS: Final = ("2022", "2024")
CALL_S: Final = 60.0

_REST_WORDS: Final = {
    "BOOTING": "Booting",
    "DOWNLOADING_FILE": "Downloading File",
    "TRANSCODING": "Transcoding",
    "UPLOADING_FILE": "Uploading File",
    "BUSY": "Busy",
    "IDLE": "Idle",
    "STOPPED": "Stopped",
}
JOB_WORDS: Final = {1: "Waiting", 3: "Started", 4: "Completed", 5: "Error"}
JOB_NOT_FOUND: Final = 6


def worker_words(generation: str) -> dict[int, str]:
    """What a front end of a generation shows for each number of a worker's state."""
    table = STATES_OF_2024 if generation == "2024" else ENUMS["WorkerStatusEnum"]
    numbers = {name: int(number) for name, number in (each.split(":") for each in table.split())}
    return {numbers[name]: word for name, word in _REST_WORDS.items() if name in numbers}


def worker_number(generation: str, word: str) -> int:
    """The number of a worker's state."""
    return next(number for number, known in worker_words(generation).items() if known == word)


def worker_not_found(generation: str) -> int:
    return 5 if generation == "2024" else 7


class Wire:
    """The client's side of a connection.

    Args:
        address: of the server, ``HOST:PORT``.
        generation: whose messages are spoken.
    """

    def __init__(self, address: str, generation: str = "2022") -> None:
        self.generation = generation
        self._channel = grpc.insecure_channel(address)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def call(self, rpc: str, **fields: Any) -> Any:
        """The reply to a call."""
        return self._callable(rpc, self._channel.unary_unary)(
            message(RPCS[rpc][0], self.generation)(**fields), timeout=CALL_S
        )

    def stream(self, rpc: str, **fields: Any) -> Any:
        """The replies to a call; may be cancelled."""
        return self._callable(rpc, self._channel.unary_stream)(
            message(RPCS[rpc][0], self.generation)(**fields)
        )

    def _callable(self, rpc: str, kind: Callable[..., Any]) -> Any:
        asked, given = (message(name, self.generation) for name in RPCS[rpc])
        return kind(
            path(rpc),
            request_serializer=asked.SerializeToString,
            response_deserializer=given.FromString,
        )


@contextmanager
def served(
    answers: dict[str, Callable[[Any, Any], Any]], generation: str = "2022"
) -> Iterator[str]:
    """A server of the contract's calls, at the address that is given out.

    Args:
        answers: by call; gets the request and gRPC's context. A call that streams returns an
            iterator of replies.
        generation: whose messages are spoken.
    """

    def handler(rpc: str, answer: Callable[[Any, Any], Any]) -> grpc.RpcMethodHandler:
        asked, given = (message(name, generation) for name in RPCS[rpc])
        kind = (
            grpc.unary_stream_rpc_method_handler
            if rpc == "get_tasks"
            else grpc.unary_unary_rpc_method_handler
        )
        return kind(
            answer,
            request_deserializer=asked.FromString,
            response_serializer=given.SerializeToString,
        )

    handlers = {rpc: handler(rpc, answer) for rpc, answer in answers.items()}
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
