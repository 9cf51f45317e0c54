"""``dacirco_get_node_stats`` against a real Prometheus with three node exporters."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest

from deploy.analysis.node_stats import main
from deploy.analysis.prometheus import Prometheus
from tests.clouds.prometheus.server import NODES, PrometheusServer
from tests.clouds.waiting import wait_for


def test_each_request_gets_the_load_of_its_node(
    prometheus_server: PrometheusServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = f"127.0.0.1:{prometheus_server.port}"
    start = time.time()
    with Prometheus(server) as prometheus:
        for node in NODES:
            for ask in (prometheus.load, prometheus.used_memory):  # the latter has one in 10 s
                wait_for(
                    lambda node=node, ask=ask: ask(node, start, time.time()), f"samples of {node}"
                )
        end = time.time()

    requests = tmp_path / "tc-events-01-ok-requests.csv"
    rows = [f"r{number},{start},{end},w{number}" for number in range(len(NODES))]
    long_ago = f"r9,{start - 9000},{start - 8000},w0"
    header = "request_id,time_file_downloaded,time_transcoding_done,worker_id"
    requests.write_text("\n".join([header, *rows, long_ago, ""]))
    workers = [f"w{number},worker-{number},{node}" for number, node in enumerate(NODES)]
    (tmp_path / "tc-events-01-workers.csv").write_text(
        "\n".join(["worker_id,name,node", *workers, ""])
    )

    assert main([str(requests), "-s", server]) == 0
    out, err = capsys.readouterr()
    with Path(out.strip()).open(newline="") as file:
        *recent, old = csv.DictReader(file)
    assert [row["node"] for row in recent] == list(NODES)
    for row in recent:
        for quantity in ("load1", "used_mem"):
            kinds = ("min", "avg", "max")
            low, mean, high = (float(row[f"{quantity}_{kind}"]) for kind in kinds)
            assert 0 <= low <= mean <= high
        assert 0.01 < low < 10_000  # GB of this machine
    assert old["load1_avg"] == old["used_mem_avg"] == ""
    assert "1 on compute1" in err
