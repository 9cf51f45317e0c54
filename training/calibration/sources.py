"""Measured runs from whatever they are kept in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from env.catalog import Catalog
from training.calibration.csv_export import is_export, read_csv_export
from training.calibration.errors import CalibrationError
from training.calibration.event_log import read_event_log
from training.calibration.observations import Observations, combine
from training.calibration.sqlite_runs import ENDINGS, is_sqlite, read_sqlite
from training.calibration.two_tables import FLAVOR_VCPUS, REQUESTS_FILE, read_two_tables


def read_observations(
    paths: Iterable[Path], catalog: Catalog, vcpus: Mapping[str, float] | None = None
) -> Observations:
    """Read runs of any known form.

    Args:
        paths: event logs (``.txt``), CSV exports (``...-ok-requests.csv``), SQLite files of the
            2024 system (``.db``), or folders with ``requests.csv`` and ``workers.csv``.
        catalog: the videos, for the forms that do not describe them.
        vcpus: vCPUs by flavor key, over those known.

    Raises:
        CalibrationError: a path is of no known form, or cannot be read.
    """
    parts = [_read(path, catalog, vcpus or {}) for path in paths]
    if not parts:
        raise CalibrationError("no measured run was given")
    return combine(parts)


def _read(path: Path, catalog: Catalog, vcpus: Mapping[str, float]) -> Observations:
    if not path.exists():
        raise CalibrationError(f"{path} does not exist")
    sizes = dict(FLAVOR_VCPUS)
    sizes |= {(kind, key): n for kind in ("vm", "pod") for key, n in vcpus.items()}
    if path.is_dir():
        if not (path / REQUESTS_FILE).is_file():
            raise CalibrationError(f"the folder {path} has no {REQUESTS_FILE}")
        return read_two_tables(path, sizes)
    if is_export(path):
        return read_csv_export(path, catalog, vcpus)
    if is_sqlite(path):
        return read_sqlite(path, sizes)
    if path.suffix == ".txt":
        return read_event_log(path, catalog)
    raise CalibrationError(
        f"{path} is no event log (.txt), no export (...-ok-requests.csv), no SQLite file "
        f"({', '.join(ENDINGS)}) and no folder with {REQUESTS_FILE}"
    )
