"""`prepare`: what it writes, that it does not depend on partitions, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyarrow import parquet

from palate.dataset.readers import read_dataset
from palate.dataset.splits import leave_last_fraction
from palate.errors import PalateError
from palate.spark.jobs.prepare import command
from palate.spark.prepared import Prepared

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def rows(interactions: Any) -> list[tuple[Any, ...]]:
    users, items = interactions.users.ids.to_pylist(), interactions.items.ids.to_pylist()
    columns = zip(
        interactions.user_codes, interactions.item_codes, interactions.weights, interactions.timestamps, strict=True
    )
    return sorted((users[u], items[i], float(w), int(t)) for u, i, w, t in columns)


def test_it_agrees_with_the_readers_and_the_splits(shop: Path, prepared: Path) -> None:
    data, found = read_dataset(shop), Prepared(prepared)
    expected = leave_last_fraction(data.interactions, 0.2)
    assert rows(found.interactions("train")) == rows(expected.train)
    assert rows(found.interactions("test")) == rows(expected.test)
    assert found.users == data.interactions.users
    catalogue = found.catalogue()
    assert catalogue is not None
    assert data.items is not None
    assert catalogue.table.equals(data.items.aligned(found.items).table)
    assert found.items.ids.to_pylist()[-2:] == ["i30", "i31"]


def test_the_card_and_the_report(prepared: Path) -> None:
    card = Prepared(prepared).card
    assert {name: card[name] for name in ("interactions", "users", "items", "rejected", "repeated")} == {
        "interactions": 360,
        "users": 40,
        "items": 30,
        "rejected": 0,
        "repeated": 0,
    }
    assert card["density"] == pytest.approx(360 / 1200)
    assert card["time"] == {"from": 1_600_000_000, "to": 1_600_000_000 + 39 + 8 * 60}
    assert sum(card["weight"]["counts"].values()) == 360
    assert card["train"]["interactions"] + card["test"]["interactions"] == 360
    report = json.loads((prepared / "job.json").read_text())
    assert report["job"] == "prepare"
    assert {"read and check", "index", "split", "describe", "total"} <= set(report["seconds"])


def test_partitions_change_nothing(spark: SparkSession, job: Any, shop: Path, prepared: Path, tmp_path: Path) -> None:
    before = {key: spark.conf.get(key) for key in ("spark.sql.files.maxPartitionBytes", "spark.sql.shuffle.partitions")}
    try:
        spark.conf.set("spark.sql.files.maxPartitionBytes", "1000")
        spark.conf.set("spark.sql.shuffle.partitions", "7")
        assert job(command, "--input", shop, "--output", tmp_path / "out")[0] == 0
    finally:
        for key, value in before.items():
            spark.conf.set(key, str(value))
    one, other = Prepared(prepared), Prepared(tmp_path / "out")
    assert one.card == other.card
    for part in ("train", "test"):
        assert one.interactions(part).fingerprint == other.interactions(part).fingerprint


def test_the_fingerprint_tells_data_apart(job: Any, shop: Path, prepared: Path, tmp_path: Path) -> None:
    text = (shop / "interactions.csv").read_text()
    file = write(tmp_path / "a.csv", text.replace(",5,", ",4,", 1))
    assert job(command, "--input", file, "--output", tmp_path / "out")[0] == 0
    assert Prepared(tmp_path / "out").fingerprint != Prepared(prepared).fingerprint


def test_rejects_are_kept_and_repetitions_dropped(job: Any, tmp_path: Path) -> None:
    good = [f"{user},{item},4,{100 + item}" for user in (1, 2, 30) for item in (1, 2, 3)]
    lines = [
        "user,item,rating,timestamp",
        *good,
        good[0],
        "1,9,nan,100",
        "2,,4,100",
        "1,9,4,yesterday",
        "1,9,4,99999999999",
    ]
    file = write(tmp_path / "a.csv", "\n".join(lines))
    code, said = job(command, "--input", file, "--output", tmp_path / "out", "--max-rejects", "0.5")
    assert (code, "9 interactions of 3 users" in said) == (0, True)
    rejects = parquet.read_table(tmp_path / "out" / "rejects").to_pylist()
    assert [(row["file"], row["row"]) for row in rejects] == [(str(file), n) for n in (12, 13, 14, 15)]
    assert [row["reason"].split(":")[0] for row in rejects] == ["weight", "item", "timestamp", "timestamp"]
    found = Prepared(tmp_path / "out")
    assert found.card["repeated"] == 1
    assert found.users.ids.to_pylist() == [1, 2, 30]


def test_too_many_rejects_fail_and_are_named(job: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "user,item\na,b\na,c\n,d\n")
    code, said = job(command, "--input", file, "--output", tmp_path / "out", "--split", "random")
    assert code == 2
    assert "1 of 3 rows (33.33%)" in said
    assert f"row 4 of {file}: user: the id is empty" in said
    assert "Traceback" not in said
    kept = tmp_path / "out.rejects"
    assert str(kept) in said
    assert parquet.read_table(kept)["row"].to_pylist() == [4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "out.rejects"]
    assert job(command, "--input", file, "--output", tmp_path / "out", "--split", "random")[0] == 2  # replaces its like


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        ("user,item\n", [], "no rows"),
        ("user,item\n,\n,\n", ["--max-rejects", "1"], "2 of 2 rows"),
        ("user,item\na,b\na,c\n", [], "no timestamps"),
        ("user,item,time\na,b,1\n", [], "leave nothing for testing"),
        ("user,item,time\na,b,1\na,c,2\n", ["--split", "time", "--test", "2"], "between 0 and 1"),
        ("user,item\na,b\n", ["--split", "sideways"], "no split 'sideways'"),
        ("user,item\na,b\n", ["--split", "given"], "does not come split"),
        ("user,item\na,b\n", ["--format", "xml"], "is not one of"),
        ("user,item\na,b\n", ["--max-rejects", "3"], "not in the range"),
        ("user,item\na,b\n", ["--mapping", "/nowhere.yaml"], "/nowhere.yaml"),
        ("user,item\na,b\n", ["--items", "/nowhere.csv"], "/nowhere.csv"),
        ("user,item\na,b\n", ["--nonsense"], "No such option"),
        ("who,what\na,b\n", [], "interactions.user"),
    ],
)
def test_bad_input_ends_with_its_reason(
    job: Any, tmp_path: Path, content: str, arguments: list[str], words: str
) -> None:
    file = write(tmp_path / "a.csv", content)
    code, said = job(command, "--input", file, "--output", tmp_path / "out", *arguments)
    assert (code, words in said, "Traceback" in said) == (2, True, False), said
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def test_ids_written_as_text_and_as_numbers_are_refused(job: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", "".join(f'{{"user": {user}, "item": "x"}}\n' for user in ("1", "2", '"3"')))
    code, said = job(command, "--input", file, "--output", tmp_path / "out", "--split", "random")
    assert (code, "the id '3' is text" in said, f"{file}: row 3" in said) == (2, True, True), said


def test_a_broken_gzip_file_is_named(job: Any, tmp_path: Path) -> None:
    import gzip

    whole = gzip.compress(("user,item\n" + "".join(f"u{n * n},i{n}\n" for n in range(60_000))).encode())
    (tmp_path / "a.csv.gz").write_bytes(whole[: len(whole) // 2])
    code, said = job(command, "--input", tmp_path / "a.csv.gz", "--output", tmp_path / "out", "--split", "random")
    assert (code, "a.csv.gz" in said, "Traceback" in said) == (2, True, False), said


def test_what_is_there_is_replaced_only_when_told_and_only_if_a_job_wrote_it(
    job: Any, shop: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write(out / "thesis.txt", "years of work")
    for arguments in ([], ["--overwrite"]):
        code, said = job(command, "--input", shop, "--output", out, *arguments)
        assert (code, str(out) in said) == (2, True)
    assert (out / "thesis.txt").read_text() == "years of work"
    (out / "thesis.txt").rename(out / "job.json")
    assert job(command, "--input", shop, "--output", out)[0] == 2
    assert job(command, "--input", shop, "--output", out, "--overwrite", "--split", "random")[0] == 0
    assert Prepared(out).card["split"]["method"] == "random"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_lightgcn_keeps_its_own_split(job: Any, tmp_path: Path) -> None:
    write(tmp_path / "train.txt", "0 5 6 7\n1 5 8\n")
    write(tmp_path / "test.txt", "0 8\n")
    assert job(command, "--input", tmp_path, "--output", tmp_path / "out")[0] == 0
    found = Prepared(tmp_path / "out")
    assert found.card["split"]["method"] == "given"
    assert (len(found.interactions("train")), len(found.interactions("test"))) == (5, 1)
    assert found.catalogue() is None


def test_other_file_systems_and_folders_that_are_not_prepared_are_refused(job: Any, shop: Path, tmp_path: Path) -> None:
    code, said = job(command, "--input", shop, "--output", "s3a://bucket/x")
    assert (code, "another file system" in said) == (2, True)
    with pytest.raises(PalateError, match="palate job prepare"):
        Prepared(tmp_path)


@pytest.mark.slow
def test_movielens(job: Any, test_data: Path, tmp_path: Path) -> None:
    folder = test_data / "ml-latest-small"
    assert job(command, "--input", folder, "--output", tmp_path / "out")[0] == 0
    found, data = Prepared(tmp_path / "out"), read_dataset(folder)
    expected = leave_last_fraction(data.interactions, 0.2)
    assert rows(found.interactions("test")) == rows(expected.test)
    assert found.card["interactions"] == len(data.interactions)
    assert np.isclose(found.card["weight"]["mean"], data.interactions.weights.mean())  # type: ignore[union-attr]
