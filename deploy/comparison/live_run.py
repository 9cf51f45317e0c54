"""One real run: the embedded service plays a scenario under one policy."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import requests
from prometheus_client.parser import text_string_to_metric_families

from deploy.clients.job_api import ENDED_JOB, JobApi
from deploy.comparison.measured import Measurement, read_measurement
from deploy.comparison.usage import UsageSampler
from deploy.embedded.service import EmbeddedService
from deploy.embedded.settings import LOOPBACK, EmbeddedSettings
from env.config import Profile
from env.errors import DaCircoError
from env.log_parts import logs_in
from env.scenario import Scenario

_POLL_S: Final = 0.5
_PATIENCE_S: Final = 900.0
_CALL_TIMEOUT_S: Final = 10.0

Tell = Callable[[int, int], None]
"""Told how many jobs were sent and how many have ended."""


class RunError(DaCircoError):
    """A run did not come to its end."""


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A real run.

    Attributes:
        measurement: what it has shown.
        decisions: how many decisions came from each source and reason, as ``source/reason``.
        failed: jobs that ended in Error.
    """

    measurement: Measurement
    decisions: dict[str, int]
    failed: int


def play_live(
    settings: EmbeddedSettings,
    scenario: Scenario,
    videos: Path,
    profile: Profile,
    tell: Tell = lambda sent, ended: None,
) -> LiveRun:
    """Start a service in an empty folder, play the scenario, wait for its end, and stop it all.

    Args:
        settings: of the service; its preference must be given.
        scenario: what is asked for.
        videos: folder with the input videos; linked, not copied.
        profile: the machine.
        tell: told now and then.

    Raises:
        DaCircoError: the service does not start or stay alive, a job is refused, or the jobs do
            not end within a quarter of an hour after the last one was sent.
    """
    assert settings.preference is not None
    inputs = settings.data / "storage" / "input-videos"
    inputs.mkdir(parents=True)
    for video in sorted(videos.iterdir()):
        (inputs / video.name).hardlink_to(video)
    service = EmbeddedService(settings, log=lambda _: None)
    try:
        service.start()
        with (
            UsageSampler(service.data.path) as sampler,
            JobApi(LOOPBACK, service.settings.rest_port) as api,
        ):
            start = time.time()
            ids = _submit_all(api, scenario, lambda sent: tell(sent, 0))
            failed = _wait_for_ends(api, ids, lambda ended: tell(len(ids), ended))
        decisions = _decisions(service.controller_url)
    finally:
        service.stop()
    (log,) = logs_in(service.data.path)
    measurement = read_measurement(log, sampler.samples, start, profile, settings.preference)
    return LiveRun(measurement, decisions, failed)


def empty_folder(settings: EmbeddedSettings, data: Path) -> EmbeddedSettings:
    """The settings with a data folder in which nothing is."""
    shutil.rmtree(data, ignore_errors=True)
    return replace(settings, data=data)


def _submit_all(api: JobApi, scenario: Scenario, tell: Callable[[int], None]) -> list[str]:
    ids = []
    start = time.monotonic()
    for request in scenario.requests:
        time.sleep(max(0.0, start + request.arrival_s - time.monotonic()))
        ids.append(api.submit(request))
        tell(len(ids))
    return ids


def _wait_for_ends(api: JobApi, ids: list[str], tell: Callable[[int], None]) -> int:
    """Wait until all jobs have ended; how many of them in an error."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        states = [api.job_state(job_id) for job_id in ids]
        ended = sum(state in ENDED_JOB for state in states)
        tell(ended)
        if ended == len(ids):
            return states.count("Error")
        if time.monotonic() > deadline:
            raise RunError(f"{len(ids) - ended} of {len(ids)} jobs have not ended")
        time.sleep(_POLL_S)


def _decisions(controller_url: str) -> dict[str, int]:
    text = requests.get(f"{controller_url}/metrics", timeout=_CALL_TIMEOUT_S).text
    counts: dict[str, int] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "dacirco_decisions_total":
                key = f"{sample.labels['source']}/{sample.labels['reason']}"
                counts[key] = counts.get(key, 0) + int(sample.value)
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
