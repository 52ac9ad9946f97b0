"""The attributes of a catalogue's items as Arrow columns, and the mask of each filter.

Arrow's nulls are what items lack, and its Kleene logic is the three-valued one of filters. Columns are made when a
filter first looks at them; a changed catalogue takes over those of the one before, with only the changed items
written anew. Masks are kept for as long as the catalogue does not change.
"""

from __future__ import annotations

import functools
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from palate.errors import ParameterError
from services.recommender.filters.expressions import Attribute, Both, Compare, Expression, Missing, Not, OneOf, Value
from services.recommender.filters.parser import parse

Mask = npt.NDArray[np.bool_]
NUMBERS, TEXT, FLAGS, LISTS = "numbers", "text", "true or false", "lists of text"
_TYPES = {NUMBERS: pa.float64(), TEXT: pa.large_string(), FLAGS: pa.bool_(), LISTS: pa.large_list(pa.large_string())}
_KIND_OF: dict[type, str] = {str: TEXT, float: NUMBERS, bool: FLAGS}
_ORDERS: dict[str, Callable[..., Any]] = {
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_MASK_BYTES = 16 << 20
"""Memory for the masks of one catalogue; at least `_FEWEST_MASKS` are kept."""
_FEWEST_MASKS, _MOST_MASKS = 4, 256
_NAMED = 40
"""How many attributes an error lists at most."""


@dataclass(frozen=True)
class Facts:
    """What is known of the items, each list in code order; never written.

    builtin: name to its kind and a function from item codes (None: all) to values, None where an item lacks it.
    attributes: the items' own.
    """

    n: int
    builtin: Mapping[str, tuple[str, Callable[[Sequence[int] | None], Sequence[Any]]]]
    attributes: Sequence[Mapping[str, Any]]


class Columns:
    """The columns of one catalogue, which never changes. Safe to share between threads."""

    def __init__(self, facts: Facts, held: Mapping[tuple[str, str], Any] | None = None) -> None:
        self._facts = facts
        self._held: dict[tuple[str, str], Any] = dict(held or {})
        self._names: Counter[str] | None = None
        self._masks: OrderedDict[tuple[str, bool], Mask] = OrderedDict()
        self._lock = threading.Lock()
        self._room = min(_MOST_MASKS, max(_FEWEST_MASKS, _MASK_BYTES // max(1, facts.n)))

    def mask(self, text: str, where: str = "filter", strict: bool = True) -> Mask:
        """`(n,) bool`, not to be written to: the items that match.

        strict: whether an attribute that no item has, or of another type, is an error; else it is missing everywhere.
        Raises ParameterError naming the place in the text.
        """
        key = text, strict
        with self._lock:
            found = self._masks.get(key)
            if found is not None:
                self._masks.move_to_end(key)
                return found
        truth = _Evaluation(self, where, strict).of(parse(text, where))
        mask: Mask = pc.fill_null(truth, False).to_numpy(zero_copy_only=False)
        mask.flags.writeable = False
        with self._lock:
            self._masks[key] = mask
            while len(self._masks) > self._room:
                self._masks.popitem(last=False)
        return mask

    def known(self) -> list[str]:
        """The names of all attributes, built-in ones first."""
        return [*self._facts.builtin, *sorted(set(self._own()) - set(self._facts.builtin))]

    def knows(self, attribute: Attribute) -> bool:
        return (not attribute.own and attribute.name in self._facts.builtin) or attribute.name in self._own()

    def kinds(self, attribute: Attribute) -> list[str]:
        """The kinds of values that some item has under that name."""
        return [kind for kind in _TYPES if self.column(attribute, kind) is not None]

    def column(self, attribute: Attribute, kind: str) -> Any:
        """The values of a kind as an Arrow array, null where an item has none; None if no item has one."""
        name = attribute.name
        builtin = None if attribute.own else self._facts.builtin.get(name)
        if builtin is not None:
            key = "", name
            if builtin[0] != kind:
                return None
        else:
            key = kind, name
        found = self._held.get(key)
        if found is None:
            found = pa.array(self._values(key, None), _TYPES[kind])
            self._held[key] = found
        return found if builtin is not None or found.null_count < len(found) else None

    def changed(self, facts: Facts, codes: Iterable[int]) -> Columns:
        """The columns of a catalogue that differs from this one in the items `codes`, new ones at its end included."""
        after = Columns(facts)
        at = sorted(set(codes))
        mask = np.zeros(facts.n, bool)
        mask[at] = True
        chosen = pa.array(mask)
        for key, column in list(self._held.items()):
            if pa.types.is_large_list(column.type):
                continue  # Arrow cannot replace lists; made anew when they are asked for
            grown = pa.concat_arrays([column, pa.nulls(facts.n - len(column), column.type)])
            values = pa.array(after._values(key, at), column.type)
            after._held[key] = pc.replace_with_mask(grown, chosen, values)
        if self._names is not None:
            names = Counter(self._names)
            for code in at:
                if code < self._facts.n:
                    names.subtract(self._facts.attributes[code].keys())
                names.update(facts.attributes[code].keys())
            after._names = +names
        return after

    def _own(self) -> Counter[str]:
        if self._names is None:
            self._names = Counter(name for own in self._facts.attributes if own for name in own)
        return self._names

    def _values(self, key: tuple[str, str], codes: Sequence[int] | None) -> Sequence[Any]:
        kind, name = key
        if not kind:
            return self._facts.builtin[name][1](codes)
        fits = _FITS[kind]
        held = self._facts.attributes if codes is None else [self._facts.attributes[code] for code in codes]
        values = [own.get(name) if own else None for own in held]
        return [value if value is not None and fits(value) else None for value in values]


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_number(value: Any) -> bool:
    """Whole numbers beyond any float are none that could be compared."""
    return isinstance(value, float) or (
        isinstance(value, int) and not isinstance(value, bool) and -(2**1000) < value < 2**1000
    )


_FITS: dict[str, Callable[[Any], bool]] = {
    NUMBERS: _is_number,
    TEXT: lambda value: isinstance(value, str),
    FLAGS: lambda value: isinstance(value, bool),
    LISTS: _is_list,
}


class _Evaluation:
    """One expression over one catalogue: a boolean Arrow array, null where neither true nor false is known."""

    def __init__(self, columns: Columns, where: str, strict: bool) -> None:
        self._columns, self._where, self._strict = columns, where, strict

    def of(self, expression: Expression) -> Any:
        if isinstance(expression, Both):
            join = pc.and_kleene if expression.joined == "and" else pc.or_kleene
            found = self.of(expression.parts[0])
            for part in expression.parts[1:]:
                found = join(found, self.of(part))
            return found
        if isinstance(expression, Not):
            return pc.invert(self.of(expression.inner))
        if isinstance(expression, Missing):
            return self._missing(expression.attribute)
        if isinstance(expression, OneOf):
            return self._one_of(expression)
        return self._compare(expression)

    def _missing(self, attribute: Attribute) -> Any:
        self._check(attribute)
        absent = pa.array(np.ones(self._n, bool))
        for kind in self._columns.kinds(attribute):
            absent = pc.and_(absent, pc.is_null(self._columns.column(attribute, kind)))
        return absent

    def _one_of(self, test: OneOf) -> Any:
        parts = []
        for kind in dict.fromkeys(_KIND_OF[type(value)] for value, _ in test.values):
            group = [(value, at) for value, at in test.values if _KIND_OF[type(value)] == kind]
            parts.append(self._equal(test.attribute, kind, [value for value, _ in group], group[0][1]))
        # An item has a value of one kind: where it has none of another, that says nothing.
        return functools.reduce(lambda one, other: pc.coalesce(pc.or_kleene(one, other), one, other), parts)

    def _compare(self, test: Compare) -> Any:
        kind = _KIND_OF[type(test.value)]
        if test.op == "=":
            return self._equal(test.attribute, kind, [test.value], test.at)
        if test.op == "has":
            column = self._column(test.attribute, LISTS, test.at)
            return self._nothing if column is None else _holds(column, [test.value])
        column = self._column(test.attribute, kind, test.at)
        if test.op == "contains":
            return self._nothing if column is None else pc.match_substring(column, test.value, ignore_case=True)
        if kind == FLAGS:
            raise self._error(f"true and false have no order, so {test.op} cannot compare them.", test.at)
        return self._nothing if column is None else _ORDERS[test.op](column, test.value)

    def _equal(self, attribute: Attribute, kind: str, values: list[Value], at: int) -> Any:
        """Equal to one of the values; where text may stand in a list, lists that hold one of them, too."""
        lists = self._columns.column(attribute, LISTS) if kind == TEXT and self._check(attribute) else None
        held = None if lists is None else _holds(lists, values)
        if lists is not None and self._columns.column(attribute, kind) is None:
            return held
        column = self._column(attribute, kind, at)
        if column is None:
            return self._nothing
        equal = pc.is_in(column, pa.array(values, column.type))
        equal = pc.if_else(pc.is_null(column), pa.scalar(None, pa.bool_()), equal)
        return equal if held is None else pc.coalesce(equal, held)

    def _column(self, attribute: Attribute, kind: str, at: int) -> Any:
        """The column, or None where no item has such a value and that is no error."""
        self._check(attribute)
        column = self._columns.column(attribute, kind)
        if column is None and self._strict:
            kinds = self._columns.kinds(attribute)
            holds = " and ".join(kinds) if kinds else "nothing that can be compared"
            hint = "Ask a list with: has." if kinds == [LISTS] else None
            said = f"{attribute.name} holds {holds}, which cannot be compared with {kind}."
            raise self._error(said, at, hint)
        return column

    def _check(self, attribute: Attribute) -> bool:
        """Whether there is such an attribute. Raises ParameterError if not, when that is an error."""
        if self._columns.knows(attribute):
            return True
        if not self._strict:
            return False
        known = self._columns.known()
        more = f", and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
        shown = ", ".join(name[:80] for name in known[:_NAMED])
        raise self._error(f"there is no attribute {attribute.name[:80]!r}.", attribute.at, f"Known: {shown}{more}.")

    def _error(self, message: str, at: int, hint: str | None = None) -> ParameterError:
        return ParameterError(message, where=f"{self._where}, at {at}", hint=hint)

    @property
    def _n(self) -> int:
        return self._columns._facts.n

    @property
    def _nothing(self) -> Any:
        return pa.nulls(self._n, pa.bool_())


def _holds(lists: Any, values: list[Value]) -> Any:
    """Which lists hold one of the values; null where there is no list."""
    among = pc.is_in(pc.list_flatten(lists), pa.array(values, pa.large_string())).to_numpy(zero_copy_only=False)
    parents = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    found = np.zeros(len(lists), bool)
    found[parents[among]] = True
    return pa.array(found, mask=pc.is_null(lists).to_numpy(zero_copy_only=False))
