"""`forget`: one caller's data leaves every file that is ours, and stays gone."""

from __future__ import annotations

import importlib
import io
import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from call_stream.excerpt import cut_excerpt
from call_stream.stream import EntryKind, open_reader, open_writer
from hubspot_calls import forgetting
from hubspot_calls.forget_plan import Asked
from hubspot_calls.forgetting import Forgetter
from hubspot_calls.rooms import open_store, open_sync_log_file
from hubspot_calls.settings import Settings, settings_from
from hubspot_simulator.simulator import Simulator
from receiver.raw_reports import read_raw_reports
from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.phone import parse_number
from target_hubspot_calls.store.known_calls import KnownCalls
from target_hubspot_calls.store.new_contacts import NewContacts
from target_hubspot_calls.sync_log.log import drain

forget_command = importlib.import_module("hubspot_calls.commands.forget")

HubSpotCalls = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]

IRIS, IVO = "+14155550142", "+14155550177"
OWNER = Workspace("default", "default")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def a_report(call_id: str, number: str, name: str) -> bytes:
    call = {"id": call_id, "type": "inboundPhoneCall", "customer": {"number": number, "name": name}}
    message = {
        "type": "end-of-call-report",
        "timestamp": 1_795_176_000_000,
        "call": call,
        "startedAt": "2026-11-20T11:58:00.000Z",
        "endedAt": "2026-11-20T12:00:00.000Z",
        "endedReason": "customer-ended-call",
        "summary": f"{name} asked about a crown.",
        "transcript": f"User: this is {name} speaking, my dog is called Quincunx-{name}.",
    }
    return json.dumps({"message": message}).encode()


CALLS = [("iris-1", IRIS), ("ivo-1", IVO), ("iris-2", IRIS), ("ivo-2", IVO), ("iris-3", IRIS)]
NAMES = {IRIS: "Iris Quince", IVO: "Ivo Marsh"}


def written(phone: str) -> Outcome:
    return Outcome(
        Status.SUCCESS,
        Reason.CREATED,
        contact_id=f"77{phone[-3:]}",
        contact_match=f"phone of {NAMES[phone]}",
        engagement_id="901",
        file_id="555001",
        portal_id=4242,
    )


def files_with(folder: Path, *words: bytes) -> list[tuple[str, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [(path.name, word) for path in files for word in words if word in path.read_bytes()]


@pytest.fixture
def filled(settings: Settings) -> Settings:
    """Five calls of two callers, delivered; their entries, outcomes and history."""
    with open_store(settings) as store, open_writer(settings.stream_url) as writer:  # type: ignore[attr-defined]
        for number, (call_id, phone) in enumerate(CALLS):
            body = a_report(call_id, phone, NAMES[phone])
            owner = {"user_id": OWNER.user_id, "workspace_id": OWNER.workspace_id}
            excerpt = cut_excerpt(body, **owner, webhook_id="w", received_at=NOON)
            writer.append(EntryKind.REPORT, excerpt.payload).result(10)
            told = {
                "id": call_id,
                "source": "webhook",
                "customer_number": phone,
                "customer_name": NAMES[phone],
                "transcript": f"my dog is called Quincunx-{NAMES[phone]}",
            }
            store.ledger.accept([parse_call(told, OWNER)], now=NOON)
            (claim,) = store.ledger.claim(OWNER, holder="r/1", limit=9, for_s=9, now=NOON)
            at = NOON + timedelta(days=number)
            outcome = [(claim, written(phone))]
            store.ledger.settle(outcome, holder="r/1", kind="note", run_id="", now=at)
        contacts = NewContacts(store.engine)
        contacts.announce(4242, IRIS, None, NOON)
        contacts.save(4242, IRIS, "77143")
        drain(store.outbox, open_sync_log_file(settings))
    return settings


def told(ended: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ended.out)
    return document


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name a number, --email or --call-id"),
        ((IRIS, "--older-than", "90d"), "--older-than alone"),
        (("anonymous",), "NUMBER is no phone number"),
        (("0123",), "NUMBER is no phone number"),
        (("--call-id", " "), "--call-id is blank"),
        (("--older-than", "long ago"), "is no time"),
        ((IRIS,), "--yes"),
    ],
    ids=str,
)
def test_wrong_use_is_said_and_deletes_nothing(
    hubspot_calls: HubSpotCalls, filled: Settings, arguments: Sequence[str], words: str
) -> None:
    ended = hubspot_calls("forget", *arguments)

    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert "0142" not in ended.err


