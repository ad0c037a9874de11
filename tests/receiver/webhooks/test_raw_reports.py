"""Raw reports kept for support."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet

from receiver.raw_reports import RawReport, RawReports, delete_expired, read_raw_reports
from receiver.reports import Arrival
from target_hubspot_calls.errors import WrongEncryptionKey
from target_hubspot_calls.store.vault import Vault

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def vault():
    return Vault([Fernet.generate_key().decode()])


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "raw"


def a_raw_report(call_id="call-1", *, at=NOON, body=b'{"a": 1}', request_id="r-1"):
    arrival = Arrival("w", "ada", "sales", at)
    return RawReport(arrival, request_id, call_id, "stored" if call_id else "quarantined", body)


def keep(directory, vault, *reports, **options):
    """Keeps the reports as a running receiver does; gives back how many were lost."""

    async def run():
        async with RawReports(
            directory, vault, **{"days": 7, "clock": lambda: NOON} | options
        ) as r:
            for report in reports:
                r.keep(report)
        return r.lost

    return asyncio.run(run())


def test_what_is_kept_can_be_found_by_call_and_by_request(directory, vault):
    reports = [
        a_raw_report("call-1", request_id="r-1"),
        a_raw_report("call-2", request_id="r-2", body=b"\xff\x00 not json"),
        a_raw_report(None, request_id="r-3"),
        a_raw_report("call-1", request_id="r-4", at=NOON + timedelta(days=1)),
    ]

    lost = keep(directory, vault, *reports)

    of_call = list(read_raw_reports(directory, vault, call_id="call-1"))
    of_request = list(read_raw_reports(directory, vault, request_id="r-3"))
    other = list(read_raw_reports(directory, vault, call_id="call-2"))
    assert lost == 0
    assert (of_call, of_request, other) == ([reports[0], reports[3]], [reports[2]], [reports[1]])


def test_nothing_is_readable_without_the_key(directory, vault):
    keep(directory, vault, a_raw_report(body=b"canary" * 100))

    files = b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
    other = Vault([Fernet.generate_key().decode()])

    assert b"canary" not in files
    assert b"call-1" not in files
    with pytest.raises(WrongEncryptionKey):
        list(read_raw_reports(directory, other, call_id="call-1"))


def test_a_day_is_deleted_when_its_time_is_over_and_nothing_else_is(directory, vault):
    keep(directory, vault, *(a_raw_report(at=NOON + timedelta(days=day)) for day in range(4)))
    (directory / "notes").mkdir()
    (directory / "2026-99-99").mkdir()
    (directory / "2026-11-01").write_text("a file")

    delete_expired(directory, 2, NOON + timedelta(days=4))

    left = sorted(path.name for path in directory.iterdir())
    assert left == ["2026-11-01", "2026-11-22", "2026-11-23", "2026-99-99", "notes"]


def test_expired_days_go_at_the_start_also_without_a_new_report(directory, vault):
    keep(directory, vault, a_raw_report())

    keep(directory, vault, clock=lambda: NOON + timedelta(days=30))

    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    "bound", [{"max_waiting_bytes": 4}, {"least_free_bytes": 1 << 60}], ids=["queue", "disk"]
)
def test_copies_beyond_the_bounds_are_dropped_and_said(directory, vault, caplog, bound):
    with caplog.at_level(logging.ERROR, "receiver"):
        lost = keep(directory, vault, *[a_raw_report() for _ in range(3)], **bound)

    assert lost == 3
    assert len(caplog.records) == 1
    assert list(read_raw_reports(directory, vault, call_id="call-1")) == []


def test_a_disk_that_takes_nothing_costs_copies_only(directory, vault, caplog):
    directory.parent.mkdir(exist_ok=True)
    directory.write_text("a file is in the way")

    lost = keep(directory, vault, a_raw_report())

    assert lost == 1
    assert "could not be kept" in caplog.text


def test_authentic_reports_are_kept_and_nothing_else(open_door, report):
    kept = []
    door = open_door(keep_raw=kept.append)
    webhook, secret = door.webhooks.create("ada", "sales", assistant_ids=["front"])
    right = {"X-Vapi-Secret": secret, "X-Request-ID": "r-9"}
    mine = report(assistant={"id": "front"})

    door.post(webhook, right, mine)
    door.post(webhook, right, b"{")
    door.post(webhook, right, b'{"message": {"type": "end-of-call-report"}}')
    door.post(webhook, right, b'{"message": {"type": "hang"}}')
    door.post(webhook, right, report(assistant={"id": "other"}))
    door.post(webhook, {"X-Vapi-Secret": "x"}, mine)

    assert [(each.outcome, each.call_id) for each in kept] == [
        ("stored", "call-1"),
        ("invalid_json", None),
        ("quarantined", None),
    ]
    assert (kept[0].body, kept[0].request_id) == (mine, "r-9")


def test_a_copy_that_fails_unforeseen_costs_no_call(open_door, report, caplog):
    def fail(raw_report):
        raise RuntimeError(raw_report.body.decode())

    door = open_door(keep_raw=fail)
    webhook, secret = door.webhooks.create("ada", "sales")

    answer = door.post(webhook, {"X-Vapi-Secret": secret}, report())

    assert answer.status == 200
    assert "failed with RuntimeError" in caplog.text
    assert "end-of-call-report" not in caplog.text
