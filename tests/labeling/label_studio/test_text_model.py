"""The model of texts that come later."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from labeling.label_studio.text_model import TextModel
from palate.errors import InputError

SPACE = [
    "the moon and a rocket",
    "a rocket to a planet",
    "stars around a planet",
    "moon, stars, orbit",
    "orbit of a rocket",
]
FOOD = ["flour and butter", "bread from the oven", "sugar and flour", "butter on bread", "cake in the oven"]
LABELED = [(text, ["space"]) for text in SPACE] + [(text, ["food"]) for text in FOOD]


def test_it_knows_what_it_was_not_shown():
    model = TextModel.fit(LABELED, others=["a planet beyond the stars", "cake with sugar"])
    said = model.predict(["a rocket in orbit", "sugar on a cake", "stars and a moon"])
    assert [label for label, _ in said] == [("space",), ("food",), ("space",)]
    assert all(0.5 < sure < 1 for _, sure in said)
    assert model.accuracy >= 0.8


def test_nobody_is_surer_than_ten_right_answers_make_one():
    assert all(sure <= 11 / 12 for _, sure in TextModel.fit(LABELED).predict(SPACE + FOOD))


def test_nothing_is_said_of_a_text_in_which_nothing_is_known():
    model = TextModel.fit(LABELED)
    assert model.predict(["", "щ жйь", "a moon"])[:2] == [None, None]
    assert model.predict([]) == []


def test_what_is_kept_says_the_same():
    model = TextModel.fit(LABELED, others=["a planet beyond the stars"])
    again = TextModel.from_bytes(model.to_bytes())
    asked = ["a rocket", "an oven", "both: a rocket in an oven"]
    assert again.predict(asked) == model.predict(asked)
    assert (again.labels, again.accuracy) == (model.labels, model.accuracy)


def test_a_model_kept_before_there_were_several_labels_is_read():
    model = TextModel.fit(LABELED)
    with np.load(io.BytesIO(model.to_bytes())) as kept:
        arrays = dict(kept)
    about = json.loads(arrays["about"].tobytes())
    about |= about.pop("says")
    file = io.BytesIO()
    np.savez(file, **{**arrays, "about": np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)})
    assert TextModel.from_bytes(file.getvalue()).predict(SPACE) == model.predict(SPACE)


def test_labels_that_are_shuffled_teach_nothing():
    """A text says nothing of its label here: whoever is sure then is wrong."""
    texts = [f"thing {letter}" for letter in "abcdefghijklmnop"]
    model = TextModel.fit([(text, ["even" if number % 2 else "odd"]) for number, text in enumerate(texts)])
    assert all(sure < 0.8 for _, sure in model.predict(["thing z", "thing y"]))


@pytest.mark.parametrize("labeled", [[], LABELED[:3], LABELED[:5]], ids=["none", "three", "one label"])
def test_too_little_is_refused(labeled):
    with pytest.raises(InputError, match="too few to learn from"):
        TextModel.fit(labeled)


def test_texts_without_a_letter_are_refused():
    with pytest.raises(InputError, match="holds a word or letter"):
        TextModel.fit([(" ", ["a"]), ("\n", ["b"]), ("  ", ["a"]), ("\t", ["b"])])


BOTH = [f"{one}, and {other}" for one, other in zip(SPACE, FOOD, strict=True)]
SETS = [*LABELED, *((text, ["food", "space"]) for text in BOTH), *((text, []) for text in ("gray rain", "rain, rain"))]


def test_several_labels_are_a_set_and_right_as_a_whole():
    model = TextModel.fit(SETS, several=True, empty=True)
    said = model.predict(["a rocket in orbit", "sugar on a cake", "bread and butter and stars and a moon", "щ жйь"])
    assert [each and each[0] for each in said] == [("space",), ("food",), ("food", "space"), None]
    assert all(0 < sure <= 18 / 19 for _, sure in said[:3])
    assert model.accuracy > 0.8
    again = TextModel.from_bytes(model.to_bytes())
    assert again.predict(BOTH) == model.predict(BOTH)
    some = [text for text, given in SETS if not given]
    assert () not in {labels for labels, _ in TextModel.fit(SETS[:15], some, several=True).predict(some + BOTH)}
