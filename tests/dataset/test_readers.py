"""Readers: each format gives the same data, and what is wrong with a file is said with its place."""

from __future__ import annotations

import gzip
import json
import logging
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from palate.dataset import (
    ColumnMapping,
    Dataset,
    Interactions,
    generate_dataset,
    guess_format,
    read_dataset,
    read_interactions,
    read_items,
    read_train_test,
    read_users,
    write_dataset,
)
from palate.errors import InputError, PalateError, ParameterError, SchemaError

ROWS = [("anna", "tea", 4.5, 1_600_000_000), ("bo", "café", 3.0, 1_600_000_050), ("anna", "café", 1.0, 1_600_000_100)]
CSV = "user_id,itemId,Rating,timestamp\n" + "".join(f"{u},{i},{w},{t}\n" for u, i, w, t in ROWS)


def rows_of(interactions: Interactions) -> list[tuple[Any, ...]]:
    columns: list[Any] = [
        interactions.users.decode(interactions.user_codes),
        interactions.items.decode(interactions.item_codes),
    ]
    columns += [c.tolist() for c in (interactions.weights, interactions.timestamps) if c is not None]
    if interactions.kinds is not None:
        columns.append([interactions.kind_names[kind] for kind in interactions.kinds])
    return list(zip(*columns, strict=True))


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def fails(reader: Any, *arguments: Any, **values: Any) -> PalateError:
    """The InputError (or a kind of it) that reading ends in; anything else is a failure."""
    with pytest.raises(InputError) as caught:
        reader(*arguments, **values)
    assert caught.value.exit_code == 2
    assert caught.value.where
    assert len(str(caught.value)) < 900
    return caught.value


# -- each format ---------------------------------------------------------------------------------------------------


def test_csv_in_its_variants(tmp_path: Path) -> None:
    variants = {
        "plain.csv": CSV.encode(),
        "bom.csv": b"\xef\xbb\xbf" + CSV.encode(),
        "windows.csv": CSV.replace("\n", "\r\n").encode(),
        "packed.csv.gz": gzip.compress(CSV.encode()),
        "tabs.tsv": CSV.replace(",", "\t").encode(),
        "quoted.csv": CSV.replace("anna", '"anna"').encode(),
        "blank.csv": ("\n" + CSV.replace("\n", "\n\n")).encode(),
        "noend.csv": CSV.rstrip().encode(),
    }
    for name, content in variants.items():
        assert rows_of(read_interactions(write(tmp_path / name, content))) == ROWS, name


