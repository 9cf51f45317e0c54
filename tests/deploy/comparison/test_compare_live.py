from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from agents.registry import make_policy
from deploy import compare_live
from deploy.chaos.clips import make_clips, write_catalog
from deploy.chaos.victims import processes_of
from deploy.comparison.figures import Figures, mean_figures
from deploy.comparison.measured import read_measurement
from deploy.comparison.predicted import predict
from deploy.comparison.usage import Sample
from deploy.eventlog.writer import EventLog
from env.catalog import load_catalog
from env.config import load_profile
from env.errors import DaCircoError
from env.event_log import EventCode
from env.jobs import Request
from env.metrics import measure
from env.scenario import Scenario, write_scenario
from env.simulator import Simulator

PROFILE = load_profile("local")
START = 1_000.0


def test_the_figures_of_a_run_are_those_that_a_pencil_finds(tmp_path: Path) -> None:
    log = EventLog(path=tmp_path / "log.txt")

    def job(job_id: str, received: float, uploaded: float) -> None:
        log.write(
            EventCode.REQUEST_RECEIVED,
            moment=START + received,
            request_id=job_id,
            input_video="a.mp4",
            bitrate=500,
            speed="fast",
        )
        log.write(
            EventCode.FILE_UPLOADED,
            moment=START + uploaded,
            request_id=job_id,
            worker_id="w",
            task_id=job_id,
        )

    def worker(worker_id: str, flavor: str, created: float, destroyed: float) -> None:
        keys = {"name": worker_id, "worker_id": worker_id}
        log.write(
            EventCode.WORKER_CREATED, moment=START + created, **keys, flavor=flavor, node="here"
        )
        log.write(EventCode.WORKER_DESTROYED, moment=START + destroyed, **keys)

    worker("small", "s10.small", 0.0, 5.0)
    worker("tiny", "s10.tiny", 5.0, 30.0)  # ends after the last job: counted up to it
    job("one", 0.0, 4.0)
    job("two", 2.0, 10.0)
    log.close()
    samples = [Sample(START + second, 1.0 if second <= 5 else 0.5, 0.25) for second in range(20)]

    found = read_measurement(log.path, samples, START, PROFILE, 0.5)
    figures = found.figures
    assert found.delays_s == (4.0, 8.0)
    assert (figures.jobs, figures.boots, figures.makespan_s) == (2, 2, 10.0)
    assert figures.delay_mean_s == 6.0
    assert figures.delay_p95_s == pytest.approx(7.8)
    assert figures.cpu_reserved_mean == pytest.approx((2 * 5 + 1 * 5) / 10)
    assert figures.cpu_reserved_p95 == 2.0
    assert figures.ram_reserved_mean == pytest.approx((1.0 * 5 + 0.5 * 5) / 10)
    assert figures.cpu_used_mean == pytest.approx(0.75)
    assert figures.cpu_used_p95 == 1.0
    assert figures.ram_used_mean == figures.ram_used_p95 == 0.25
    # Two cores that offer 6 vCPUs and 4 GiB: half by the vCPUs, half by the RAM.
    core_seconds = 2 * (0.5 * 15 / 6 + 0.5 * 7.5 / 4)
    assert figures.cost == pytest.approx(0.5 * 12 + 0.5 * core_seconds)
    assert found.jobs.times_s == (0.0, 0.0, 2.0, 4.0, 10.0, 10.0)
    assert found.jobs.values == (0.0, 1.0, 2.0, 1.0, 0.0, 0.0)


def test_a_run_without_a_delivery_has_no_figures(tmp_path: Path) -> None:
    EventLog(path=tmp_path / "log.txt").close()
    with pytest.raises(DaCircoError, match="no job was delivered"):
        read_measurement(tmp_path / "log.txt", [], START, PROFILE, 0.5)


def test_the_prediction_is_the_simulators_under_the_live_policy() -> None:
    requests = [Request(6.0 * i, "bbb_9.mp4", 1000, "fast") for i in range(5)]
    scenario, catalog = Scenario("s", tuple(requests)), load_catalog("local")
    mean, runs = predict(PROFILE, scenario, catalog, "minimize-workers", "grace-period", 0.5, 3)
    assert mean == mean_figures(runs)
    assert len(runs) == 3
    simulator = Simulator(PROFILE, requests, catalog, seed=0, discipline="fcfs")
    simulator.run(make_policy("minimize-workers"))
    plain = measure(simulator)
    assert runs[0].delay_mean_s == plain.delay_mean_s
    assert runs[0].boots == plain.boots
    assert runs[0].cost == plain.cost
    assert runs[0].cpu_used_p95 == pytest.approx(2 * plain.cpu_used_p95)


def test_the_mean_of_figures_is_taken_one_by_one() -> None:
    one = Figures(*[1.0] * 14)
    assert mean_figures([one, replace(one, cost=3.0)]) == replace(one, cost=2.0)


@pytest.mark.slow
def test_a_comparison_runs_for_real_and_writes_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    clips = make_clips(out / "videos/input-videos", 8, 0, Random(0))
    write_catalog(tmp_path / "clips.csv", clips)
    # Long enough that some of the samples, one a second, see a worker at work.
    requests = tuple(
        Request(float(i), clip.name, 500 + i, "ultrafast") for i, clip in enumerate(clips)
    )
    write_scenario(tmp_path / "eight.csv", Scenario("eight", requests))
    arguments = ["--scenario", str(tmp_path / "eight.csv"), "--out", str(out), "--seeds", "2"]
    arguments += ["--catalog", str(tmp_path / "clips.csv"), "--policy", "minimize-workers"]
    assert compare_live.main([*arguments, "--cores", "2"]) == 0
    data = json.loads((out / "comparison.json").read_text())
    policy = data["policies"]["minimize-workers"]
    assert policy["measured"]["jobs"] == 8
    assert policy["failed"] == 0
    assert len(policy["simulations"]) == 2
    assert policy["measured"]["cpu_used_mean"] > 0
    assert policy["measured"]["ram_used_mean"] > 0
    assert sum(policy["decisions"].values()) > 0
    assert data["facts"]["jobs"] == 8
    table = (out / "comparison.md").read_text()
    assert "| minimize-workers | measured |" in table
    assert table in capsys.readouterr().out
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert processes_of(out / "minimize-workers") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scenario", "nothing"], "unknown scenario"),
        (["--scenario", "train/poisson-half", "--preference", "1"], "outside"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert compare_live.main([*options, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
