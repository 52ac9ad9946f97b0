"""Data: the schema, its readers, validation, splits, and a generated catalogue for when there is none."""

from __future__ import annotations

from palate.dataset.generate import generate_dataset
from palate.dataset.ids import UNKNOWN, Codes, Id, IdMap, Ids
from palate.dataset.mapping import Column, ColumnMapping
from palate.dataset.readers import (
    FORMATS,
    Format,
    guess_format,
    read_dataset,
    read_interactions,
    read_items,
    read_train_test,
    read_users,
)
from palate.dataset.schema import ITEM_SCHEMA, USER_SCHEMA, Dataset, Interactions, Items, Users
from palate.dataset.splits import (
    Split,
    cold_items,
    cold_users,
    leave_last_fraction,
    leave_last_out,
    random_split,
    split,
    time_split,
)
from palate.dataset.validate import validate_interactions
from palate.dataset.writers import write_dataset

__all__ = [
    "FORMATS",
    "ITEM_SCHEMA",
    "UNKNOWN",
    "USER_SCHEMA",
    "Codes",
    "Column",
    "ColumnMapping",
    "Dataset",
    "Format",
    "Id",
    "IdMap",
    "Ids",
    "Interactions",
    "Items",
    "Split",
    "Users",
    "cold_items",
    "cold_users",
    "generate_dataset",
    "guess_format",
    "leave_last_fraction",
    "leave_last_out",
    "random_split",
    "read_dataset",
    "read_interactions",
    "read_items",
    "read_train_test",
    "read_users",
    "split",
    "time_split",
    "validate_interactions",
    "write_dataset",
]
