"""The readers' front doors: one function per thing that can be read, whatever the format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from palate.dataset.mapping import DEFAULT_MAPPING, ColumnMapping
from palate.dataset.readers import movielens
from palate.dataset.readers.build import interactions_of, same_id_types, share_maps
from palate.dataset.readers.catalogue import items_of, users_of
from palate.dataset.readers.formats import FORMATS, TABLE_NAMES, Format, find_table, guess_format, parse_format
from palate.dataset.readers.jsonl import read_jsonl, read_jsonl_records
from palate.dataset.readers.lightgcn import read_lightgcn
from palate.dataset.readers.raw import Raw, Records
from palate.dataset.readers.tabular import read_csv, read_parquet
from palate.dataset.schema import Dataset, Interactions, Items, Users
from palate.errors import InputError, PalateError

PathLike = str | Path


def read_dataset(path: PathLike, format: str = "auto", mapping: ColumnMapping | None = None) -> Dataset:
    """Interactions with the catalogue and the users, where the folder holds them.

    path: a MovieLens folder; a folder with `interactions`, `items`, `users` as CSV, Parquet or JSON Lines; or one
        file of interactions. format: one of `FORMATS`. mapping: which column is what, if the names don't tell.
    Raises InputError or SchemaError naming file, row and column.
    """
    path = Path(path)
    with _format(path, format) as known:
        if known is Format.MOVIELENS:
            dataset = movielens.read_movielens(path)
        elif not path.is_dir() or known is Format.LIGHTGCN:
            dataset = Dataset(_interactions(path, known, mapping), source=str(path))
        else:
            dataset = Dataset(
                _interactions(path, known, mapping),
                _items(path, known, mapping) if find_table(path, "items", known) else None,
                _users(path, known, mapping) if find_table(path, "users", known) else None,
                source=str(path),
            )
        return same_id_types(dataset)


def read_interactions(path: PathLike, format: str = "auto", mapping: ColumnMapping | None = None) -> Interactions:
    """The interactions of a file or folder. Raises InputError or SchemaError naming file, row and column."""
    path = Path(path)
    with _format(path, format) as known:
        return _interactions(path, known, mapping)


def read_items(path: PathLike, format: str = "auto", mapping: ColumnMapping | None = None) -> Items:
    """The catalogue in a file or folder. Raises InputError or SchemaError naming file, row and column."""
    path = Path(path)
    with _format(path, format) as known:
        return _items(path, known, mapping)


def read_users(path: PathLike, format: str = "auto", mapping: ColumnMapping | None = None) -> Users:
    """What a file or folder says of the users. Raises InputError or SchemaError naming file, row and column."""
    path = Path(path)
    with _format(path, format) as known:
        return _users(path, known, mapping)


def read_train_test(
    train: PathLike, test: PathLike, format: str = "auto", mapping: ColumnMapping | None = None
) -> tuple[Interactions, Interactions]:
    """Two files of interactions with shared id maps: the union of their ids, so that equal codes are equal ids."""
    return share_maps(read_interactions(train, format, mapping), read_interactions(test, format, mapping))


@contextmanager
def _format(path: Path, name: str) -> Iterator[Format]:
    """The format to read in. If it was a guess, an error that follows says so."""
    known = parse_format(name)
    if known is not Format.AUTO:
        if not path.exists():
            raise InputError("there is no such file or folder.", where=str(path))
        yield known
        return
    known = guess_format(path)
    try:
        yield known
    except PalateError as error:
        others = ", ".join(other for other in FORMATS if other not in ("auto", known))
        said = f"The format {known} was guessed; if it is another one, say so ({others})."
        error.hint = f"{error.hint} {said}" if error.hint else said
        raise


def _interactions(path: Path, known: Format, mapping: ColumnMapping | None) -> Interactions:
    if known is Format.MOVIELENS:
        return movielens.read_movielens_ratings(path)
    if known is Format.LIGHTGCN:
        return read_lightgcn(path)
    return interactions_of(_raws(_table_path(path, "interactions", known), known, mapping or DEFAULT_MAPPING))


def _raws(path: Path, known: Format, mapping: ColumnMapping) -> list[Raw]:
    if known is Format.PARQUET:
        return read_parquet(path, mapping, "interactions", all_columns=False)
    if known is Format.JSONL:
        return [read_jsonl(path, mapping, "interactions")]
    return [read_csv(path, mapping, "interactions", all_columns=False)]


def _items(path: Path, known: Format, mapping: ColumnMapping | None) -> Items:
    if known is Format.MOVIELENS:
        return movielens.read_movielens_items(path)
    return items_of(_records(path, "items", known, mapping or DEFAULT_MAPPING))


def _users(path: Path, known: Format, mapping: ColumnMapping | None) -> Users:
    if known is Format.MOVIELENS:
        return movielens.read_movielens_users(path)
    return users_of(_records(path, "users", known, mapping or DEFAULT_MAPPING))


def _records(path: Path, section: str, known: Format, mapping: ColumnMapping) -> Records:
    if known is Format.LIGHTGCN:
        raise InputError(f"adjacency files hold no {section}.", where=str(path))
    path = _table_path(path, section, known)
    if known is Format.JSONL:
        return read_jsonl_records(path, mapping, section)
    if known is Format.CSV:
        return Records.of(read_csv(path, mapping, section, all_columns=True), text_only=True)
    return Records.of_all(read_parquet(path, mapping, section, all_columns=True))


def _table_path(path: Path, section: str, known: Format) -> Path:
    """The file of a section: the path itself, or in a folder the file that is called so."""
    if not path.is_dir():
        return path
    found = find_table(path, section, known)
    if found is not None:
        return found
    if known is Format.PARQUET and any(path.glob("*.parquet")):
        return path
    names = " or ".join(TABLE_NAMES[section])
    raise InputError(f"no {known} file in the folder is called {names}.", where=str(path))
