"""From a filter's text to its expression, by recursive descent; every error says where and what was expected."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from palate.errors import ParameterError
from services.recommender.filters.expressions import Attribute, Both, Compare, Expression, Missing, Not, OneOf, Value

MAX_LENGTH = 2000
MAX_DEPTH = 32
"""How deep parentheses and `not` may be nested."""

_WORDS = frozenset({"and", "or", "not", "in", "has", "contains", "is", "missing", "true", "false"})
_ALIKE = {"==": "=", "<>": "!="}
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<name>[^\W\d]\w*)
      | (?P<sign><=|>=|!=|<>|==|[=<>(),.])""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_NAME = re.compile(r"[^\W\d]\w*")
_OPERATORS = "=, !=, <, <=, >, >=, in, has, contains or is"


@dataclass(frozen=True)
class _Token:
    """kind: number, text, name, word, sign or end. shown: as it was written. at: counted from 1."""

    kind: str
    shown: str
    at: int


def parse(text: str, where: str = "filter") -> Expression:
    """The expression that `text` states. Raises ParameterError whose `where` names the place: "filter, at 14"."""
    if len(text) > MAX_LENGTH:
        raise ParameterError(f"a filter has at most {MAX_LENGTH} characters, this one {len(text)}.", where=where)
    return _Parser(text, where).whole()


class _Parser:
    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._tokens = self._cut(text)
        self._next = 0
        self._depth = 0

    def whole(self) -> Expression:
        found = self._any()
        if self._here.kind != "end":
            raise self._expected("and, or, or the end")
        return found

    # -- tokens ----------------------------------------------------------------------------------------------------

    def _cut(self, text: str) -> list[_Token]:
        tokens, at = [], 0
        while at < len(text):
            found = _TOKEN.match(text, at) or _NAME.match(text, at)
            if found is None:
                sign = text[at]
                problem = "this quote is never closed." if sign in "\"'" else f"{sign!r} means nothing here."
                raise self._error(problem, at + 1)
            kind = found.lastgroup or "name"
            shown = found.group()
            if kind == "name":  # a name may go on with letters that are not ASCII
                shown = (_NAME.match(text, at) or found).group()
                kind = "word" if shown.lower() in _WORDS else "name"
            if kind != "space":
                tokens.append(_Token(kind, shown, at + 1))
            at += len(shown)
        return [*tokens, _Token("end", "", len(text) + 1)]

    @property
    def _here(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._here
        self._next += 1
        return token

    def _takes(self, *shown: str) -> bool:
        """Steps over a word or sign if it stands here."""
        if self._here.kind in ("word", "sign") and self._here.shown.lower() in shown:
            self._next += 1
            return True
        return False

    def _need(self, sign: str, expected: str) -> None:
        if not self._takes(sign):
            raise self._expected(expected)

    def _error(self, message: str, at: int) -> ParameterError:
        return ParameterError(message, where=f"{self._where}, at {at}")

    def _expected(self, what: str) -> ParameterError:
        token = self._here
        found = "the end" if token.kind == "end" else token.shown[:40]
        return self._error(f"expected {what}, found {found}.", token.at)

    # -- grammar ---------------------------------------------------------------------------------------------------

    def _any(self) -> Expression:
        parts = [self._all()]
        while self._takes("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Both("or", tuple(parts))

    def _all(self) -> Expression:
        parts = [self._one()]
        while self._takes("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else Both("and", tuple(parts))

    def _one(self) -> Expression:
        at = self._here.at
        if self._takes("not"):
            self._deeper(at)
            found: Expression = Not(self._one())
        elif self._takes("("):
            self._deeper(at)
            found = self._any()
            self._need(")", "and, or, or )")
        else:
            return self._test()
        self._depth -= 1
        return found

    def _deeper(self, at: int) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH} levels.", at)

    def _test(self) -> Expression:
        attribute = self._attribute()
        if self._takes("is"):
            negated = self._takes("not")
            self._need("missing", "missing" if negated else "missing or not missing")
            return Not(Missing(attribute)) if negated else Missing(attribute)
        if self._here.kind == "word" and self._here.shown.lower() == "not":
            self._take()
            if self._here.shown.lower() not in ("in", "has", "contains") or self._here.kind != "word":
                raise self._expected("in, has or contains")
            return Not(self._related(attribute))
        return self._related(attribute)

    def _related(self, attribute: Attribute) -> Expression:
        token = self._here
        op = _ALIKE.get(token.shown, token.shown.lower())
        if self._takes("in"):
            return OneOf(attribute, self._values())
        if self._takes("has", "contains"):
            if self._here.kind != "text":
                raise self._expected("text in quotes")
            return Compare(attribute, op, *self._value())
        if self._takes("=", "==", "<", "<=", ">", ">="):
            return Compare(attribute, op, *self._value())
        if self._takes("!=", "<>"):
            return Not(Compare(attribute, "=", *self._value()))
        if token.kind in ("end", "word") or token.shown == ")":
            return Compare(attribute, "=", True, attribute.at)
        raise self._expected(_OPERATORS)

    def _attribute(self) -> Attribute:
        token = self._here
        if token.kind != "name":
            raise self._expected("an attribute")
        self._take()
        if token.shown == "attributes" and self._takes("."):
            if self._here.kind == "text":
                at = self._here.at
                return Attribute(str(self._value()[0]), True, at)
            inner = self._here
            if inner.kind != "name":
                raise self._expected("an attribute's name, or its name in quotes")
            self._take()
            return Attribute(inner.shown, True, inner.at)
        return Attribute(token.shown, False, token.at)

    def _values(self) -> tuple[tuple[Value, int], ...]:
        self._need("(", "(")
        values = [self._value()]
        while self._takes(","):
            values.append(self._value())
        self._need(")", ", or )")
        return tuple(values)

    def _value(self) -> tuple[Value, int]:
        token = self._here
        word = token.shown.lower()
        if token.kind == "number":
            number = float(token.shown)
            if not math.isfinite(number):
                raise self._error("the number is too large.", token.at)
            self._take()
            return number, token.at
        if token.kind == "text":
            self._take()
            return self._unquoted(token), token.at
        if token.kind == "word" and word in ("true", "false"):
            self._take()
            return word == "true", token.at
        raise self._expected("a number, text in quotes, true or false")

    def _unquoted(self, token: _Token) -> str:
        """Escapes are those of JSON, and that of the single quote."""
        inner = token.shown[1:-1]
        if "\\" not in inner:
            return inner
        plain = re.sub(r'\\.|"', lambda part: {"\\'": "'", '"': '\\"'}.get(part.group(), part.group()), inner)
        try:
            found: str = json.loads(f'"{plain}"', strict=False)
        except ValueError:
            raise self._error("a backslash is followed by what is no escape.", token.at) from None
        if re.search("[\ud800-\udfff]", found):
            raise self._error("it holds characters that are not text.", token.at)
        return found
