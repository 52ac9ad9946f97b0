"""Which variant answers a request, what is counted of it, and the shadows that are asked, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palate.errors import NotFittedError, ParameterError
from services.recommender.asking import RulesBody
from services.recommender.deployments.records import DEFAULT, LISTED, Deployment, Variant, made_by
from services.recommender.deployments.store import DeploymentStore
from services.recommender.following import Followed
from services.recommender.served import Served
from services.variants.counting import Counting
from services.variants.drawing import draw
from services.variants.shadows import Shadows, is_failure


@dataclass(frozen=True)
class Armed:
    """A variant with its model. followed: that of its predecessor as long as its own is not loaded here yet."""

    variant: Variant
    followed: Followed

    @property
    def served(self) -> Served | None:
        return self.followed.served


@dataclass(frozen=True)
class Plan:
    """A deployment as this worker has it: only variants that have a model. Never written, replaced whole."""

    deployment: Deployment
    rules: RulesBody
    variants: tuple[Armed, ...]
    shadows: tuple[Armed, ...]
    problems: Mapping[str, str]

    def pick(self, user: str | None, wanted: str | None) -> Armed:
        """The variant for a user, or the one that is wanted, which may have no traffic, or be a shadow."""
        if wanted is not None:
            for each in (*self.variants, *self.shadows):
                if each.variant.name == wanted:
                    return each
            known = ", ".join(each.name for each in self.deployment.variants)
            raise ParameterError(f"there is no variant {wanted[:80]!r}.", where="variant", hint=f"There are: {known}.")
        if not self.variants:
            told = "; ".join(self.problems.values())
            raise NotFittedError(f"no variant of {self.deployment.name!r} could be loaded yet.", hint=told or None)
        # If all that have traffic are lost, the others answer: any list is better than none.
        some = any(each.variant.weight for each in self.variants)
        weights = [(each.variant.name, each.variant.weight if some else 1.0) for each in self.variants]
        return self.variants[draw(self.deployment.name, user, weights)]


@dataclass(frozen=True)
class Asked:
    """Who answers a request, and under which standing rules. plan, variant: None for the service's own model.

    drawn: whether the weights chose the variant; lists of one that was asked for say nothing of what users like.
    """

    served: Served
    standing: tuple[RulesBody, ...]
    plan: Plan | None = None
    variant: Variant | None = None
    drawn: bool = True

    @property
    def token(self) -> str:
        """What the ids of its lists carry; empty if their clicks do not count."""
        return self.variant.token if self.variant is not None and self.drawn else ""


class Traffic:
    """The deployments as this worker has them, and what it counts of them."""

    def __init__(self, store: DeploymentStore) -> None:
        self.store = store
        self.plans: Mapping[str, Plan] = {}
        self.tokens: Mapping[str, frozenset[str]] = {}
        self.counting = Counting()
        self.shadows = Shadows(self.counting)

    def replace(self, plans: Sequence[Plan], deployments: Sequence[Deployment]) -> None:
        """From now on requests see these plans; `deployments` are as they are to be once their models are loaded."""
        told = [*(plan.deployment for plan in plans), *deployments]
        self.tokens = {each.token: frozenset(one.clicks) for one in told for each in one.variants}
        self.plans = {plan.deployment.name: plan for plan in plans}

    def plan(self, name: str | None) -> Plan | None:
        """The deployment that is meant, or None for the service's own model.

        Raises ParameterError if there is none of that name.
        """
        if not self.plans and name is None:
            return None
        found = self.plans.get(name or DEFAULT)
        if found is None and name not in (None, DEFAULT):
            raise ParameterError(f"there is no deployment {str(name)[:80]!r}.", where="deployment", hint=LISTED)
        return found

    def clicked(self, events: Sequence[Any]) -> list[tuple[str, str, int]]:
        """(list, token, slot) of the variants' lists that events say were clicked."""
        if not self.tokens:
            return []
        found = {}
        for event in events:
            made = made_by(event.recommendation) if event.recommendation else None
            if made is not None and event.kind in self.tokens.get(made[0], ()):
                found[event.recommendation] = (event.recommendation, *made)
        return list(found.values())

    def measured(self, asked: Asked, lists: int, make: Callable[[Asked], Any]) -> Any:
        """`make(asked)`, counted for its variant; and the shadows of its deployment are asked the same.

        lists: how many lists it makes.
        """
        if asked.plan is None or asked.variant is None:
            return make(asked)
        token, began = asked.variant.token, time.perf_counter()
        try:
            answer = make(asked)
        except Exception as error:
            ms = (time.perf_counter() - began) * 1000
            if is_failure(error):
                self.counting.add(token, ms=ms, failed=True)
            raise
        self.counting.add(token, ms=(time.perf_counter() - began) * 1000, lists=lists if asked.drawn else 0)
        for shadow in asked.plan.shadows:
            served = shadow.served
            if served is not None and shadow.variant is not asked.variant:
                again = Asked(served, asked.standing, None, None)
                self.shadows.ask(shadow.variant.token, lambda again=again: make(again))  # type: ignore[misc]
        return answer
