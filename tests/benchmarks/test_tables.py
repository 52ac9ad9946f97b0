"""The benchmarks that write tables into pages: what they measure is measured elsewhere, here that they do."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import click
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import fm_engines, mf_engines, models, pages, peers, sasrec_engines, sequences, tower_engines
from palate.dataset import leave_last_out
from palate.dataset.generate import generate_dataset, write_dataset
from palate.evaluation.metrics import accuracy

PAGE = "before\n<!-- made by benchmarks.{}: begin -->\nold\n<!-- end -->\nafter <!-- end -->\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "small"
    write_dataset(generate_dataset(40, 30, 600), folder)
    return folder


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.format("models"), "utf-8")
    pages.put(page, "benchmarks.models", "new")
    assert page.read_text("utf-8") == PAGE.format("models").replace("old", "new")
    with pytest.raises(click.ClickException, match="no place marked"):
        pages.put(page, "benchmarks.peers", "new")


def test_models_that_fail_are_told_beside_those_that_do_not(data: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.format("models"), "utf-8")
    command = ["--data", str(data), "--model", "popularity", "--model", "no-such", "--write", str(page)]
    ran = CliRunner().invoke(models.main, command)
    assert ran.exit_code == 0, ran.output
    rows = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == ["popularity", "no-such"]
    assert "there is no model kind 'no-such'" in rows[1]


@pytest.mark.filterwarnings("ignore:Method expects CSR input")  # implicit's, of its own matrix
def test_peers_stand_beside_ours(data: Path) -> None:
    found = {name: peers.contest(peers.CONTESTANTS[name], data) for name in ("palate item-knn", "implicit BM25")}
    assert set(found["implicit BM25"]["settings"]) == {"K", "K1", "B"}
    rows = peers.table("small", found | {"another": "is not installed"}).splitlines()
    assert all(any(row.startswith(f"| {name} |") for row in rows) for name in (*found, "another"))


def test_the_chain_knows_what_follows() -> None:
    """On the generated habits, more than a third of the items follow from the last one."""
    held = leave_last_out(sequences.habits(600, 100, 15))
    seen, wanted = held.train.matrix(binary=True), held.test.matrix(binary=True)
    ranked = {"chain": sequences.chain, "popularity": sequences.by_model("popularity")}
    hits = {
        name: np.mean(accuracy(rank(held.train, seen), wanted, [10])["hit_rate@10"]) for name, rank in ranked.items()
    }
    assert hits["chain"] > hits["popularity"] + 0.15


@pytest.mark.parametrize("contest", [mf_engines, fm_engines, tower_engines, sasrec_engines])
def test_bare_loops_stand_beside_engines(contest: ModuleType) -> None:
    ran = CliRunner().invoke(contest.main, ["--quick", "--engine", "torch", "--epochs", "1"])
    assert ran.exit_code == 0, ran.output
    rows = [line for line in ran.output.splitlines() if line.startswith("torch")]
    assert rows
    assert all(len(re.findall(r"ratio \d", row)) == 2 for row in rows)
    losses = [float(each) for pair in re.findall(r"loss (\S+) and (\S+)", ran.output) for each in pair]
    assert len(losses) == 2 * len(rows)
    assert all(0 < loss < 100 for loss in losses)
