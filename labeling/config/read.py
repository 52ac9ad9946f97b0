"""From Label Studio's XML to an `Interface`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from labeling.config.interface import OTHER, Control, Interface, Shown
from labeling.config.xml import Element, read

MAX_CONTROLS = 100
MAX_LABELS = 1000
MAX_LABEL_LENGTH = 1000
LABELED = {"Choices": "Choice", "Labels": "Label", "RectangleLabels": "Label"}
"""Controls that are known here and the tags of their labels."""
PLAIN = {"Rating": "rating", "Pairwise": "pairwise", "TextArea": "text"}
SHOWN = {"Text", "Image"}
"""Objects that our own page can show."""
LAYOUT = {"View", "Header", "Choice", "Label"}
CONDITIONS = {"perRegion", "perItem", "visibleWhen", "whenTagName", "whenLabelValue", "whenChoiceValue", "whenRole"}
"""Attributes that make a question one of some tasks or regions only: Label Studio's editor knows when it is asked."""
_FIELD = re.compile(r"\$([^\s$\[\].]+)\Z")


@lru_cache(maxsize=256)
def parse(config: str) -> Interface:
    """The interface that the XML describes.

    Raises ParameterError with line and column: broken XML, no control, a control on nothing that is shown, a name or
    a label that is there twice, a control without labels.
    """
    root = read(config)
    elements = list(root.walk())
    objects = tuple(_objects(elements))
    controls = tuple(_controls(root, {each.name: each.tag for each in objects}, conditional=False))
    if not controls:
        raise root.error("nothing is asked: there is no control.", "Add one, such as <Choices name=... toName=...>.")
    if len(controls) > MAX_CONTROLS:
        raise root.error(f"there are {len(controls)} controls; at most {MAX_CONTROLS} fit.")
    _names_differ(elements)
    return Interface(config, controls, objects, tuple(dict.fromkeys(_foreign(elements, controls, objects))))


def _is_control(element: Element) -> bool:
    return "name" in element.attributes and "toName" in element.attributes


def _is_object(element: Element) -> bool:
    shown = {"value", "valueList"} & element.attributes.keys()
    return "name" in element.attributes and "toName" not in element.attributes and bool(shown)


def _objects(elements: list[Element]) -> Iterator[Shown]:
    for element in elements:
        if _is_object(element):
            value = element.attributes.get("value", element.attributes.get("valueList", ""))
            match = _FIELD.match(value)
            inline = element.attributes.get("valueType", "text") == "text"
            yield Shown(element.attributes["name"], element.tag, match[1] if match else None, inline)


def _controls(element: Element, names: Mapping[str, str], *, conditional: bool) -> Iterator[Control]:
    conditional = conditional or bool(CONDITIONS & element.attributes.keys())
    if _is_control(element):
        yield _control(element, names, conditional)
    for child in element.children:
        yield from _controls(child, names, conditional=conditional)


def _control(element: Element, names: Mapping[str, str], conditional: bool) -> Control:
    to = tuple(name.strip() for name in element.attributes["toName"].split(","))
    for name in to:
        if name not in names:
            hint = (
                f"There are: {', '.join(sorted(names))[:200]}." if names else "Nothing is shown: add a <Text> or such."
            )
            raise element.error(f"toName={name[:80]!r} names nothing that is shown.", hint)
    kind = _kind(element, {names[name] for name in to})
    if kind == "pairwise" and len(to) != 2:
        raise element.error("<Pairwise> compares two: its toName is two names with a comma between.")
    any_label = "value" in element.attributes or "apiUrl" in element.attributes
    labels = tuple(_labels(element)) if element.tag in LABELED else ()
    if element.tag in LABELED and not labels and not any_label:
        raise element.error(f"<{element.tag}> has no <{LABELED[element.tag]}>.")
    return Control(
        element.attributes["name"],
        element.tag,
        kind,
        to,
        labels,
        any_label,
        required=element.attributes.get("required", "").lower() == "true",
        always=not conditional,
        maximum=_maximum(element) if kind == "rating" else 5,
    )


def _kind(element: Element, shown: set[str]) -> str:
    """`shown`: the tags it is about. Labels are for many media; known here are those of plain text."""
    if element.tag == "Choices":
        return "choices" if element.attributes.get("choice") == "multiple" else "choice"
    if element.tag == "Labels":
        return "spans" if shown == {"Text"} else OTHER
    if element.tag == "RectangleLabels":
        return "boxes" if shown == {"Image"} else OTHER
    return PLAIN.get(element.tag, OTHER)


def _labels(control: Element) -> Iterator[str]:
    seen: set[str] = set()
    for element in control.walk():
        if element.tag != LABELED[control.tag]:
            continue
        label = element.attributes.get("alias") or element.attributes.get("value", "")
        if not label.strip() or len(label) > MAX_LABEL_LENGTH or "\0" in label:
            raise element.error(f"a label is a text of 1 to {MAX_LABEL_LENGTH} characters: <{element.tag} value=...>.")
        if label in seen:
            raise element.error(f"the label {label[:80]!r} is there twice.")
        seen.add(label)
        if len(seen) > MAX_LABELS:
            raise element.error(f"there are more than {MAX_LABELS} labels.")
        yield label


def _maximum(element: Element) -> int:
    text = element.attributes.get("maxRating", "5")
    if not re.fullmatch(r"[0-9]{1,4}", text) or not int(text):
        raise element.error(f"maxRating={text[:40]!r} is no number of 1 to 9999.")
    return int(text)


def _names_differ(elements: list[Element]) -> None:
    seen: dict[str, Element] = {}
    for element in elements:
        if not (_is_control(element) or _is_object(element)):
            continue
        name = element.attributes["name"]
        if not name.strip() or "," in name or len(name) > 200:
            raise element.error(f"name={name[:40]!r} is no name of 1 to 200 characters without a comma.")
        other = seen.setdefault(name, element)
        if other is not element:
            raise element.error(f"the name {name[:80]!r} is there twice, first in line {other.line}.")


def _foreign(elements: list[Element], controls: tuple[Control, ...], objects: tuple[Shown, ...]) -> Iterator[str]:
    """What our own page cannot show: tags, or attributes that change what is asked."""
    tags = {each.name: each for each in objects}
    for element in elements:
        shown = element.tag in SHOWN and _is_object(element)
        if not (shown or element.tag in LAYOUT or element.tag in LABELED or element.tag in PLAIN):
            yield element.tag
        yield from sorted(CONDITIONS & element.attributes.keys())
    for control in controls:
        if control.any_label or control.kind == OTHER:
            yield control.tag
        for name in control.to:
            if tags[name].field is None or not tags[name].inline:
                yield tags[name].tag
