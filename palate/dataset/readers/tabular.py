"""CSV and Parquet files as tables. CSV cells stay text here: what is a number is decided once the field is known."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from palate.dataset.mapping import ColumnMapping
from palate.dataset.readers.raw import Raw, bare_suffix, file_bytes, first_line, require_file
from palate.errors import InputError, SchemaError


def read_csv(path: Path, mapping: ColumnMapping, section: str, *, all_columns: bool) -> Raw:
    """A CSV file, every column as text. Rows are numbered as a spreadsheet does, the header being row 1."""
    data = file_bytes(path).lstrip(b"\r\n")
    where = str(path)
    delimiter = mapping.delimiter or ("\t" if bare_suffix(path) == ".tsv" else ",")
    header = mapping.header or _header(data, delimiter, where)
    columns = mapping.resolve(section, header, where=where)
    kept = list(header) if all_columns else [column.name or "" for column in columns.values()]
    first_row = 1 if mapping.header else 2
    table = parse_csv(data, where, header, delimiter=delimiter, include=kept, skip=first_row - 1)
    return Raw(table, columns, where, first_row)


def parse_csv(
    data: bytes,
    where: str,
    names: Sequence[str],
    *,
    delimiter: str,
    include: Sequence[str],
    skip: int,
    quote: bool = True,
) -> pa.Table:
    """CSV text to text columns. Raises SchemaError for ragged rows, and if there are no rows at all."""

    def parse(threads: bool) -> tuple[pa.Table, list[Any]]:
        ragged: list[Any] = []

        def note(row: Any) -> str:
            ragged.append(row)
            return "skip"

        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(
                column_names=list(names), skip_rows=skip, block_size=8 << 20, use_threads=threads
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter,
                quote_char='"' if quote else False,
                newlines_in_values=quote and b'"' in data,
                invalid_row_handler=note,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(include, pa.large_string()), include_columns=list(include)
            ),
        )
        return table, ragged

    try:
        table, ragged = parse(threads=True)
        if ragged:
            _, ragged = parse(threads=False)  # only a single thread knows the numbers of the rows
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            raise SchemaError("there are no rows below the header.", where=where) from None
        raise SchemaError(f"cannot be parsed as CSV ({first_line(error)}).", where=where) from None
    if ragged:
        first, others = ragged[0], len(ragged) - 1
        raise SchemaError(
            f"the row has {first.actual_columns} columns, {first.expected_columns} are expected."
            + (f" {others} other row{'s are' if others > 1 else ' is'} ragged too." if others else ""),
            where=f"{where}: row {first.number}",
        )
    if table.num_rows == 0:
        raise SchemaError("there are no rows below the header.", where=where)
    return table


def _header(data: bytes, delimiter: str, where: str) -> tuple[str, ...]:
    line = data.split(b"\n", 1)[0].decode().rstrip("\r")
    names = tuple(name.strip() for name in next(csv.reader([line], delimiter=delimiter), []))
    other = next((mark for mark in ";\t|," if len(names) == 1 and mark != delimiter and mark in line), None)
    if other is not None:
        raise SchemaError(
            f"the header is one column when split at {delimiter!r}, but it holds {other!r}.",
            where=where,
            hint=f"Say `delimiter: {json.dumps(other)}` in a mapping file.",
        )
    return names


def read_parquet(path: Path, mapping: ColumnMapping, section: str, *, all_columns: bool) -> list[Raw]:
    """A Parquet file, or a folder of part files as Spark writes it; one `Raw` per file, rows numbered from 1."""
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.rglob("*.parquet") if not file.name.startswith(("_", ".")))
        if not files:
            raise InputError("the folder holds no .parquet file.", where=str(path))
    found = [_read_parquet_file(file, mapping, section, all_columns) for file in files]
    if not any(raw.table.num_rows for raw in found):
        raise SchemaError("there are no rows.", where=str(path))
    return [raw for raw in found if raw.table.num_rows]


def _read_parquet_file(path: Path, mapping: ColumnMapping, section: str, all_columns: bool) -> Raw:
    require_file(path)
    where = str(path)
    if path.stat().st_size == 0:
        raise SchemaError("the file is empty.", where=where)
    try:
        with parquet.ParquetFile(path) as file:
            columns = mapping.resolve(section, file.schema_arrow.names, where=where)
            wanted = None if all_columns else [column.name for column in columns.values()]
            return Raw(file.read(columns=wanted), columns, where, 1)
    except (pa.ArrowException, OSError) as error:
        raise SchemaError(f"is not a readable Parquet file ({first_line(error)}).", where=where) from None
