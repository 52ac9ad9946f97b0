"""What every write of the store needs: the next number of its counter; rows by many ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, bindparam, update

from palate.errors import StoreError
from palate.store.prepared import Prepared
from services.recommender.tables import counters

_CHUNK = 500
_NEXT = Prepared(
    update(counters)
    .where(counters.c.name == bindparam("counter"))
    .values(value=counters.c.value + 1)
    .returning(counters.c.value)
)


def next_number(connection: Connection, name: str) -> int:
    """The next number of a counter; its row stays locked until the transaction ends."""
    found = _NEXT.first(connection, counter=name)
    if found is None:
        raise StoreError(f"the counter {name!r} is missing.", hint="Start the service once, it makes the tables.")
    return int(found[0])


def chunked(connection: Connection, query: Any, table: Table, ids: Sequence[str]) -> Iterable[Row[Any]]:
    """The rows of these ids, a part of them at a time: databases limit how many a query may name."""
    for start in range(0, len(ids), _CHUNK):
        yield from connection.execute(query.where(table.c.id.in_(ids[start : start + _CHUNK]))).all()
