"""The movies of a new service: rendered at its first start, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable

from deploy.catalog import fill, movie_bars
from deploy.storage.factory import make_storage
from env.catalog import Catalog


class StoppedError(Exception):
    """The service was told to stop while its movies were made."""


def render_missing(catalog: Catalog, storage_url: str, stopped: Callable[[], bool]) -> None:
    """Render what the storage lacks of a catalog.

    Args:
        catalog: the movies.
        storage_url: where they go.
        stopped: asked now and then; movies that are whole by then are kept.

    Raises:
        StoppedError: it was.
        DaCircoError: a movie cannot be rendered or stored.
    """
    storage = make_storage(storage_url)
    storage.prepare()
    if all(storage.exists(f"input-videos/{name}") for name in catalog):
        return
    with movie_bars() as tell:

        def progress(name: str, share: float) -> None:
            if stopped():
                raise StoppedError
            tell(name, share)

        fill(storage, catalog, progress=progress)
