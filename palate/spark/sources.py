"""What `prepare` is to read: the files of an input path, and how each is laid out. Looks at their first lines only."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

from palate.dataset.mapping import ColumnMapping
from palate.dataset.readers import Format, guess_format
from palate.dataset.readers.formats import SUFFIXES, TABLE_NAMES, find_table, parse_format
from palate.dataset.readers.raw import bare_suffix
from palate.errors import InputError, SchemaError
from palate.spark.lines import Layout

_HEAD = 1 << 16


@dataclass(frozen=True)
class Source:
    """Interactions as they lie on disk.

    format: never AUTO. files: path to its layout; of "parquet", one layout whose columns are
    names. parts: path to "train" or "test" where the data comes split (LightGCN), else empty.
    """

    format: Format
    files: dict[str, Layout]
    parts: dict[str, str]


def find_source(path: Path, format_: str, mapping: ColumnMapping) -> Source:
    """Raises InputError for a path that is missing or holds no such data, SchemaError for what a first line shows."""
    known = parse_format(format_)
    if not path.exists():
        raise InputError("there is no such file or folder.", where=str(path))
    if known is Format.AUTO:
        known = _guess(path)
    if known is Format.MOVIELENS:
        return Source(known, _movielens(path, mapping), {})
    if known is Format.LIGHTGCN:
        return _lightgcn(path)
    layout = {Format.PARQUET: _parquet_layout, Format.JSONL: _jsonl_layout}.get(known, _csv_layout)
    return Source(known, {str(file): layout(file, mapping) for file in _files(path, known)}, {})


def _guess(path: Path) -> Format:
    """As the readers guess; beside that, a folder of LightGCN's, or one of part files under any names."""
    if path.is_dir() and (path / "train.txt").is_file():
        return Format.LIGHTGCN
    try:
        return guess_format(path)
    except InputError:
        held = [known for known in SUFFIXES if path.is_dir() and _parts(path, known)]
        if len(held) != 1:
            raise
        return held[0]


def _files(path: Path, known: Format) -> list[Path]:
    if path.is_file():
        return [path]
    table = find_table(path, "interactions", known)
    if table is not None and table.is_file():
        return [table]
    files = _parts(table or path, known)
    if not files:
        raise InputError(f"the folder holds no {known} file of interactions.", where=str(path))
    return files


def _parts(folder: Path, known: Format) -> list[Path]:
    """The files of a format at any depth but those that start with . or _, and those of a catalogue or of users."""
    others = (*TABLE_NAMES["items"], *TABLE_NAMES["users"], "tags", "links")
    files = (file for file in folder.rglob("*") if file.is_file() and bare_suffix(file) in SUFFIXES[known])
    return sorted(
        file
        for file in files
        if not any(part.startswith(("_", ".")) for part in file.relative_to(folder).parts)
        and file.name.split(".")[0].lower() not in others
    )


def _first_line(path: Path) -> bytes:
    """The first line (64 KiB of it at most), gzip undone, without a byte order mark.

    Raises InputError if the file can't be read, SchemaError if it is empty or no text.
    """
    where = str(path)
    try:
        with path.open("rb") as raw:
            data = raw.read(_HEAD)
        named, packed = path.name.lower().endswith(".gz"), data[:2] == b"\x1f\x8b"
        if data and named != packed:
            raise SchemaError(
                "is called .gz but is not gzip." if named else "is gzip but is not called .gz: rename it.", where=where
            )
        if packed:
            with gzip.open(path) as unpacked:
                data = unpacked.read(_HEAD)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SchemaError(f"the gzip file is broken ({error}).", where=where) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}.", where=where) from None
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise SchemaError("is UTF-16 text.", where=where, hint="Save it as UTF-8.")
    if data[:4] == b"PAR1":
        raise SchemaError("is a Parquet file, not text.", where=where, hint="Read it with --format parquet.")
    if b"\0" in data:
        raise SchemaError("is a binary file, not text.", where=where)
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise SchemaError("the file is empty.", where=where)
    return data.split(b"\n", 1)[0].rstrip(b"\r")


def _text(line: bytes, path: Path) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise SchemaError("is not UTF-8 text.", where=f"{path}: row 1", hint="Save it as UTF-8.") from None


