"""Reading and writing the tables: each write is one transaction that takes the next number of its counter first."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Row,
    Table,
    bindparam,
    delete,
    exists,
    insert,
    select,
    update,
)

from palate.errors import UnknownIdError
from palate.store.engine import reading, writing
from palate.store.quick import Quick
from services.recommender.catalogue import ItemRow
from services.recommender.counted import chunked, next_number
from services.recommender.events import Event, EventStore
from services.recommender.tables import counters, events, items, lists, rules, users

__all__ = ["Event", "Store", "UserRow", "UserState"]
_STANDING = "standing"
"""Under which name the deployment's rules are kept."""


@dataclass(frozen=True)
class UserRow:
    """What was stored of a user by PUT."""

    id: str
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    segment: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class UserState:
    """What a request needs to know of a user beside the model.

    touched: items of the latest events, newest first, each once. recent: those of them that were liked (an event
    with weight zero or less says the contrary).
    """

    row: UserRow | None = None
    touched: tuple[str, ...] = ()
    recent: tuple[str, ...] = ()


NOBODY = UserState()
"""Of whom nothing is stored."""


class Store(EventStore):
    """The recommender's database. Safe to share between threads; every method is one transaction."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        wanted: Any = bindparam("user")
        stored, acted = exists().where(users.c.id == wanted), exists().where(events.c.user == wanted)
        self._told = Quick(engine, select(stored, acted))

    def changes(self) -> dict[str, int]:
        """The latest number of each counter."""
        with reading(self.engine) as connection:
            return {name: int(value) for name, value in connection.execute(select(counters.c.name, counters.c.value))}

    # -- items -----------------------------------------------------------------------------------------------------

    def items_since(self, change: int) -> Iterator[ItemRow]:
        """Items changed after that number, in the order of their changes."""
        query = select(items).where(items.c.change > change).order_by(items.c.change, items.c.id)
        with reading(self.engine) as connection:
            for row in connection.execution_options(yield_per=2000).execute(query):
                yield _item(row)

    def item(self, item: str) -> ItemRow | None:
        """An item as stored, deleted ones included."""
        with reading(self.engine) as connection:
            row = connection.execute(select(items).where(items.c.id == item)).first()
        return None if row is None else _item(row)

    def put_items(self, rows: Sequence[ItemRow]) -> list[bool]:
        """Adds or replaces items, all or none; says of each whether it is new (or was deleted before)."""
        with writing(self.engine) as connection:
            change = next_number(connection, "items")
            held = {
                row.id: bool(row.deleted)
                for row in chunked(connection, select(items.c.id, items.c.deleted), items, [row.id for row in rows])
            }
            values = {row.id: _item_values(row, change) for row in rows}
            _write(connection, items, values, held)
            return [held.get(row.id, True) for row in rows]

    def patch_item(self, item: str, known: ItemRow | None, change: Callable[[ItemRow], ItemRow]) -> ItemRow:
        """Changes an item as it is now; nobody else's change comes between. known: what it is if it is not stored.

        Raises UnknownIdError if it is neither stored nor known, and whatever `change` raises.
        """
        with writing(self.engine) as connection:
            number = next_number(connection, "items")
            row = connection.execute(select(items).where(items.c.id == item)).first()
            before = known if row is None else None if row.deleted else _item(row)
            if before is None:
                raise UnknownIdError(f"there is no item {item[:80]!r}.", where="item")
            after = change(before)
            _write(connection, items, {item: _item_values(after, number)}, () if row is None else (item,))
        return after

    def list_items(self, after: str | None, limit: int) -> list[ItemRow]:
        """Stored items in the order of their ids, from the one after `after` on."""
        query = select(items).where(items.c.deleted.is_(False)).order_by(items.c.id).limit(limit)
        if after is not None:
            query = query.where(items.c.id > after)
        with reading(self.engine) as connection:
            return [_item(row) for row in connection.execute(query)]

    def item_ids(self, after: str | None, limit: int) -> list[str]:
        """The ids of the stored items, as `list_items` has them."""
        query = select(items.c.id).where(items.c.deleted.is_(False)).order_by(items.c.id).limit(limit)
        with reading(self.engine) as connection:
            return list(connection.scalars(query if after is None else query.where(items.c.id > after)))

    def items_of(self, ids: Sequence[str]) -> list[ItemRow]:
        """Those of these items that are stored, in this order."""
        with reading(self.engine) as connection:
            held = {row.id: _item(row) for row in chunked(connection, select(items), items, ids)}
        return [held[item] for item in ids if item in held and not held[item].deleted]

    def import_items(self, rows: Sequence[ItemRow]) -> int:
        """Puts those of the rows that differ from what is stored, all or none; says how many."""
        with reading(self.engine) as connection:
            held = {row.id: _item(row) for row in chunked(connection, select(items), items, [row.id for row in rows])}
        different = [row for row in rows if row.id not in held or dataclasses.replace(held[row.id], change=0) != row]
        if different:
            self.put_items(different)
        return len(different)

    def delete_item(self, item: str) -> None:
        """Marks an item as deleted; it need not have been stored before (it may come from the model)."""
        self.put_items([ItemRow(item, available=False, deleted=True)])

    # -- users -----------------------------------------------------------------------------------------------------

    def user(self, user: str) -> UserRow | None:
        with reading(self.engine) as connection:
            return _user(connection.execute(select(users).where(users.c.id == user)).first())

    def put_user(self, row: UserRow) -> bool:
        """Adds or replaces a user; says whether they are new (or were deleted before)."""
        return self.put_users([row])[0]

    def put_users(self, rows: Sequence[UserRow]) -> list[bool]:
        """Adds or replaces users, all or none; says of each whether they are new."""
        with writing(self.engine) as connection:
            number = next_number(connection, "users")
            query = select(users.c.id, users.c.deleted)
            held = {row.id: bool(row.deleted) for row in chunked(connection, query, users, [row.id for row in rows])}
            _write(connection, users, {row.id: _user_values(row, number) for row in rows}, held)
            return [held.get(row.id, True) for row in rows]

    def patch_user(self, user: str, change: Callable[[UserRow], UserRow]) -> UserRow:
        """Changes a user as they are now, a new one if they are not stored; nobody else's change comes between."""
        with writing(self.engine) as connection:
            number = next_number(connection, "users")
            row = connection.execute(select(users).where(users.c.id == user)).first()
            after = change(_user(row) or UserRow(user))
            _write(connection, users, {user: _user_values(after, number)}, () if row is None else (user,))
        return after

    def delete_user(self, user: str) -> None:
        """Forgets a user and their events; a mark stays, by which other workers learn of it."""
        with writing(self.engine) as connection:
            values = {**_user_values(UserRow(user), next_number(connection, "users")), "deleted": True}
            held = connection.execute(select(users.c.id).where(users.c.id == user)).scalars().all()
            _write(connection, users, {user: values}, held)
            connection.execute(delete(events).where(events.c.user == user))

    def list_users(self, after: str | None, limit: int) -> list[UserRow]:
        """Stored users in the order of their ids, from the one after `after` on."""
        query = select(users).where(users.c.deleted.is_(False)).order_by(users.c.id).limit(limit)
        if after is not None:
            query = query.where(users.c.id > after)
        with reading(self.engine) as connection:
            return [found for row in connection.execute(query) if (found := _user(row)) is not None]

    def state(self, user: str) -> UserState:
        """The user's row and latest events. Of most users nothing is stored, which is found out at once."""
        stored, acted = self._told.first(user=user) or (False, False)
        if not stored and not acted:
            return NOBODY
        held = self.user(user) if stored else None
        found = self.touched(user) if acted else []
        liked = dict.fromkeys(item for item, weight in found if weight is None or weight > 0)
        touched = dict.fromkeys(item for item, _ in found)
        return UserState(held, tuple(touched), tuple(liked))

    def users_since(self, users_change: int, events_change: int) -> set[str]:
        """Users whose row or events changed after those numbers."""
        with reading(self.engine) as connection:
            written = connection.execute(select(users.c.id).where(users.c.change > users_change))
            acted = connection.execute(select(events.c.user).where(events.c.change > events_change).distinct())
            return {str(user) for user in [*written.scalars(), *acted.scalars()]}

    # -- rules -----------------------------------------------------------------------------------------------------

    def rules(self) -> dict[str, Any]:
        """The rules that stand for the deployment, as JSON; empty if none do."""
        with reading(self.engine) as connection:
            found = connection.execute(select(rules.c.rules).where(rules.c.name == _STANDING)).scalar()
        return dict(found or {})

    def put_rules(self, said: Mapping[str, Any]) -> None:
        with writing(self.engine) as connection:
            values = {"name": _STANDING, "rules": dict(said), "change": next_number(connection, "rules")}
            held = connection.execute(select(rules.c.name)).scalars().all()
            _write(connection, rules, {_STANDING: values}, held, rules.c.name)

    # -- lists -----------------------------------------------------------------------------------------------------

    def keep_list(self, name: str, held: Mapping[str, Any], seconds: float) -> None:
        """Keeps a list, and forgets those older than that."""
        now = time.time()
        with writing(self.engine) as connection:
            connection.execute(delete(lists).where(lists.c.kept < now - seconds))
            connection.execute(insert(lists).values(id=name, list=dict(held), kept=now))

    def kept_list(self, name: str, seconds: float) -> dict[str, Any] | None:
        """A list that was kept less than so many seconds ago."""
        query = select(lists.c.list).where(lists.c.id == name, lists.c.kept >= time.time() - seconds)
        with reading(self.engine) as connection:
            found = connection.execute(query).scalar()
        return None if found is None else dict(found)


