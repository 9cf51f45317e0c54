"""Runs of an imaginary cluster whose timing laws are known exactly.

Written without the code under test: jobs and boots progress through time at a rate that
the load of their node sets, event by event.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, inf, log

import numpy as np
import pandas as pd

FULL_HD = 1920 * 1080
VIDEOS = [
    # name, duration_s, width, height, size_bytes
    ("a.mp4", 9.0, 1280, 720, 5_000_000),
    ("b.mp4", 15.0, 1920, 1080, 30_000_000),
    ("c.mp4", 26.0, 640, 360, 2_000_000),
    ("d.mp4", 34.0, 1920, 1080, 15_000_000),
    ("e.mp4", 60.0, 3840, 2160, 60_000_000),
    ("f.mp4", 60.0, 1280, 720, 25_000_000),
    ("g.mp4", 12.0, 3840, 2160, 40_000_000),
    ("h.mp4", 45.0, 640, 360, 12_000_000),
]


@dataclass(frozen=True)
class Truth:
    """The laws of the imaginary cluster, in the keys of a profile."""

    intercept: float = 0.3
    duration_exponent: float = 0.85
    pixels_exponent: float = 0.9
    fast_factor: float = 2.3
    source_mbps_exponent: float = 0.12
    bitrate_exponent: float = 0.0
    floor_kbps: float = 1000.0
    parallel_exponent: float = 0.5
    parallel_slope: float = 0.06
    sigma: float = 0.05
    slope_per_core: float = 0.15
    knee: float = 3.0
    boot_s: float = 16.0
    boot_sigma: float = 0.05
    copy_s: float = 35.0
    download: tuple[float, float, float] = (0.05, 0.012, 0.1)
    upload: tuple[float, float, float] = (0.06, 0.002, 0.2)


@dataclass
class _Worker:
    name: str
    vcpus: int
    created: float
    boot_left: float
    jobs: list[dict[str, object]]
    row: dict[str, object] = field(default_factory=dict)


def synthetic_tables(
    truth: Truth,
    seed: int = 0,
    runs: int = 6,
    nodes: int = 2,
    vcpus: tuple[int, ...] = (1, 1, 1, 1, 1),
    jobs_per_worker: int = 4,
    speeds: tuple[str, ...] = ("ultrafast", "fast"),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables ``requests.csv`` and ``workers.csv``.

    Each run starts one worker of each size in `vcpus` on each node, some seconds apart;
    each works off its own list of jobs. In the first run the nodes copy the image first.
    """
    rng = np.random.default_rng(seed)
    tasks: list[dict[str, object]] = []
    workers: list[dict[str, object]] = []
    for run in range(runs):
        for node in range(nodes):
            place = {"run": f"run{run:02d}", "runner": "vm", "node": f"node{node}"}
            here = []
            for i, size in enumerate(vcpus):
                boot = truth.boot_s * exp(truth.boot_sigma * rng.standard_normal())
                if run == 0 and i == 0:
                    boot += truth.copy_s
                jobs = [_draw_job(truth, rng, size, speeds) for _ in range(jobs_per_worker)]
                created = 7.0 * i + rng.uniform(0, 3)
                here.append(_Worker(f"w{node}-{i}", size, created, boot, jobs))
            _play(truth, here)
            for worker in here:
                workers.append({**place, **worker.row, "worker": worker.name})
                tasks += [{**place, **job, "worker": worker.name} for job in worker.jobs]
    frame = pd.DataFrame(tasks).drop(columns=["work", "load"])
    frame["request"] = [f"r{i}" for i in range(len(frame))]
    return frame, pd.DataFrame(workers)


