"""Files as they are on disk, before anything is known of what their columns mean.

Everything that can be wrong with a file as a file ends here as an error that names it: it is missing, a folder,
empty, binary, not UTF-8, broken gzip, ragged.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from palate.dataset.mapping import Column
from palate.errors import InputError, SchemaError

CSV_SUFFIXES = (".csv", ".tsv")
JSONL_SUFFIXES = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True)
class Raw:
    """The rows of one file. `columns` says which field each of the table's columns holds; `first_row` numbers them."""

    table: pa.Table
    columns: dict[str, Column]
    file: str
    first_row: int

    def fields(self) -> pa.Table:
        """The columns that hold a field, under the names of the fields."""
        return pa.table({name: self.table[column.name] for name, column in self.columns.items()})


@dataclass(frozen=True)
class Records:
    """The rows of a file as Python has them, column by column, None where a row lacks one; for catalogues."""

    values: dict[str, list[Any]]
    columns: dict[str, Column]
    file: str
    first_row: int
    text_only: bool = False
    """The file knows no types: whether "12" is a number is for the reader to find out."""

    @classmethod
    def of(cls, raw: Raw, *, text_only: bool) -> Records:
        values = {name: raw.table[name].to_pylist() for name in raw.table.column_names}
        return cls(values, raw.columns, raw.file, raw.first_row, text_only)

    @classmethod
    def of_all(cls, raws: Sequence[Raw]) -> Records:
        """The rows of part files with the same columns, numbered on from one to the next."""
        differing = next((raw for raw in raws if raw.table.schema.names != raws[0].table.schema.names), None)
        if differing is not None:
            raise SchemaError(f"the columns are not those of {raws[0].file}.", where=differing.file)
        try:
            table = pa.concat_tables([raw.table for raw in raws], promote_options="permissive")
        except pa.ArrowException as error:
            raise SchemaError(f"part files differ in type ({first_line(error)}).", where=raws[0].file) from None
        return cls.of(Raw(table, raws[0].columns, raws[0].file, 1), text_only=False)

    def row(self, index: int) -> int:
        """The number in the file of the row at `index`."""
        return self.first_row + index


def bare_suffix(path: Path) -> str:
    """The suffix without `.gz`, in lower case."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def require_file(path: Path) -> None:
    """Raises InputError unless `path` is a file."""
    if path.is_dir():
        raise InputError("is a folder; a file is expected.", where=str(path))
    if not path.is_file():
        raise InputError("there is no such file.", where=str(path))


def file_bytes(path: Path, *, encoding_fallback: bool = False) -> bytes:
    """The content of a text file as UTF-8 without a byte order mark, gzip undone.

    encoding_fallback: take what is not UTF-8 as Latin-1, which the old MovieLens files are.
    Raises InputError if it can't be read, SchemaError if it is empty, binary, broken gzip or not UTF-8.
    """
    require_file(path)
    where = str(path)
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        elif path.name.lower().endswith(".gz") and data:
            raise SchemaError("is called .gz but is not gzip.", where=where)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SchemaError(f"the gzip file is broken ({error}).", where=where) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}.", where=where) from None
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise SchemaError("is UTF-16 text.", where=where, hint="Save it as UTF-8.")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if data[:4] == b"PAR1":
        raise SchemaError("is a Parquet file, not text.", where=where, hint="Read it with the format parquet.")
    if b"\0" in data:
        raise SchemaError("is a binary file, not text.", where=where)
    if not data.strip():
        raise SchemaError("the file is empty.", where=where)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if encoding_fallback:
            return data.decode("latin-1").encode()
        line = data.count(b"\n", 0, error.start) + 1
        raise SchemaError(
            f"is not UTF-8: the byte 0x{data[error.start]:02x}.", where=f"{where}: row {line}", hint="Save it as UTF-8."
        ) from None
    return data


def first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200].rstrip(".") if str(error) else type(error).__name__
