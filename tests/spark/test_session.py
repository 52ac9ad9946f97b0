"""The session, and what becomes of Spark's own failures."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from palate import doctor
from palate.doctor import Java, require_java
from palate.errors import ConflictError, InputError, MissingDependencyError, PalateError, ParameterError
from palate.spark.failures import explain
from palate.spark.job import Report, check_output, local_path, output_directory
from palate.spark.session import ONE_THREAD

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize(
    ("java", "words"),
    [
        (None, "there is none"),
        (Java(Path("/usr/bin/java"), 11, True), "not 11"),
        (Java(Path("/usr/bin/java"), 17, False), "jdk.incubator.vector"),
    ],
)
def test_a_java_that_will_not_do_is_named(monkeypatch: pytest.MonkeyPatch, java: Java | None, words: str) -> None:
    monkeypatch.setattr(doctor, "find_java", lambda: java)
    with pytest.raises(MissingDependencyError, match=words) as caught:
        require_java()
    assert "palate doctor" in str(caught.value)


@pytest.mark.spark
def test_workers_run_this_interpreter_on_one_thread(spark: SparkSession) -> None:
    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            yield pa.RecordBatch.from_pydict({"value": [sys.executable, *(os.environ.get(v) for v in ONE_THREAD)]})

    found = spark.range(1).mapInArrow(look, "value string").toArrow()["value"].to_pylist()
    assert found == [sys.executable, *("1" for _ in ONE_THREAD)]
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"
    assert spark.sparkContext.uiWebUrl is None


@pytest.mark.spark
def test_a_master_that_is_none_is_refused_in_words() -> None:
    code = "from palate.spark.session import spark_session; spark_session('x', master='nonsense')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ParameterError: spark: Spark did not start" in run.stderr


@pytest.mark.spark
def test_failures_are_told_in_one_line(spark: SparkSession, tmp_path: Path) -> None:
    from pyspark.errors import PySparkException

    def fail(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        raise ValueError("the sky fell")
        yield from batches

    with pytest.raises(PySparkException) as caught:
        spark.range(1).mapInArrow(fail, "id long").collect()
    told = explain(caught.value)
    assert told is not None
    assert str(told) == "Spark failed: the sky fell."
    assert told.exit_code == 1

    with pytest.raises(PySparkException) as missing:
        spark.read.parquet(str(tmp_path / "nothing"))
    told = explain(missing.value)
    assert isinstance(told, InputError)
    assert "nothing" in str(told)
    assert explain(ValueError("not Spark's")) is None


def test_a_name_too_long_for_a_file_is_bad_input() -> None:
    with pytest.raises(OSError, match="too long") as caught:
        Path("x" * 5000).exists()
    told = explain(caught.value)
    assert isinstance(told, InputError)
    assert len(str(told)) < 200


def test_paths_of_other_file_systems_are_refused(tmp_path: Path) -> None:
    assert local_path(f"file://{tmp_path}/a%20b", "--x") == tmp_path / "a b"
    assert local_path("x", "--x") == Path.cwd() / "x"
    for text in ("s3a://b/x", "file://host/x", "", "a\0b"):
        with pytest.raises(ParameterError):
            local_path(text, "--x")


def test_an_output_takes_its_place_whole_or_not_at_all(tmp_path: Path) -> None:
    path, report = tmp_path / "deep" / "out", Report("test", {"where": tmp_path})

    def fill(text: str, *, fail: bool = False) -> None:
        with output_directory(path, report, overwrite=True) as folder:
            (folder / "a").write_text(text)
            if fail:
                raise PalateError("stop")

    fill("one")
    with pytest.raises(PalateError, match="stop"):
        fill("two", fail=True)
    assert (path / "a").read_text() == "one"
    fill("three")
    assert (path / "a").read_text() == "three"
    assert [found.name for found in path.parent.iterdir()] == ["out"]
    with pytest.raises(ConflictError):
        check_output(path, overwrite=False)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="file/out"),
        output_directory(tmp_path / "file" / "out", Report("test", {}), overwrite=False),
    ):
        pass