def test_jsonl_and_parquet_give_the_same(tmp_path: Path) -> None:
    lines = [json.dumps({"user": u, "item": i, "weight": w, "when": 1, "timestamp": t}) for u, i, w, t in ROWS]
    for text in ("\n".join(lines), "\n\n".join(lines) + "\n", "\r\n".join(lines)):
        assert rows_of(read_interactions(write(tmp_path / "a.jsonl", text))) == ROWS
    assert rows_of(read_interactions(write(tmp_path / "a.jsonl.gz", gzip.compress(text.encode())))) == ROWS
    table = pa.table(
        dict(zip(("user", "item", "weight", "timestamp"), map(list, zip(*ROWS, strict=True)), strict=True))
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    assert rows_of(read_interactions(tmp_path / "a.parquet")) == ROWS
    folder = tmp_path / "spark" / "interactions"
    folder.mkdir(parents=True)
    write(folder / "_SUCCESS", "")
    parquet.write_table(table.slice(0, 2), folder / "part-0.snappy.parquet")
    parquet.write_table(table.slice(2), folder / "part-1.snappy.parquet")
    for path in (folder, folder.parent):
        assert guess_format(path) == "parquet"
        assert rows_of(read_dataset(path).interactions) == ROWS


def test_json_values_of_several_types_are_read_row_by_row(tmp_path: Path) -> None:
    lines = [
        '{"user": 1, "item": 1.0, "weight": 1, "extra": [1]}',
        '{"item": 2, "user": 2, "weight": "2.5", "extra": {}}',
    ]
    found = read_interactions(write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert rows_of(found) == [(1, 1, 1.0), (2, 2, 2.5)]
    dates = '{"user": "2020-01-01", "item": "b", "timestamp": "2020-01-01"}\n'
    assert rows_of(read_interactions(write(tmp_path / "b.jsonl", dates))) == [("2020-01-01", "b", 1_577_836_800)]


def test_ids_become_integers_only_if_that_loses_nothing(tmp_path: Path) -> None:
    top = 2**63 - 1
    found = read_interactions(write(tmp_path / "a.csv", f"user,item\n{top},007\n-5,8\n"))
    assert found.users.ids.to_pylist() == [-5, top]
    assert found.items.ids.to_pylist() == ["007", "8"]
    found = read_interactions(write(tmp_path / "b.csv", f"user,item\n{top + 1},日本\n1,🍵\n"))
    assert rows_of(found) == [(str(top + 1), "日本"), ("1", "🍵")]


def test_kinds_and_pairs_without_weights(tmp_path: Path) -> None:
    found = read_interactions(write(tmp_path / "a.csv", "user,item,event\na,x,view\na,x,buy\nb,x,view\n"))
    assert found.kind_names == ("buy", "view")
    assert rows_of(found) == [("a", "x", "view"), ("a", "x", "buy"), ("b", "x", "view")]
    assert found.weights is None
    assert found.timestamps is None


def test_exact_repetitions_are_dropped_with_a_note_others_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "user,item,rating,time\na,x,1,5\na,x,1,6\nb,x,1,5\na,x,1,5\na,x,2,5\na,x,1,5\n"
    with caplog.at_level(logging.WARNING):
        found = read_interactions(write(tmp_path / "a.csv", text))
    assert rows_of(found) == [("a", "x", 1, 5), ("a", "x", 1, 6), ("b", "x", 1, 5), ("a", "x", 2, 5)]
    assert "2 rows repeat an earlier one exactly" in caplog.text


def test_lightgcn_adjacency(tmp_path: Path) -> None:
    train = write(tmp_path / "train.txt", "0 3 1 2\n1\n\n2 1 \n")
    found = read_interactions(train)
    assert guess_format(train) == "lightgcn"
    assert rows_of(found) == [(0, 3), (0, 1), (0, 2), (2, 1)]
    assert found.users.ids.to_pylist() == [0, 1, 2]
    test = write(tmp_path / "test.txt", "1 7\n5 3\n")
    left, right = read_train_test(train, test, "lightgcn")
    assert left.users is right.users
    assert left.items is right.items
    assert rows_of(left) == rows_of(found)
    assert rows_of(right) == [(1, 7), (5, 3)]
    assert left.users.ids.to_pylist() == [0, 1, 2, 5]
    words = read_interactions(write(tmp_path / "words.txt", "ann tea café\nbo tea\n"), "lightgcn")
    assert rows_of(words) == [("ann", "tea"), ("ann", "café"), ("bo", "tea")]


def test_train_and_test_with_other_types_of_id_share_text_ids(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", "user,item\n1,5\n2,6\n")
    test = write(tmp_path / "test.csv", "user,item\n1,new\nx,6\n")
    left, right = read_train_test(train, test)
    assert left.users == right.users
    assert left.items == right.items
    assert rows_of(left) == [("1", "5"), ("2", "6")]
    assert rows_of(right) == [("1", "new"), ("x", "6")]


# -- MovieLens -----------------------------------------------------------------------------------------------------


def check_movies(dataset: Dataset) -> None:
    assert rows_of(dataset.interactions) == [(1, 10, 4.0, 978_300_760), (2, 20, 3.5, 978_302_109)]
    assert dataset.items is not None
    assert dataset.items.ids.ids.to_pylist() == [10, 20, 30]
    assert dataset.items.strings("title") == ["Amélie", "Seven: the Film", "No Year"]
    assert dataset.items.lists("categories") == [["Comedy", "Romance"], ["Thriller"], []]
    assert [json.loads(text) if text else None for text in dataset.items.table["attributes"].to_pylist()] == [
        {"year": 2001},
        {"year": 1995},
        None,
    ]


def test_movielens_latest_layout(tmp_path: Path) -> None:
    write(tmp_path / "ratings.csv", "userId,movieId,rating,timestamp\n1,10,4.0,978300760\n2,20,3.5,978302109\n")
    write(
        tmp_path / "movies.csv",
        'movieId,title,genres\n10,Amélie (2001),Comedy|Romance\n20,"Seven: the Film (1995)",Thriller\n'
        "30,No Year,(no genres listed)\n",
    )
    write(tmp_path / "tags.csv", 'userId,movieId,tag,timestamp\n1,10,Paris,5\n2,10,PARIS ,6\n2,10,"a, b",6\n2,99,x,6\n')
    dataset = read_dataset(tmp_path)
    check_movies(dataset)
    assert dataset.items is not None
    assert dataset.items.lists("tags") == [["paris", "a, b"], [], []]
    assert read_items(tmp_path).ids == dataset.items.ids


def test_movielens_colons_layout_also_a_single_file(tmp_path: Path) -> None:
    write(tmp_path / "ratings.dat", "1::10::4::978300760\n2::20::3.5::978302109\n")
    movies = (
        "10::Amélie (2001)::Comedy|Romance\n20::Seven: the Film (1995)::Thriller\n30::No Year::(no genres listed)\n"
    )
    write(tmp_path / "movies.dat", movies.encode("latin-1"))
    write(tmp_path / "users.dat", "1::F::1::10::48067\n2::M::56::16::07072\n")
    dataset = read_dataset(tmp_path)
    check_movies(dataset)
    assert dataset.users is not None
    first = json.loads(dataset.users.table["attributes"][1].as_py())
    assert first == {"age": 56, "gender": "M", "occupation": 16, "zip": "07072"}
    assert rows_of(read_interactions(tmp_path / "ratings.dat")) == rows_of(dataset.interactions)


def test_the_real_movielens(test_data: Path) -> None:
    dataset = read_dataset(test_data / "ml-latest-small")
    assert len(dataset.interactions) > 100_000
    assert dataset.items is not None
    assert dataset.items.strings("title")[0] == "Toy Story"
    assert dataset.items.lists("categories")[0] == ["Adventure", "Animation", "Children", "Comedy", "Fantasy"]
    assert (dataset.items.ids.encode(dataset.interactions.items.ids) >= 0).all()


# -- catalogues and mappings ---------------------------------------------------------------------------------------


def test_items_with_lists_flags_times_and_attributes(tmp_path: Path) -> None:
    text = (
        "sku,name,genres,tags,available,created_at,price,size,note\n"
        'a,Tea,hot|green|hot,"[""x|y"", ""z""]",yes,2020-01-01,1.5,10,\n'
        "b,,,,0,,2,007,fine\n"
    )
    items = read_items(write(tmp_path / "items.csv", text))
    assert items.ids.ids.to_pylist() == ["a", "b"]
    assert items.table["title"].to_pylist() == ["Tea", None]
    assert items.lists("categories") == [["hot", "green"], []]
    assert items.lists("tags") == [["x|y", "z"], []]
    assert items.available.tolist() == [True, False]
    assert items.table["timestamp"].to_pylist() == [1_577_836_800, None]
    assert [json.loads(text) for text in items.table["attributes"].to_pylist()] == [
        {"price": 1.5, "size": "10"},
        {"note": "fine", "price": 2.0, "size": "007"},
    ]


def test_items_in_jsonl_keep_the_types_of_their_attributes(tmp_path: Path) -> None:
    lines = [
        '{"id": 1, "categories": ["a", "b"], "deep": {"x": [1]}, "n": 1}',
        '{"id": 2, "categories": "c|d", "n": "one"}',
    ]
    items = read_items(write(tmp_path / "items.jsonl", "\n".join(lines)))
    assert items.lists("categories") == [["a", "b"], ["c", "d"]]
    assert [json.loads(text) for text in items.table["attributes"].to_pylist()] == [
        {"deep": {"x": [1]}, "n": 1},
        {"n": "one"},
    ]


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_a_written_data_set_reads_back_as_it_was(tmp_path: Path, format: str) -> None:
    dataset = generate_dataset(20, 30, 200, seed=3)
    found = read_dataset(write_dataset(dataset, tmp_path / "out", format))
    assert rows_of(found.interactions) == rows_of(dataset.interactions)
    assert found.items is not None
    assert dataset.items is not None
    assert found.items.ids == dataset.items.ids
    assert found.items.table.to_pylist() == [
        {**row, "tags": row["tags"] or []} for row in dataset.items.table.to_pylist()
    ]
    assert found.users is not None
    assert dataset.users is not None
    assert found.users.table.equals(dataset.users.table)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{name}.{format}" for name in ("interactions", "items", "users")
    }


def test_catalogue_and_interactions_agree_on_the_type_of_ids(tmp_path: Path) -> None:
    write(tmp_path / "interactions.csv", "user,item\nann,1\nbo,2\n")
    write(tmp_path / "items.csv", "id,title\n1,One\n2,Two\nspecial,Three\n")
    write(tmp_path / "users.csv", "id,tags\nann,x|y\n")
    dataset = read_dataset(tmp_path)
    assert dataset.items is not None
    assert rows_of(dataset.interactions) == [("ann", "1"), ("bo", "2")]
    assert dataset.items.aligned(dataset.interactions.items).strings("title") == ["One", "Two"]
    assert read_users(tmp_path).lists("tags") == [["x", "y"]]


def test_a_mapping_names_columns_units_and_separators(tmp_path: Path) -> None:
    mapping = ColumnMapping.read(
        write(
            tmp_path / "columns.yaml",
            """
            delimiter: ";"
            interactions: {user: who, item: what, weight: null, timestamp: {column: when, unit: ms}, kind: how}
            items:
              id: what
              categories: {column: shelf, separator: ">"}
            """,
        )
    )
    events = write(tmp_path / "e.csv", "who;what;when;how;rating\n1;a;5000;view;x\n")
    assert rows_of(read_interactions(events, mapping=mapping)) == [(1, "a", 5, "view")]
    items = read_items(write(tmp_path / "i.csv", "what;shelf;title\na;food > tea;T\n"), mapping=mapping)
    assert items.lists("categories") == [["food", "tea"]]
    headless = ColumnMapping.read(
        write(tmp_path / "h.yaml", 'header: [user, item, rating, timestamp]\ndelimiter: "\\t"\n')
    )
    found = read_interactions(write(tmp_path / "u.data", "1\t2\t3\t4\n5\t6\t1\t8\n"), "csv", headless)
    assert rows_of(found) == [(1, 2, 3, 4), (5, 6, 1, 8)]
    assert ColumnMapping.read(write(tmp_path / "empty.yaml", "# nothing\n")) == ColumnMapping()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("intractions:\n  user: a\n", 1, "no key 'intractions'"),
        ("interactions:\n  user: a\n  stars: b\n", 3, "no key 'stars'"),
        ("items:\n  categories: {colum: a}\n", 2, "no key 'colum'"),
        ("items:\n  categories: {separator: a}\n", 2, "needs a `column`"),
        ("interactions:\n  timestamp: {column: a, unit: days}\n", 2, "unit must be one of"),
        ("interactions:\n  user: [a, b]\n", 2, "must be `key: value` lines"),
        ("interactions: user\n", 1, "must be `key: value` lines"),
        ("delimiter: abc\n", 1, "one ASCII character"),
        ("header: a\n", 1, "list of names"),
        ("- a\n", 1, "must be `key: value` lines"),
        ("items:\n  id: a\n  id: b\n", 3, "comes twice"),
        ("items: {id: a\n", 2, "is not YAML"),
        ("? [a]\n: b\n", 1, "no key"),
    ],
)
def test_a_mapping_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    error = fails(ColumnMapping.read, write(tmp_path / "m.yaml", text))
    assert message in error.message
    assert error.where == f"{tmp_path / 'm.yaml'}:{line}"


