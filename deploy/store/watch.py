"""Looks again and again whether the store is still ours, also while nothing is written."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from deploy.store.fence import StoreLostError
from deploy.store.store import Store

PERIOD_S: Final = 1.0

_LOGGER = logging.getLogger(__name__)


class StoreWatch:
    """A thread that watches.

    Args:
        store: what is watched.
        on_lost: called in the thread, once, when another controller has taken the store over.
    """

    def __init__(self, store: Store, on_lost: Callable[[StoreLostError], None]) -> None:
        self._store, self._on_lost = store, on_lost
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching; a database that is being asked and is away is not waited for."""
        self._end.set()
        self._thread.join(PERIOD_S)

    def _run(self) -> None:
        while not self._end.wait(PERIOD_S):
            try:
                self._store.confirm()
            except StoreLostError as error:
                self._on_lost(error)
                return
            except SQLAlchemyError as error:  # it is away: whoever writes tells about that
                _LOGGER.debug("the store cannot be asked whose it is: %s", error)
            except Exception:
                _LOGGER.exception("the store cannot be asked whose it is")