def _draw_job(
    truth: Truth, rng: np.random.Generator, vcpus: int, speeds: tuple[str, ...]
) -> dict[str, object]:
    name, duration, width, height, size = VIDEOS[rng.integers(len(VIDEOS))]
    speed = speeds[rng.integers(len(speeds))]
    bitrate = int(rng.integers(500, 8000))
    pixels = log(width * height / FULL_HD)
    alpha = min(max(truth.parallel_exponent + truth.parallel_slope * pixels, 0.1), 0.9)
    work = (
        truth.intercept
        + truth.duration_exponent * log(duration)
        + truth.pixels_exponent * pixels
        + truth.source_mbps_exponent * log(size * 8e-6 / duration)
        + log(truth.fast_factor) * (speed == "fast")
        + truth.bitrate_exponent * max(0.0, log(bitrate / truth.floor_kbps) - pixels)
        - alpha * log(vcpus)
        + truth.sigma * rng.standard_normal()
    )

    def transfer(law: tuple[float, float, float], megabytes: float) -> float:
        base, slope, sigma = law
        return (base + slope * megabytes) * exp(sigma * rng.standard_normal())

    return {
        "video": name,
        "duration_s": duration,
        "width": width,
        "height": height,
        "size_bytes": size,
        "bitrate": bitrate,
        "speed": speed,
        "status": "completed",
        "vcpus": vcpus,
        "work": exp(work),
        "load": vcpus**alpha,
        "download_s": transfer(truth.download, size / 1e6),
        "upload_s": transfer(truth.upload, bitrate * duration / 8000),
        "written_bytes": bitrate * duration * 125,
    }


def _play(truth: Truth, workers: list[_Worker]) -> None:
    """Advance the workers of one node to the end, recording every moment."""
    now = 0.0
    step = {w.name: ("waiting", w.created) for w in workers}  # what it does, and until when
    left: dict[str, float] = {}
    position = dict.fromkeys(step, 0)
    while any(state != "done" for state, _ in step.values()):
        booting = [w for w in workers if step[w.name][0] == "booting"]
        running = [w for w in workers if step[w.name][0] == "transcoding"]
        load = len(booting) + sum(float(str(_job(w, position)["load"])) for w in running)
        rate = exp(-truth.slope_per_core * max(0.0, load - truth.knee))
        next_at = min((until for _, until in step.values()), default=inf)
        for w in booting:
            next_at = min(next_at, now + left[w.name])
        for w in running:
            next_at = min(next_at, now + left[w.name] / rate)
        for w in booting:
            left[w.name] -= next_at - now
        for w in running:
            left[w.name] -= (next_at - now) * rate
        now = next_at
        for w in workers:
            _advance(w, step, left, position, now)


def _job(worker: _Worker, position: dict[str, int]) -> dict[str, object]:
    return worker.jobs[position[worker.name]]


def _advance(
    w: _Worker,
    step: dict[str, tuple[str, float]],
    left: dict[str, float],
    position: dict[str, int],
    now: float,
) -> None:
    state, until = step[w.name]
    ended = now >= until if until < inf else left.get(w.name, inf) < 1e-9
    if state == "done" or not ended:
        return
    if state == "waiting":
        w.row |= {"vcpus": w.vcpus, "t_created": now}
        left[w.name] = w.boot_left
        step[w.name] = ("booting", inf)
        return
    if state == "booting":
        w.row["t_available"] = now
    elif state == "downloading":
        job = _job(w, position)
        job["t_tc_start"] = now
        left[w.name] = float(str(job["work"]))
        step[w.name] = ("transcoding", inf)
        return
    elif state == "transcoding":
        job = _job(w, position)
        job["t_upld_start"] = now
        step[w.name] = ("uploading", now + float(str(job.pop("upload_s"))))
        return
    else:
        _job(w, position)["t_completed"] = now
        position[w.name] += 1
    if position[w.name] == len(w.jobs):
        w.row["t_stopped"] = now
        step[w.name] = ("done", inf)
        return
    job = _job(w, position)
    job |= {"t_received": max(0.0, w.created - 0.5), "t_assigned": now, "t_dwnld_start": now}
    step[w.name] = ("downloading", now + float(str(job.pop("download_s"))))
