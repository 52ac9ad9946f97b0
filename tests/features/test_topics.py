"""Topics of texts as content: what goes together, offline as online, and texts that say nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from palate.bundle import load_bundle, write_bundle
from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions, Items
from palate.errors import ParameterError
from palate.features import ContentEncoder
from palate.models.content import ContentSimilarity

SPACE = ["rocket", "orbit", "planet", "star", "launch", "moon", "crew", "comet"]
KITCHEN = ["butter", "flour", "oven", "dough", "sugar", "pan", "recipe", "salt"]
ONLY = {"categories": 0.0, "tags": 0.0, "words": 0.0, "topics": 1.0, "n_topics": 2}


def texts(n: int = 40, seed: int = 0) -> list[str]:
    """Even ones are about space, odd ones about kitchens; each has some words of its theme alone."""
    random = np.random.default_rng(seed)
    return [" ".join(random.choice((SPACE, KITCHEN)[row % 2], 5)) for row in range(n)]


def items(texts: list[str | None]) -> Items:
    return Items(
        IdMap([f"i{n:02d}" for n in range(len(texts))]), pa.table({"text": pa.array(texts, pa.large_string())})
    )


@pytest.fixture(scope="module")
def encoder() -> ContentEncoder:
    return ContentEncoder(**ONLY).fit(items(texts()))


def test_texts_of_one_theme_are_alike_without_a_word_in_common(encoder: ContentEncoder) -> None:
    pairs = items(["rocket orbit planet", "star launch moon", "butter flour oven", "dough sugar pan"])
    vectors = encoder.encode(pairs).toarray()
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > 0.99
    assert likeness[2, 3] > 0.99
    assert likeness[0, 2] < 0.5


def test_one_item_online_is_its_row_offline(encoder: ContentEncoder, tmp_path: Path) -> None:
    write_bundle(encoder, tmp_path / "encoder")
    again = load_bundle(tmp_path / "encoder", verify="always")
    assert isinstance(again, ContentEncoder)
    whole = encoder.encode(items(texts())).toarray()
    for row in range(0, 40, 7):
        one = items(texts()).take([row])
        assert (encoder.encode(one).toarray() == whole[row]).all()
        assert (again.encode(one).toarray() == whole[row]).all()


def test_columns_are_named_by_their_words(encoder: ContentEncoder) -> None:
    names = encoder.feature_names()
    assert len(names) == encoder.width == encoder.encode(items(texts())).shape[1]
    first, second = (set(name.removeprefix("topics:").split("-")) for name in names[-2:])
    assert (first <= set(SPACE) and second <= set(KITCHEN)) or (first <= set(KITCHEN) and second <= set(SPACE))


def test_a_new_item_is_ranked_by_what_it_is_about() -> None:
    catalogue = items([*texts(), "comet crew rocket", "recipe salt butter"])
    users = [f"u{n}" for n in range(10) for _ in range(10)]
    liked = [f"i{2 * number + n % 2:02d}" for n in range(10) for number in range(10)]
    model = ContentSimilarity(**ONLY).fit(Interactions.from_ids(users, liked), catalogue)
    assert model.recommend(["u0", "u1"], 1, candidates=["i40", "i41"]).ids() == [["i40"], ["i41"]]


@pytest.mark.parametrize(
    ("told", "topics"),
    [
        ([None, ""], 0),
        (["one of its own", "another text"], 0),  # no word is in two items
        (["rocket orbit"], 0),
        (["rocket orbit", "rocket orbit", None], 2),  # of 5 that were asked for
    ],
)
def test_little_to_learn_from(told: list[str | None], topics: int) -> None:
    encoder = ContentEncoder(**ONLY | {"n_topics": 5}).fit(items(told))
    assert sum(name.startswith("topics:") for name in encoder.feature_names()) == topics
    vectors = encoder.encode(items([*told, "rocket", "unheard of"]))
    assert vectors.shape == (len(told) + 2, encoder.width)
    lengths = np.linalg.norm(vectors.toarray(), axis=1)
    assert np.isfinite(lengths).all()
    assert lengths[-1] == 0


def test_one_topic_is_what_all_texts_have() -> None:
    encoder = ContentEncoder(**ONLY | {"n_topics": 1}).fit(items(texts()))
    assert encoder.encode(items([*texts(), ""])).toarray()[:, -1].tolist() == [1.0] * 40 + [0.0]


def test_stated_likings_have_no_text(encoder: ContentEncoder) -> None:
    assert encoder.encode_preferences([["Space"]], [[]]).nnz == 0


def test_the_seed_decides() -> None:
    first, second = (ContentEncoder(**ONLY, seed=3).fit(items(texts())).encode(items(texts())) for _ in range(2))
    assert (first != second).nnz == 0


@pytest.mark.parametrize("wrong", [{"topics": -1.0}, {"n_topics": 0}, {"n_topics": 1.5}])
def test_wrong_parameters_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        ContentEncoder(**wrong)
