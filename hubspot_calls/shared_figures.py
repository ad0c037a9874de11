"""Figures of what several hosts do together, for Prometheus: how many deliver, whether one reads.

Knows two gauges and where their numbers come from; no host's name becomes a label.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from hubspot_calls.settings import Settings
from hubspot_calls.shared_stream import is_shared, name_of, office_of
from target_hubspot_calls.errors import CallSyncError
from target_hubspot_calls.store.shared_work import SharedWork, load_shared_work

logger = logging.getLogger("receiver")


class SharedFigures(Collector):
    """What the store says of the hosts that share it."""

    def __init__(self, load: Callable[[], SharedWork]) -> None:
        self._load = load

    def collect(self) -> Iterator[Metric]:
        """The figures; nothing while the store cannot be asked, which is counted elsewhere."""
        try:
            found = self._load()
        except CallSyncError as err:
            logger.warning("metrics: figures of the hosts cannot be had: %s", type(err).__name__)
            return
        if found.runs is not None:
            yield GaugeMetricFamily(
                "hubspot_calls_workers",
                "Processes of all hosts that deliver calls from this store.",
                value=found.runs,
            )
        yield GaugeMetricFamily(
            "hubspot_calls_stream_readers",
            "Whether a process of any host reads the shared call stream: 1 or 0.",
            value=int(found.holder is not None),
        )

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that registering does not ask the store."""
        return iter(())


def shared_figures(settings: Settings, engine: Engine) -> list[SharedFigures]:
    """The figures to register: none where the stream is this host's own."""
    if not is_shared(settings.stream_url):
        return []
    office = office_of(name_of(settings.stream_url))
    return [SharedFigures(lambda: load_shared_work(engine, office))]