def _write(
    connection: Connection,
    table: Table,
    values: Mapping[str, dict[str, Any]],
    held: Iterable[str],
    id_column: Column[Any] | None = None,
) -> None:
    known = set(held)
    column = table.c.id if id_column is None else id_column
    fresh = [row for key, row in values.items() if key not in known]
    if fresh:
        connection.execute(insert(table), fresh)
    for key, row in values.items():
        if key in known:
            connection.execute(update(table).where(column == key).values(**row))


def _item_values(row: ItemRow, change: int) -> dict[str, Any]:
    values = {f.name: getattr(row, f.name) for f in dataclasses.fields(row)}
    return {
        **values,
        "categories": list(row.categories),
        "tags": list(row.tags),
        "attributes": dict(row.attributes),
        "change": change,
    }


def _item(row: Row[Any]) -> ItemRow:
    values = dict(row._mapping)
    return ItemRow(**{**values, "categories": tuple(row.categories), "tags": tuple(row.tags)})


def _user_values(row: UserRow, change: int) -> dict[str, Any]:
    values = {f.name: getattr(row, f.name) for f in dataclasses.fields(row)}
    listed = {"categories": list(row.categories), "tags": list(row.tags), "attributes": dict(row.attributes)}
    return {**values, **listed, "deleted": False, "change": change}


def _user(row: Row[Any] | None) -> UserRow | None:
    if row is None or row.deleted:
        return None
    return UserRow(row.id, tuple(row.categories), tuple(row.tags), row.segment, row.attributes)
