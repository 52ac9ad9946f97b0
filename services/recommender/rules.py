"""A request's rules and those that stand behind it, worked out for one catalogue: what is barred, boosted, pinned.

The standing rules are those of the request's deployment and those of the whole service. All of them bar: what any
leaves out stays out, boosts multiply. Of a limit per category, diversity and what counts as seen, the request's own
word goes first, then the deployment's; so do its pins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from services.recommender.asking import ItemsPage, RulesBody, Seen, UserPage
from services.recommender.catalogue import Catalogue
from services.recommender.ranker import Mask

Factors = npt.NDArray[np.float32]
Ruled = ItemsPage | UserPage | RulesBody
"""Whatever carries rules: a query or a body."""
NO_RULES = RulesBody()
_FARTHEST = np.float32(1e6)
"""Factors of many boosts together stay within this and its inverse."""


@dataclass
class Rules:
    """What holds for one answer.

    barred: `(n,) bool`, free to be written to. factors: `(n,) float32`, or None where nothing is boosted.
    pins: (position from 1, code), by position; their items are not barred when they are found.
    """

    barred: Mask
    factors: Factors | None = None
    max_per_category: int | None = None
    diversity: float = 0.0
    pins: list[tuple[int, int]] = field(default_factory=list)
    seen: bool | Seen = True

    def copy(self) -> Rules:
        """The same, to be written to by itself."""
        return replace(self, barred=self.barred.copy(), pins=list(self.pins))

    def unpin(self, code: int) -> None:
        """The item is not to be shown, pinned or not."""
        self.barred[code] = True
        self.pins = [pin for pin in self.pins if pin[1] != code]

    @property
    def plain(self) -> bool:
        """Whether the ranking stays as it is once the barred items are out."""
        return self.factors is None and self.max_per_category is None and not self.diversity and not self.pins


def applied(catalogue: Catalogue, asked: Ruled, standing: Sequence[RulesBody] = ()) -> Rules:
    """The rules of a request over those that stand behind it, of which the first go first.

    Raises ParameterError for a filter of the request that cannot be read, or asks for what no item has. In a standing
    rule an attribute that is not there any more is missing everywhere.
    """
    rules = Rules(catalogue.barred.copy())
    layers = (asked, *(each for each in standing if each is not NO_RULES))
    for layer in layers:
        _bar(rules.barred, catalogue, layer, strict=layer is asked)
    boosts = [(boost, strict) for layer in layers for boost, strict in ((b, layer is asked) for b in layer.boost)]
    if boosts:
        rules.factors = np.ones(len(catalogue), np.float32)
        for index, (boost, strict) in enumerate(boosts):
            rules.factors[catalogue.columns.mask(boost.filter, f"boost.{index}.filter", strict)] *= boost.factor
        np.clip(rules.factors, 1 / _FARTHEST, _FARTHEST, out=rules.factors)
    for layer in reversed(layers):
        if layer.max_per_category is not None:
            rules.max_per_category = layer.max_per_category
        if layer.diversity is not None:
            rules.diversity = layer.diversity
        if layer.exclude_seen is not None:
            rules.seen = layer.exclude_seen
    rules.pins = _pins(rules.barred, catalogue, layers)
    return rules


def check(catalogue: Catalogue, rules: RulesBody) -> None:
    """Raises ParameterError naming the field of a filter that this catalogue cannot answer."""
    applied(catalogue, rules)


def bar(barred: Mask, catalogue: Catalogue, items: Iterable[str]) -> None:
    """Bars items by their ids; those that are not in the catalogue are passed over."""
    for each in items:
        code = catalogue.ids.code(each)
        if code >= 0:
            barred[code] = True


def _bar(barred: Mask, catalogue: Catalogue, layer: Ruled, strict: bool) -> None:
    if layer.category:
        barred |= catalogue.outside(layer.category)
    if layer.filter is not None:
        barred |= ~catalogue.columns.mask(layer.filter, "filter", strict)
    if layer.exclude_filter is not None:
        barred |= catalogue.columns.mask(layer.exclude_filter, "exclude_filter", strict)
    if layer.include:
        outside = np.ones(len(catalogue), bool)
        codes = catalogue.ids.encode(layer.include)
        outside[codes[codes >= 0]] = False
        barred |= outside
    bar(barred, catalogue, layer.exclude)


def _pins(barred: Mask, catalogue: Catalogue, layers: Sequence[Ruled]) -> list[tuple[int, int]]:
    taken: dict[int, int] = {}
    for layer in layers:
        for pin in layer.pins:
            code = catalogue.ids.code(pin.item)
            if code >= 0 and not barred[code] and pin.position not in taken and code not in taken.values():
                taken[pin.position] = code
    return sorted(taken.items())
