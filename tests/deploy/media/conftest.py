from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.media.ffmpeg import FFMPEG_VARIABLE, find_ffmpeg, variable_rate
from tests.deploy.media.films import Films


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    return Films(tmp_path_factory.mktemp("films"))


@pytest.fixture
def use_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Chooses the ffmpeg for the test."""

    def choose(path: Path) -> None:
        monkeypatch.setenv(FFMPEG_VARIABLE, str(path))
        find_ffmpeg.cache_clear()
        variable_rate.cache_clear()

    yield choose
    find_ffmpeg.cache_clear()
    variable_rate.cache_clear()
