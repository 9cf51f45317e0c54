from __future__ import annotations

from pathlib import Path

import pytest

from deploy.bench_lists import fill, main
from deploy.store.store import Store


@pytest.mark.slow
def test_lists_are_timed_against_the_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rows", "3", "--tries", "1"]) == 0
    told = capsys.readouterr().out
    assert all(words in told for words in ("3 jobs", "first page", "whole list", "MiB"))


def test_a_store_is_filled_as_the_controller_would(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    fill(url, 5)
    store = Store(url)
    assert len(store.job_ids()) == 5
    assert store.unfinished_jobs() == []
    assert store.living_workers() == []
    store.close()
