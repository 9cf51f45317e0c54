"""``python -m tests.deploy.page.picture``: the pictures of the live page in docs/images.

A simulated cluster, twenty times as fast as real: half an hour of quiet traffic, then a burst.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random

from PIL import Image

from deploy.clients.job_api import ApiAwayError, JobApi
from env.catalog import load_catalog
from env.jobs import Request
from tests.deploy.page.browser import chromium

IMAGES = Path(__file__).parents[3] / "docs" / "images"
SEED = 7
SPEED_UP = 20
QUIET_S = 75.0
GAP_S = 1.4
BURST = 45
PORTS = (18431, 18432, 18433)


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.deploy.page.picture", description=(__doc__ or "").partition(": ")[2]
    )
    parser.add_argument(
        "--output", type=Path, default=IMAGES, metavar="DIR", help="folder (default: docs/images)"
    )
    folder_of_pictures: Path = parser.parse_args().output
    random, names = Random(SEED), list(load_catalog())
    grpc, http, rest = PORTS
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        controller = ["deploy.controller.command", "--runner-type", "simulated"]
        controller += ["--speed-up", str(SPEED_UP), "--seed", str(SEED), "--preference", "0.6"]
        controller += ["--scheduler", str(Path("models/dacirco").absolute())]
        controller += ["--port", str(grpc), "--http-port", str(http)]
        controller += ["--store", f"sqlite:///{folder / 'jobs.db'}"]
        controller += ["--event-log-file", str(folder / "tc-events-01.txt")]
        for options in (
            controller,
            ["deploy.rest.command", "--port", str(rest), "--grpc-port", str(grpc)],
        ):
            process = subprocess.Popen([sys.executable, "-m", *options])
            stack.callback(process.wait)
            stack.callback(process.terminate)
        api = stack.enter_context(JobApi("127.0.0.1", rest, {}))
        _wait_for(api)

        def submit() -> None:
            api.submit(Request(0.0, random.choice(names), random.randint(5, 50) * 100, "fast"))

        end = time.monotonic() + QUIET_S
        while time.monotonic() < end:
            submit()
            time.sleep(random.expovariate(1 / GAP_S))
        browser = stack.enter_context(chromium())
        page = browser.new_page(viewport={"width": 1280, "height": 1180}, color_scheme="light")
        page.goto(f"http://127.0.0.1:{rest}/")
        page.locator("#cmp tr.naive").first.wait_for(timeout=120_000)
        for _ in range(6):
            submit()
        time.sleep(4)
        _save(page, folder_of_pictures / "live-page.png")
        for _ in range(BURST):
            submit()
        time.sleep(2.5)
        _save(page, folder_of_pictures / "live-page-burst.png")


def _save(page: object, path: Path) -> None:
    page.screenshot(path=path)  # type: ignore[attr-defined]
    image = Image.open(path).convert("RGB").quantize(200)  # a picture for a README stays small
    image.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


def _wait_for(api: JobApi) -> None:
    for _ in range(100):
        try:
            api.job_ids()
            return
        except ApiAwayError:
            time.sleep(0.3)
    raise SystemExit("the service has not come up")


if __name__ == "__main__":
    main()