def test_a_mapping_file_that_cannot_be_read(tmp_path: Path) -> None:
    fails(ColumnMapping.read, tmp_path / "none.yaml")
    fails(ColumnMapping.read, tmp_path)
    fails(ColumnMapping.read, write(tmp_path / "b.yaml", b"\xff\xfe\x00"))
    fails(ColumnMapping.read, write(tmp_path / "c.yaml", b"a: \x00"))
    assert "too deeply" in fails(ColumnMapping.read, write(tmp_path / "d.yaml", "[" * 5000)).message


def test_one_column_cannot_be_two_fields(tmp_path: Path) -> None:
    mapping = ColumnMapping.read(write(tmp_path / "m.yaml", "interactions: {user: user_id, item: user_id}"))
    error = fails(read_interactions, write(tmp_path / "a.csv", CSV), mapping=mapping)
    assert "interactions.user and interactions.item" in error.message


@pytest.mark.parametrize("line", ["[" * 100_000, '{"user": 1, "item": 2, "x": ' + "[" * 100_000 + "}"])
def test_json_that_is_too_deep(tmp_path: Path, line: str) -> None:
    for reader in (read_interactions, read_items):
        assert "too deep" in fails(reader, write(tmp_path / "a.jsonl", line)).message


def test_json_with_a_number_too_long_to_be_one(tmp_path: Path) -> None:
    error = fails(read_interactions, write(tmp_path / "a.jsonl", '{"user": ' + "9" * 5000 + ', "item": 1}'))
    assert "digits" in error.message


