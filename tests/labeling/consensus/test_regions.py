"""Spans and boxes of several people become one set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.consensus import Box, Span, merge_boxes, merge_spans
from palate.errors import ParameterError


def regions(merged):
    return [one.region for one in merged]


def test_spans_that_overlap_become_one_at_the_median_borders():
    marked = {"ann": [Span(0, 10, "PER")], "bob": [Span(0, 12, "PER")], "cem": [Span(2, 10, "ORG")]}
    (found,) = merge_spans(marked)
    assert found.region == Span(0, 10, "PER")
    assert found.people == ("ann", "bob", "cem")
    assert (found.support, found.confidence) == (1, pytest.approx(2 / 3))


def test_what_only_few_marked_is_left_out_and_who_marked_nothing_counts():
    marked = {"ann": [Span(0, 5, "A")], "bob": [Span(0, 5, "A")], "cem": []}
    assert [one.support for one in merge_spans(marked)] == [pytest.approx(2 / 3)]
    assert merge_spans(marked | {"dan": []}) == []
    assert len(merge_spans(marked | {"dan": []}, support=0.4)) == 1


def test_neighbours_stay_two():
    marked = {person: [Span(0, 5, "A"), Span(5, 10, "A")] for person in ("ann", "bob", "cem")}
    marked["dan"] = [Span(0, 10, "A")]
    assert regions(merge_spans(marked)) == [Span(0, 5, "A"), Span(5, 10, "A")]


def test_a_chain_of_small_overlaps_is_not_one_region():
    marked = {str(step): [Span(step * 4, step * 4 + 10, "A")] for step in range(5)}
    assert all(one.region.end - one.region.start == 10 for one in merge_spans(marked, support=0))
    assert len(merge_spans(marked, support=0)) > 1


def test_one_place_with_two_labels_of_each_person_stays_two():
    marked = {person: [Span(0, 5, "PER"), Span(0, 5, "ORG")] for person in ("ann", "bob")}
    found = merge_spans(marked)
    assert regions(found) == [Span(0, 5, "ORG"), Span(0, 5, "PER")]
    assert all(one.confidence == 1 for one in found)


def test_skilled_people_count_more():
    marked = {"ann": [Span(0, 10, "A")], "bob": [Span(0, 14, "B")], "cem": [Span(0, 14, "B")]}
    assert regions(merge_spans(marked)) == [Span(0, 14, "B")]
    assert regions(merge_spans(marked, {"ann": 0.9, "bob": 0.2, "cem": 0.2})) == [Span(0, 10, "A")]


def test_boxes_become_the_median_box():
    marked = {
        "ann": [Box(10, 10, 20, 20, "cat"), Box(60, 60, 10, 10, "dog")],
        "bob": [Box(12, 11, 20, 20, "cat"), Box(61, 60, 10, 10, "cat")],
        "cem": [Box(11, 9, 20, 20, "dog"), Box(60, 61, 10, 10, "dog")],
        "far": [Box(0, 80, 5, 5, "cat")],
    }
    found = merge_boxes(marked)
    assert regions(found) == [Box(11, 10, 20, 20, "cat"), Box(60, 60, 10, 10, "dog")]
    assert [one.confidence for one in found] == [0.5, 0.5]


def test_two_boxes_meet_midway():
    (found,) = merge_boxes({"ann": [Box(0, 0, 10, 10, "a")], "bob": [Box(2, 0, 10, 10, "a")]})
    assert found.region == Box(1, 0, 10, 10, "a")


def test_noisy_boxes_find_the_true_ones():
    rng = np.random.default_rng(0)
    truth = [(10, 10, 20, 15), (50, 12, 25, 30), (20, 60, 15, 15), (24, 64, 30, 30)]
    marked = {}
    for person in range(7):
        seen = [box for box in truth if rng.random() < 0.85]
        noisy = [Box(*(np.array(box) + rng.normal(0, 0.8, 4)), "thing") for box in seen]
        marked[str(person)] = [*noisy, Box(*rng.uniform(5, 80, 2), 5, 5, "thing")]
    found = np.array([[box.x, box.y, box.width, box.height] for box in regions(merge_boxes(marked))])
    assert len(found) == 4
    assert np.abs(found[np.lexsort(found.T[::-1])] - np.array(sorted(truth))).max() < 1.5


@given(
    marked=st.dictionaries(
        st.sampled_from("abcde"),
        st.lists(
            st.builds(lambda start, length, label: Span(start, start + length, label), st.integers(0, 20),
                      st.integers(1, 10), st.sampled_from("AB")),
            max_size=4,
        ),
        min_size=1,
    )
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_no_mark_counts_twice_and_the_order_of_people_means_nothing(marked):
    found = merge_spans(marked, support=0)
    assert sum(len(one.people) for one in found) == sum(map(len, marked.values()))
    for one in found:
        assert len(set(one.people)) == len(one.people)
        assert one.region.start in {span.start for spans in marked.values() for span in spans}
        assert 0 < one.confidence <= one.support <= 1
    assert merge_spans(dict(reversed(marked.items())), support=0) == found


@pytest.mark.parametrize(
    ("marked", "more"),
    [
        ({"ann": [Span(3, 3, "A")]}, {}),
        ({"ann": [Span(-1, 3, "A")]}, {}),
        ({"ann": [Span(0, 3, "A")]}, {"weights": {"ann": 0.0}}),
        ({"ann": [Span(0, 3, "A")]}, {"overlap": 1.5}),
        ({"ann": [Span(0, 3, "A")]}, {"support": float("nan")}),
    ],
)
def test_spans_that_are_none(marked, more):
    with pytest.raises(ParameterError):
        merge_spans(marked, **more)


@pytest.mark.parametrize("box", [Box(0, 0, 0, 1, "A"), Box(0, 0, 1, -1, "A"), Box(float("nan"), 0, 1, 1, "A")])
def test_boxes_that_are_none(box):
    with pytest.raises(ParameterError):
        merge_boxes({"ann": [box]})


def test_nobody_marked_anything():
    assert merge_spans({"ann": [], "bob": []}) == merge_boxes({}) == []
