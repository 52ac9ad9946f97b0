"""The one check of interaction rows, used by the readers (strict) and by the Spark job `prepare` (lenient).

It works on whole Arrow columns: a row is looked at by itself only once it is known to be bad.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from palate.errors import SchemaError

MAX_ID_LENGTH = 512
"""Characters."""
LATEST_AHEAD = 86_400
"""How many seconds a timestamp may lie ahead of the clock: one day, for time zones and clocks that are off."""
COLUMNS = ("user", "item", "weight", "timestamp", "kind")
REJECTS_SCHEMA = pa.schema([("file", pa.large_string()), ("row", pa.int64()), ("reason", pa.large_string())])

_MILLISECONDS_FROM = 1e11
"""A number this large is milliseconds: as seconds it would lie in the year 5138, as milliseconds in 1973."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Finding:
    """What is wrong with some rows of one column; `reason` is a sentence made from the value found there."""

    column: str
    rows: Mask
    reason: Callable[[Any], str]


def validate_interactions(
    table: pa.Table, *, file: str, first_row: int = 1, now: float | None = None, timestamp_unit: str = "auto"
) -> tuple[pa.Table, pa.Table]:
    """Parts interaction rows into good and rejected ones.

    Parameters
    ----------
    table: columns `user` and `item`, and where there are any `weight`, `timestamp`, `kind`, of whatever type the file
        gave (text will do for all of them); other columns are left out.
    file: what to call the file in the rejects. first_row: the number of the table's first row in that file.
    now: seconds since 1970 UTC; the clock's unless told.
    timestamp_unit: of numeric timestamps: "s", "ms" or "auto" (see `palate.dataset.mapping.UNITS`).

    Returns
    -------
    good: the columns given, as int64 or large_string (ids), float32 (weight), int64 seconds UTC (timestamp) and
        large_string (kind), in the order of the file.
    rejects: one row per bad row, with the columns `file`, `row` and `reason` of REJECTS_SCHEMA.

    Raises SchemaError if `user` or `item` is missing, or a column is of a type that can't hold the field.
    """
    good, findings = check_interactions(table, file=file, now=now, timestamp_unit=timestamp_unit)
    bad = bad_rows(findings, table.num_rows)
    if not bad.any():
        return good, REJECTS_SCHEMA.empty_table()
    reasons: dict[int, str] = {}
    for finding in findings:
        values = _values(table[finding.column].filter(pa.array(finding.rows)))
        for row, value in zip(np.flatnonzero(finding.rows).tolist(), values, strict=True):
            reasons.setdefault(row, f"{finding.column}: {finding.reason(value)}")
    rows = sorted(reasons)
    rejects = pa.table(
        {
            "file": [file] * len(rows),
            "row": [first_row + row for row in rows],
            "reason": [reasons[row] for row in rows],
        },
        schema=REJECTS_SCHEMA,
    )
    return good.filter(pa.array(~bad)), rejects


def require_interactions(
    table: pa.Table, *, file: str, first_row: int = 1, now: float | None = None, timestamp_unit: str = "auto"
) -> pa.Table:
    """As `validate_interactions`, but the first bad row raises SchemaError naming file, row, column and value."""
    good, findings = check_interactions(table, file=file, now=now, timestamp_unit=timestamp_unit)
    raise_first(findings, table, file=file, first_row=first_row)
    return good


def raise_first(findings: list[Finding], table: pa.Table, *, file: str, first_row: int) -> None:
    """Raises SchemaError for the first bad row, saying how many others there are; nothing if there is none."""
    bad = bad_rows(findings, table.num_rows)
    if not bad.any():
        return
    row = int(np.argmax(bad))
    finding = next(finding for finding in findings if finding.rows[row])
    others = int(bad.sum()) - 1
    reason = finding.reason(_values(table[finding.column].slice(row, 1))[0])
    raise SchemaError(
        f"{reason}." + (f" {others} other row{'s are' if others > 1 else ' is'} bad too." if others else ""),
        where=f"{file}: row {first_row + row}, column {finding.column}",
    )


def bad_rows(findings: list[Finding], n: int) -> Mask:
    """`(n,) bool`: the rows that any finding is about."""
    bad = np.zeros(n, dtype=bool)
    for finding in findings:
        bad |= finding.rows
    return bad


def check_interactions(
    table: pa.Table, *, file: str, now: float | None, timestamp_unit: str
) -> tuple[pa.Table, list[Finding]]:
    """The columns in their final types (meaningless in bad rows), and what is wrong with which rows."""
    for name in ("user", "item"):
        if name not in table.column_names:
            raise SchemaError(f"the column {name!r} is missing.", where=file)
    columns: dict[str, pa.Array] = {}
    findings: list[Finding] = []
    for name in COLUMNS:
        if name not in table.column_names:
            continue
        column = whole(table[name])
        where = f"{file}: column {name}"
        if name in ("user", "item"):
            columns[name], found = check_ids(column, name, where=where)
        elif name == "weight":
            columns[name], found = check_weights(column, where=where)
        elif name == "timestamp":
            clock = time.time() if now is None else now
            columns[name], found = check_timestamps(column, now=clock, unit=timestamp_unit, where=where)
        else:
            columns[name], found = check_kinds(column, where=where)
        findings += [finding for finding in found if finding.rows.any()]
    return pa.table(columns), findings


