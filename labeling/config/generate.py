"""The XML of a project that is described by its kind and its labels alone."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

from labeling.config.interface import KINDS
from palate.errors import ParameterError

_TEXT = '  <Header value="$title"/>\n  <Text name="text" value="$text"/>\n'
_OBJECTS = {
    "boxes": '  <Image name="image" value="$image"/>\n',
    "pairwise": '  <Text name="left" value="$left"/>\n  <Text name="right" value="$right"/>\n',
}
_CONTROLS = {
    "choice": ('<Choices name="label" toName="text" choice="single" required="true"', "Choice"),
    "choices": ('<Choices name="label" toName="text" choice="multiple" required="true"', "Choice"),
    "spans": ('<Labels name="label" toName="text"', "Label"),
    "boxes": ('<RectangleLabels name="label" toName="image"', "Label"),
    "rating": ('<Rating name="label" toName="text" maxRating="5" required="true"', None),
    "pairwise": ('<Pairwise name="label" toName="left,right" required="true"', None),
    "text": ('<TextArea name="label" toName="text" required="true"', None),
}


def takes_labels(kind: str) -> bool:
    """Whether projects of this kind have labels. Raises ParameterError for a kind that is none."""
    if kind not in _CONTROLS:
        raise ParameterError(f"{kind[:40]!r} is no kind of project.", where="kind", hint=f"Use: {', '.join(KINDS)}.")
    return _CONTROLS[kind][1] is not None


def generate(kind: str, labels: Sequence[str] = ()) -> str:
    """The XML: one control, named `label`, on what is shown of a task.

    Texts are in the task's `text`, with a `title` above; images in `image`; two to compare in `left` and `right`.
    Raises ParameterError for a kind that is none.
    """
    takes_labels(kind)
    control, tag = _CONTROLS[kind]
    shown = _OBJECTS.get(kind, _TEXT)
    if tag is None:
        return f"<View>\n{shown}  {control}/>\n</View>\n"
    lines = "".join(f"    <{tag} value={quoteattr(label)}/>\n" for label in labels)
    return f"<View>\n{shown}  {control}>\n{lines}  </{control[1:].split()[0]}>\n</View>\n"
