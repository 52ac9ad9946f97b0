"""A prepared dataset on disk, read back: what `prepare` writes and all other jobs take. Needs no Spark.

    OUTPUT/
      train/  test/       user, item, user_code, item_code, and where the data has them weight, timestamp, kind
      item_ids/ user_ids/ code, id
      items/  users/      id and the columns of the catalogue, in code order; only where there is one
      rejects/            file, row, reason
      data_card.json      counts, density, time span, weights, split, fingerprint
      job.json            what the job was told and how long it took

All tables are folders of Parquet files. The order of rows in them means nothing; here they are read in one order.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset as arrow_dataset

from palate.dataset.ids import IdMap
from palate.dataset.schema import ITEM_SCHEMA, USER_SCHEMA, Interactions, Items, Users
from palate.errors import InputError, SchemaError

CARD = "data_card.json"
PARTS = ("train", "test")
CODES = ("user_code", "item_code")
OPTIONAL = ("weight", "timestamp", "kind")


class Prepared:
    """The folder that `prepare` wrote. Raises InputError if it is none, SchemaError if a table in it is damaged."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / CARD).is_file():
            raise InputError(
                f"this is no prepared dataset: it has no {CARD}.",
                where=str(self.path),
                hint="Make one with `palate job prepare`.",
            )

    @cached_property
    def card(self) -> dict[str, Any]:
        """The data card."""
        try:
            found = json.loads((self.path / CARD).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SchemaError(f"cannot be read ({error}).", where=str(self.path / CARD)) from None
        if not isinstance(found, dict):
            raise SchemaError("is no JSON object.", where=str(self.path / CARD))
        return found

    @property
    def fingerprint(self) -> str:
        return str(self.card.get("fingerprint", ""))

    @cached_property
    def users(self) -> IdMap:
        """Every user of train and test."""
        return self._ids("user_ids")

    @cached_property
    def items(self) -> IdMap:
        """Every item of train, test and catalogue."""
        return self._ids("item_ids")

    def interactions(self, part: str = "train") -> Interactions:
        """`train` or `test`, with the id maps of both."""
        return interactions_from_arrow(self.table(part), self.users, self.items)

    def catalogue(self) -> Items | None:
        """What is known of the items, aligned with the id map; None where `prepare` was given none."""
        table = self._optional("items")
        if table is None:
            return None
        return Items(IdMap(table["id"]), table.select(ITEM_SCHEMA.names)).aligned(self.items)

    def described(self) -> Items:
        """The catalogue. Raises SchemaError where `prepare` was given none."""
        found = self.catalogue()
        if found is None:
            raise SchemaError(
                "there is no catalogue, so nothing is known of the items.",
                where=str(self.path),
                hint="Give `prepare` one with --items.",
            )
        return found

    def people(self) -> Users | None:
        """What is known of the users beside their interactions; None where `prepare` was given nothing."""
        table = self._optional("users")
        return None if table is None else Users(IdMap(table["id"]), table.select(USER_SCHEMA.names))

    def table(self, name: str) -> pa.Table:
        """One of the tables. Raises SchemaError if it is missing or can't be read."""
        folder = self.path / name
        if not folder.is_dir():
            raise SchemaError(f"the table {name!r} is missing.", where=str(self.path), hint="Run `prepare` again.")
        files = sorted(str(file) for file in folder.glob("*.parquet"))
        try:
            return arrow_dataset.dataset(files, format="parquet").to_table()
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0][:200]
            raise SchemaError(f"cannot be read ({reason}).", where=str(folder), hint="Run `prepare` again.") from None

    def _optional(self, name: str) -> pa.Table | None:
        return self.table(name) if (self.path / name).is_dir() else None

    def _ids(self, name: str) -> IdMap:
        table = self.table(name).sort_by("code")
        codes = np.asarray(table["code"])
        if not np.array_equal(codes, np.arange(len(codes))):
            raise SchemaError("the codes are not 0, 1, 2, ...", where=str(self.path / name))
        return IdMap(table["id"], where=str(self.path / name))


def interactions_from_arrow(table: pa.Table, users: IdMap, items: IdMap) -> Interactions:
    """The columns of a prepared table as Interactions, in one order whatever the partitions were.

    The order is by user, then time, then item, then weight and kind.
    """
    columns = {name: np.asarray(table[name].combine_chunks()) for name in CODES}
    for name, kind in (("weight", np.float32), ("timestamp", np.int64)):
        if name in table.column_names:
            columns[name] = np.asarray(table[name].combine_chunks()).astype(kind, copy=False)
    names: tuple[str, ...] = ()
    if "kind" in table.column_names:
        names = tuple(sorted(pc.unique(table["kind"]).to_pylist()))
        found = pc.index_in(table["kind"].combine_chunks().cast(pa.string()), pa.array(names, pa.string()))
        columns["kind"] = np.asarray(found).astype(np.int16)
    keys = [columns[name] for name in ("kind", "weight", "item_code", "timestamp", "user_code") if name in columns]
    order = np.lexsort(keys)
    ordered = {name: column[order] for name, column in columns.items()}
    return Interactions(
        users,
        items,
        ordered["user_code"].astype(np.int32, copy=False),
        ordered["item_code"].astype(np.int32, copy=False),
        ordered.get("weight"),
        ordered.get("timestamp"),
        ordered.get("kind"),
        names,
    )