@pytest.mark.parametrize("moment", ["1e30", "-1e30", "9" * 30])
def test_an_item_of_no_time_that_can_be(tmp_path: Path, moment: str) -> None:
    error = fails(read_items, write(tmp_path / "items.csv", f"id,timestamp\na,5\nb,{moment}\n"))
    assert "9999" in error.message
    assert error.where == f"{tmp_path / 'items.csv'}: row 3, column timestamp"


# -- bad input -----------------------------------------------------------------------------------------------------

BAD_FILES: list[tuple[str, str | bytes, str, str]] = [
    ("empty.csv", "", "", "empty"),
    ("blank.csv", "\n \n", "", "empty"),
    ("header.csv", "user,item\n", "", "no rows"),
    ("columns.csv", "user,rating\n1,2\n", "", "no column for interactions.item"),
    ("twice.csv", "user,item,user\n1,2,3\n", "", "two columns are called 'user'"),
    ("semicolons.csv", "user;item\n1;2\n", "", "holds ';'"),
    ("binary.csv", bytes(range(256)) * 20, "", "binary"),
    ("parquet.csv", b"PAR1\x00\x01", "", "Parquet"),
    ("utf16.csv", CSV.encode("utf-16"), "", "UTF-16"),
    ("latin.csv", "user,item\na,b\ncafé,x\n".encode("latin-1"), ": row 3", "not UTF-8"),
    ("short.csv", "user,item\na,b\nc\nd,e\nf,g,h\n", ": row 3", "1 columns, 2 are expected. 1 other row"),
    ("quote.csv", 'user,item\na,b\n"c,d\n', "", "columns"),
    ("nan.csv", "user,item,rating\na,b,1\na,c,nan\n", ": row 3, column weight", "'nan'"),
    ("inf.csv", "user,item,rating\na,b,-inf\n", ": row 2, column weight", "'-inf'"),
    ("text.csv", "user,item,rating\na,b,good\n", ": row 2, column weight", "'good' is not a number"),
    ("when.csv", "user,item,timestamp\na,b,soon\n", ": row 2, column timestamp", "'soon'"),
    ("future.csv", "user,item,timestamp\na,b,2999-01-01\n", ": row 2, column timestamp", "future"),
    ("noid.csv", "user,item\na,b\n,c\n", ": row 3, column user", "empty"),
    ("long.csv", f"user,item\n{'x' * 10_000},b\n", ": row 2, column user", "10000 characters"),
    ("lines.csv", 'user,item\na,"b\nc"\n', ": row 2, column item", "line break"),
    ("broken.csv.gz", gzip.compress(CSV.encode() * 50)[:-20], "", "gzip file is broken"),
    ("damaged.csv.gz", gzip.compress(CSV.encode())[:30] + b"x" * 40, "", "gzip file is broken"),
    ("plain.csv.gz", CSV, "", "not gzip"),
    ("empty.csv.gz", gzip.compress(b""), "", "empty"),
    ("empty.parquet", b"", "", "empty"),
    ("text.parquet", CSV, "", "not a readable Parquet file"),
    ("cut.parquet", b"PAR1" + b"\x00" * 100, "", "not a readable Parquet file"),
    ("empty.jsonl", "", "", "empty"),
    ("mixed.jsonl", '{"user": 1, "item": 1}\n{"user": "1", "item": 2}\n', ": row 2, column user", "mixed types of id"),
    ("cut.jsonl", '{"user": 1, "item": 1}\n{"user": 2,\n', ": row 2", "not JSON"),
    ("array.jsonl", '[{"user": 1, "item": 1}]\n', ": row 1", "one object per line"),
    ("pretty.jsonl", '{\n  "user": 1\n}\n', ": row 1", "one object per line"),
    ("number.jsonl", '{"user": 1, "item": 1}\n5\n', ": row 2", "an object is expected"),
    ("deep.jsonl", '{"user": 1, "item": 1}\n' + "[" * 100_000 + "\n", ": row 2", "not JSON"),
    ("bool.jsonl", '{"user": true, "item": 1}\n', ": row 1, column user", "boolean"),
    ("float.jsonl", '{"user": 1.5, "item": 1}\n', ": row 1, column user", "number"),
    ("big.jsonl", '{"user": 99999999999999999999, "item": 1}\n', ": row 1, column user", "64 bits"),
    ("half.jsonl", '{"user": "\\ud800", "item": 1}\n', ": row 1, column user", "surrogate"),
    ("null.jsonl", '{"user": "a", "item": 1}\n{"user": null, "item": 1}\n', ": row 2, column user", "missing"),
    ("nothing.jsonl", '{"user": "a", "item": 1}\n{"item": 1}\n', ": row 2, column user", "missing"),
    ("nan.jsonl", '{"user": 1, "item": 1, "weight": NaN}\n', ": row 1, column weight", "nan"),
    ("list.jsonl", '{"user": 1, "item": 1, "weight": [1]}\n', ": row 1, column weight", "JSON list"),
    ("names.jsonl", '{"person": 1}\n', "", "no column for interactions.user"),
    ("users.txt", "1\n2\n", "", "no line holds an item"),
    ("control.txt", "1 2\n\n1 a\x07b\n", ": row 3, column id", "control character"),
    ("long.txt", f"1 2\n3 4 {'9' * 10_000}\n", ": row 2, column id", "10000 characters"),
    ("ratings.dat", "1::2::x::5\n", ": row 1, column weight", "'x'"),
    ("ragged.dat", "1::2::3::5\n1::2\n", ": row 2", "2 columns, 4 are expected"),
]


