"""Writing a data set to a folder that `read_dataset` and the Spark jobs read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from palate.dataset.schema import Dataset, Interactions
from palate.errors import InputError, ParameterError
from palate.files import written_whole


def write_dataset(dataset: Dataset, folder: str | Path, format: str = "parquet") -> Path:
    """Writes `interactions`, and where known `items` and `users`, as "parquet" or "csv"; gives the folder back.

    Files of these names are replaced, each at once. In CSV the values of lists are separated by `|`; a value that
    holds one makes the cell a JSON list. Raises InputError if the folder can't be written.
    """
    if format not in ("parquet", "csv"):
        raise ParameterError(f"must be parquet or csv, not {str(format)[:60]!r}.", where="format")
    folder = Path(folder)
    tables = {"interactions": interaction_table(dataset.interactions)}
    for name, part in (("items", dataset.items), ("users", dataset.users)):
        if part is not None:
            tables[name] = part.table.add_column(0, "id", part.ids.ids)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            path = folder / f"{name}.{format}"
            with written_whole(path) as file:
                if format == "parquet":
                    parquet.write_table(table, file)
                else:
                    arrow_csv.write_csv(_flat(table), file)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}.", where=str(folder)) from None
    return folder


def interaction_table(interactions: Interactions) -> pa.Table:
    """Columns `user` and `item` (ids), and where there are any `weight`, `timestamp` (seconds) and `kind`."""
    columns = {
        "user": interactions.users.ids.take(pa.array(interactions.user_codes)),
        "item": interactions.items.ids.take(pa.array(interactions.item_codes)),
    }
    if interactions.weights is not None:
        columns["weight"] = pa.array(interactions.weights)
    if interactions.timestamps is not None:
        columns["timestamp"] = pa.array(interactions.timestamps)
    if interactions.kinds is not None:
        names = pa.array(interactions.kind_names, pa.large_string())
        columns["kind"] = names.take(pa.array(np.asarray(interactions.kinds, dtype=np.int64)))
    return pa.table(columns)


def _flat(table: pa.Table) -> pa.Table:
    """The table with one text per list, as CSV needs it."""
    for index, column in enumerate(table.schema):
        if pa.types.is_list(column.type):
            cells = [_cell(values or []) for values in table[column.name].to_pylist()]
            table = table.set_column(index, column.name, pa.array(cells, pa.large_string()))
    return table


def _cell(values: list[str]) -> str:
    if any("|" in value or value.startswith("[") for value in values):
        return json.dumps(values, ensure_ascii=False)
    return "|".join(values)
