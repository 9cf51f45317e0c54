"""The system's Chromium, headless; what the tests and the pictures share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, or a skip that says what is missing."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="NOT TESTED IN A BROWSER: no playwright"
    )
    if CHROMIUM is None:
        pytest.skip("NOT TESTED IN A BROWSER: install chromium (Debian: apt install chromium)")
    with api.sync_playwright() as play:
        # The service is our own, and containers have no sandbox to give.
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
