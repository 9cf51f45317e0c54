"""``--db-file`` names a database that the version of 2024 already uses: each keeps its tables."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from deploy.store.store import Store


def test_our_tables_lie_beside_theirs(tmp_path: Path) -> None:
    path = tmp_path / "dacirco.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.executescript(
            "create table run (id integer primary key, t_start text);"
            "create table tc_request (id text, run_id integer, status text);"
            "create table tc_task (run_id integer, request_id text, worker_id text);"
            "create table worker (id text, run_id integer, name text);"
            "insert into run values (1, '2024-05-01T10:00:00');"
            "insert into worker values ('w', 1, 'tc-vm-1');"
        )
    for _ in range(2):
        store = Store(f"sqlite:///{path}")
        try:
            assert store.job_ids() == store.worker_page(10).ids == []
        finally:
            store.close()
    with closing(sqlite3.connect(path)) as theirs:
        assert theirs.execute("select * from run").fetchall() == [(1, "2024-05-01T10:00:00")]
        assert theirs.execute("select name from worker").fetchall() == [("tc-vm-1",)]