@pytest.mark.parametrize(("name", "content", "place", "message"), BAD_FILES, ids=[bad[0] for bad in BAD_FILES])
def test_bad_files(tmp_path: Path, name: str, content: str | bytes, place: str, message: str) -> None:
    path = write(tmp_path / name, content)
    for reader in (read_interactions, read_dataset):
        error = fails(reader, path)
        assert message in str(error)
        assert str(error.where).startswith(str(path) + place)
        assert "was guessed" in str(error.hint)


BAD_ITEMS: list[tuple[str, str, str, str]] = [
    ("twice.csv", "id\na\nb\na\n", ": row 4, column id", "in row 2 already"),
    ("noid.csv", "id,title\n,x\n", ": row 2, column id", "empty"),
    ("flag.csv", "id,available\na,perhaps\n", ": row 2, column available", "neither true nor false"),
    ("when.csv", "id,timestamp\na,5\nb,soon\n", ": row 3, column timestamp", "'soon'"),
    ("attributes.csv", 'id,attributes\na,"{""x"": 1}"\nb,[1]\n', ": row 3, column attributes", "JSON object"),
    ("broken.csv", "id,attributes\na,{x\n", ": row 2, column attributes", "not JSON"),
    ("title.jsonl", '{"id": 1, "title": ["a"]}\n', ": row 1, column title", "not text"),
    ("tags.jsonl", '{"id": 1, "tags": [["a"]]}\n', ": row 1, column tags", "list of texts"),
    ("mixed.jsonl", '{"id": 1}\n{"id": "1"}\n', ": row 2, column id", "mixed types"),
    ("half.jsonl", '{"id": 1, "title": "\\ud800"}\n', "", "surrogate"),
    ("names.csv", "title\nx\n", "", "no column for items.id"),
    ("graph.txt", "1 2 3\n", "", "hold no items"),
]


