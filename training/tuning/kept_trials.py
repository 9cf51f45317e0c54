"""The trials of a search in an SQLite file, so that an interrupted one goes on.

Optuna's own storage takes longer to keep a trial than the engine to judge it.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.trial import FrozenTrial, create_trial

from env.errors import DaCircoError

_LOCK_TIMEOUT_S: Final = 120.0
_WRITE_EVERY_S: Final = 1.0
"""A process that is killed outright loses what came since."""
_TABLES: Final = """
create table if not exists studies (study integer primary key, name text not null unique);
create table if not exists trials (
    study integer not null references studies, number integer not null, trial text not null,
    primary key (study, number)
);
"""


class KeptTrials:
    """The complete trials of one study; several processes may use the file.

    Use it in a ``with`` block: at its end all trials are written.

    Args:
        path: the file; made if it is not there.
        name: of the study.

    Raises:
        DaCircoError: the file cannot be used.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._pending: list[tuple[int, int, str]] = []
        self._written_s = time.monotonic()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DaCircoError(f"cannot use {path} to keep the trials: {error}") from error
        with self._open() as database:
            database.executescript(_TABLES)
            database.execute("insert or ignore into studies (name) values (?)", (name,))
            row = database.execute("select study from studies where name = ?", (name,)).fetchone()
            self._study = int(row[0])

    def read(self) -> list[FrozenTrial]:
        """All of them, in the order in which they were made."""
        with self._open() as database:
            rows = database.execute(
                "select trial from trials where study = ? order by number", (self._study,)
            ).fetchall()
        try:
            return [_trial(text) for (text,) in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise DaCircoError(
                f"{self._path} holds a damaged trial ({error}): delete the file to start anew"
            ) from error

    def add(self, number: int, trial: FrozenTrial) -> None:
        """Keep a trial; one of the same number that another process kept stays.

        Args:
            number: from 0.
            trial: complete.
        """
        self._pending.append((self._study, number, _text(trial)))
        if time.monotonic() - self._written_s >= _WRITE_EVERY_S:
            self._write()

    def _write(self) -> None:
        if self._pending:
            with self._open() as database:
                database.executemany(
                    "insert or ignore into trials (study, number, trial) values (?, ?, ?)",
                    self._pending,
                )
        self._pending.clear()
        self._written_s = time.monotonic()

    def __enter__(self) -> KeptTrials:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with (
                closing(sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT_S)) as database,
                database,
            ):
                yield database
        except sqlite3.Error as error:
            raise DaCircoError(
                f"cannot use {self._path} to keep the trials: {error}; name another file"
            ) from error


def _text(trial: FrozenTrial) -> str:
    return json.dumps(
        {
            "params": trial.params,
            "distributions": {
                name: distribution_to_json(one) for name, one in trial.distributions.items()
            },
            "values": trial.values,
            "attributes": trial.user_attrs,
        }
    )


def _trial(text: str) -> FrozenTrial:
    given = json.loads(text)
    return create_trial(
        params=given["params"],
        distributions={
            name: json_to_distribution(one) for name, one in given["distributions"].items()
        },
        values=given["values"],
        user_attrs=given["attributes"],
    )
