"""Segments as content: principal components, then k-means, of what else is known of the items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from palate.bundle import load_bundle, write_bundle
from palate.errors import ParameterError
from palate.features import ContentEncoder, user_vectors
from tests.features.test_topics import items, texts

VALUES = {"segments": 1.0, "n_segments": 2}


@pytest.fixture(scope="module")
def encoder() -> ContentEncoder:
    return ContentEncoder(**VALUES).fit(items(texts()))


def segment_of(encoder: ContentEncoder, told: list[str | None]) -> list[int]:
    found = encoder.encode(items(told)).toarray()[:, -len(encoder.segments) :]
    return [int(row.argmax()) if row.any() else -1 for row in found]


def test_items_of_one_theme_are_in_one_segment(encoder: ContentEncoder) -> None:
    found = segment_of(encoder, texts())
    assert len(set(found[::2])) == len(set(found[1::2])) == 1
    assert found[0] != found[1]
    assert segment_of(encoder, ["rocket moon", "flour dough", "", "unheard of"]) == [found[0], found[1], -1, -1]
    assert encoder.feature_names()[-2:] == ["segments:0", "segments:1"]
    assert len(encoder.feature_names()) == encoder.width


def test_one_item_online_is_its_row_offline(encoder: ContentEncoder, tmp_path: Path) -> None:
    write_bundle(encoder, tmp_path / "encoder")
    again = load_bundle(tmp_path / "encoder", verify="always")
    assert isinstance(again, ContentEncoder)
    whole = encoder.encode(items(texts())).toarray()
    for row in range(0, 40, 7):
        for each in (encoder, again):
            assert (each.encode(items(texts()).take([row])).toarray() == whole[row]).all()


def test_users_have_shares_of_segments(encoder: ContentEncoder) -> None:
    found = segment_of(encoder, texts())
    history = sparse.csr_matrix(np.array([[1, 0, 1, 0] + [0] * 36, [1, 1, 0, 0] + [0] * 36], dtype=np.float32))
    shares = user_vectors(history, encoder.encode(items(texts()))).toarray()[:, -2:]
    assert shares[0, found[1]] == 0 < shares[0, found[0]]
    assert shares[1, 0] == pytest.approx(shares[1, 1])


@pytest.mark.parametrize(
    ("told", "segments"), [([], 0), ([None], 0), (["rocket moon"] * 3, 0), (["rocket moon", "moon rocket star"] * 2, 2)]
)
def test_little_to_tell_apart(told: list[str | None], segments: int) -> None:
    encoder = ContentEncoder(segments=1.0, min_count=1).fit(items(told))
    assert len(encoder.segments) == segments
    assert encoder.encode(items([*told, "rocket"])).shape == (len(told) + 1, encoder.width)


def test_wrong_parameters_are_named() -> None:
    with pytest.raises(ParameterError, match="n_segments"):
        ContentEncoder(n_segments=1)