def test_without_any_data_there_is_nothing_to_delete_and_nothing_is_made(
    hubspot_calls: HubSpotCalls, data_dir: Path
) -> None:
    ended = hubspot_calls("forget", IRIS, "--yes", "--json")

    assert ended.code == 0
    assert (told(ended)["calls"], told(ended)["complete"]) == (0, True)
    assert not data_dir.exists()


def test_a_dry_run_says_what_there_is_and_changes_nothing(
    hubspot_calls: HubSpotCalls, filled: Settings
) -> None:
    ended = hubspot_calls("forget", "(415) 555-0142", "--dry-run", "--json")
    in_words = hubspot_calls("forget", IRIS, "--dry-run")

    document = told(ended)
    assert (ended.code, ended.err, in_words.code) == (0, "", 0)
    assert document["found"] == {
        "ledger_rows": 3,
        "outbox_rows": 0,
        "shared_history_rows": 0,
        "sync_log_rows": 3,
        "stream_entries": 3,
        "raw_reports": 0,
        "created_contacts": 1,
    }
    assert (document["deleted"], document["complete"]) == ({}, False)
    assert "3 calls in the store" in in_words.out
    assert "3 entries in the call stream" in in_words.out
    assert len(files_with(filled.data_dir, b"Iris Quince")) > 0
    with open_store(filled) as store:
        assert store.ledger.counts() == {("settled", "created"): 5}


def test_everything_of_one_caller_goes_and_of_the_other_nothing(
    hubspot_calls: HubSpotCalls, filled: Settings
) -> None:
    of_ivo = hubspot_calls("history", "--number", IVO, "--json").out

    ended = hubspot_calls("forget", IRIS, "--yes", "--json")
    again = hubspot_calls("forget", IRIS, "--yes", "--json")

    document = told(ended)
    assert (ended.code, again.code) == (0, 0)
    assert document["deleted"] == document["found"]
    assert (document["complete"], document["left"]) == (True, [])
    assert (told(again)["calls"], told(again)["found"]["ledger_rows"]) == (0, 0)
    gone = (b"4155550142", b"Iris", b"Quincunx-Iris", b"77142", b"77143")
    assert files_with(filled.data_dir, *gone) == []
    assert hubspot_calls("history", "--number", IVO, "--json").out == of_ivo
    assert files_with(filled.data_dir, b"Quincunx-Ivo") != []
    with open_store(filled) as store:
        kept = KnownCalls(store.engine).get(OWNER, "ivo-1")
        assert kept is not None
        assert kept.call.customer_number == IVO
    assert json.loads(hubspot_calls("history", "--json").out)["total"] == 5


def test_what_lies_in_hubspot_and_at_vapi_is_named(
    hubspot_calls: HubSpotCalls, filled: Settings
) -> None:
    document = told(hubspot_calls("forget", IRIS, "--dry-run", "--json"))
    in_words = hubspot_calls("forget", IRIS, "--yes").out
    later = told(hubspot_calls("forget", "--call-id", "iris-2", "--dry-run", "--json"))

    hubspot = document["hubspot"]
    assert {each["id"] for each in hubspot["contacts"]} == {"77142", "77143"}
    assert hubspot["contacts"][0]["link"] == (
        "https://app.hubspot.com/contacts/4242/record/0-1/77142"
    )
    assert [each["call_id"] for each in hubspot["engagements"]] == ["iris-1", "iris-2", "iris-3"]
    assert {each["id"] for each in hubspot["files"]} == {"555001"}
    assert document["vapi"]["call_ids"] == ["iris-1", "iris-2", "iris-3"]
    assert "note 901 of call iris-1 in portal 4242" in in_words
    assert "call iris-3" in in_words
    # What is ours there can be named later too.
    assert [each["id"] for each in later["hubspot"]["engagements"]] == ["901"]


def test_a_call_that_never_came_from_vapi_is_not_sought_there(
    hubspot_calls: HubSpotCalls, filled: Settings
) -> None:
    with open_store(filled) as store:
        told_by_csv = {"id": "csv-1001", "customer_number": IRIS}
        store.ledger.accept([parse_call(told_by_csv, OWNER)], now=NOON)

    first = told(hubspot_calls("forget", IRIS, "--yes", "--json"))
    later = told(hubspot_calls("forget", "--call-id", "csv-1001", "--dry-run", "--json"))

    assert first["calls"] == 4
    assert first["vapi"]["call_ids"] == ["iris-1", "iris-2", "iris-3"]
    assert later["vapi"]["call_ids"] == []


