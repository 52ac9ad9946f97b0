"""Between the store and files: the catalogue comes in from prepared data, events go out for the next training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from palate.dataset.ids import IdMap
from palate.dataset.readers import read_items
from palate.dataset.schema import ITEM_SCHEMA, Items
from palate.errors import InputError, PalateError, SchemaError
from palate.files import written_whole
from services.recommender.bodies import checked_id
from services.recommender.catalogue import ItemRow
from services.recommender.store import Store

_BATCH = 2000
EVENT_SCHEMA = pa.schema(
    [
        ("user", pa.large_string()),
        ("item", pa.large_string()),
        ("weight", pa.float64()),
        ("timestamp", pa.int64()),
        ("kind", pa.large_string()),
    ]
)


def import_items(store: Store, path: Path) -> tuple[int, int]:
    """Puts the items of a prepared folder, or of any file of items, into the live catalogue.

    Returns how many there are and how many were new or different; the others are left as they are. Raises InputError
    or SchemaError naming the file.
    """
    rows = rows_of(load_items(path), str(path))
    total = written = 0
    while batch := list(islice(rows, _BATCH)):
        total += len(batch)
        written += store.import_items(batch)
    return total, written


def load_items(path: Path) -> Items:
    """The items under `path`: a folder that `prepare` wrote, or whatever the readers understand."""
    folder = path / "items"
    if not folder.is_dir():
        if (path / "data_card.json").is_file():
            raise InputError("this dataset was prepared without a catalogue of items.", where=str(path))
        return read_items(path)
    try:
        table = pq.read_table(folder)
    except (pa.ArrowException, OSError) as error:
        raise SchemaError(f"the items cannot be read ({error}).", where=str(folder)) from None
    if "id" not in table.column_names:
        raise SchemaError("the items have no column 'id'.", where=str(folder))
    names = [name for name in ITEM_SCHEMA.names if name in table.column_names]
    return Items(IdMap(table["id"], where=str(folder)), table.select(names))


def rows_of(items: Items, where: str) -> Iterator[ItemRow]:
    """The items as the store keeps them. Raises SchemaError naming an id that could not be asked for."""
    for item, row in zip(items.ids.ids.to_pylist(), items.table.to_pylist(), strict=True):
        try:
            name = checked_id(item)
        except PalateError as error:
            raise SchemaError(error.message, where=f"{where}: item {str(item)[:40]!r}") from None
        yield ItemRow(
            name,
            row["title"],
            row["text"],
            tuple(dict.fromkeys(row["categories"] or ())),
            tuple(dict.fromkeys(row["tags"] or ())),
            row["image"],
            row["available"] is not False,
            row["timestamp"],
            json.loads(row["attributes"]) if row["attributes"] else {},
        )


def export_events(store: Store, file: Path) -> int:
    """Writes all events, in the order they came, as Parquet that `prepare` reads; says how many.

    Ids are integers again if all of them are. Raises InputError if the file cannot be written.
    """
    columns: dict[str, list[object]] = {name: [] for name in EVENT_SCHEMA.names}
    for event in store.events_since(0):
        for name in ("user", "item", "kind"):
            columns[name].append(event._mapping[name])
        columns["weight"].append(1.0 if event.weight is None else event.weight)  # what an event without one counts
        columns["timestamp"].append(int(event.timestamp))
    table = pa.table(columns, schema=EVENT_SCHEMA)
    for name in ("user", "item"):
        table = table.set_column(table.column_names.index(name), name, _as_integers(table[name]))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder cannot be made: {error.strerror}.", where=str(file.parent)) from error
    with written_whole(file) as target:
        pq.write_table(table, target)
    return int(table.num_rows)


def _as_integers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The ids as int64 if each is written as that integer would be, else as they are."""
    try:
        numbers = column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column
    return numbers if numbers.cast(column.type).equals(column) else column
