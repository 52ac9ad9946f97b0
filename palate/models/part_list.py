"""Models named in one line of text: `ease(user_power=0.5),ials(factors=256),popularity`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palate.dataset.schema import Interactions, Items, Users
from palate.errors import ParameterError
from palate.models import make_recommender
from palate.models.protocol import Recommender

_PART = re.compile(r"\s*([\w.-]+)\s*(?:\(([^()]*)\))?\s*(?:,|$)")


@dataclass(frozen=True)
class Part:
    """A kind of model that ranks, and those of its parameters that are not left at their defaults."""

    kind: str
    values: Mapping[str, Any]

    def __str__(self) -> str:
        values = ",".join(f"{name}={value}" for name, value in self.values.items())
        return f"{self.kind}({values})" if values else self.kind

    def make(self, seed: int | None = None) -> Recommender:
        """A new model; `seed` is its own where it has one and the text says none."""
        model = make_recommender(self.kind, self.values)
        if seed is not None and "seed" not in self.values and hasattr(model.params, "seed"):
            return make_recommender(self.kind, {**self.values, "seed": seed})
        return model


def read_parts(text: str) -> list[Part]:
    """The parts that a text names, at least one. Raises ParameterError for a text of another form."""
    parts: list[Part] = []
    at = 0
    while at < len(text):
        found = _PART.match(text, at)
        if found is None:
            raise ParameterError(
                f"{text[at : at + 60]!r} is no list of models.",
                where="parts",
                hint="Write, say, ease(user_power=0.5),als,popularity.",
            )
        parts.append(Part(found[1], _values(found[2] or "")))
        at = found.end()
    if not parts:
        raise ParameterError("it names no model.", where="parts", hint="Write, say, als,content,popularity.")
    return parts


def write_parts(parts: Iterable[Part]) -> str:
    """The text that `read_parts` reads."""
    return ",".join(map(str, parts))


def fitted(
    chosen: Sequence[Part], interactions: Interactions, items: Items, users: Users | None, seed: int
) -> dict[str, Recommender]:
    """The parts, fitted, under their names."""
    found: dict[str, Recommender] = {}
    for part in chosen:
        same = sum(name == part.kind or name.startswith(f"{part.kind}-") for name in found)
        found[f"{part.kind}-{same + 1}" if same else part.kind] = part.make(seed).fit(interactions, items, users)
    return found


def _values(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for setting in filter(None, (each.strip() for each in text.split(","))):
        name, separator, value = setting.partition("=")
        if not separator or not name or name in values:
            raise ParameterError(f"{setting[:60]!r} is not NAME=VALUE, once each.", where="parts")
        values[name.strip()] = value.strip()
    return values
