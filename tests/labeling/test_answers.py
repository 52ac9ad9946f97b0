"""Answers against the labeling interface: what each kind of question takes, and what it refuses."""

from __future__ import annotations

import json

import pytest

from labeling.answers import cell, check, key, readable, same, short
from labeling.config import generate, parse
from palate.errors import ParameterError

DATA = {"text": "Ada met 😀 Bob.", "image": "a.png", "left": "l", "right": "r"}
LABELS = ("Good", "Bad")


def interface(kind):
    return parse(generate(kind, LABELS if kind in ("choice", "choices", "spans", "boxes") else ()))


def region(kind, value, **more):
    control = interface(kind).controls[0]
    return {"from_name": "label", "to_name": ",".join(control.to), "type": control.type, "value": value, **more}


def span(start, end, *labels):
    return {"start": start, "end": end, "labels": list(labels or ("Good",))}


def box(x, y, width, height, *labels):
    return {"x": x, "y": y, "width": width, "height": height, "rectanglelabels": list(labels or ("Good",))}


GOOD = [
    ("choice", {"choices": ["Good"]}),
    ("choices", {"choices": ["Good", "Bad"]}),
    ("spans", span(0, 3)),
    ("spans", span(8, 14, "Good", "Bad")),
    ("boxes", box(0, 0, 100, 100)),
    ("boxes", box(50.5, 10, 49.5, 1) | {"rotation": 0}),
    ("rating", {"rating": 5}),
    ("pairwise", {"selected": "right"}),
    ("text", {"text": ["one", "two"]}),
    ("text", {"text": "one"}),
]


@pytest.mark.parametrize(("kind", "value"), GOOD)
def test_what_fits_is_kept_as_it_came(kind, value):
    whole = region(kind, value, id="x1", origin="manual", score=0.5, meta={"why": ["so"]})
    assert check(interface(kind), DATA, [whole]) == [whole]


@pytest.mark.parametrize(("kind", "value"), [pair for pair in GOOD if pair[0] not in ("spans", "boxes")])
def test_the_value_alone_is_the_same_answer(kind, value):
    stored = check(interface(kind), DATA, value)
    assert stored == [region(kind, value)]
    assert short(interface(kind), stored) == value


