"""What is told of hosts that share a stream: by doctor, and to Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from hubspot_calls.doctor.findings import Verdict
from hubspot_calls.doctor.workers import look_at_workers
from hubspot_calls.rooms import Store, open_store
from hubspot_calls.settings import settings_from
from hubspot_calls.shared_figures import SharedFigures, shared_figures
from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.elections import Elections
from target_hubspot_calls.store.shared_work import SharedWork

NATS = "nats://127.0.0.1:1/CALLS"


@pytest.fixture
def store(data_dir: Path) -> Iterator[Store]:
    """The store of a host whose stream is shared, in a file."""
    settings = settings_from(
        {"HUBSPOT_CALLS_DATA_DIR": str(data_dir), "HUBSPOT_CALLS_STREAM_URL": NATS}
    )
    with open_store(settings) as store:
        yield store


def elect(store: Store, holder: str) -> None:
    Elections(store.engine).take(
        "reader:CALLS", holder, for_s=60, now=datetime.now(UTC), is_dead=lambda _: False
    )


def test_doctor_says_that_nobody_reads_and_that_a_file_cannot_be_shared(store: Store) -> None:
    findings = list(look_at_workers(store.settings, store))

    assert [finding.verdict for finding in findings] == [Verdict.ATTENTION] * 2
    assert "the store is a file of this machine" in findings[0].said
    assert findings[1].said == "No process reads the shared stream now."
    assert "hubspot-calls work" in findings[1].advice


def test_doctor_says_where_the_reader_runs(store: Store) -> None:
    elect(store, "01a1/harbor-2 (process 12)")

    said = [finding.said for finding in look_at_workers(store.settings, store)]

    assert said[-1] == "harbor-2 (process 12) reads the shared stream."


def test_one_machine_is_told_nothing_of_hosts(data_dir: Path) -> None:
    settings = settings_from({"HUBSPOT_CALLS_DATA_DIR": str(data_dir)})
    with open_store(settings) as store:
        findings = list(look_at_workers(settings, store))
        figures = shared_figures(settings, store.engine)

    assert (findings, figures) == ([], [])


def test_metrics_say_whether_anybody_reads(store: Store) -> None:
    registry = CollectorRegistry()
    (figures,) = shared_figures(store.settings, store.engine)
    registry.register(figures)

    before = generate_latest(registry).decode()
    elect(store, "01a1/harbor-2 (process 12)")
    after = generate_latest(registry).decode()

    assert "hubspot_calls_stream_readers 0.0" in before
    assert "hubspot_calls_stream_readers 1.0" in after
    assert "harbor-2" not in after


def test_figures_of_hosts_are_left_out_while_the_store_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def load() -> SharedWork:
        raise StoreUnavailable("The store is away.")

    assert list(SharedFigures(load).collect()) == []
    assert "figures of the hosts cannot be had: StoreUnavailable" in caplog.text


def test_the_number_of_workers_is_told_where_it_is_known() -> None:
    families = SharedFigures(lambda: SharedWork(runs=3, holder=None)).collect()

    assert {family.name: family.samples[0].value for family in families} == {
        "hubspot_calls_workers": 3,
        "hubspot_calls_stream_readers": 0,
    }
