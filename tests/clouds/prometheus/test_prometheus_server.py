"""Prometheus has the load of the three nodes under their names in the data centre."""

from __future__ import annotations

import requests

from tests.clouds.prometheus.server import NODES, PrometheusServer
from tests.clouds.waiting import wait_for


def _instances(port: int, query: str) -> dict[str, float]:
    url = f"http://127.0.0.1:{port}/api/v1/query"
    reply = requests.get(url, params={"query": query}, timeout=10)
    reply.raise_for_status()
    result = reply.json()["data"]["result"]
    return {entry["metric"]["instance"]: float(entry["value"][1]) for entry in result}


def test_load_of_three_nodes(prometheus_server: PrometheusServer) -> None:
    names = {f"{node}:9100" for node in NODES}
    query = "avg_over_time(node_load1[30s])"
    loads = wait_for(
        lambda: (found := _instances(prometheus_server.port, query)).keys() >= names and found,
        "a sample of each node",
    )
    assert loads.keys() == names  # type: ignore[attr-defined]
    assert all(load >= 0 for load in loads.values())  # type: ignore[attr-defined]
