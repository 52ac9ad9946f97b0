"""The labeling interface: what is read from Label Studio's XML, and what is refused with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.config import KINDS, generate, parse
from palate.errors import ParameterError

TEXT = '<Text name="t" value="$review"/>'


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_for_a_kind_is_read_as_that_kind(kind):
    labels = ('a "b" <c> & é', "'d'") if kind in ("choice", "choices", "spans", "boxes") else ()
    interface = parse(generate(kind, labels))
    assert (interface.kind, interface.labels) == (kind, labels)
    assert interface.editor == "own"


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1).filter(str.strip),
        min_size=1,
        unique=True,
    )
)
def test_labels_come_back_as_they_were(labels):
    assert parse(generate("choices", labels)).labels == tuple(labels)


def test_the_xml_is_kept_as_it_came_with_tags_that_are_not_known():
    tags = '<Sparkle a="1"/><Number name="n" toName="t"/>'
    config = f'<?xml version="1.0"?>\n<View className="x">{TEXT}<!-- why -->\n{tags}</View>'
    interface = parse(config)
    assert interface.config == config
    assert interface.foreign == ("Sparkle", "Number")
    assert (interface.editor, interface.kind) == ("label-studio", "other")


def test_several_questions_are_read_with_all_that_is_asked_of_them():
    interface = parse(
        f'<View>{TEXT}<Image name="i" value="$image"/>'
        '<Choices name="c" toName="t" choice="multiple" required="TRUE"><Choice value="A" alias="a"/>'
        '<Choice value="B"><Choice value="C"/></Choice></Choices>'
        '<Labels name="s" toName="t"><Label value="X"/></Labels><Labels name="m" toName="i"><Label value="Y"/></Labels>'
        '<Rating name="r" toName="i" maxRating="7"/><Choices name="d" toName="t" value="$options"/>'
        '<View visibleWhen="choice-selected"><TextArea name="w" toName="t" required="true"/></View></View>'
    )
    assert [control.kind for control in interface.controls] == ["choices", "spans", "other", "rating", "choice", "text"]
    by = interface.by_name
    assert by["c"].labels == ("a", "B", "C")
    assert by["c"].required
    assert by["r"].maximum == 7
    assert by["d"].any_label
    assert not by["w"].always
    assert interface.shown["t"].field == "review"
    assert interface.kind == "mixed"


@pytest.mark.parametrize(
    ("config", "place", "what"),
    [
        ("", 1, "no element"),
        ("<View>", 1, "no element"),
        ("<View>\n<a></b></View>", 2, "mismatched"),
        ("<View>&nbsp;</View>", 1, "undefined entity"),
        ('<!DOCTYPE v [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><View>&b;</View>', 1, "document type"),
        ('<!DOCTYPE v SYSTEM "file:///etc/passwd"><View/>', 1, "document type"),
        ("<View>" * 60 + "</View>" * 60, 1, "deeper"),
        (f"<View>\n{TEXT}</View>", 1, "nothing is asked"),
        (f'<View>{TEXT}\n<Rating name="r" toName="x"/></View>', 2, "names nothing"),
        ('<View>\n\n<Rating name="r" toName="x"/></View>', 3, "names nothing"),
        (f'<View>{TEXT}\n{TEXT}<Rating name="r" toName="t"/></View>', 2, "twice"),
        (f'<View>{TEXT}\n<Rating name="t" toName="t"/></View>', 2, "twice"),
        (
            f'<View>{TEXT}<Choices name="c" toName="t">\n<Choice value="a"/>\n<Choice value="a"/></Choices></View>',
            3,
            "twice",
        ),
        (f'<View>{TEXT}<Choices name="c" toName="t">\n<Choice/></Choices></View>', 2, "a label is"),
        (f'<View>{TEXT}\n<Choices name="c" toName="t"/></View>', 2, "no <Choice>"),
        (f'<View>{TEXT}\n<Rating name="r" toName="t" maxRating="ten"/></View>', 2, "maxRating"),
        (f'<View>{TEXT}\n<Pairwise name="r" toName="t"/></View>', 2, "two"),
        (f'<View>{TEXT}\n<Rating name=" " toName="t"/></View>', 2, "no name"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(config, place, what):
    with pytest.raises(ParameterError, match=what) as caught:
        parse(config)
    assert caught.value.where == "config"
    assert caught.value.message.startswith(f"line {place}, column ")


@pytest.mark.parametrize("config", ["<View>\ud800</View>", "<View/>" + " " * 600_000])
def test_what_is_no_text_or_too_long_is_refused(config):
    with pytest.raises(ParameterError):
        parse(config)


@given(st.text())
def test_anything_else_is_an_error_of_ours(text):
    with pytest.raises(ParameterError):
        parse(text)
