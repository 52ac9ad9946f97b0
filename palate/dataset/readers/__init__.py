"""Readers: files of several formats to the one schema.

    read_dataset("ml-latest-small")                            # a MovieLens folder, guessed
    read_dataset("data")                                       # interactions.parquet, items.parquet, users.parquet
    read_interactions("events.csv.gz", mapping=ColumnMapping.read("columns.yaml"))
    read_train_test("train.txt", "test.txt", "lightgcn")

Whatever is wrong with a file ends as an InputError or SchemaError that names file, row and column.
"""

from __future__ import annotations

from palate.dataset.readers.formats import FORMATS, Format, guess_format
from palate.dataset.readers.open import (
    read_dataset,
    read_interactions,
    read_items,
    read_train_test,
    read_users,
)

__all__ = [
    "FORMATS",
    "Format",
    "guess_format",
    "read_dataset",
    "read_interactions",
    "read_items",
    "read_train_test",
    "read_users",
]
