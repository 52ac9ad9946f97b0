"""Charts of the documentation: every series is on them, and the same figures make the same file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import catalogue_size, charts, connections


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(charts, "IMAGES", tmp_path)
    monkeypatch.setattr(charts, "FIGURES", tmp_path)
    return tmp_path


def test_the_same_figures_make_the_same_bytes(folder: Path) -> None:
    points = [
        connections.Point(kind, number, 1000.0 * place, 1.0, float(number))
        for place, kind in enumerate(connections.STYLES, 1)
        for number in connections.CONNECTIONS
    ]
    charts.keep("connections", points)
    assert json.loads((folder / "results.connections.json").read_text("utf-8"))[0]["kind"] == "constant"
    drawn = []
    for _ in range(2):
        connections.draw(points)
        drawn.append((folder / "connections.svg").read_text("utf-8"))
    assert drawn[0] == drawn[1]
    assert all(f"<!-- {kind} -->" in drawn[0] for kind in connections.STYLES), "each is in the legend"
    assert connections.table(points).splitlines()[2 + len(connections.CONNECTIONS)] == (
        "| 1 | personal | 2,000 | 1.00 ms | 1.0 ms | 2.00 | 1.0 |"
    )


def test_a_form_that_was_not_measured_everywhere_ends_where_it_was(folder: Path) -> None:
    sizes = {form: (10, 100) if form.startswith("faiss") else (10, 100, 1000) for form in catalogue_size.STYLES}
    points = [
        catalogue_size.Point("noise", size, form, size / 1e6, size / 1e5, 1.0, None, 0.0)
        for form in sizes
        for size in sizes[form]
    ]
    catalogue_size.draw(points)
    assert all(f"<!-- {form} -->" in (folder / "catalogue.svg").read_text("utf-8") for form in sizes)
    largest = catalogue_size.table(points)
    assert "index" in largest
    assert "faiss" not in largest


def test_a_part_measured_anew_leaves_the_others_on_the_chart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(name: str, items: object, queries: object, peers: bool) -> list[catalogue_size.Point]:
        return [catalogue_size.Point(name, 1000, "exact", times.pop(0), 1.0, 1.0, None, 0.0)]

    times = [1.0, 2.0, 3.0]
    monkeypatch.setattr(catalogue_size, "measure", measured)
    monkeypatch.setattr(catalogue_size, "KINDS", {name: catalogue_size.KINDS[name] for name in ("groups", "noise")})
    for arguments in ([], ["--factors", "noise"]):
        CliRunner().invoke(catalogue_size.main, ["--most", "1000", *arguments], catch_exceptions=False)
    assert [(row["factors"], row["p50"]) for row in charts.kept("catalogue")] == [("groups", 1), ("noise", 3)]


def test_the_graph_walks_distances_whose_order_is_that_of_inner_products() -> None:
    items, queries = catalogue_size.clustered(300, 5, np.random.default_rng(0))
    longer, asked = catalogue_size.lengthened(items), np.pad(queries, ((0, 0), (0, 1)))
    np.testing.assert_allclose(np.linalg.norm(longer, axis=1), np.linalg.norm(items, axis=1).max(), rtol=1e-5)
    distances = np.linalg.norm(asked[:, None] - longer, axis=2)
    assert (distances.argsort(1)[:, :10] == (-queries @ items.T).argsort(1)[:, :10]).all()
