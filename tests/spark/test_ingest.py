"""Raw files to the checked table: every format, every kind of bad row, with the number it has in its file."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from palate.dataset.mapping import Column, ColumnMapping
from palate.errors import InputError, PalateError, SchemaError
from palate.spark.ingest import stage
from palate.spark.sources import find_source

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark
NOW = 1_700_000_000.0
Read = Callable[..., tuple[list[dict[str, Any]], list[tuple[int, str]]]]


@pytest.fixture
def read(spark: SparkSession) -> Read:
    """Good rows (those fields that are not null) and (row, reason) of the rejected ones, in the order of the file."""

    def run(path: Path, format_: str = "auto", mapping: ColumnMapping | None = None) -> Any:
        source = find_source(path, format_, mapping or ColumnMapping())
        rows = [row.asDict() for row in stage(spark, source, now=NOW).collect()]
        rows.sort(key=lambda row: (row["file"], row["row"]))
        fields = ("user", "item", "weight", "timestamp", "kind", "row")
        good = [{k: row[k] for k in fields if row[k] is not None} for row in rows if row["reason"] is None]
        return good, [(row["row"], row["reason"]) for row in rows if row["reason"] is not None]

    return run


def test_csv_rows_have_the_numbers_of_their_lines_wherever_spark_splits(
    spark: SparkSession, read: Read, tmp_path: Path
) -> None:
    file = tmp_path / "ünter [1], {x} *.csv"
    lines = ["userId,movieId,rating,timestamp"]
    for number in range(2, 402):
        lines.append("" if number % 50 == 0 else f"u{number},i{number},{'?' if number % 70 == 0 else 3.5},{number}")
    file.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    key = "spark.sql.files.maxPartitionBytes"
    before = spark.conf.get(key)
    try:
        for size in ("700", str(before)):
            spark.conf.set(key, size)
            good, rejects = read(file)
            assert [row["row"] for row in good] == [n for n in range(2, 402) if n % 50 and n % 70]
            assert all(row["user"] == f"u{row['row']}" and row["timestamp"] == row["row"] for row in good)
            assert [row for row, _ in rejects] == [70, 140, 210, 280]
            assert rejects[0][1] == "weight: the weight '?' is not a number"
    finally:
        spark.conf.set(key, str(before))


def test_csv_gzip_quotes_ragged_rows_and_bytes_that_are_no_text(read: Read, tmp_path: Path) -> None:
    file = tmp_path / "a.csv.gz"
    file.write_bytes(
        gzip.compress(
            b'\xef\xbb\xbfuser,item,note\n"a, b","say ""x""",z\nc,d\n"open,d,e\n\xff\xfe,d,e\nc,d,e,f\n,d,e\nc,d,e'
        )
    )
    good, rejects = read(file)
    assert good == [{"user": "a, b", "item": 'say "x"', "row": 2}, {"user": "c", "item": "d", "row": 8}]
    assert rejects == [
        (3, "the row has 2 columns, 3 are expected"),
        (4, "a quoted field does not end on its line"),
        (5, "the line is not UTF-8 text"),
        (6, "the row has 4 columns, 3 are expected"),
        (7, "user: the id is empty"),
    ]