def _csv_layout(path: Path, mapping: ColumnMapping) -> Layout:
    line = _text(_first_line(path), path)
    delimiter = mapping.delimiter or ("\t" if bare_suffix(path) == ".tsv" else ",")
    if mapping.header:
        names = list(mapping.header)
    else:
        names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
        other = next((mark for mark in ";\t|," if len(names) == 1 and mark != delimiter and mark in line), None)
        if other is not None:
            raise SchemaError(
                f"the header is one column when split at {delimiter!r}, but it holds {other!r}.",
                where=str(path),
                hint=f"Say `delimiter: {json.dumps(other)}` in a mapping file.",
            )
    columns = mapping.resolve("interactions", names, where=str(path))
    places: dict[str, int | str] = {
        field: names.index(column.name) for field, column in columns.items() if column.name is not None
    }
    return Layout(
        "csv", places, delimiter, len(names), header=not mapping.header, timestamp_unit=_unit(mapping, "interactions")
    )


def _unit(mapping: ColumnMapping, section: str) -> str:
    column = getattr(mapping, section).get("timestamp")
    return str(column.unit) if column is not None else "auto"


def _jsonl_layout(path: Path, mapping: ColumnMapping) -> Layout:
    """Every key that the mapping may mean, as the first object shows them."""
    line = _text(_first_line(path), path)
    try:
        first = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SchemaError(
            f"is not JSON ({getattr(error, 'msg', 'too deep')}).",
            where=f"{path}: row 1",
            hint="JSON Lines has one object per line." if line[:1] in "[{" else None,
        ) from None
    if not isinstance(first, dict):
        raise SchemaError("is no JSON object.", where=f"{path}: row 1", hint="JSON Lines has one object per line.")
    columns = mapping.resolve("interactions", list(first), where=str(path))
    places: dict[str, int | str] = {field: column.name for field, column in columns.items() if column.name is not None}
    return Layout("jsonl", places, timestamp_unit=_unit(mapping, "interactions"))


def _parquet_layout(path: Path, mapping: ColumnMapping) -> Layout:
    import pyarrow as pa
    from pyarrow import parquet

    if path.stat().st_size == 0:
        raise SchemaError("the file is empty.", where=str(path))
    try:
        names = parquet.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:200].rstrip(".")
        raise SchemaError(f"is not a readable Parquet file ({reason}).", where=str(path)) from None
    columns = mapping.resolve("interactions", names, where=str(path))
    places: dict[str, int | str] = {field: column.name for field, column in columns.items() if column.name is not None}
    return Layout("parquet", places, timestamp_unit=_unit(mapping, "interactions"))


def _movielens(path: Path, mapping: ColumnMapping) -> dict[str, Layout]:
    """`ratings.csv` with a header (ml-latest, ml-25m), or `ratings.dat` with `::` and none (ml-1m, ml-10m)."""
    names = ("ratings.csv", "ratings.dat", "ratings.csv.gz")
    files = [path] if path.is_file() else [path / name for name in names if (path / name).is_file()]
    if not files:
        raise InputError("the folder holds neither ratings.csv nor ratings.dat.", where=str(path))
    ratings = files[0]
    line = _first_line(ratings)
    if b"::" not in line:
        return {str(ratings): _csv_layout(ratings, mapping)}
    if line.count(b"::") != 3:
        raise SchemaError("the line is not UserID::MovieID::Rating::Timestamp.", where=f"{ratings}: row 1")
    places: dict[str, int | str] = {"user": 0, "item": 1, "weight": 2, "timestamp": 3}
    return {str(ratings): Layout("csv", places, "::", 4, latin1=True)}


def _lightgcn(path: Path) -> Source:
    """One adjacency file, or a folder with `train.txt` and `test.txt`."""
    files = [path] if path.is_file() else [path / name for name in ("train.txt", "test.txt") if (path / name).is_file()]
    if not files:
        raise InputError("the folder holds neither train.txt nor test.txt.", where=str(path))
    for file in files:
        _first_line(file)
    parts = {str(file): file.stem for file in files} if path.is_dir() and len(files) == 2 else {}
    return Source(Format.LIGHTGCN, {str(file): Layout("adjacency", {}) for file in files}, parts)
