"""Prometheus metrics: requests counted and timed by route, and a registry for the houses' own.

One process keeps a registry per app. Under several workers `palate.web.serve` names a folder in
PROMETHEUS_MULTIPROC_DIR; prometheus_client then keeps the values in files there and any worker answers for all.
"""

from __future__ import annotations

import os

from flask import Flask
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of one app. `registry` is where a house puts its own: `Counter(..., registry=metrics.registry)`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "palate_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "palate_http_request_seconds",
            "Seconds until a request was answered.",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. `route` is the pattern, never the address: the number of series stays small."""
        known = method if method in _METHODS else "other"
        series = self._series.get((known, route, status))
        if series is None:
            series = self._requests.labels(known, route, str(status)), self._seconds.labels(route)
            self._series[known, route, status] = series
        series[0].inc()
        series[1].observe(seconds)

    def text(self) -> bytes:
        """What Prometheus scrapes, over all workers."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return bytes(generate_latest(self.registry))
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]
        return bytes(generate_latest(everybody))


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def metrics(app: Flask) -> Metrics:
    """The metrics of `app`."""
    found: Metrics = app.extensions["palate"].metrics
    return found
