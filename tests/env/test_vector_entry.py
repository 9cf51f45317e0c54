"""The door to the vector environment, where its extra is missing."""

from __future__ import annotations

import sys

import gymnasium
import pytest


def test_without_numba_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)  # importing it fails
    with pytest.raises(gymnasium.error.DependencyNotInstalled, match=r"dacirco\[engine\]"):
        gymnasium.make_vec("env:DaCirco-v0", num_envs=2)


def test_without_numba_the_plain_ones_side_by_side_still_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    envs = gymnasium.make_vec("env:DaCirco-v0", num_envs=2, vectorization_mode="sync")
    observations, _ = envs.reset(seed=0)
    assert observations.shape == (2, 45)
    envs.close()