def check_ids(column: pa.Array, name: str, *, where: str) -> tuple[pa.Array, list[Finding]]:
    """Ids as int64 or large_string. Bad: missing, empty, longer than MAX_ID_LENGTH, with control characters."""
    missing = Finding(name, flags(column.is_null()), lambda value: "the id is missing")
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), pa.large_string()), [missing]
    if pa.types.is_integer(column.type):
        numbers, bad = cast_rows(column, pa.int64())
        return numbers, [missing, Finding(name, bad, lambda value: f"{value} does not fit 64 bits")]
    if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        numbers, bad = cast_rows(column, pa.int64())
        return numbers, [missing, Finding(name, bad, lambda value: f"the id {value} is not a whole number")]
    text, not_text = as_text(column, where=where, what="ids must be text or whole numbers")
    usable = pc.fill_null(text, "")
    empty = flags(pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(usable)), 0)) & ~missing.rows & ~not_text
    return text, [
        missing,
        Finding(name, not_text, lambda value: f"the id {shown(value)} is not UTF-8 text"),
        Finding(name, empty, lambda value: "the id is empty"),
        Finding(
            name,
            flags(pc.greater(pc.utf8_length(usable), MAX_ID_LENGTH)),
            lambda value: f"the id {shown(value)} has {len(str(value))} characters, more than {MAX_ID_LENGTH}",
        ),
        Finding(
            name,
            flags(pc.match_substring_regex(usable, r"[\p{Cc}\x{2028}\x{2029}]")),
            lambda value: f"the id {shown(value)} holds a line break or another control character",
        ),
    ]


def check_weights(column: pa.Array, *, where: str) -> tuple[pa.Array, list[Finding]]:
    """Weights as float32. Bad: missing, not a number, NaN, infinite (also beyond float32)."""
    missing, text = _missing(column, where, "weights must be numbers")
    source = pc.utf8_trim_whitespace(text) if text is not None else column
    if pa.types.is_boolean(source.type):
        source = source.cast(pa.int8())
    if text is None and not (pa.types.is_null(source.type) or _numeric(source.type)):
        raise SchemaError(f"weights must be numbers, not {column.type}.", where=where)
    numbers, unparsed = cast_rows(source, pa.float64())
    values = np.asarray(pc.fill_null(numbers, 0.0))
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    return pa.array(narrow), [
        Finding("weight", missing, lambda value: "the weight is missing"),
        Finding("weight", unparsed & ~missing, lambda value: f"the weight {shown(value)} is not a number"),
        Finding("weight", ~np.isfinite(narrow), lambda value: f"the weight {shown(value)} is not a finite number"),
    ]


def check_timestamps(column: pa.Array, *, now: float, unit: str = "auto", where: str) -> tuple[pa.Array, list[Finding]]:
    """Timestamps as int64 seconds UTC, from numbers, ISO 8601 text (without a zone: UTC) or Arrow's time types.

    Bad: missing, unparseable, before 1970, more than LATEST_AHEAD seconds after `now`.
    """
    seconds, missing, unparsed = parse_timestamps(column, unit=unit, where=where)
    findings = [
        Finding("timestamp", missing, lambda value: "the timestamp is missing"),
        Finding(
            "timestamp",
            unparsed,
            lambda value: f"the timestamp {shown(value)} is neither seconds nor milliseconds nor ISO 8601",
        ),
        Finding("timestamp", seconds < 0, lambda value: f"the timestamp {shown(value)} lies before 1970"),
        Finding(
            "timestamp", seconds > now + LATEST_AHEAD, lambda value: f"the timestamp {shown(value)} lies in the future"
        ),
    ]
    return pa.array(np.floor(np.clip(seconds, -1, 2**53)).astype(np.int64)), findings


def parse_timestamps(column: pa.Array, *, unit: str, where: str) -> tuple[npt.NDArray[np.float64], Mask, Mask]:
    """Seconds since 1970 UTC (0 where there are none), which values are missing, and which can't be parsed."""
    missing, text = _missing(column, where, "timestamps must be numbers, dates or ISO 8601 text")
    if text is not None:
        seconds, unparsed = _seconds_of_text(pc.utf8_trim_whitespace(text), unit)
    elif pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        instants, unparsed = cast_rows(column, pa.timestamp("us", getattr(column.type, "tz", None)))
        seconds = np.asarray(pc.fill_null(instants.cast(pa.int64()), 0)) / 1e6
    elif _numeric(column.type) or pa.types.is_null(column.type):
        numbers, unparsed = cast_rows(column, pa.float64())
        seconds = _seconds(np.asarray(pc.fill_null(numbers, 0.0)), unit)
    else:
        raise SchemaError(f"timestamps must be numbers, dates or ISO 8601 text, not {column.type}.", where=where)
    unparsed = (unparsed | ~np.isfinite(seconds)) & ~missing
    return np.where(unparsed | missing, 0.0, seconds), missing, unparsed


