"""One control plane for one pytest session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from tests.clouds.cloud import Cloud

C = TypeVar("C", bound=Cloud)


@contextmanager
def running(cloud: C) -> Iterator[C]:
    """The control plane, up; one that this call started is ended and checked for leftovers.

    One that a developer had started (`python -m tests.clouds.run NAME up`) is used and left up.
    """
    started = cloud.up()
    try:
        yield cloud
    finally:
        if started:
            assert cloud.down() == []
