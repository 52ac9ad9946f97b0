"""XML as a tree whose elements know their line: no document type, no entities of one's own, bounded size and depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from palate.errors import ParameterError

MAX_SIZE = 500_000
"""Characters."""
MAX_DEPTH = 50


@dataclass
class Element:
    """One element. Its text is left out: nothing in a labeling interface is asked by text."""

    tag: str
    attributes: Mapping[str, str]
    line: int
    column: int
    children: list[Element] = field(default_factory=list)

    def walk(self) -> Iterator[Element]:
        """The element and all below it, in the document's order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def error(self, message: str, hint: str | None = None) -> ParameterError:
        """What is wrong with this element, and where it is."""
        return refusal(message, self.line, self.column, hint)


def refusal(message: str, line: int, column: int, hint: str | None = None) -> ParameterError:
    """A ParameterError about a place in the XML; lines and columns count from 1."""
    return ParameterError(f"line {line}, column {column}: {message}", where="config", hint=hint)


def read(text: str) -> Element:
    """The root element. Raises ParameterError with line and column for what is no XML, or too large or too deep."""
    if len(text) > MAX_SIZE:
        raise ParameterError(f"is {len(text)} characters long; at most {MAX_SIZE} are read.", where="config")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ParameterError("holds half a Unicode character (a lone surrogate).", where="config")
    parser = expat.ParserCreate()
    open_elements: list[Element] = []
    roots: list[Element] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes, parser.CurrentLineNumber, parser.CurrentColumnNumber + 1)
        if len(open_elements) >= MAX_DEPTH:
            raise element.error(f"<{tag[:40]}> is nested deeper than {MAX_DEPTH} levels.")
        (open_elements[-1].children if open_elements else roots).append(element)
        open_elements.append(element)

    def end(tag: str) -> None:
        open_elements.pop()

    def doctype(*_: object) -> None:
        line, column = parser.CurrentLineNumber, parser.CurrentColumnNumber + 1
        raise refusal("a document type is not allowed here.", line, column, "Leave <!DOCTYPE ...> out.")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise refusal(f"{expat.ErrorString(error.code)}.", error.lineno, error.offset + 1) from None
    return roots[0]