@pytest.mark.parametrize(("name", "content", "place", "message"), BAD_ITEMS, ids=[bad[0] for bad in BAD_ITEMS])
def test_bad_items(tmp_path: Path, name: str, content: str, place: str, message: str) -> None:
    path = write(tmp_path / name, content)
    error = fails(read_items, path)
    assert message in str(error)
    assert str(error.where).startswith(str(path) + place)


def test_paths_that_are_not_what_is_expected(tmp_path: Path) -> None:
    assert "no such file" in str(fails(read_interactions, tmp_path / "none.csv"))
    assert "no such file" in str(fails(read_interactions, tmp_path / "none.csv", "csv"))
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "nothing" in str(fails(read_dataset, folder))
    write(folder / "train.txt", "1 2\n")
    assert "train.txt" in str(fails(read_dataset, folder))
    for format in ("csv", "jsonl", "parquet", "lightgcn", "movielens"):
        fails(read_dataset, folder, format)
        fails(read_interactions, folder, format)
        fails(read_items, folder, format)
        fails(read_users, folder, format)
    (folder / "interactions.csv").mkdir()
    assert "is a folder" in str(fails(read_dataset, folder))
    write(tmp_path / "bad" / "part-0.parquet", b"x")
    fails(read_dataset, tmp_path / "bad")
    with pytest.raises(ParameterError, match="Known: auto, csv"):
        read_dataset(folder, "excel")