def test_mapping_header_delimiter_and_unit(read: Read, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1;2;1600000000000\n")
    mapping = ColumnMapping(
        {"user": Column("who"), "item": Column("what"), "timestamp": Column("when", unit="ms")},
        delimiter=";",
        header=("who", "what", "when"),
    )
    assert read(tmp_path / "a.csv", mapping=mapping)[0] == [
        {"user": "1", "item": "2", "timestamp": 1_600_000_000, "row": 1}
    ]


def test_jsonl(read: Read, tmp_path: Path) -> None:
    rows: list[Any] = [
        {"user": 1, "item": "x", "weight": 2, "event": "click"},
        {"user": 2.0, "item": "y", "weight": 0.5, "event": "view", "more": [1]},
        {"user": [1], "item": "y", "weight": 1, "event": "view"},
        {"item": "y", "weight": 1, "event": "view"},
        [1],
    ]
    (tmp_path / "a.jsonl").write_text("\n".join([*map(json.dumps, rows), "", "{", '{"user": "\\ud800", "item": "x"}']))
    good, rejects = read(tmp_path / "a.jsonl")
    assert good == [
        {"user": "1", "item": "x", "weight": 2.0, "kind": "click", "row": 1},
        {"user": "2", "item": "y", "weight": 0.5, "kind": "view", "row": 2},
    ]
    assert [row for row, _ in rejects] == [3, 4, 5, 7, 8]
    assert rejects[0][1] == "user: '[1]' is neither text nor number"
    assert rejects[1][1] == "user: the id is missing"


def test_parquet_of_several_files_and_row_groups(read: Read, tmp_path: Path) -> None:
    for name in ("b.parquet", "a.parquet"):
        table = pa.table(
            {
                "user_id": pa.array([1, 2, None, 4], pa.uint32()),
                "item_id": pa.array(["a", "b", "c", ""]),
                "time": pa.array([datetime(2020, 1, 1, tzinfo=UTC)] * 4, pa.timestamp("ns", "UTC")),
            }
        )
        parquet.write_table(table, tmp_path / name, row_group_size=2)
    good, rejects = read(tmp_path)
    assert (
        good
        == [
            {"user": "1", "item": "a", "timestamp": 1_577_836_800, "row": 1},
            {"user": "2", "item": "b", "timestamp": 1_577_836_800, "row": 2},
        ]
        * 2
    )
    assert rejects == [(3, "user: the id is missing"), (4, "item: the id is empty")] * 2


def test_movielens_of_both_layouts(read: Read, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    (old / "ratings.dat").write_bytes(b"1::1193::5::978300760\n1::661::3::978302109\n1::661::3\n")
    (new / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1193,5.0,978300760\n1,661,3.0,978302109\n")
    good, rejects = read(old)
    assert rejects == [(3, "the row has 3 columns, 4 are expected")]
    assert [dict(row, row=0) for row in good] == [dict(row, row=0) for row in read(new)[0]]


def test_lightgcn(read: Read, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 5 6\n1\n\n2 5\n")
    (tmp_path / "test.txt").write_text("0 7\n")
    found = [(row["user"], row["item"], row["row"]) for row in read(tmp_path)[0]]
    assert found == [("0", "7", 1), ("0", "5", 1), ("0", "6", 1), ("2", "5", 4)]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"\n \n", "empty"),
        ("a.csv", b"\x89PNG\r\n\x1a\n\0\0\0", "binary"),
        ("a.csv", b"PAR1....", "Parquet"),
        ("a.csv", b"\xff\xfeu\0", "UTF-16"),
        ("a.csv", b"who,what\n1,2\n", "no column for interactions.user"),
        ("a.csv", b"user;item\n1;2\n", "delimiter"),
        ("a.csv.gz", b"user,item\n", "not gzip"),
        ("a.csv.gz", gzip.compress(b"user,item\n" * 99, mtime=0)[:30], "gzip"),
        ("a.csv", gzip.compress(b"user,item\n1,2\n", mtime=0), "rename"),
        ("a.jsonl", b"[1]\n", "no JSON object"),
        ("a.jsonl", b'{"a": \n', "not JSON"),
        ("a.parquet", b"", "empty"),
        ("a.parquet", b"user,item\n", "not a readable Parquet"),
        ("a.xyz", b"", "empty"),
        ("ratings.dat", b"1::2::3\n", "UserID::MovieID"),
        ("folder/x", b"", "no file in the folder is known as interactions"),
    ],
)
def test_files_that_are_none_are_refused_by_name(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    with pytest.raises(PalateError) as caught:
        find_source(file.parent if "/" in name else file, "auto", ColumnMapping())
    assert words in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        find_source(tmp_path / "nothing", "auto", ColumnMapping())


def test_parquet_columns_of_a_wrong_type_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"user": [[1]], "item": [1]}), tmp_path / "a.parquet")
    with pytest.raises(SchemaError, match="ids must be"):
        stage(spark, find_source(tmp_path / "a.parquet", "auto", ColumnMapping()), now=NOW)
