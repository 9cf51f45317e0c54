"""A pool of worker processes that Ctrl-C and a killed parent leave nothing behind of."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.pool import Pool
from typing import Any


@contextmanager
def worker_pool(
    processes: int, prepare: Callable[..., None] | None = None, *arguments: Any
) -> Iterator[Pool]:
    """A pool whose workers are ended at once when the block is left, however it is left.

    The workers are spawned, not forked: onnxruntime's threads do not survive a fork. Ctrl-C
    reaches all processes of a terminal, but only the parent is to act on it: they never see it.

    Args:
        processes: how many.
        prepare: called once in each worker, with the arguments.
        arguments: picklable.
    """
    with _holding_interrupts():
        pool = get_context("spawn").Pool(processes, _begin, (prepare, arguments))
    with pool:
        yield pool


def _begin(prepare: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    # A parent that was killed outright cannot end its workers: they end with it.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare is not None:
        prepare(*arguments)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _holding_interrupts() -> Iterator[None]:
    """Put off Ctrl-C until the end; processes that are started meanwhile never see it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
