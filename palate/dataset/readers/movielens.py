"""MovieLens folders: the ml-latest layout (`ratings.csv`, `movies.csv`, `tags.csv`) and the older `::` one
(`ratings.dat`, `movies.dat`, `users.dat`). Ratings become weights, genres categories, people's tags item tags.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from palate.dataset.mapping import Column, ColumnMapping
from palate.dataset.readers.build import interactions_of
from palate.dataset.readers.catalogue import items_of, users_of
from palate.dataset.readers.raw import Raw, Records, file_bytes, require_file
from palate.dataset.readers.tabular import parse_csv, read_csv
from palate.dataset.schema import Dataset, Interactions, Items, Users
from palate.errors import InputError

NO_GENRES = "(no genres listed)"
_YEAR = re.compile(r"^(.*\S)\s*\((\d{4})(?:[-–](?:\d{4})?)?\)\s*$")
_UNIT = "\x1f"

_CSV = ColumnMapping(
    interactions={"user": Column("userId"), "item": Column("movieId"), "weight": Column("rating")},
    items={"id": Column("movieId"), "title": Column("title"), "categories": Column("genres")},
)
_DAT_COLUMNS = {
    "ratings.dat": ("userId", "movieId", "rating", "timestamp"),
    "movies.dat": ("movieId", "title", "genres"),
    "tags.dat": ("userId", "movieId", "tag", "timestamp"),
    "users.dat": ("userId", "gender", "age", "occupation", "zip"),
}


def has_movielens(folder: Path) -> bool:
    """Whether the files of a folder are laid out like one of MovieLens."""
    return (folder / "ratings.dat").is_file() or all(
        (folder / name).is_file() for name in ("ratings.csv", "movies.csv")
    )


def read_movielens(path: Path) -> Dataset:
    """A folder of either layout. Raises InputError if it lacks the ratings, SchemaError for a file that is damaged."""
    items = read_movielens_items(path) if _find(path, "movies") else None
    users = read_movielens_users(path) if _find(path, "users") else None
    return Dataset(read_movielens_ratings(path), items, users, source=str(path))


def read_movielens_ratings(path: Path) -> Interactions:
    """The ratings of a folder, or of one file in either layout."""
    return interactions_of([_table(_need(path, "ratings"), "interactions")])


def read_movielens_items(path: Path) -> Items:
    """The movies of a folder: the title without its year, the year among the attributes, tags lower-cased."""
    file = _need(path, "movies")
    raw = _table(file, "items")
    records = Records.of(raw, text_only=True)
    titles, years = [], []
    for title in records.values["title"]:
        match = _YEAR.match(title)
        titles.append(match[1] if match else title.strip())
        years.append(match[2] if match else "")
    genres = ["" if value == NO_GENRES else value for value in records.values["genres"]]
    values: dict[str, list[Any]] = {**records.values, "title": titles, "genres": genres, "year": years}
    columns = dict(records.columns)
    tags = _find(file.parent, "tags") if path.is_dir() else None
    if tags is not None:
        values["tags"] = _tags(tags, values["movieId"])
        columns["tags"] = Column("tags")
    return items_of(Records(values, columns, records.file, records.first_row, text_only=True))


def read_movielens_users(path: Path) -> Users:
    """The users of a `::` folder; gender, age, occupation and zip code are attributes."""
    return users_of(Records.of(_table(_need(path, "users"), "users"), text_only=True))


def _find(path: Path, name: str) -> Path | None:
    """The file of that name in a folder, in either layout; a file stands for itself as the ratings."""
    if not path.is_dir():
        return path if name == "ratings" else None
    return next(
        (path / f"{name}{end}" for end in (".csv", ".dat", ".csv.gz") if (path / f"{name}{end}").is_file()), None
    )


def _need(path: Path, name: str) -> Path:
    if name != "ratings" and path.is_file():
        return path
    found = _find(path, name)
    if found is None:
        held = ", ".join(sorted(file.name for file in path.iterdir())[:8]) or "nothing"
        raise InputError(f"holds neither {name}.csv nor {name}.dat.", where=str(path), hint=f"It holds: {held}.")
    require_file(found)
    return found


def _table(file: Path, section: str) -> Raw:
    if file.suffix != ".dat":
        return read_csv(file, _CSV, section, all_columns=section != "interactions")
    return _dat(file, section)


def _dat(file: Path, section: str) -> Raw:
    """A `::` file as text columns. Old ones are in Latin-1."""
    kind = {"interactions": "ratings.dat", "items": "movies.dat", "users": "users.dat", "tags": "tags.dat"}[section]
    names = _DAT_COLUMNS[kind]
    data = file_bytes(file, encoding_fallback=True).replace(b"::", _UNIT.encode())
    table = parse_csv(data, str(file), names, delimiter=_UNIT, include=names, skip=0, quote=False)
    columns = {} if section == "tags" else _CSV.resolve(section, names, where=str(file))
    return Raw(table, columns, str(file), 1)


def _tags(file: Path, movies: Sequence[str]) -> list[list[str]]:
    """Per movie the tags that people gave it, lower-cased, each once, the most frequent first."""
    mapping = ColumnMapping(interactions={"user": Column("userId"), "item": Column("movieId")})
    raw = _dat(file, "tags") if file.suffix == ".dat" else read_csv(file, mapping, "interactions", all_columns=True)
    if "tag" not in raw.table.column_names:
        raise InputError("there is no column 'tag'.", where=str(file))
    counts: dict[str, dict[str, int]] = {}
    pairs = pa.table({"movie": raw.table["movieId"], "tag": raw.table["tag"]}).to_pydict()
    for movie, tag in zip(pairs["movie"], pairs["tag"], strict=True):
        name = " ".join(tag.lower().split())
        if name:
            of_movie = counts.setdefault(movie, {})
            of_movie[name] = of_movie.get(name, 0) + 1
    return [
        [tag for tag, _ in sorted(counts.get(movie, {}).items(), key=lambda pair: (-pair[1], pair[0]))]
        for movie in movies
    ]
