"""The tests here share the storage's contract and the worker's harness with tests/deploy."""

from __future__ import annotations

import sys

from tests.clouds.machine import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tests" / "deploy"))
