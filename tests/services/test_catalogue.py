"""The catalogue: what a change leaves, whatever the order of changes; and ids that fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.dataset.ids import IdMap
from services.recommender.catalogue import Catalogue, ItemRow, fits, items_of

IDS = ["a", "b", "c", "d"]
changes = st.builds(
    ItemRow,
    st.sampled_from(IDS),
    st.none() | st.text(max_size=3),
    categories=st.lists(st.sampled_from(["x", "y", "z"]), unique=True, max_size=3).map(tuple),
    available=st.booleans(),
    deleted=st.booleans(),
)


@settings(deadline=None)
@given(st.lists(st.lists(changes, max_size=4, unique_by=lambda row: row.id), max_size=5))
def test_it_is_what_the_latest_rows_say(batches):
    catalogue = Catalogue.of(IdMap(IDS))
    before = [dict(entry) for entry in catalogue.entries]
    latest, grown = {}, catalogue
    for batch in batches:
        grown = grown.changed(batch)
        latest.update({row.id: row for row in batch})
    for code, item in enumerate(IDS):
        row = latest.get(item, ItemRow(item))
        assert grown.entries[code] == {"item": item, "title": row.title, "categories": list(row.categories)}
        assert grown.available[code] == (row.available and not row.deleted)
        for category in "xyz":
            assert (code in grown.by_category.get(category, [])) == (category in row.categories)
            assert grown.outside([category])[code] == (category not in row.categories)
    assert list(catalogue.entries) == before
    assert not catalogue.by_category


def test_the_latest_come_first_and_undated_or_gone_ones_not_at_all():
    rows = [ItemRow("a", timestamp=5), ItemRow("b", timestamp=9), ItemRow("c"), ItemRow("d", timestamp=7, deleted=True)]
    assert Catalogue.of(IdMap(IDS)).changed(rows).latest.tolist() == [1, 0]


def test_growing_and_cutting():
    catalogue = Catalogue.of(IdMap(IDS)).changed([ItemRow("d", categories=("x",))])
    grown = catalogue.grown(IdMap([*IDS, "e"])).changed([ItemRow("e", categories=("x",))])
    assert grown.by_category["x"].tolist() == [3, 4]
    cut = grown.first(4)
    assert cut.by_category["x"].tolist() == [3]
    assert len(cut) == len(cut.available) == 4
    assert cut.first(3).by_category == {}


@pytest.mark.parametrize("item", ["12", "-3", str(2**63 - 1), str(-(2**63) + 1)])
def test_whole_numbers_fit_an_integer_catalogue(item):
    assert fits(item, IdMap([1, 2]))
    assert items_of([ItemRow(item)], IdMap([1, 2])).ids.decode(np.array([0])) == [int(item)]


@pytest.mark.parametrize("item", ["", "x", "1.0", "012", "1_0", " 1", "+1", "-", "--1", str(2**63), "9" * 300, "١"])
def test_anything_else_does_not(item):
    assert not fits(item, IdMap([1, 2]))
    assert fits(item, IdMap(["a"]))
