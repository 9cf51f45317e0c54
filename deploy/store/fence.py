"""The fence: only the controller that opened the store last may write.

A lock can be lost without its holder's knowledge: PostgreSQL forgets its locks when it restarts,
and a frozen process holds nothing that it could check. So each controller that opens the store
takes a number of its own, the epoch, and every transaction compares it with the store's. Whoever
finds a later one has been replaced, and must do nothing more.
"""

from __future__ import annotations

import time
from typing import Final

from sqlalchemy import Connection, insert, select, update

from deploy.store.schema import fence
from env.errors import DaCircoError

_ONE: Final = 1


class StoreLostError(DaCircoError):
    """Another controller has taken the store over."""


def claim(connection: Connection, holder: str) -> int:
    """Take the store over from whoever had it; the epoch that is ours from the commit on."""
    row = {"holder": holder, "since": time.time()}
    statement = update(fence).where(fence.c.one == _ONE)
    if not connection.execute(statement.values(epoch=fence.c.epoch + 1, **row)).rowcount:
        connection.execute(insert(fence).values(one=_ONE, epoch=1, **row))
    epoch = connection.execute(select(fence.c.epoch).where(fence.c.one == _ONE)).scalar_one()
    return int(epoch)


def check(connection: Connection, epoch: int) -> None:
    """See that the store is ours, and let nobody take it before the transaction ends.

    In SQLite the transaction must hold the write lock already.

    Raises:
        StoreLostError: it is not.
    """
    query = select(fence.c.epoch, fence.c.holder).where(fence.c.one == _ONE)
    if connection.dialect.name != "sqlite":
        query = query.with_for_update(read=True)
    row = connection.execute(query).first()
    if row is None or row.epoch != epoch:
        other = "nobody knows who" if row is None else row.holder
        raise StoreLostError(f"another controller has taken the store over: {other}")
