"""The quick histogram, held against the one that it stands in for."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from receiver.quick_histogram import QuickHistogram

BOUNDS = (0.1, 1, 2.5, 4_000)


def text_of(histogram: QuickHistogram) -> str:
    registry = CollectorRegistry()
    registry.register(histogram)
    return generate_latest(registry).decode()


def ordinary_text(registry: CollectorRegistry) -> str:
    """What Prometheus is told, without the moment at which counting began."""
    lines = generate_latest(registry).decode().splitlines(keepends=True)
    return "".join(line for line in lines if "_created" not in line)


@pytest.mark.parametrize(
    "values",
    [[], [0], [0.1, 1, 2.5, 4_000], [0.05, 0.11, 3, 4_000.1, 10**9], [1, 1, 1]],
    ids=["none", "zero", "at the bounds", "between and beyond", "the same"],
)
def test_without_labels_it_tells_what_an_ordinary_one_tells(values: list[float]) -> None:
    registry = CollectorRegistry()
    ordinary = Histogram("body_bytes", "Sizes.", buckets=BOUNDS, registry=registry)
    quick = QuickHistogram("body_bytes", "Sizes.", BOUNDS)

    for value in values:
        ordinary.observe(value)
        quick.add(value)

    assert text_of(quick) == ordinary_text(registry)


def test_with_labels_it_tells_what_an_ordinary_one_tells() -> None:
    registry = CollectorRegistry()
    ordinary = Histogram(
        "answer_seconds", "Times.", ("outcome", "status"), buckets=BOUNDS, registry=registry
    )
    quick = QuickHistogram("answer_seconds", "Times.", BOUNDS, ("outcome", "status"))

    before = text_of(quick)
    for outcome, status, value in [("stored", 200, 0.3), ("busy", 503, 9), ("stored", 200, 2)]:
        ordinary.labels(outcome, str(status)).observe(value)
        quick.add(value, outcome, status)

    assert "answer_seconds_bucket" not in before
    assert text_of(quick) == ordinary_text(registry)