def test_part_files_that_differ_are_refused(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"user": [1], "item": [1], "rating": [1.0]}), tmp_path / "a.parquet")
    parquet.write_table(pa.table({"user": [1], "item": [1]}), tmp_path / "b.parquet")
    error = fails(read_interactions, tmp_path)
    assert "'weight'" in error.message
    assert error.where == str(tmp_path / "b.parquet")
    items = tmp_path / "items"
    items.mkdir()
    parquet.write_table(pa.table({"id": [1], "title": ["a"]}), items / "a.parquet")
    parquet.write_table(pa.table({"id": ["x"], "title": [[1]]}), items / "b.parquet")
    fails(read_items, items)


def test_an_unreadable_type_of_column_is_named(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"user": [[1]], "item": [1]}), tmp_path / "a.parquet")
    error = fails(read_interactions, tmp_path / "a.parquet")
    assert isinstance(error, SchemaError)
    assert "column user" in str(error.where)


def test_one_user_and_one_item_are_a_data_set(tmp_path: Path) -> None:
    found = read_interactions(write(tmp_path / "a.csv", "user,item\n1,1\n"))
    assert (found.n_users, found.n_items, len(found)) == (1, 1, 1)
    assert found.matrix().toarray().tolist() == [[1]]


def test_reading_the_same_rows_from_any_format_gives_the_same_fingerprint(tmp_path: Path) -> None:
    dataset = generate_dataset(10, 20, 80, seed=1)
    prints = set()
    for format in ("csv", "parquet"):
        prints.add(read_dataset(write_dataset(dataset, tmp_path / format, format)).interactions.fingerprint)
    assert len(prints) == 1
    assert np.isfinite(dataset.interactions.weights).all()  # type: ignore[arg-type]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([1.0, 2.5]), st.integers(0, 2)),
        min_size=1,
        max_size=60,
    )
)
def test_what_remains_after_repetitions_are_dropped_is_each_row_once_in_order(rows: list[tuple[Any, ...]]) -> None:
    text = "user,item,weight,timestamp\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    with TemporaryDirectory() as folder:
        found = read_interactions(write(Path(folder) / "a.csv", text))
    assert rows_of(found) == list(dict.fromkeys(rows))


def test_importing_the_data_layer_loads_no_engine_and_no_web_framework() -> None:
    code = "import sys, palate.dataset; print([m for m in ('pyspark', 'flask', 'torch', 'mxnet') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
