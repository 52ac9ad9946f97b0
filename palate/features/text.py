"""Text into words, one way for every use."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\w+(?:'\w+)*")


def words(text: str, longest: int = 40) -> list[str]:
    """The words of a text, lower-cased and in one Unicode form (NFKC), in order, with repeats.

    Single letters stay out (single digits and ideographs stay in), and so does what is longer than `longest`.
    """
    found = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return [
        word
        for word in found
        if len(word) <= longest and not (len(word) == 1 and word.isascii() and not word.isdigit())
    ]


def label(text: str) -> str:
    """A category or tag as it is compared: one Unicode form, no case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
