"""What a filter is, once it is understood: tests of attributes, joined by and, or and not."""

from __future__ import annotations

from dataclasses import dataclass

Value = str | float | bool


@dataclass(frozen=True)
class Attribute:
    """What is looked at. own: written `attributes.name`, which no built-in name hides. at: where it stands, from 1."""

    name: str
    own: bool
    at: int


@dataclass(frozen=True)
class Compare:
    """op: one of `= < <= > >= has contains`. at: where the value stands."""

    attribute: Attribute
    op: str
    value: Value
    at: int


@dataclass(frozen=True)
class OneOf:
    """values: each with where it stands."""

    attribute: Attribute
    values: tuple[tuple[Value, int], ...]


@dataclass(frozen=True)
class Missing:
    attribute: Attribute


@dataclass(frozen=True)
class Not:
    inner: Expression


@dataclass(frozen=True)
class Both:
    """joined: "and" or "or"."""

    joined: str
    parts: tuple[Expression, ...]


Expression = Compare | OneOf | Missing | Not | Both
