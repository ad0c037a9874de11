"""Raw reports of one call leave the days that are kept; the others stay readable."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet

from call_stream.stream import open_writer
from receiver.forgotten_reports import forget_raw_reports
from receiver.raw_reports import RawReport, RawReports, read_raw_reports
from receiver.reports import Arrival
from target_hubspot_calls.errors import WrongEncryptionKey
from target_hubspot_calls.store.vault import Vault

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def vault():
    return Vault([Fernet.generate_key().decode()])


@pytest.fixture
def kept(tmp_path, vault):
    """Two days with a report of each of two calls."""
    directory = tmp_path / "raw"

    async def keep():
        async with RawReports(directory, vault, days=7, clock=lambda: NOON) as raw:
            for day in range(2):
                arrival = Arrival("w", "ada", "sales", NOON + timedelta(days=day))
                for call_id in ("call-1", "call-2", None):
                    raw.keep(RawReport(arrival, f"{call_id}", call_id, "stored", b"body" * 50))

    asyncio.run(keep())
    return directory


def of_call_1(report):
    return report.call_id == "call-1"


def test_what_is_left_of_a_deleted_report_cannot_be_read(kept, vault):
    counted = forget_raw_reports(kept, lambda: vault, of_call_1, dry_run=True)
    all_of_them = list(read_raw_reports(kept, vault))

    done = forget_raw_reports(kept, lambda: vault, of_call_1)
    again = forget_raw_reports(kept, lambda: vault, of_call_1)

    left = [report.call_id for report in read_raw_reports(kept, vault)]
    assert len(all_of_them) == 6
    assert (counted.entries, done.entries, done.left, again.entries) == (2, 2, 0, 0)
    assert left == ["call-2", None, "call-2", None]
    assert list(read_raw_reports(kept, vault, call_id="call-1")) == []


def test_the_day_that_a_receiver_writes_to_is_left(kept, vault):
    with open_writer(f"file:{kept / '2026-11-21'}"):
        done = forget_raw_reports(kept, lambda: vault, of_call_1)

    assert (done.entries, done.left) == (1, 1)
    assert "today's raw reports" in (done.why_left or "")


def test_keys_are_asked_for_only_where_there_are_reports(tmp_path, kept):
    other = Vault([Fernet.generate_key().decode()])

    def no_vault():
        raise AssertionError("nothing is there to be opened")

    nothing = forget_raw_reports(tmp_path / "none", no_vault, of_call_1)

    assert nothing.entries == 0
    with pytest.raises(WrongEncryptionKey):
        forget_raw_reports(kept, lambda: other, of_call_1)
