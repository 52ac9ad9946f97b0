"""Content vectors: what is in them, and that online and offline are one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from palate.bundle import load_bundle, write_bundle
from palate.dataset.ids import IdMap
from palate.dataset.schema import Items
from palate.errors import NotFittedError, ParameterError, SchemaError
from palate.features import ContentEncoder, user_vectors

TITLES = ["The red fox", "A red rose", "Blue fox's den", "", "日本 の fox", "STRASSE fox"]
CATEGORIES = [["Animals"], ["Plants"], ["animals ", "Night"], [], ["Night"], None]
TAGS = [["Wild", "wild"], ["garden", "wild"], None, [], ["garden"], ["once only"]]


def catalogue() -> Items:
    table = pa.table(
        {
            "title": pa.array(TITLES, pa.large_string()),
            "text": pa.array([None, "red red red", None, None, "", "straße"], pa.large_string()),
            "categories": pa.array(CATEGORIES, pa.list_(pa.large_string())),
            "tags": pa.array(TAGS, pa.list_(pa.large_string())),
        }
    )
    return Items(IdMap([f"i{n}" for n in range(len(TITLES))]), table)


@pytest.fixture(scope="module")
def encoder() -> ContentEncoder:
    return ContentEncoder().fit(catalogue())


def test_rows_have_length_one_or_zero(encoder: ContentEncoder) -> None:
    vectors = encoder.encode(catalogue())
    assert vectors.dtype == np.float32
    assert vectors.shape == (6, encoder.width)
    assert vectors.has_sorted_indices
    lengths = np.linalg.norm(vectors.toarray(), axis=1).tolist()
    assert lengths == pytest.approx([1, 1, 1, 0, 1, 1], abs=1e-6)


def test_columns_are_named_and_rare_terms_left_out(encoder: ContentEncoder) -> None:
    assert encoder.feature_names() == [
        *("categories:animals", "categories:night", "categories:plants"),
        *("tags:garden", "tags:wild"),
        *("words:fox", "words:red"),
    ]


def test_one_item_by_hand(encoder: ContentEncoder) -> None:
    row = dict(zip(encoder.feature_names(), encoder.encode(catalogue()).toarray()[1], strict=True))
    words = 0.5  # one block of length 0.5 beside two of length 1: 1 / 1.5 each
    assert row["categories:plants"] == pytest.approx(1 / 1.5)
    assert row["words:red"] == pytest.approx(words / 1.5)
    assert row["tags:garden"] == pytest.approx(row["tags:wild"])
    assert row["words:fox"] == 0


def test_a_common_term_says_less_than_a_rare_one(encoder: ContentEncoder) -> None:
    row = dict(zip(encoder.feature_names(), encoder.encode(catalogue()).toarray()[0], strict=True))
    fox, red = np.log(7 / 4) + 1, np.log(7 / 3) + 1
    assert row["words:fox"] / row["words:red"] == pytest.approx(fox / red)


def test_one_item_online_is_its_row_offline(encoder: ContentEncoder) -> None:
    whole = encoder.encode(catalogue()).toarray()
    for row in range(len(TITLES)):
        assert (encoder.encode(catalogue().take([row])).toarray() == whole[row]).all()


@given(st.lists(st.text(max_size=30), min_size=1, max_size=80), st.data())
def test_any_text_online_and_offline(texts: list[str], data: st.DataObject) -> None:
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    items = Items(IdMap(range(len(texts))), pa.table({"text": pa.array(texts, pa.large_string())}))
    encoder = ContentEncoder(min_count=1).fit(items)
    row = data.draw(st.integers(0, len(texts) - 1))
    assert (encoder.encode(items.take([row])).toarray() == encoder.encode(items).toarray()[row]).all()


def test_stated_preferences_live_in_the_same_space(encoder: ContentEncoder) -> None:
    vectors = encoder.encode_preferences([["ANIMALS"], [], ["unheard of"]], [[], ["Garden"], []])
    names = encoder.feature_names()
    assert [names[column] for column in vectors.indices] == ["categories:animals", "tags:garden"]
    assert vectors.data.tolist() == [1, 1]
    assert np.diff(vectors.indptr).tolist() == [1, 1, 0]


def test_save_and_load(encoder: ContentEncoder, tmp_path: Path) -> None:
    write_bundle(encoder, tmp_path / "encoder")
    again = load_bundle(tmp_path / "encoder", verify="always")
    assert isinstance(again, ContentEncoder)
    assert again.params == encoder.params
    assert (again.encode(catalogue()) != encoder.encode(catalogue())).nnz == 0


def test_predict_speaks_its_signature(encoder: ContentEncoder) -> None:
    answer = encoder.predict({"title": ["a red fox", None], "categories": [["Night"], []]})
    assert set(answer) == set(encoder.signature().outputs)
    names = encoder.feature_names()
    assert [names[column] for column in answer["indices"][0]] == ["categories:night", "words:fox", "words:red"]
    assert answer["indices"][1] == []
    for wrong in ({}, {"title": ["a"], "text": []}, {"title": [5]}, {"categories": ["Night"]}, {"title": "a"}):
        with pytest.raises(SchemaError):
            encoder.predict(wrong)


def test_a_catalogue_without_content() -> None:
    encoder = ContentEncoder().fit(Items(IdMap(["a", "b"])))
    assert encoder.encode(Items(IdMap(["c"]))).shape == (1, 0)
    assert encoder.encode(Items(IdMap([]))).shape == (0, 0)


def test_limits_keep_the_most_common_terms() -> None:
    encoder = ContentEncoder(max_words=1, max_tags=1).fit(catalogue())
    assert encoder.feature_names()[-2:] == ["tags:garden", "words:fox"]


def test_bad_input() -> None:
    with pytest.raises(NotFittedError):
        ContentEncoder().encode(catalogue())
    with pytest.raises(ParameterError, match="words"):
        ContentEncoder(words=-1)
    with pytest.raises(ParameterError, match="depth"):
        ContentEncoder(depth=1)


def test_users_are_the_weighted_mean_of_their_items() -> None:
    items = sparse.csr_matrix(np.array([[1, 0], [0, 1]], dtype=np.float32))
    histories = sparse.csr_matrix(np.array([[3, 1], [0, 2], [0, 0]], dtype=np.float32))
    assert user_vectors(histories, items).toarray().tolist() == [[0.75, 0.25], [0, 1], [0, 0]]
