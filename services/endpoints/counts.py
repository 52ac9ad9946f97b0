"""What is counted of each variant: in Prometheus for who watches, in the database for roll-outs."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Histogram

from services.variants.counting import Counting

_KEPT = 1024
"""Variants, with what became of their requests, whose series are at hand: each deployment has tokens of its own."""


class Counts:
    """Counts requests. A token is "endpoint/variant/token", the last as the store has it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.kept = Counting()
        labels = ["endpoint", "variant"]
        self._requests = Counter(
            "palate_endpoint_requests", "Requests of models, by what became of them.", [*labels, "outcome"],
            registry=registry,
        )  # fmt: skip
        self._seconds = Histogram("palate_endpoint_seconds", "How long models took.", labels, registry=registry)
        self._series = lru_cache(_KEPT)(self._labelled)  # to look labels up took longer than to count

    def add(self, token: str, *, ms: float = 0.0, lists: int = 0, failed: bool = False, dropped: bool = False) -> None:
        """A request that took so long; or one that a shadow was not asked."""
        outcome = "dropped" if dropped else "failed" if failed else "answered"
        kept, requests, seconds = self._series(token, outcome)
        self.kept.add(kept, ms=ms, failed=failed, dropped=dropped)
        requests.inc()
        if not dropped:
            seconds.observe(ms / 1000)

    def _labelled(self, token: str, outcome: str) -> tuple[str, Counter, Histogram]:
        endpoint, variant, kept = token.split("/")
        return kept, self._requests.labels(endpoint, variant, outcome), self._seconds.labels(endpoint, variant)
