"""The labeling interface: what a project shows of a task and what it asks, described in Label Studio's XML.

    interface = parse('<View><Text name="t" value="$text"/><Choices name="c" toName="t">...</Choices></View>')
    interface.kind, interface.labels, interface.editor

The XML is kept as it came. Tags that are not known here are no error: they are for Label Studio's own editor.
"""

from labeling.config.generate import generate
from labeling.config.interface import KINDS, Control, Interface, Shown
from labeling.config.read import parse

__all__ = ["KINDS", "Control", "Interface", "Shown", "generate", "parse"]
