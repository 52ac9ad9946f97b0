"""Text lines to columns, in Arrow batches: what the executors of `prepare` do with CSV, JSON Lines, MovieLens'
`::` files and LightGCN's adjacency lists.

A line that does not parse becomes a rejected row with its reason; nothing here raises for what a file holds.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from palate.dataset.validate import cast_rows, flags, shown

Numbers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """How the lines of one file are to be taken apart.

    style: "csv", "jsonl", "adjacency" (`user item item ...`).
    columns: field (user, item, weight, timestamp, kind) to its place: a position in CSV, a key in JSONL.
    delimiter: of CSV; may be longer than one character (`::`), and then nothing is quoted. width: columns of a row.
    header: the first line names the columns. latin1: what is not UTF-8 is Latin-1.
    """

    style: str
    columns: dict[str, int | str]
    delimiter: str = ","
    width: int = 0
    header: bool = False
    latin1: bool = False
    timestamp_unit: str = "auto"


@dataclass(frozen=True)
class Parsed:
    """`fields`: a text column per field; `rows`: the line of each, `(n,) int64`; `rejects`: (line, reason).

    Where a file tells numbers from text (JSONL), boolean columns `user_is_text` and `item_is_text` say which it was.
    """

    fields: pa.Table
    rows: Numbers
    rejects: list[tuple[int, str]]


def parse_lines(lines: pa.Array, rows: Numbers, layout: Layout) -> Parsed:
    """Lines as bytes (binary), and their numbers in the file, from 1. Blank lines are no rows."""
    text, undecodable = cast_rows(lines, pa.large_string())
    if layout.latin1 and undecodable.any():
        values = [
            line.as_py().decode("latin-1") if bad else line.as_py().decode()
            for line, bad in zip(lines, undecodable, strict=True)
        ]
        text, undecodable = pa.array(values, pa.large_string()), np.zeros(len(values), dtype=bool)
    rejects = [(int(row), "the line is not UTF-8 text") for row in rows[undecodable]]
    text = pc.utf8_trim(pc.fill_null(text, ""), "\r\n\ufeff") if len(text) else text
    used = flags(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(text)), 0))
    if layout.header:
        used &= rows != 1
    text, rows = text.filter(pa.array(used)), rows[used]
    parsed = _PARSERS[layout.style](text, rows, layout)
    return Parsed(parsed.fields, parsed.rows, rejects + parsed.rejects)


def _parse_csv(text: pa.Array, rows: Numbers, layout: Layout) -> Parsed:
    quoted = flags(pc.match_substring(text, '"')) if len(layout.delimiter) == 1 else np.zeros(len(text), dtype=bool)
    rejects: list[tuple[int, str]] = []
    parts = pc.split_pattern(text.filter(pa.array(~quoted)), layout.delimiter)
    widths = np.asarray(pc.list_value_length(parts))
    even = widths == layout.width
    for row, width in zip(rows[~quoted][~even].tolist(), widths[~even].tolist(), strict=True):
        rejects.append((row, _ragged(width, layout)))
    flat = parts.filter(pa.array(even)).flatten()
    count = int(even.sum())
    plain = {
        name: flat.take(pa.array(np.arange(count, dtype=np.int64) * layout.width + at))
        for name, at in layout.columns.items()
        if isinstance(at, int)
    }
    kept = [rows[~quoted][even]]
    tables = [pa.table({name: pa.array(column, pa.large_string()) for name, column in plain.items()})]
    if quoted.any():
        table, held, bad = _parse_quoted(text.filter(pa.array(quoted)), rows[quoted], layout)
        tables.append(table)
        kept.append(held)
        rejects += bad
    return _in_order(pa.concat_tables(tables), np.concatenate(kept), rejects)


def _parse_quoted(text: pa.Array, rows: Numbers, layout: Layout) -> tuple[pa.Table, Numbers, list[tuple[int, str]]]:
    """Lines with quotation marks, one at a time: a quoted field ends on its line."""
    good: list[list[str]] = []
    held: list[int] = []
    rejects: list[tuple[int, str]] = []
    for row, line in zip(rows.tolist(), text.to_pylist(), strict=True):
        try:
            values = next(csv.reader([line], delimiter=layout.delimiter, strict=True))
        except csv.Error as error:
            open_quote = "unexpected end" in str(error)
            rejects.append(
                (row, "a quoted field does not end on its line" if open_quote else f"the line is not CSV ({error})")
            )
            continue
        if len(values) != layout.width:
            rejects.append((row, _ragged(len(values), layout)))
            continue
        good.append(values)
        held.append(row)
    columns = {
        name: pa.array([values[at] for values in good], pa.large_string())
        for name, at in layout.columns.items()
        if isinstance(at, int)
    }
    return pa.table(columns), np.array(held, dtype=np.int64), rejects


def _ragged(width: int, layout: Layout) -> str:
    return f"the row has {width} columns, {layout.width} are expected"


def _parse_jsonl(text: pa.Array, rows: Numbers, layout: Layout) -> Parsed:
    values: dict[str, list[str | None]] = {name: [] for name in layout.columns}
    is_text: dict[str, list[bool]] = {name: [] for name in ("user", "item")}
    held: list[int] = []
    rejects: list[tuple[int, str]] = []
    for row, line in zip(rows.tolist(), text.to_pylist(), strict=True):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            rejects.append((row, f"the line is not JSON ({getattr(error, 'msg', 'too deep')})"))
            continue
        if not isinstance(found, dict):
            rejects.append((row, "the line is no JSON object"))
            continue
        texts = {name: _json_text(found.get(str(key))) for name, key in layout.columns.items()}
        wrong = next((name for name, value in texts.items() if isinstance(value, _Wrong)), None)
        if wrong is not None:
            rejects.append(
                (row, f"{wrong}: {shown(str(found[str(layout.columns[wrong])]))} is neither text nor number")
            )
            continue
        held.append(row)
        for name, value in texts.items():
            values[name].append(None if isinstance(value, _Wrong) else value)
        for name, kinds in is_text.items():
            kinds.append(isinstance(found.get(str(layout.columns[name])), str))
    table = pa.table(
        {name: pa.array(column, pa.large_string()) for name, column in values.items()}
        | {f"{name}_is_text": pa.array(kinds, pa.bool_()) for name, kinds in is_text.items()}
    )
    return Parsed(table, np.array(held, dtype=np.int64), rejects)


class _Wrong:
    """A JSON value that can be no field."""


def _json_text(value: Any) -> str | _Wrong | None:
    if value is None or isinstance(value, str):
        if value is not None and any("\ud800" <= character <= "\udfff" for character in value):
            return _Wrong()
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _Wrong()
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else str(value)


def _parse_adjacency(text: pa.Array, rows: Numbers, layout: Layout) -> Parsed:
    """`user item item ...`; a user without items is no row."""
    parts = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(text))
    widths = np.asarray(pc.list_value_length(parts)).astype(np.int64)
    flat = parts.flatten()
    starts = np.concatenate([[0], np.cumsum(widths)[:-1]]).astype(np.int64) if len(widths) else widths
    first = np.zeros(len(flat), dtype=bool)
    first[starts] = True
    users = flat.take(pa.array(np.repeat(starts, widths - 1)))
    table = pa.table({"user": users, "item": flat.filter(pa.array(~first))})
    return Parsed(table, np.repeat(rows, widths - 1), [])


def _in_order(table: pa.Table, rows: Numbers, rejects: list[tuple[int, str]]) -> Parsed:
    order = np.argsort(rows, kind="stable")
    if (order[1:] > order[:-1]).all():
        return Parsed(table, rows, rejects)
    return Parsed(table.take(pa.array(order)), rows[order], rejects)


_PARSERS: dict[str, Callable[[pa.Array, Numbers, Layout], Parsed]] = {
    "csv": _parse_csv,
    "jsonl": _parse_jsonl,
    "adjacency": _parse_adjacency,
}
