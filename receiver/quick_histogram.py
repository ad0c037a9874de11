"""Histograms that are added to by the thousand, at a fifth of what prometheus_client's own cost.

Knows buckets and labels, not what is counted. One thread adds; any may read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class _Counted:
    """What was added under the same labels."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.total = 0.0


class QuickHistogram(Collector):
    """Counts values into buckets by their upper bounds, and by the values of its labels."""

    def __init__(
        self, name: str, says: str, bounds: Sequence[float], labels: Sequence[str] = ()
    ) -> None:
        self._name = name
        self._says = says
        self._labels = labels
        self._bounds = tuple(bounds)
        self._written_bounds: list[str] = [
            floatToGoString(bound)  # type: ignore[no-untyped-call]
            for bound in (*bounds, float("inf"))
        ]
        self._counted: dict[tuple[object, ...], _Counted] = {}
        if not labels:
            self._counted[()] = _Counted(len(self._written_bounds))

    def add(self, value: float, *labels: object) -> None:
        """Counts one value; labels are told as their `str`."""
        counted = self._counted.get(labels)
        if counted is None:
            counted = self._counted[labels] = _Counted(len(self._written_bounds))
        counted.counts[bisect_left(self._bounds, value)] += 1
        counted.total += value

    def collect(self) -> Iterator[Metric]:
        """The one family; labels that nothing was counted under are not in it."""
        family = HistogramMetricFamily(self._name, self._says, labels=self._labels)
        for labels, counted in self._counted.copy().items():
            sums = accumulate(counted.counts.copy())
            family.add_metric(
                [str(label) for label in labels],
                list(zip(self._written_bounds, sums, strict=True)),
                counted.total,
            )
        yield family
