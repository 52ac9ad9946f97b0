"""`digits`: the whole example, from spark-submit's arguments to clusters that mean something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pyarrow import parquet
from sklearn.datasets import load_digits

from palate.bundle import load_bundle
from palate.spark.jobs.digits import command, purity

pytestmark = pytest.mark.spark


def test_clusters_are_digits(job: Any, tmp_path: Path) -> None:
    code, said = job(command, "--output", tmp_path / "out", "--restarts", "4")
    assert (code, "1,797 images in 10 clusters" in said) == (0, True), said
    table = parquet.read_table(tmp_path / "out" / "clusters").sort_by("row")
    told = json.loads((tmp_path / "out" / "job.json").read_text())
    assert told["purity"] == pytest.approx(purity(table["cluster"], table["label"]))
    assert told["purity"] > 0.75
    images = load_digits().data
    answer = load_bundle(tmp_path / "out" / "model").predict({"features": images})
    assert answer["cluster"] == table["cluster"].to_pylist()
    picture = ElementTree.parse(tmp_path / "out" / "centres.svg").getroot()  # noqa: S314
    assert len(picture.findall("{*}text")) == 10
    assert len(picture.findall("{*}rect")) == 10 * 64


def test_purity() -> None:
    assert purity([0, 0, 0, 7, 7, 9], ["a", "a", "b", "b", "b", "a"]) == pytest.approx(5 / 6)