@pytest.mark.parametrize(("answer", "code"), [("n", 130), ("y", 0)], ids=["no", "yes"])
def test_people_are_shown_what_there_is_and_asked(
    hubspot_calls: HubSpotCalls,
    filled: Settings,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
) -> None:
    monkeypatch.setattr(forget_command, "_is_somebody_there", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{answer}\n"))

    ended = hubspot_calls("forget", IRIS)

    assert ended.code == code
    assert "3 calls in the store" in ended.out
    assert "Delete it? Nothing brings it back." in ended.err
    assert ("Deleted here:" in ended.out) == (code == 0)
    assert ("Backups of these files" in ended.err) == (code == 0)
    assert (files_with(filled.data_dir, b"Iris Quince") == []) == (code == 0)


def test_single_calls_can_be_named(hubspot_calls: HubSpotCalls, filled: Settings) -> None:
    ended = hubspot_calls(
        "forget", "--call-id", "iris-2", "--call-id", "unknown", "--yes", "--json"
    )

    assert (ended.code, told(ended)["calls"]) == (0, 1)
    assert told(ended)["deleted"]["stream_entries"] == 1
    with open_store(filled) as store:
        assert store.ledger.counts() == {
            ("settled", "created"): 4,
            ("forgotten", "created"): 1,
        }


def test_only_one_workspace_is_looked_at_where_one_is_named(
    hubspot_calls: HubSpotCalls, filled: Settings
) -> None:
    ended = hubspot_calls("forget", IRIS, "--user", "kim", "--workspace", "north", "--yes")

    assert ended.code == 0
    assert "Nothing of it is stored here." in ended.err
    assert len(files_with(filled.data_dir, b"Iris Quince")) > 0


def test_old_calls_go_by_when_they_had_their_outcome(
    hubspot_calls: HubSpotCalls, filled: Settings
) -> None:
    ended = hubspot_calls(
        "forget", "--older-than", (NOON + timedelta(days=2)).isoformat(), "--yes", "--json"
    )

    assert (ended.code, told(ended)["calls"]) == (0, 2)
    with open_store(filled) as store:
        forgotten = [
            call_id
            for call_id, _ in CALLS
            if (known := KnownCalls(store.engine).get(OWNER, call_id)) and known.is_forgotten
        ]
    assert forgotten == ["iris-1", "ivo-1"]


def test_a_call_that_only_the_stream_holds_never_becomes_one(
    hubspot_calls: HubSpotCalls, filled: Settings
) -> None:
    body = a_report("iris-9", IRIS, "Iris Quince")
    excerpt = cut_excerpt(
        body, user_id="kim", workspace_id="north", webhook_id="w", received_at=NOON
    )
    with open_writer(filled.stream_url) as writer:  # type: ignore[attr-defined]
        writer.append(EntryKind.REPORT, excerpt.payload).result(10)

    ended = hubspot_calls("forget", IRIS, "--yes", "--json")

    assert told(ended)["calls"] == 4
    with open_store(filled) as store:
        accepted = store.ledger.accept(
            [parse_call({"id": "iris-9"}, Workspace("kim", "north"))], now=NOON
        )
    assert (accepted.new, accepted.unchanged) == (0, 1)


def test_while_a_receiver_writes_the_rest_is_done_and_the_command_says_how_to_end_it(
    hubspot_calls: HubSpotCalls, filled: Settings
) -> None:
    with open_writer(filled.stream_url):  # type: ignore[attr-defined]
        ended = hubspot_calls("forget", IRIS, "--yes", "--json")
        elsewhere = [name for name, _ in files_with(filled.data_dir, b"Iris Quince")]
    again = hubspot_calls("forget", IRIS, "--yes", "--json")

    assert (ended.code, told(ended)["complete"]) == (1, False)
    assert "Stop `hubspot-calls serve`, run the same command again" in ended.err
    assert told(ended)["left"] == [ended.err.strip()]
    assert {Path(name).suffix for name in elsewhere} == {".calls"}
    assert (again.code, told(again)["deleted"]["stream_entries"]) == (0, 3)
    assert files_with(filled.data_dir, b"Iris Quince", b"4155550142") == []


def test_a_call_that_is_being_delivered_is_left_and_said(
    hubspot_calls: HubSpotCalls, filled: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "HELD_WAIT_S", 0.0)
    with open_store(filled) as store:
        now = datetime.now(UTC)
        store.ledger.accept([parse_call({"id": "due", "customer_number": IRIS}, OWNER)], now=now)
        (claim,) = store.ledger.claim(OWNER, holder="r/1", limit=9, for_s=300, now=now)
        ended = hubspot_calls("forget", IRIS, "--yes")
        store.ledger.release([claim], holder="r/1", now=now)
    again = hubspot_calls("forget", IRIS, "--yes")

    assert (ended.code, again.code) == (1, 0)
    assert "1 of the calls are being sent to HubSpot" in ended.err
    assert files_with(filled.data_dir, b"4155550142") == []


def test_it_waits_for_a_delivery_to_end(filled: Settings) -> None:
    now = datetime.now(UTC)
    slept: list[float] = []
    with open_store(filled) as store:
        store.ledger.accept([parse_call({"id": "due", "customer_number": IRIS}, OWNER)], now=now)
        (claim,) = store.ledger.claim(OWNER, holder="r/1", limit=9, for_s=300, now=now)

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 3:
                outcome = [(claim, written(IRIS))]
                store.ledger.settle(outcome, holder="r/1", kind="note", run_id="", now=now)

        forgetter = Forgetter(store, sleep=sleep)
        done = forgetter.carry_out(forgetter.look(Asked(number=parse_number(IRIS, "US"))))

    assert (done.deleted.ledger_rows, done.deleted.outbox_rows, done.left) == (4, 1, [])


def test_a_sync_log_that_somebody_reads_is_cleaned_by_the_next_run(
    hubspot_calls: HubSpotCalls, filled: Settings
) -> None:
    with open_store(filled) as store:
        forgetter = Forgetter(store)
        forgetter._log = open_sync_log_file(filled, wait_s=0.05)
        plan = forgetter.look(Asked(number=parse_number(IRIS, "US")))
        with duckdb.connect(filled.sync_log, read_only=True):
            done = forgetter.carry_out(plan)
    still_there = files_with(filled.data_dir, b"4155550142")
    again = hubspot_calls("forget", IRIS, "--yes", "--json")

    assert len(done.left) == 1
    assert "is open in another" in done.left[0]
    assert {name for name, _ in still_there} == {"sync_log.duckdb"}
    assert (again.code, told(again)["deleted"]["sync_log_rows"]) == (0, 3)
    assert files_with(filled.data_dir, b"4155550142") == []


def test_in_a_history_of_several_hosts_rows_lose_the_person_too(
    hubspot_calls: HubSpotCalls,
    data_dir: Path,
    shared_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HUBSPOT_CALLS_DATABASE_URL", shared_url)
    settings = settings_from(
        {"HUBSPOT_CALLS_DATA_DIR": str(data_dir), "HUBSPOT_CALLS_DATABASE_URL": shared_url}
    )
    with open_store(settings) as store:
        for call_id, phone in CALLS[:2]:
            call = parse_call({"id": call_id, "customer_number": phone}, OWNER)
            store.ledger.accept([call], now=NOON)
            (claim,) = store.ledger.claim(OWNER, holder="r/1", limit=9, for_s=9, now=NOON)
            outcome = [(claim, written(phone))]
            store.ledger.settle(outcome, holder="r/1", kind="note", run_id="", now=NOON)

    in_words = hubspot_calls("forget", "--call-id", "nobody", "--yes")
    ended = hubspot_calls("forget", IRIS, "--yes", "--json")

    rows = {row["call_id"]: row for row in told(hubspot_calls("history", "--json"))["logs"]}
    deleted = told(ended)["deleted"]
    assert (ended.code, deleted["shared_history_rows"], deleted["outbox_rows"]) == (0, 1, 1)
    assert (rows["iris-1"]["phone_number"], rows["iris-1"]["contact_id"]) == (None, None)
    assert rows["iris-1"]["engagement_id"] == "901"
    assert rows["ivo-1"]["phone_number"] == IVO
    assert "Nothing of it is stored here." in in_words.err


def test_where_another_host_fills_the_file_its_rows_are_waited_for(
    hubspot_calls: HubSpotCalls, filled: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "HELD_WAIT_S", 0.0)
    with open_store(filled) as store:
        store.ledger.accept([parse_call({"id": "late", "customer_number": IRIS}, OWNER)], now=NOON)
        (claim,) = store.ledger.claim(OWNER, holder="r/1", limit=9, for_s=9, now=NOON)
        outcome = [(claim, written(IRIS))]
        store.ledger.settle(outcome, holder="r/1", kind="note", run_id="", now=NOON)
        forgetter = Forgetter(store)
        forgetter._is_shared = True
        plan = forgetter.look(Asked(number=parse_number(IRIS, "US")))
        early = forgetter.carry_out(plan)
        drain(store.outbox, open_sync_log_file(filled))
        late = forgetter.carry_out(forgetter.look(Asked(number=parse_number(IRIS, "US"))))

    assert "still wait for the sync log" in early.left[0]
    assert (late.left, late.deleted.sync_log_rows) == ([], 3)


WORDS = (b"4155550142", b"Iris", b"Quince", b"Quincunx-Iris")


class Receiving:
    """A receiver in a process of its own, and the sync in another, against a pretend portal."""

    def __init__(self, start: Start, portal: Simulator) -> None:
        self._start = start
        self._portal = portal

    def sync(self) -> None:
        process = self._command("sync")
        _, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors

    @contextmanager
    def receiver(self) -> Iterator[str]:
        """Its address; it is asked to end at the end."""
        process = self._command("serve", "--no-sync", "--port", "0")
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield found[0]
                break
        else:
            pytest.fail("the receiver did not start")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)

    def _command(self, *command: str) -> subprocess.Popen[str]:
        return self._start(
            *command,
            HUBSPOT_API_URL=self._portal.url,
            HUBSPOT_CALLS_KEEP_RAW_REPORTS_DAYS="7",
        )


def post(address: str, webhook: Mapping[str, str], body: bytes) -> int:
    path = re.sub(r"^https?://[^/]+", "", webhook["url"])
    headers = {"X-Vapi-Secret": webhook["secret"], "Content-Type": "application/json"}
    answer = httpx.post(f"{address}{path}", content=body, headers=headers, trust_env=False)
    return answer.status_code


@pytest.mark.long
@pytest.mark.timeout(120)
def test_a_forgotten_caller_stays_forgotten_whatever_is_read_again(
    start: Start, portal: Simulator, settings: Settings, hubspot_calls: HubSpotCalls
) -> None:
    portal.seed_contacts([{"firstname": "Iris", "phone": IRIS}, {"firstname": "Ivo", "phone": IVO}])
    with open_store(settings) as store:
        store.connections.add_service_key("default", "default", portal.add_service_key())
    webhook = told(hubspot_calls("webhooks", "create", "--json"))
    reports = [a_report(call_id, number, NAMES[number]) for call_id, number in CALLS]
    here = Receiving(start, portal)

    # While the receiver writes, the newest part of the stream stays, and the command says so.
    with here.receiver() as address:
        assert [post(address, webhook, body) for body in reports] == [200] * 5
        here.sync()
        notes, history = portal.notes(), told(hubspot_calls("history", "--json"))
        of_ivo = hubspot_calls("history", "--number", IVO, "--json").out
        first = hubspot_calls("forget", IRIS, "--yes", "--json")
    second = hubspot_calls("forget", IRIS, "--yes", "--json")

    assert (len(notes), history["total"]) == (5, 5)
    assert (first.code, second.code) == (1, 0)
    assert [sentence.split(":")[0] for sentence in told(first)["left"]] == [
        "3 entries of the call stream are left",
        "3 raw reports are left",
    ]
    deleted = told(first)["deleted"]
    assert deleted["ledger_rows"] == deleted["sync_log_rows"] == 3
    deleted = told(second)["deleted"]
    assert deleted["stream_entries"] == deleted["raw_reports"] == 3
    in_hubspot = told(first)["hubspot"]["engagements"]
    assert [each["call_id"] for each in in_hubspot] == ["iris-1", "iris-2", "iris-3"]
    assert files_with(settings.data_dir, *WORDS) == []
    with open_store(settings) as store:
        vault = store.open_vault(create=False)
        raw = [r.call_id for r in read_raw_reports(settings.raw_reports_dir, vault)]
    assert raw == ["ivo-1", "ivo-2"]

    # The report comes again, and the whole stream is read from its beginning.
    with here.receiver() as address:
        assert post(address, webhook, reports[0]) == 200
    (settings.data_dir / "sync_state.json").unlink()
    here.sync()

    assert portal.notes() == notes
    assert told(hubspot_calls("history", "--json"))["total"] == history["total"]
    assert hubspot_calls("history", "--number", IVO, "--json").out == of_ivo
    # What VAPI sent anew is in the stream, as it came; the store and the history know nothing.
    again = {name for name, _ in files_with(settings.data_dir, *WORDS)}
    assert again == {path.name for path in (settings.data_dir / "stream").glob("*.calls")}
    assert hubspot_calls("forget", IRIS, "--yes").code == 0
    assert files_with(settings.data_dir, *WORDS) == []
    assert len(list(open_reader(settings.stream_url).read())) == 6
