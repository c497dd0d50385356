"""``Metrics``: counters of the server and figures of the engine, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from weft.engine import Engine

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Borders of the histograms."""

GAUGES = {
    "slots": "requests that can run at a time",
    "running": "requests that hold a slot",
    "waiting": "requests that wait for a slot",
    "pages": "pages of the key and value cache",
    "pages_free": "pages of the key and value cache that no running request holds",
}
"""Figures of ``engine.stats()`` that go up and down."""

COUNTERS = {
    "requests": "requests that were submitted to the engine",
    "finished": "requests that the engine answered to their end",
    "cancelled": "requests that were cancelled",
    "failed": "requests that ended with an error",
    "preempted": "times that a request gave its pages to another and was read again",
    "prompt_tokens": "tokens of prompts",
    "cached_tokens": "tokens of prompts that were found in the cache",
    "completion_tokens": "tokens that were made",
    "steps": "steps of decoding",
}
"""Figures of ``engine.stats()`` that only grow."""


class _EngineFigures(Collector):
    """Reads ``engine.stats()`` whenever the metrics are asked for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Yield the figures."""
        stats = self._engine.stats()
        for name, text in GAUGES.items():
            yield GaugeMetricFamily(f"weft_engine_{name}", text, value=getattr(stats, name))
        for name, text in COUNTERS.items():
            yield CounterMetricFamily(f"weft_engine_{name}", text, value=getattr(stats, name))


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_EngineFigures(engine))
        self._answered = Counter(
            "weft_http_requests",
            "requests that were answered, by path and status",
            ("path", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "weft_http_request_seconds",
            "seconds until the end of an answer",
            ("path",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._first = Histogram(
            "weft_first_token_seconds",
            "seconds until the first piece of an answer",
            ("path",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._left = Counter(
            "weft_http_disconnects",
            "requests whose client left before the answer's end",
            ("path",),
            registry=self.registry,
        )
        self._tokens = {
            name: Counter(f"weft_{name}", text, registry=self.registry)
            for name, text in (
                ("prompt_tokens", "tokens of prompts"),
                ("completion_tokens", "tokens that were made"),
                ("cached_tokens", "tokens of prompts that were found in the cache"),
            )
        }

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._answered.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def first(self, path: str, seconds: float) -> None:
        """Note the time until the first piece of an answer."""
        self._first.labels(path).observe(seconds)

    def left(self, path: str) -> None:
        """Count a client that left."""
        self._left.labels(path).inc()

    def ran(self, prompt: int, completion: int, cached: int) -> None:
        """Count the tokens of a request that has ended."""
        for name, count in zip(self._tokens, (prompt, completion, cached), strict=True):
            self._tokens[name].inc(count)

    def text(self) -> bytes:
        """Return all metrics as text."""
        return generate_latest(self.registry)
