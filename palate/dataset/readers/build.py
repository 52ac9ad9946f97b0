"""Tables of rows to `Interactions`: checked, ids mapped, repeated rows dropped."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from palate.dataset.ids import IdMap, integer_ids
from palate.dataset.readers.raw import Raw
from palate.dataset.schema import Dataset, Interactions, Items
from palate.dataset.validate import COLUMNS, require_interactions, whole
from palate.errors import SchemaError

log = logging.getLogger(__name__)


def interactions_of(raws: Sequence[Raw]) -> Interactions:
    """All rows of some files with the same fields. Raises SchemaError naming the first bad row."""
    tables = []
    for raw in raws:
        unit = raw.columns["timestamp"].unit if "timestamp" in raw.columns else "auto"
        tables.append(require_interactions(raw.fields(), file=raw.file, first_row=raw.first_row, timestamp_unit=unit))
    for raw in raws[1:]:
        differing = set(raw.columns) ^ set(raws[0].columns)
        if differing:
            name = sorted(differing)[0]
            raise SchemaError(f"the column {name!r} is in only one of {raws[0].file} and this file.", where=raw.file)
    columns: dict[str, pa.Array] = {}
    for name in COLUMNS:
        if name in raws[0].columns:
            parts = [whole(table[name]) for table in tables]
            columns[name] = one_type(parts) if name in ("user", "item") else pa.concat_arrays(parts)
    return interactions_from(columns, source=raws[0].file)


def interactions_from(
    columns: dict[str, pa.Array], *, source: str, users: pa.Array | None = None, items: pa.Array | None = None
) -> Interactions:
    """From checked columns. Exact repetitions of a row are dropped, with a note in the log.

    users, items: ids that have no rows but are known.
    """
    weights, timestamps = (columns[name].to_numpy() if name in columns else None for name in ("weight", "timestamp"))
    user_column, user_map = _mapped(columns["user"], users, f"{source}: user")
    item_column, item_map = _mapped(columns["item"], items, f"{source}: item")
    kinds = None
    kind_names: tuple[str, ...] = ()
    if "kind" in columns:
        coded = columns["kind"].dictionary_encode()
        names = coded.dictionary.to_pylist()
        if len(names) > np.iinfo(np.int16).max:
            raise SchemaError(f"there are {len(names)} kinds of event.", where=source, hint="Is it the right column?")
        kind_names = tuple(sorted(names))
        place = {name: code for code, name in enumerate(kind_names)}
        kinds = np.array([place[name] for name in names], np.int16)[np.asarray(coded.indices)]
    interactions = Interactions(user_map, item_map, user_column, item_column, weights, timestamps, kinds, kind_names)
    return without_repetitions(interactions, source=source)


def _mapped(column: pa.Array, more: pa.Array | None, where: str) -> tuple[npt.NDArray[np.int32], IdMap]:
    ids = one_type([column] if more is None else [column, more])
    ids = integer_ids(ids)
    known = IdMap.from_values(ids, where=where)
    return known.encode(ids.slice(0, len(column))), known


def one_type(parts: Sequence[pa.Array]) -> pa.Array:
    """Id arrays as one: integers where all parts are, else text."""
    if len({part.type for part in parts}) > 1:
        parts = [part.cast(pa.large_string()) for part in parts]
    return pa.concat_arrays(parts) if len(parts) > 1 else parts[0]


def without_repetitions(interactions: Interactions, *, source: str) -> Interactions:
    """Without rows that equal an earlier one in every column; how many there were goes to the log."""
    pairs = interactions.user_codes.astype(np.int64) * interactions.n_items + interactions.item_codes
    ordered = np.sort(pairs)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(repeated) == 0:
        return interactions
    suspects = np.flatnonzero(np.isin(pairs, repeated))
    # Compared as integers bit by bit, exactly: floats would merge timestamps and codes beyond 2^53.
    columns: list[npt.NDArray[np.int64]] = [pairs[suspects]]
    if interactions.weights is not None:
        columns.append(interactions.weights[suspects].view(np.int32).astype(np.int64))
    for column in (interactions.timestamps, interactions.kinds):
        if column is not None:
            columns.append(column[suspects].astype(np.int64))
    order = np.lexsort(columns)  # stable: of equal rows the earliest comes first
    differs = np.logical_or.reduce([column[order][1:] != column[order][:-1] for column in columns])
    kept = np.ones(len(interactions), dtype=bool)
    kept[suspects[order[1:][~differs]]] = False
    dropped = int((~kept).sum())
    if dropped:
        log.warning("%s: %d rows repeat an earlier one exactly and were dropped.", source, dropped)
        return interactions.take(kept)
    return interactions


def as_text_ids(ids: IdMap) -> IdMap:
    """The same ids, in the same code order, as text."""
    return IdMap(ids.ids.cast(pa.large_string())) if ids.is_integer else ids


def with_maps(interactions: Interactions, users: IdMap, items: IdMap) -> Interactions:
    """The rows recoded for id maps that hold all ids of the present ones."""
    return replace(
        interactions,
        users=users,
        items=items,
        user_codes=users.encode(interactions.users.ids)[interactions.user_codes],
        item_codes=items.encode(interactions.items.ids)[interactions.item_codes],
    )


def share_maps(train: Interactions, test: Interactions) -> tuple[Interactions, Interactions]:
    """Both with the union of their ids; the codes of `train` stay as they are."""
    if train.users.is_integer != test.users.is_integer:
        train, test = (replace(side, users=as_text_ids(side.users)) for side in (train, test))
    if train.items.is_integer != test.items.is_integer:
        train, test = (replace(side, items=as_text_ids(side.items)) for side in (train, test))
    users, items = train.users.extended(test.users.ids), train.items.extended(test.items.ids)
    return replace(train, users=users, items=items), with_maps(test, users, items)


def same_id_types(dataset: Dataset) -> Dataset:
    """Ids of a catalogue and of the users as the same type as in the interactions: text wherever one side is."""
    interactions, items, users = dataset.interactions, dataset.items, dataset.users
    if items is not None and items.ids.is_integer != interactions.items.is_integer:
        interactions = replace(interactions, items=as_text_ids(interactions.items))
        items = Items(as_text_ids(items.ids), items.table)
    if users is not None and users.ids.is_integer != interactions.users.is_integer:
        interactions = replace(interactions, users=as_text_ids(interactions.users))
        users = replace(users, ids=as_text_ids(users.ids))
    return replace(dataset, interactions=interactions, items=items, users=users)
