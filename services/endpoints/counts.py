"""What is counted of each variant: Prometheus has it over all workers."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram


class Counts:
    """Counts requests. A token is "endpoint/variant"."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["endpoint", "variant"]
        self._requests = Counter(
            "palate_endpoint_requests", "Requests of models, by what became of them.", [*labels, "outcome"],
            registry=registry,
        )  # fmt: skip
        self._seconds = Histogram("palate_endpoint_seconds", "How long models took.", labels, registry=registry)

    def add(self, token: str, *, ms: float = 0.0, lists: int = 0, failed: bool = False, dropped: bool = False) -> None:
        """A request that took so long; or one that a shadow was not asked."""
        endpoint, _, variant = token.partition("/")
        outcome = "dropped" if dropped else "failed" if failed else "answered"
        self._requests.labels(endpoint, variant, outcome).inc()
        if not dropped:
            self._seconds.labels(endpoint, variant).observe(ms / 1000)
