"""Measured runs from whatever they are kept in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from env.catalog import Catalog
from env.log_parts import CONFIG_ENDING, first_of
from training.calibration.bitrate_unit import BitrateUnit, to_kbps
from training.calibration.csv_export import is_export, read_csv_export
from training.calibration.errors import CalibrationError
from training.calibration.event_log import read_event_log
from training.calibration.observations import Observations, combine
from training.calibration.sqlite_runs import ENDINGS, is_sqlite, read_sqlite
from training.calibration.two_tables import FLAVOR_VCPUS, REQUESTS_FILE, read_two_tables


def read_observations(
    paths: Iterable[Path],
    catalog: Catalog,
    vcpus: Mapping[str, float] | None = None,
    bitrate_unit: BitrateUnit = "auto",
) -> Observations:
    """Read runs of any known form.

    Args:
        paths: event logs (``.txt``; their parts come with them), CSV exports
            (``...-ok-requests.csv``), SQLite files of the 2024 system (``.db``), or folders with
            ``requests.csv`` and ``workers.csv``.
        catalog: the videos, for the forms that do not describe them.
        vcpus: vCPUs by flavor key, over those known.
        bitrate_unit: in which workers read the asked bitrate; ``auto``: as the runs record it,
            else bit/s.

    Raises:
        CalibrationError: a path is of no known form, or cannot be read.
    """
    given = list(paths)
    whole = [path for path in given if not _comes_with(path, given)]
    parts = [_read(path, catalog, vcpus or {}) for path in whole]
    if not parts:
        raise CalibrationError("no measured run was given")
    return to_kbps(combine(parts), bitrate_unit)


def _comes_with(path: Path, given: Sequence[Path]) -> bool:
    """Whether a pattern like ``tc-events-*.txt`` has found what belongs to a log that it has found.

    That is a part that continues the log, which is read with it, or the file of its settings.
    """
    log = path.name.removesuffix(CONFIG_ENDING) + ".txt"
    settings = path.name.endswith(CONFIG_ENDING) and path.with_name(log) in given
    return settings or first_of(path) in given


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
