"""What is known of items and users beside their interactions: read by the shared readers, kept in code order."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from palate.dataset.ids import IdMap
from palate.dataset.mapping import ColumnMapping
from palate.dataset.readers import Format, guess_format, read_items, read_users
from palate.dataset.readers.formats import find_table
from palate.dataset.schema import Items, Users
from palate.errors import InputError
from palate.spark.index import write_table


@dataclass(frozen=True)
class About:
    """What is known of items and users beside the interactions."""

    items: Items | None = None
    users: Users | None = None


def read_about(folder: Path, format_: str, items: Path | None, users: Path | None, mapping: ColumnMapping) -> About:
    """The catalogue and the users: of the files given, else of the input's folder where it has them.

    Raises InputError or SchemaError naming file, row and column.
    """
    known = Format.AUTO
    if folder.is_dir() and format_ != Format.AUTO:
        known = Format(format_)
    elif folder.is_dir():
        with suppress(InputError):  # a folder of part files: its own names say nothing of a catalogue
            known = guess_format(folder)
    found: dict[str, Any] = {}
    for section, given, read in (("items", items, read_items), ("users", users, read_users)):
        if given is not None:
            found[section] = read(given, "auto", mapping)
        elif known is Format.MOVIELENS:
            name = "movies" if section == "items" else "users"
            if any((folder / f"{name}{end}").is_file() for end in (".csv", ".dat", ".csv.gz")):
                found[section] = read(folder, known)
        elif known not in (Format.AUTO, Format.LIGHTGCN) and find_table(folder, section, known) is not None:
            found[section] = read(folder, known, mapping)
    return About(**found)


def write_about(about: About, users: IdMap, items: IdMap, folder: Path) -> None:
    """The tables `items` (a row for each item of the id map, in code order) and `users`."""
    if about.items is not None:
        catalogue = Items(IdMap(_as_in(about.items.ids, items)), about.items.table).aligned(items)
        write_table(catalogue.table.add_column(0, "id", catalogue.ids.ids), folder / "items")
    if about.users is not None:
        write_table(about.users.table.add_column(0, "id", _as_in(about.users.ids, users)), folder / "users")


def _as_in(ids: IdMap, whole: IdMap) -> pa.Array:
    """The ids in the type that the id map of the whole data has."""
    return ids.ids if ids.is_integer == whole.is_integer else ids.ids.cast(pa.large_string())
