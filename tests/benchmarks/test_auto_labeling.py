"""The generator of items with several labels."""

from __future__ import annotations

from benchmarks.auto_labeling import put_together
from labeling.autolabel.annotators import SetNames, people_for
from labeling.autolabel.tables import Known


def test_texts_are_put_together_each_once_with_the_labels_of_all() -> None:
    of = {f"text-{number}": f"label-{number % 6}" for number in range(120)}
    known = put_together(Known(list(of.values()), list(of), {}, 2), 3)
    assert (known.single, known.left_out) == (("label-0", "label-2", "label-4"), 2)
    codes = people_for(known)[1]
    assert isinstance(codes, SetNames)
    parts = [text.split() for text in known.texts or ()]
    assert sorted(text for each in parts for text in each) == sorted(text for text in of if of[text] in known.single)
    assert {len(each) for each in parts} == {1, 2, 3}
    for each, name in zip(parts, known.labels, strict=True):
        assert codes.split(name) == sorted({of[text] for text in each})
    assert put_together(Known(list(of.values()), list(of), {}, 2), 3) == known