@pytest.mark.parametrize(
    ("kind", "value", "where"),
    [
        ("choice", {"choices": ["Good", "Bad"]}, "choices"),
        ("choice", {"choices": []}, "choices"),
        ("choice", {"choices": ["Fine"]}, "choices"),
        ("choices", {"choices": []}, "choices"),
        ("choices", {"choices": ["Good", "Good"]}, "choices"),
        ("choices", {"choices": "Good"}, "choices"),
        ("choices", {"choices": [["Good"]]}, "choices"),
        ("spans", span(0, 15), "end"),
        ("spans", span(3, 3), ""),
        ("spans", span(4, 3), ""),
        ("spans", span(-1, 3), "start"),
        ("spans", span("0", 3), "start"),
        ("spans", span(0, True), "end"),
        ("spans", span(0, 3, "Fine"), "labels"),
        ("spans", span(0, 3) | {"labels": []}, "labels"),
        ("boxes", box(-1, 0, 5, 5), "x"),
        ("boxes", box(0, 0, 0, 5), ""),
        ("boxes", box(60, 0, 41, 5), "x"),
        ("boxes", box(0, 96, 1, 5), "y"),
        ("boxes", box(0, 0, 1, "5"), "height"),
        ("boxes", box(0, 0, 1, float("nan")), "height"),
        ("boxes", box(0, 0, 1, 5, "Fine"), "rectanglelabels"),
        ("rating", {"rating": 6}, "rating"),
        ("rating", {"rating": 0}, "rating"),
        ("rating", {"rating": 2.5}, "rating"),
        ("rating", {"rating": True}, "rating"),
        ("pairwise", {"selected": "both"}, "selected"),
        ("pairwise", {}, "selected"),
        ("text", {"text": [" "]}, "text"),
        ("text", {"text": [3]}, "text"),
        ("text", {"text": "x" * 60_000}, "text"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(kind, value, where):
    with pytest.raises(ParameterError) as caught:
        check(interface(kind), DATA, [region(kind, value)])
    assert caught.value.where == f"value[0].value{'.' if where else ''}{where}"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "Good",
        3,
        [3],
        [{}],
        [],
        {},
        {"choices": ["Good"], "more": 1},
        {"rating": 3},
        [region("choice", {"choices": ["Good"]})] * 2,
        [region("choice", {"choices": ["Good"]}) | {"from_name": "other"}],
        [region("choice", {"choices": ["Good"]}) | {"from_name": ["label"]}],
        [region("choice", {"choices": ["Good"]}) | {"to_name": "other"}],
        [region("choice", {"choices": ["Good"]}) | {"type": "labels"}],
        [region("choice", ["Good"])],
        [region("choice", {"choices": ["Good"]}, note="x" * 1_000_001)],
    ],
)
def test_what_is_no_answer_at_all_is_refused(answer):
    with pytest.raises(ParameterError):
        check(interface("choice"), DATA, answer)


def test_nothing_marked_is_an_answer_where_marks_are_asked_for():
    assert check(interface("spans"), DATA, []) == []
    with pytest.raises(ParameterError, match="list of regions"):
        check(interface("spans"), DATA, span(0, 3))


def test_a_draft_may_leave_out_what_is_required_but_not_say_what_is_wrong():
    assert check(interface("choice"), DATA, [], whole=False) == []
    with pytest.raises(ParameterError):
        check(interface("choice"), DATA, {"choices": ["Fine"]}, whole=False)


def test_questions_of_label_studios_editor_alone_are_kept_and_relations_too():
    asked = parse(
        '<View><Image name="i" value="$image"/><BrushLabels name="b" toName="i"><Label value="a"/></BrushLabels></View>'
    )
    brush = {
        "id": "1",
        "from_name": "b",
        "to_name": "i",
        "type": "brushlabels",
        "value": {"rle": [1, 2], "format": "rle"},
    }
    result = [brush, {"type": "relation", "from_id": "1", "to_id": "1", "direction": "right"}]
    assert check(asked, DATA, result) == result
    with pytest.raises(ParameterError):
        check(asked, DATA, [brush | {"type": "choices"}])


def test_an_answer_in_one_cell_and_under_one_key():
    both = check(interface("choices"), DATA, {"choices": ["Good", "Bad"]})
    assert cell(interface("choices"), both) == "Good, Bad"
    several = interface("choices").controls[0]
    turned = check(interface("choices"), DATA, {"choices": ["Bad", "Good"]})
    assert key(several, both) == key(several, turned) != key(several, both[:0])
    assert readable(several, key(several, turned)) == "Good + Bad", "in the interface's order"
    assert cell(interface("rating"), check(interface("rating"), DATA, {"rating": 4})) == "4"
    marks = check(interface("spans"), DATA, [region("spans", span(0, 3))])
    assert json.loads(cell(interface("spans"), marks)) == marks
    assert key(interface("spans").controls[0], marks) is None


def test_a_label_that_reads_like_two_is_not_these_two():
    asked = parse(generate("choices", ("Bad", "Good", "Bad + Good")))
    two, one = (check(asked, DATA, {"choices": labels}) for labels in (["Good", "Bad"], ["Bad + Good"]))
    assert not same(asked, two, one)
    assert len({readable(asked.controls[0], key(asked.controls[0], each)) for each in (two, one)}) == 1


def test_what_label_studio_itself_sends_is_taken():
    """Regions and configuration as Label Studio 1.23.2 put them into a webhook."""
    config = (
        '<View><Text name="text" value="$text"/><Choices name="label" toName="text" choice="single" showInLine="true">'
        '<Choice value="Positive"/><Choice value="Negative"/></Choices></View>'
    )
    result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["Positive"]}}]
    assert check(parse(config), {"text": "good film"}, result) == result
    assert parse(config).labels == ("Positive", "Negative")
    assert parse(config).editor == "own"
