"""The load of a node over a stretch of time, asked of a Prometheus server."""

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple, Self

import requests

from env.errors import DaCircoError

PORT: Final = 9090
EXPORTER_PORT: Final = 9100
"""Where the node exporter of a node answers; part of its name in Prometheus."""
TIMEOUT_S: Final = 30.0
MEMORY_STEP_S: Final = 10
BYTES_OF_GB: Final = 10**9

_NODE_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?")
_KUBERNETES_WORKER: Final = re.compile(r"k8s-worker([0-9]+)")
_SERVER: Final = re.compile(
    r"(https?://)?([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]+)?(/[^?#\s]*)?"
)


class PrometheusError(DaCircoError):
    """Prometheus cannot be asked, or answers with an error."""


class Extent(NamedTuple):
    """Minimum, average and maximum of a quantity over a stretch of time."""

    minimum: float
    average: float
    maximum: float


class Prometheus:
    """A Prometheus server.

    Args:
        server: ``HOST``, ``HOST:PORT`` or a URL; the port is 9090 if none is given.

    Raises:
        PrometheusError: it is no such text.
    """

    def __init__(self, server: str) -> None:
        match = _SERVER.fullmatch(server)
        if match is None:
            raise PrometheusError(f"{server!r} is no server: give HOST, HOST:PORT or a URL")
        if "://" in server:
            self.url = server.rstrip("/")
        else:
            self.url = f"http://{server}" + ("" if match["port"] else f":{PORT}")
        self._session = requests.Session()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._session.close()

    def load(self, node: str, start_s: float, end_s: float) -> Extent | None:
        """`node_load1` of a node (the mean number of runnable processes over a minute).

        Args:
            node: its name.
            start_s: where the stretch begins, seconds since the epoch; its length counts in
                whole seconds, rounded up.
            end_s: where it ends.

        Returns:
            None if Prometheus has no sample there.

        Raises:
            PrometheusError: the node's name is none, or Prometheus does not answer.
        """
        load = f"node_load1{{{_instance(node)}}}"
        return self._extent(f"{load}[{_seconds(start_s, end_s)}s]", end_s)

    def used_memory(self, node: str, start_s: float, end_s: float) -> Extent | None:
        """Memory that is in use on a node, GB (10^9 bytes): all but free, buffers and cached.

        Arguments, result and errors as of `load`. The difference of four series is worked out
        every 10 s.
        """
        instance = _instance(node)
        total, *rest = (
            f"node_memory_{name}_bytes{{{instance}}}"
            for name in ("MemTotal", "MemFree", "Buffers", "Cached")
        )
        used = " - ".join((total, *rest))
        window = f"[{_seconds(start_s, end_s)}s:{MEMORY_STEP_S}s]"
        extent = self._extent(f"({used}){window}", end_s)
        return None if extent is None else Extent(*(value / BYTES_OF_GB for value in extent))

    def _extent(self, samples: str, end_s: float) -> Extent | None:
        # One figure, be there several series: two jobs may scrape the same exporter.
        values = [
            self._query(f"{function}({function}_over_time({samples}))", end_s)
            for function in ("min", "avg", "max")
        ]
        if any(value is None or math.isnan(value) for value in values):
            return None
        return Extent(*(value for value in values if value is not None))

    def _query(self, expression: str, moment_s: float) -> float | None:
        try:
            reply = self._session.get(
                f"{self.url}/api/v1/query",
                params={"query": expression, "time": f"{moment_s:.3f}"},
                timeout=TIMEOUT_S,
            )
        except requests.RequestException as error:
            raise PrometheusError(
                f"cannot reach Prometheus at {self.url}: give its host with -s"
            ) from error
        try:
            answer = reply.json()
            if answer["status"] != "success":
                raise PrometheusError(f"Prometheus at {self.url} says: {answer['error']}")
            result = answer["data"]["result"]
            return float(result[0]["value"][1]) if result else None
        except (ValueError, LookupError, TypeError) as error:
            raise PrometheusError(
                f"{self.url} does not answer as Prometheus does (HTTP {reply.status_code})"
            ) from error


def _instance(node: str) -> str:
    """Which exporter tells of a node; a Kubernetes worker's VM is asked for by its host's name.

    Raises:
        PrometheusError: the node's name is none.
    """
    if not _NODE_NAME.fullmatch(node):
        raise PrometheusError(f"{node!r} is not the name of a node")
    worker = _KUBERNETES_WORKER.fullmatch(node)
    host = node if worker is None else f"compute{worker[1]}"
    return f'instance="{host}:{EXPORTER_PORT}"'


def _seconds(start_s: float, end_s: float) -> int:
    # Microseconds: a float's last digits must not make a second more.
    return max(1, math.ceil(round(end_s - start_s, 6)))
