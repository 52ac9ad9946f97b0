"""The catalogue from prepared data, the events back to the next training, and the command in front of both."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from palate.dataset.readers import read_interactions
from palate.errors import InputError, SchemaError
from services.recommender.catalogue_files import export_events, import_items
from services.recommender.store import Event


@pytest.fixture
def prepared(tmp_path):
    folder = tmp_path / "prepared" / "items"
    folder.mkdir(parents=True)
    table = pa.table(
        {
            "id": pa.array([3, 4, 5], pa.int64()),
            "title": ["Three", "Four", None],
            "categories": pa.array([["a", "b"], None, []], pa.list_(pa.string())),
            "attributes": ['{"year": 1999}', None, None],
            "available": [True, None, False],
        }
    )
    pq.write_table(table.slice(0, 2), folder / "part-0.parquet")
    pq.write_table(table.slice(2), folder / "part-1.parquet")
    return folder.parent


def test_items_come_in_once_and_again_only_where_they_differ(store, prepared):
    assert import_items(store, prepared) == (3, 3)
    before = store.changes()
    assert import_items(store, prepared) == (3, 0)
    assert store.changes() == before
    three, five = store.item("3"), store.item("5")
    assert (three.title, three.categories, three.attributes) == ("Three", ("a", "b"), {"year": 1999})
    assert (five.title, five.available) == (None, False)


def test_a_csv_file_of_items_will_do(store, tmp_path):
    (tmp_path / "items.csv").write_text("id,title\na,First\nb,Second\n")
    assert import_items(store, tmp_path / "items.csv") == (2, 2)
    assert store.item("b").title == "Second"


def test_what_is_no_catalogue_is_refused_by_name(store, tmp_path, prepared):
    with pytest.raises(InputError):
        import_items(store, tmp_path / "nowhere")
    (prepared / "items" / "part-0.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(SchemaError, match="items"):
        import_items(store, prepared)
    (tmp_path / "data_card.json").write_text("{}")
    with pytest.raises(InputError, match="without a catalogue"):
        import_items(store, tmp_path)


def test_an_id_that_no_address_can_hold_is_named(store, tmp_path):
    folder = tmp_path / "items"
    folder.mkdir()
    pq.write_table(pa.table({"id": ["fine", "two\nlines"]}), folder / "part.parquet")
    with pytest.raises(SchemaError, match="two"):
        import_items(store, tmp_path)


@pytest.mark.parametrize(("items", "type_"), [(["1", "2"], pa.int64()), (["1", "02"], pa.large_string())])
def test_events_go_out_as_interactions(store, tmp_path, items, type_):
    store.add_events([Event(str(n), "7", item, weight=0.5, timestamp=1e9 + n) for n, item in enumerate(items)])
    file = tmp_path / "out" / "interactions.parquet"
    assert export_events(store, file) == 2
    assert pq.read_table(file)["item"].type == type_
    held = read_interactions(file)
    assert (len(held), held.timestamps.tolist()) == (2, [10**9, 10**9 + 1])


def command(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "palate.cli", "api", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={"PALATE_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        check=False,
    )


def test_the_command_says_what_it_did_and_what_was_wrong(tmp_path, prepared):
    done = command(tmp_path, "import-items", prepared)
    assert (done.returncode, done.stdout) == (0, "3 items, 3 of them new or changed.\n"), done.stderr
    held = sqlite3.connect(tmp_path / "home" / "recommender.db").execute("select attributes from recommender_items")
    assert json.loads(held.fetchall()[0][0]) == {"year": 1999}
    wrong = command(tmp_path, "import-items", tmp_path / "nowhere")
    assert wrong.returncode == 2
    assert "nowhere" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_an_event_without_a_weight_counts_one_when_it_is_read_back(store, tmp_path):
    store.add_events([Event("1", "u", "a", timestamp=1e9), Event("2", "u", "b", weight=3.0, timestamp=1e9 + 1)])
    file = tmp_path / "events.parquet"
    export_events(store, file)
    assert read_interactions(file).weights.tolist() == [1.0, 3.0]
