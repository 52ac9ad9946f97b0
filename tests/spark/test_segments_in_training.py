"""`train_mf --segments`: what `segment` found out decides what is popular for whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from palate.bundle import load_bundle
from palate.models.popularity import Popularity
from palate.models.protocol import Context
from palate.spark.jobs.train import train_mf
from palate.spark.prepared import Prepared

pytestmark = pytest.mark.spark


def test_popularity_is_learned_within_segments(job: Any, prepared: Path, tmp_path: Path) -> None:
    data = Prepared(prepared)
    train = data.interactions("train")
    segments = np.arange(len(data.users), dtype=np.int32) % 2
    (tmp_path / "segments" / "users").mkdir(parents=True)
    table = pa.table({"id": data.users.ids, "segment": segments})
    parquet.write_table(table, tmp_path / "segments" / "users" / "part-0.parquet")
    out = tmp_path / "popularity"
    arguments = ["--model", "popularity", "--input", prepared, "--output", out, "--segments", tmp_path / "segments"]
    code, said = job(train_mf, *arguments)
    assert code == 0, said
    model = load_bundle(out)
    assert isinstance(model, Popularity)
    for segment in (0, 1):
        mine = segments[train.user_codes] == segment
        counts = np.bincount(train.item_codes[mine], minlength=len(data.items))
        best = model.recommend(["nobody at all"], 1, context=Context(segment=segment))
        assert counts[best.codes[0, 0]] == counts.max()
        assert best.personal[0]


def test_a_folder_without_segments_is_refused(job: Any, prepared: Path, tmp_path: Path) -> None:
    code, said = job(train_mf, "--input", prepared, "--output", tmp_path / "x", "--segments", tmp_path)
    assert code == 2
    assert "segments" in said
    assert "Traceback" not in said
