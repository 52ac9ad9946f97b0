"""What a deployment is: variants behind a name; and ids of lists that say which variant made them."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from services.variants.tallies import SLOT

DEFAULT = "default"
"""The deployment that answers who names none, if there is one."""
LISTED = "GET /v1/deployments lists those there are."
"""What is told whoever names one that is not there."""
_TOKEN = 8
_LIST = 32

Json = dict[str, Any]


@dataclass(frozen=True)
class ModelSource:
    """Where a variant's model comes from: a bundle (or a folder of them), or a registered model's version or alias.

    Without any it is the model that the service itself was started with.
    """

    bundle: str = ""
    model: str = ""
    version: str = ""

    @property
    def label(self) -> str:
        """For messages: names no place on this machine."""
        if self.model:
            return f"{self.model}/{self.version}"
        return Path(self.bundle).name if self.bundle else "the service's own model"


OWN = ModelSource()


@dataclass(frozen=True)
class Variant:
    """One of the models behind a deployment.

    token: names it in the ids of its lists and in its counts; another model is another token. weight: its part of
    the traffic, of the sum of all. shadow: it is asked, too, but never answers.
    """

    name: str
    source: ModelSource
    weight: float
    shadow: bool = False
    token: str = ""


@dataclass(frozen=True)
class Deployment:
    """revision: counts its changes. rules: JSON of its RulesBody. filters: named filters, for the AWS routes.

    clicks: the kinds of events that count as a click.
    """

    name: str
    variants: tuple[Variant, ...]
    rules: Mapping[str, Any] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    clicks: tuple[str, ...] = ("click",)
    revision: int = 0
    changed: float = 0.0

    def document(self) -> Json:
        """What is stored beside name, revision and the time of change."""
        found = asdict(self)
        return {name: found[name] for name in ("variants", "rules", "filters", "clicks")}

    @classmethod
    def of(cls, name: str, document: Mapping[str, Any], revision: int, changed: float) -> Deployment:
        variants = tuple(Variant(**{**each, "source": ModelSource(**each["source"])}) for each in document["variants"])
        parts = {**document, "variants": variants, "clicks": tuple(document["clicks"])}
        return cls(name, revision=revision, changed=changed, **parts)

    def variant(self, name: str) -> Variant | None:
        return next((each for each in self.variants if each.name == name), None)

    @property
    def weights(self) -> dict[str, float]:
        """The weights of the variants that answer."""
        return {each.name: each.weight for each in self.variants if not each.shadow}

    def weighted(self, weights: Mapping[str, float]) -> Deployment:
        """With these weights in place of those of the variants named."""
        return replace(
            self,
            variants=tuple(replace(each, weight=float(weights.get(each.name, each.weight))) for each in self.variants),
        )

    def with_tokens(self, before: Deployment | None) -> Deployment:
        """Each variant with its token: that of before if it is the same model under the same name, else a new one."""
        variants = []
        for each in self.variants:
            was = before.variant(each.name) if before else None
            kept = was.token if was is not None and was.source == each.source else secrets.token_hex(_TOKEN // 2)
            variants.append(replace(each, token=kept))
        return replace(self, variants=tuple(variants))


def list_id(token: str) -> str:
    """A new id of a list, 32 characters. That of a variant's says which and when; without a token it says nothing."""
    if not token:
        return f"{random.getrandbits(128):032x}"
    return f"p{int(time.time()):08x}{random.getrandbits(60):015x}{token}"


def made_by(name: str) -> tuple[str, int] | None:
    """(token, slot) of the variant's list that an id names; None for any other id."""
    if len(name) != _LIST or name[0] != "p":
        return None
    try:
        return name[-_TOKEN:], int(name[1:9], 16) // SLOT
    except ValueError:
        return None