def check_kinds(column: pa.Array, *, where: str) -> tuple[pa.Array, list[Finding]]:
    """Event kinds as large_string. Bad: missing, longer than MAX_ID_LENGTH."""
    if pa.types.is_integer(column.type):
        column = column.cast(pa.large_string())
    missing, text = _missing(column, where, "kinds must be text")
    if text is None and not pa.types.is_null(column.type):
        raise SchemaError(f"kinds must be text, not {column.type}.", where=where)
    kinds = text if text is not None else pa.nulls(len(column), pa.large_string())
    long = flags(pc.greater(pc.fill_null(pc.utf8_length(kinds), 0), MAX_ID_LENGTH))
    return kinds, [
        Finding("kind", missing, lambda value: "the kind is missing"),
        Finding("kind", long, lambda value: f"the kind {shown(value)} has more than {MAX_ID_LENGTH} characters"),
    ]


def shown(value: object) -> str:
    """A value for a message: quoted, and never long."""
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= 60 else text[:60] + "...") if isinstance(value, (str, bytes)) else text[:80]


def whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column as one array, dictionaries and binary views decoded."""
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column


def flags(mask: pa.Array) -> Mask:
    """An Arrow boolean array without nulls as numpy."""
    return np.asarray(mask, dtype=bool)


def as_text(column: pa.Array, *, where: str, what: str) -> tuple[pa.Array, Mask]:
    """Text, or bytes that should be UTF-8, as large_string (null where it isn't), and where it isn't."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.large_string()), np.zeros(len(column), dtype=bool)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return cast_rows(column, pa.large_string())
    raise SchemaError(f"{what}, not {kind}.", where=where)


def cast_rows(column: pa.Array, to: pa.DataType) -> tuple[pa.Array, Mask]:
    """`column` cast, null where a value does not fit, and where that was. Halves the column to find the culprits."""
    try:
        return column.cast(to), np.zeros(len(column), dtype=bool)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError):
        if len(column) == 1:
            return pa.nulls(1, to), np.ones(1, dtype=bool)
    middle = len(column) // 2
    left, left_bad = cast_rows(column.slice(0, middle), to)
    right, right_bad = cast_rows(column.slice(middle), to)
    return pa.concat_arrays([left, right]), np.concatenate([left_bad, right_bad])


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The values as Python has them, or as numbers where Python has none (the year 70,000)."""
    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError):
        return list(column.cast(pa.int64()).to_pylist())


def _numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _missing(column: pa.Array, where: str, what: str) -> tuple[Mask, pa.Array | None]:
    """Which values are null or blank, and the column as text if it is text."""
    missing = flags(column.is_null())
    if pa.types.is_null(column.type) or _numeric(column.type) or pa.types.is_temporal(column.type):
        return missing, None
    if pa.types.is_boolean(column.type):
        return missing, None
    text, _ = as_text(column, where=where, what=what)
    blank = flags(pc.equal(pc.fill_null(pc.utf8_length(pc.utf8_trim_whitespace(text)), 1), 0))
    return missing | blank, text


def _seconds(numbers: npt.NDArray[np.float64], unit: str) -> npt.NDArray[np.float64]:
    if unit == "ms":
        return numbers / 1000
    if unit == "auto":
        return np.where(np.abs(numbers) >= _MILLISECONDS_FROM, numbers / 1000, numbers)
    return numbers


_NUMBER = r"^[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?$"
_ZONE = r"([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$"
_TIME = r"[Tt ][0-9]{2}:"


def _seconds_of_text(text: pa.Array, unit: str) -> tuple[npt.NDArray[np.float64], Mask]:
    """Seconds of numbers and ISO 8601 instants written as text, and which are neither."""
    text = pc.fill_null(text, "")
    seconds = np.zeros(len(text))
    unparsed = np.ones(len(text), dtype=bool)
    number = flags(pc.match_substring_regex(text, _NUMBER))
    if number.any():
        values, bad = cast_rows(text.filter(pa.array(number)), pa.float64())
        seconds[number] = _seconds(np.asarray(pc.fill_null(values, 0.0)), unit)
        unparsed[number] = bad
    if number.all():
        return seconds, unparsed
    # Arrow parses zones only where all values have one, and at most six decimals as microseconds.
    text = pc.replace_substring_regex(text, r"(\.[0-9]{6})[0-9]+", r"\1")
    zoned = flags(pc.match_substring_regex(text, _TIME)) & flags(pc.match_substring_regex(text, _ZONE)) & ~number
    for rows, kind in ((zoned, pa.timestamp("us", "UTC")), (~zoned & ~number, pa.timestamp("us"))):
        if rows.any():
            instants, bad = cast_rows(text.filter(pa.array(rows)), kind)
            seconds[rows] = np.asarray(pc.fill_null(instants.cast(pa.int64()), 0)) / 1e6
            unparsed[rows] = bad
    return seconds, unparsed
