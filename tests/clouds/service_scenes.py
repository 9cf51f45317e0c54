"""Scenes that the whole service must survive in every cloud: a test class inherits them.

The controller, the workers and ffmpeg are real; a `Site` is the cloud below them.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

import pytest

from tests.clouds.live import LONG_MOVIES, MOVIES, ROOT, LiveController, living
from tests.clouds.waiting import wait_for

FROZEN = ROOT / "models" / "dacirco"
QUICK = ("--keepalive-timeout", "25", "--max-attempts", "5", "--stop-workers")
ONE_FOR_EACH_JOB = (
    *("--scheduler", "minimize-workers:flavor=s10.tiny", "--flavors"),
    *("s10.tiny,s10.small,s10.medium", "--max-workers", "6"),
)


class Site(ABC):
    """A cloud without a worker in it, and controllers above it.

    Attributes:
        runner: type of runner of the controllers.
        spread: options that put workers on different nodes.
        nodes: names of the cloud's nodes.
    """

    runner: ClassVar[str]
    spread: ClassVar[Sequence[str]] = ()
    nodes: ClassVar[Sequence[str]]

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def controller(self, *options: str, movies: str = MOVIES) -> LiveController:
        """A controller that is not started, in a folder and with a storage of its own."""
        self._count += 1
        folder = self._folder / f"controller{self._count}"
        folder.mkdir()
        options = ("--runner-type", self.runner, *QUICK, *options)
        return LiveController(folder, options, self.credentials(), folder / "storage", movies)

    @abstractmethod
    def credentials(self) -> Mapping[str, str]:
        """The controllers' variables."""

    @abstractmethod
    def workers(self) -> dict[str, str | None]:
        """Name and node of every worker that exists in the cloud, whoever ordered it."""

    @abstractmethod
    def deaths(self) -> tuple[Callable[[str], None], Callable[[str], None]]:
        """Two ways in which the running worker of a name dies."""

    @abstractmethod
    def slow_boots(self, least_s: float, most_s: float) -> None:
        """Workers ordered from now on take so long to boot."""

    @abstractmethod
    def silent_boots(self) -> None:
        """Workers ordered from now on come up and never register."""

    @abstractmethod
    def good_boots(self) -> None:
        """Workers ordered from now on boot at once."""

    @abstractmethod
    def node_down(self, node: str) -> AbstractContextManager[None]:
        """The node, and every worker on it, is away inside the block."""

    @abstractmethod
    def api_down(self) -> AbstractContextManager[None]:
        """Inside the block the cloud's API refuses connections."""


class ServiceScenes:
    """A subclass gives `bare_site`: the cloud, cleaned."""

    @pytest.fixture
    def bare_site(self) -> Site:
        raise NotImplementedError

    @pytest.fixture
    def site(self, bare_site: Site) -> Iterator[Site]:
        yield bare_site
        # Every controller was ended with its workers: nothing of theirs is left.
        wait_for(lambda: not bare_site.workers(), "a cloud without workers")

    def test_ten_jobs_under_the_frozen_policy(self, site: Site) -> None:
        controller = site.controller("--scheduler", str(FROZEN), "--max-workers", "18")
        with living(controller):
            ids = controller.submit(10)
            controller.await_completed(ids)
            controller.check_each_job_ended_once(ids)
            sources = {e["source"] for e in controller.events() if e["code"] == "EV20"}
            assert "policy" in sources
            nodes = {e["node"] for e in controller.events() if e["code"] == "EV11"}
            assert nodes <= set(site.nodes)

    def test_workers_that_die_transcoding_cost_no_job(self, site: Site) -> None:
        controller = site.controller(*ONE_FOR_EACH_JOB, movies=LONG_MOVIES)
        with living(controller):
            ids = controller.submit(3, speed="fast")
            victims = controller.await_transcoding(2)[:2]
            for name, die in zip(victims, site.deaths(), strict=True):
                die(name)
            controller.await_event("EV23", 2)
            controller.await_completed(ids)
            controller.check_each_job_ended_once(ids)
            assert sorted(controller.lost()) == victims
            assert controller.codes()["EV24"] == 2  # both jobs were taken back

    def test_a_node_that_goes_down_costs_no_job(self, site: Site) -> None:
        controller = site.controller(*ONE_FOR_EACH_JOB, *site.spread, movies=LONG_MOVIES)
        with living(controller):
            ids = controller.submit(3, speed="fast")
            (victim, *_) = controller.await_transcoding(1)
            node = site.workers()[victim]
            assert node is not None
            with site.node_down(node):
                controller.await_completed(ids)
                assert victim in controller.lost()
            controller.check_each_job_ended_once(ids)

    def test_a_worker_that_never_registers_is_a_failed_spawn(self, site: Site) -> None:
        site.silent_boots()
        controller = site.controller(*ONE_FOR_EACH_JOB, "--boot-timeout", "15")
        with living(controller):
            ids = controller.submit(1)
            controller.await_event("EV22")
            site.good_boots()
            controller.await_completed(ids)
            wait_for(lambda: len(site.workers()) <= 2, "no leaked worker")

    def test_an_api_that_is_away_for_half_a_minute_costs_no_job(self, site: Site) -> None:
        controller = site.controller(*ONE_FOR_EACH_JOB)
        with living(controller):
            ids = controller.submit(3)
            controller.await_event("EV3")
            with site.api_down():
                ids += controller.submit(5, first=3)  # accepted while the cloud is away
                time.sleep(30)
            controller.await_completed(ids)
            controller.check_each_job_ended_once(ids)

    def test_a_killed_controller_goes_on_with_its_workers(self, site: Site) -> None:
        site.slow_boots(3.0, 6.0)
        controller = site.controller(*ONE_FOR_EACH_JOB)
        with living(controller):
            ids = controller.submit(6)
            controller.await_event("EV2", 2)
            controller.kill()  # workers are booting
            controller.start()
            controller.await_event("EV5")
            controller.kill()  # and now transcoding
            controller.start()
            ids += controller.submit(4, first=6)
            controller.await_completed(ids)
            controller.check_each_job_ended_once(ids)
            assert controller.codes()["EV27"] > 0  # adopted
            lives = [e["controller_id"] for e in controller.events() if e["code"] == "EV26"]
            assert len(lives) == 3
            assert len(set(lives)) == 1
            # The last life knows from the start where workers have booted.
            (*_, told) = (e["image_nodes"] for e in controller.events() if e["code"] == "EV26")
            assert json.loads(told)
            assert set(json.loads(told)) <= set(site.nodes)
            created = [e["worker_id"] for e in controller.events() if e["code"] == "EV2"]
            assert len(created) == len(set(created))
            # What runs is what the controller knows: no worker of a forgotten order.
            names = {e["name"] for e in controller.events() if e["code"] == "EV2"}
            assert set(site.workers()) <= names

    def test_two_controllers_beside_each_other(self, site: Site) -> None:
        one, other = site.controller(*ONE_FOR_EACH_JOB), site.controller(*ONE_FOR_EACH_JOB)
        with living(one), living(other):
            mine, theirs = one.submit(5), other.submit(5)
            one.await_completed(mine)
            other.await_completed(theirs)
            one.check_each_job_ended_once(mine)
            other.check_each_job_ended_once(theirs)
            assert not {"EV23", "EV28"} & (set(one.codes()) | set(other.codes()))
