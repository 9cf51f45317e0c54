"""What the tests of real processes share."""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each test of this folder fail once; the run's summary names it (RERUN).

    They start real programs and wait for real clocks: a machine that stalls for seconds breaks
    such a test though nothing is wrong. A fault fails twice.
    """
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.flaky(reruns=1))
