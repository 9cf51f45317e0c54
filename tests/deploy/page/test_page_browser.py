"""The page in a real Chromium, before a real service with real workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import requests

from deploy.chaos.victims import processes_of
from env.jobs import Request
from tests.deploy.embedded.up_service import Service, wait_for
from tests.deploy.page.browser import chromium

pytestmark = pytest.mark.slow
PATIENCE_MS = 90_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("page"))
    try:
        with chromium():  # a skip before anything is started
            pass
        made.start("--preference", "0.5")
        yield made
        made.interrupt()
    finally:
        made.sweep()


@pytest.fixture(scope="module")
def url(service: Service) -> str:
    return str(service.data.read_state()["rest_url"])


@pytest.fixture(scope="module")
def page(url: str) -> Iterator[Any]:
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        troubles: list[str] = []
        asked: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.get_by_text("live", exact=True).wait_for()
        yield page
        # A violation of the Content-Security-Policy is an error on the console.
        assert [each for each in troubles if "status of 4" not in each] == []
        assert [each for each in asked if not each.startswith((url, "data:", "blob:"))] == []


def post(page: Any, video: str, bitrate: int = 1000) -> str:
    page.get_by_label("Video", exact=True).fill(video)
    page.get_by_label("kbit/s").fill(str(bitrate))
    page.get_by_role("button", name="Post the job").click()
    page.wait_for_function(
        "() => /^Posted: job /.test(document.getElementById('said').textContent)"
    )
    return str(page.inner_text("#said")).removeprefix("Posted: job ")


def row(page: Any, job_id: str) -> Any:
    return page.locator(f'tr[data-job="{job_id}"]')


def test_the_dial_is_turned_by_keyboard_and_the_controller_has_it(
    service: Service, page: Any
) -> None:
    preference = f"{service.data.read_state()['controller_url']}/preference"
    page.locator("#dial").focus()
    page.keyboard.press("End")
    page.get_by_text("w = 0.90, fast").wait_for()
    wait_for(lambda: requests.get(preference, timeout=10).json() == {"preference": 0.9}, "the dial")
    # Turned elsewhere, it moves here.
    requests.put(preference, json={"preference": 0.25}, timeout=10).raise_for_status()
    page.get_by_text("w = 0.25, lean").wait_for()


def test_a_job_is_posted_watched_and_its_result_downloaded(service: Service, page: Any) -> None:
    job_id = post(page, service.clips[0].name)
    row(page, job_id).get_by_text("Completed").wait_for()
    with page.expect_download() as found:
        row(page, job_id).get_by_text("Download").click()
    assert found.value.path().stat().st_size > 0
    page.locator("#decisions li.spawn").first.wait_for()
    assert "started a worker" in page.inner_text("#decisions")


def test_a_job_is_cancelled_and_tried_again(service: Service, page: Any) -> None:
    requests.put(
        f"{service.data.read_state()['controller_url']}/preference",
        json={"preference": 0.1},
        timeout=10,
    )
    with service.api() as api:  # so many that the last one has to wait
        before = [api.submit(Request(0.0, service.clips[0].name, 8000, "fast")) for _ in range(12)]
    page.reload()
    job_id = before[-1]
    row(page, job_id).get_by_role("button", name="Cancel").click()
    row(page, job_id).get_by_text("cancelled by the client").wait_for()
    row(page, job_id).get_by_role("button", name="Retry").click()
    row(page, job_id).get_by_text("Completed").wait_for()


def test_a_killed_worker_is_replaced_before_ones_eyes(service: Service, page: Any) -> None:
    with service.api() as api:
        ids = [api.submit(Request(0.0, service.clips[0].name, 8000, "fast")) for _ in range(6)]
    page.locator("#nodes .w.busy").first.wait_for()
    victim = next(
        each
        for each in processes_of(service.data.path)
        if "deploy.worker.command" in " ".join(each.cmdline())
    )
    psutil.Process(victim.pid).kill()
    page.locator("#decisions li.event", has_text="worker").first.wait_for()
    row(page, ids[-1]).get_by_text("Completed").wait_for()


def test_what_a_client_sent_is_shown_as_text(page: Any, service: Service, url: str) -> None:
    evil = "<img src=x onerror=alert(1)>"
    body = {"id_video": service.clips[0].name, "bitrate": 1000, "speed": "fast"}
    asked = {**body, "options": {"labels": {"evil": evil}}}
    job_id = requests.post(f"{url}/jobs", json=asked, timeout=10).json()
    row(page, job_id).get_by_text(f"evil={evil}").wait_for()
    assert page.locator("img[src=x]").count() == 0


def test_a_refusal_is_told_with_its_reason(page: Any) -> None:
    page.get_by_label("Video", exact=True).fill("nobody-has-this.mp4")
    page.get_by_role("button", name="Post the job").click()
    page.locator("#said.bad").wait_for()
    assert "nobody-has-this.mp4" in page.inner_text("#said")


def test_jobs_are_found_by_state_and_by_label(page: Any) -> None:
    page.get_by_label("Find", exact=True).fill("evil=other")
    page.get_by_role("button", name="Find", exact=True).click()
    page.get_by_text("No job is so").wait_for()
    page.get_by_label("Find", exact=True).fill("")
    page.get_by_label("State").select_option("Completed")
    page.locator("#list tbody tr[data-job]").first.wait_for()
    page.wait_for_function(
        "() => [...document.querySelectorAll('#list tbody tr td:nth-child(2)')]"
        ".every((cell) => cell.textContent === 'Completed')"
    )
    page.get_by_label("State").select_option("")


def test_it_tells_what_the_last_hour_would_have_cost(page: Any) -> None:
    page.reload()
    page.locator("#cmp tr.naive").first.wait_for()
    assert page.locator("#cmp tbody tr").count() == 7


def test_it_fits_a_phone_and_swagger_ui_comes_from_here(page: Any, url: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_function("() => document.documentElement.scrollWidth <= 360")
    page.goto(f"{url}/docs")
    page.get_by_text("Submit a job").wait_for()
