"""The movies of a new service: rendered at its first start."""

from __future__ import annotations

from threading import Event


def render_missing(catalog: str, storage_url: str, stop: Event) -> None:
    pass
