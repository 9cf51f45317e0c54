"""``dacirco_get_node_stats``: the load of the node while a video was transcoded."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from deploy.analysis.node_stats import main
from deploy.analysis.prometheus import Prometheus, PrometheusError
from tests.deploy.analysis.prometheus_api import evaluate, prometheus_api

SAMPLES = {
    "compute1": [(90.0, 9.0), (100.5, 1.0), (110.0, 2.0), (120.0, 3.0), (130.0, 9.0)],
    "compute2.example": [(110.0, 0.5)],
    "compute7": [(179.2, 5.0), (200.0, 6.0), (240.0, 10.0)],
}
REQUESTS = """request_id,time_file_downloaded,time_transcoding_done,worker_id
r1,100.25,120,w1
r2,109.5,110.25,w2
r3,200,210,w2
r4,100,120,w3
r5,100,120,w9
r6,1970-01-01 00:02:59.5+00:00,1970-01-01 00:04:00+00:00,w4
"""
WORKERS = """worker_id,name,node
w1,worker-1,compute1
w2,worker-2,compute2.example
w3,worker-3,
w4,worker-4,k8s-worker7
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "tc-events-01-workers.csv").write_text(WORKERS)
    path = tmp_path / "tc-events-01-ok-requests.csv"
    path.write_text(REQUESTS)
    return path


def test_load_is_added_where_there_is_some(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with prometheus_api(SAMPLES) as server:
        assert main([str(table), "-s", server]) == 0
    out, err = capsys.readouterr()
    written = table.with_name("tc-events-01-ok-requests-node-stats.csv")
    assert out == f"{written}\n"
    assert written.read_text().splitlines() == [
        (
            f"{REQUESTS.splitlines()[0]},name,node,load1_min,load1_avg,load1_max,"
            "used_mem_min,used_mem_avg,used_mem_max"
        ),
        "r1,100.25,120,w1,worker-1,compute1,1,2,3,1,2,3",
        "r2,109.5,110.25,w2,worker-2,compute2.example,0.5,0.5,0.5,0.5,0.5,0.5",
        "r3,200,210,w2,worker-2,compute2.example,,,,,,",
        "r4,100,120,w3,worker-3,,,,,,,",
        "r5,100,120,w9,,,,,,,,",
        (
            "r6,1970-01-01 00:02:59.5+00:00,1970-01-01 00:04:00+00:00,w4,worker-4,k8s-worker7,"
            "5,7,10,5,7,10"
        ),
    ]
    assert err == "".join(
        f"no {quantity} at http://{server} for some requests: 1 on compute2.example, "
        "2 on a node that is not known\n"
        for quantity in ("load1", "used_mem")
    )


def test_the_memory_need_not_be_asked_for(table: Path) -> None:
    with prometheus_api(SAMPLES) as server:
        assert main([str(table), "-s", server, "--disable-memory-stats"]) == 0
    written = table.with_name("tc-events-01-ok-requests-node-stats.csv").read_text().splitlines()
    assert written[0].endswith(",name,node,load1_min,load1_avg,load1_max")
    assert written[1] == "r1,100.25,120,w1,worker-1,compute1,1,2,3"


def test_the_window_is_whole_seconds_rounded_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    with Prometheus("127.0.0.1:1") as prometheus:
        monkeypatch.setattr(prometheus, "_query", lambda text, end: asked.append((text, end)))
        for start in (100.0, 99.9, 98.999999, 98.9999999999, 110.0):
            prometheus.load("n", start, 110.0)
    seconds = [re.search(r"\[(\d+)s\]", text)[1] for text, _ in asked[::3]]  # type: ignore[index]
    assert seconds == ["10", "11", "12", "11", "1"]
    assert {end for _, end in asked} == {110.0}


@pytest.mark.parametrize("node", ['x"} or vector(1) #', "a b", "a:9", "-a", "a/../b", "ü", "a\n"])
def test_a_name_that_is_none_never_reaches_a_query(node: str) -> None:
    # The port is closed: a query would fail with another message.
    prometheus = Prometheus("127.0.0.1:1")
    with prometheus, pytest.raises(PrometheusError, match="is not the name of a node"):
        prometheus.load(node, 0.0, 1.0)


def test_a_server_that_is_away(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert main([str(table), "-s", f"127.0.0.1:{port}"]) == 2
    assert capsys.readouterr().err == (
        f"dacirco_get_node_stats: cannot reach Prometheus at http://127.0.0.1:{port}: "
        "give its host with -s\n"
    )
    assert not table.with_name("tc-events-01-ok-requests-node-stats.csv").exists()


def test_another_server_and_an_error_of_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    with prometheus_api(SAMPLES) as server, Prometheus(server) as prometheus:
        monkeypatch.setattr("tests.deploy.analysis.prometheus_api.evaluate", lambda *_: {"no": 1})
        with pytest.raises(PrometheusError, match=r"does not answer as Prometheus does \(HTTP 200"):
            prometheus.load("compute1", 0.0, 1.0)

        def refuse(*_arguments: object) -> list[object]:
            raise ValueError("too many samples")

        monkeypatch.setattr("tests.deploy.analysis.prometheus_api.evaluate", refuse)
        with pytest.raises(PrometheusError, match="says: too many samples"):
            prometheus.load("compute1", 0.0, 1.0)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("controller", "http://controller:9090"),
        ("10.0.0.1:80", "http://10.0.0.1:80"),
        ("[::1]", "http://[::1]:9090"),
        ("https://monitor.example/prometheus/", "https://monitor.example/prometheus"),
    ],
)
def test_names_of_servers(given: str, url: str) -> None:
    assert Prometheus(given).url == url


@pytest.mark.parametrize("given", ["", "a b", "http://me:secret@host", "host?x=1", "ftp://host"])
def test_no_names_of_servers(given: str) -> None:
    with pytest.raises(PrometheusError, match="is no server"):
        Prometheus(given)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tc-events-01-ok-requests.csv", "worker_id\n", "'time_file_downloaded' is missing"),
        ("tc-events-01-ok-requests.csv", REQUESTS + "r6,1,2\n", "row 7: not 4 cells"),
        ("tc-events-01-ok-requests.csv", REQUESTS + "r6,1,soon,w1\n", "row 7: 'soon' is not a tim"),
        ("tc-events-01-workers.csv", "worker_id,name\n", "the column 'node' is missing"),
    ],
)
def test_a_wrong_table_is_refused(
    table: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, message: str
) -> None:
    table.with_name(name).write_text(text)
    with prometheus_api(SAMPLES) as server:
        assert main([str(table), "-s", server]) == 2
    assert message in capsys.readouterr().err


def test_other_files_are_refused(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(table.with_name("tc-events-01-workers.csv"))]) == 2
    assert "is no ...-ok-requests.csv" in capsys.readouterr().err
    table.with_name("tc-events-01-workers.csv").unlink()
    assert main([str(table)]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_the_stand_in_is_strict() -> None:
    with pytest.raises(ValueError, match="parse error"):
        evaluate("node_load1", 0.0, SAMPLES)
