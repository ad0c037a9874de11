"""The tap's second door against a stand-in of VAPI's REST API, over real HTTP."""

from __future__ import annotations

import copy
import json
import logging
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from singer_sdk.singerlib.encoding.simple import Message

from tap_vapi import streams
from tap_vapi.api_poll import ApiPoll
from tap_vapi.tap import TapVapi
from tap_vapi.vapi import Vapi, VapiError, VapiUnreachable, faults_of_address
from tap_vapi.windows import read_calls
from tests.tap_vapi.stand_in import KEY, LINE, VapiStandIn, a_call, iso
from tests.tap_vapi.test_streams import CONTRACT_FIELDS, AppendCalls, Killed, Lines

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def vapi() -> Iterator[VapiStandIn]:
    with VapiStandIn() as stand_in:
        yield stand_in


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was waited between two tries; nobody waits in a test."""
    waited: list[float] = []
    monkeypatch.setattr(streams, "Vapi", partial(Vapi, sleep=waited.append))
    return waited


def read(
    vapi: VapiStandIn,
    tmp_path: Path,
    *,
    state: dict[str, Any] | None = None,
    lines: Lines | None = None,
    **settings: object,
) -> Lines:
    """What a run of the tap writes that reads the API alone."""
    lines = lines or Lines()
    config = {
        "data_dir": str(tmp_path / "data"),
        "sources": ["api"],
        "vapi_api_key": KEY,
        "vapi_api_url": vapi.url,
        **settings,
    }
    tap = TapVapi(config=config, state=copy.deepcopy(state), message_writer=lines)
    tap.sync_all()
    return lines


class StopsAfter(Lines):
    """Stops the tap, as a signal does, once so many calls have been told."""

    tap: TapVapi

    def __init__(self, calls: int) -> None:
        super().__init__()
        self._calls = calls

    def write_message(self, message: Message) -> None:
        super().write_message(message)
        self.tap.stopping = len(set(self.ids())) >= self._calls


def records_of(lines: Lines) -> list[dict[str, Any]]:
    return [line["record"] for line in lines.written if line["type"] == "RECORD"]


def bookmark_of(lines: Lines) -> int | None:
    state = lines.last_state()
    assert state is not None
    [partition] = state["bookmarks"]["calls"]["partitions"]
    assert partition["context"] == {"source": "api"}
    value: int | None = partition.get("replication_key_value")
    return value


def told(call: dict[str, Any]) -> tuple[str, str]:
    """What tells a call and its version apart, on either side."""
    return call["id"], call.get("updated_at") or call["updatedAt"]


def test_a_call_is_a_record_with_what_the_list_says_and_our_number(
    vapi: VapiStandIn, tmp_path: Path
) -> None:
    vapi.put(a_call(1, NOW - timedelta(hours=3)))

    [record] = records_of(read(vapi, tmp_path))

    assert list(record) == CONTRACT_FIELDS
    assert record["source"] == "api"
    assert record["phone_number"] == LINE
    assert record["customer_number"] == "+14155550001"
    assert record["summary"] == "Call 1."
    assert record["outcome"] == "completed"
    assert (record["user_id"], record["workspace_id"]) == ("default", "default")
    assert record["sequence"] == int((NOW - timedelta(hours=3)).timestamp() * 1000)
    assert "secret" not in json.dumps(record)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("count", [5_000, pytest.param(25_000, marks=pytest.mark.long)])
def test_every_call_is_found_among_many_with_equal_times_late_updates_and_calls_under_way(
    vapi: VapiStandIn, tmp_path: Path, count: int
) -> None:
    dice = random.Random(7)
    start = NOW - timedelta(days=13)
    moments = [
        start + timedelta(seconds=dice.randrange(13 * 86_400 - 600)) for _ in range(count // 2)
    ]
    calls = [a_call(number, dice.choice(moments)) for number in range(count)]
    for call in calls[:1500]:  # a campaign that ended in one millisecond
        call["updatedAt"] = iso(start + timedelta(days=5, milliseconds=7))
    for call in calls[2000:2400]:
        call["status"] = dice.choice(["queued", "in-progress", "ringing", "scheduled"])
    vapi.put(*calls)
    updated: dict[str, str] = {}

    def analysis_lands_late(request: int) -> None:
        if request % 5 == 0:
            late = dice.choice(calls)
            late["updatedAt"] = updated[late["id"]] = iso(datetime.now(UTC) - timedelta(minutes=5))
            vapi.put(late)

    vapi.before_answer = analysis_lands_late

    records = records_of(read(vapi, tmp_path, start_date=iso(start)))

    ended = {told(call) for call in calls if call["status"] == "ended"}
    assert len(updated) > 10
    assert {told(record) for record in records} >= ended
    assert {record["id"] for record in records} == {call_id for call_id, _ in ended}
    assert len({told(record) for record in records}) == len(records)
    assert max(int(asked["limit"]) for asked in vapi.lists) <= 1000
    assert len([asked for asked in vapi.asked if "limit" not in asked]) == 1
    assert len(vapi.lists) < 600


@pytest.mark.parametrize("dies_after", [1, 2, 60, 130, 131, 260, 399])
def test_a_killed_run_goes_on_without_losing_a_call(
    vapi: VapiStandIn, tmp_path: Path, dies_after: int
) -> None:
    calls = [a_call(n, NOW - timedelta(days=6, minutes=-20 * n)) for n in range(400)]
    vapi.put(*calls)
    lines = Lines(dies_after=dies_after)

    with pytest.raises(Killed):
        read(vapi, tmp_path, lines=lines)
    resumed = read(vapi, tmp_path, state=lines.last_state())

    seen = {told(record) for record in records_of(lines) + records_of(resumed)}
    assert seen == {told(call) for call in calls}
    if lines.last_state() and bookmark_of(lines):
        assert len(records_of(resumed)) < len(calls)


def test_the_next_run_reads_only_what_changed_and_a_little_more(
    vapi: VapiStandIn, tmp_path: Path
) -> None:
    began = datetime.now(UTC)
    vapi.put(*(a_call(n, began - timedelta(hours=n + 1)) for n in range(50)))
    first = read(vapi, tmp_path)
    ended = datetime.now(UTC)
    vapi.put(a_call(3, ended, analysis={"summary": "Longer now."}), a_call(99, ended))
    vapi.asked.clear()

    second = read(vapi, tmp_path, state=first.last_state())

    assert sorted(record["summary"] for record in records_of(second)) == ["Call 99.", "Longer now."]
    assert len(vapi.lists) == 1
    asked = datetime.fromisoformat(vapi.lists[0]["updatedAtGe"])
    about = timedelta(milliseconds=1)
    assert began - about <= asked + timedelta(minutes=10) <= ended + about
    assert (bookmark_of(second) or 0) >= ended.timestamp() * 1000 - 1


def test_a_call_under_way_comes_when_it_has_ended(vapi: VapiStandIn, tmp_path: Path) -> None:
    vapi.put(a_call(1, NOW - timedelta(hours=1), status="in-progress"))
    first = read(vapi, tmp_path)
    vapi.put(a_call(1, datetime.now(UTC)))

    second = read(vapi, tmp_path, state=first.last_state())

    assert records_of(first) == []
    assert len(records_of(second)) == 1


def test_a_date_range_reads_that_and_no_more(vapi: VapiStandIn, tmp_path: Path) -> None:
    vapi.put(*(a_call(n, NOW - timedelta(days=n, minutes=1)) for n in range(12)))
    days = {name: iso(NOW - timedelta(days=n)) for name, n in (("start_date", 8), ("end_date", 5))}

    lines = read(vapi, tmp_path, **days)

    assert sorted(record["summary"] for record in records_of(lines)) == [
        "Call 5.",
        "Call 6.",
        "Call 7.",
    ]


def test_full_table_forgets_the_bookmark(vapi: VapiStandIn, tmp_path: Path) -> None:
    vapi.put(*(a_call(n, NOW - timedelta(days=n, minutes=1)) for n in range(3)))
    state = read(vapi, tmp_path).last_state()
    tap = TapVapi(
        config={
            "data_dir": str(tmp_path / "data"),
            "sources": ["api"],
            "vapi_api_key": KEY,
            "vapi_api_url": vapi.url,
        },
        state=state,
        message_writer=(lines := Lines()),
    )
    tap.streams["calls"].forced_replication_method = "FULL_TABLE"

    tap.sync_all()

    assert len(records_of(lines)) == 3


@pytest.mark.parametrize("names_days", [True, False])
def test_a_start_before_what_vapi_keeps_is_moved_and_said(
    vapi: VapiStandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture, names_days: bool
) -> None:
    vapi.kept_days, vapi.names_days = 14, names_days
    kept = [a_call(n, NOW - timedelta(days=13.5, hours=-6 * n)) for n in range(50)]
    vapi.put(*kept, a_call(60, NOW - timedelta(days=20)))

    lines = read(vapi, tmp_path, start_date=iso(NOW - timedelta(days=90)))

    assert {told(record) for record in records_of(lines)} == {told(call) for call in kept}
    [said] = [r.getMessage() for r in caplog.records if "no longer keeps" in r.getMessage()]
    assert said.endswith(f"not at {(NOW - timedelta(days=90)).isoformat(timespec='minutes')}.")


def test_nothing_kept_at_all_ends_the_run_with_a_sentence(
    vapi: VapiStandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vapi.kept_days = 0

    with pytest.raises(SystemExit):
        read(vapi, tmp_path)

    assert "VAPI no longer keeps calls that old." in caplog.text


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_passes_is_waited_for_and_asked_again(
    vapi: VapiStandIn, tmp_path: Path, waits: list[float], status: int
) -> None:
    vapi.put(a_call(1, NOW - timedelta(hours=1)))
    vapi.refuse(status, times=2)

    lines = read(vapi, tmp_path)

    assert len(records_of(lines)) == 1
    assert [2 <= waits[0] <= 2.5, 4 <= waits[1] <= 5] == [True, True]


def test_vapi_says_how_long_to_wait(vapi: VapiStandIn, tmp_path: Path, waits: list[float]) -> None:
    vapi.refuse(429, **{"Retry-After": "21"})

    read(vapi, tmp_path)

    assert 21 <= waits[0] <= 21 * 1.25


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "VAPI refuses the private key (HTTP 401); check vapi_api_key."),
        (403, "VAPI refuses the private key (HTTP 403); check vapi_api_key."),
        (404, "VAPI has nothing at this address (HTTP 404); check vapi_api_url."),
        (400, "VAPI answers 400 to a request for calls."),
        (503, "VAPI answers 503 to a request for calls."),
    ],
)
def test_what_does_not_pass_ends_the_run_with_a_sentence_and_its_bookmark(
    vapi: VapiStandIn,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    status: int,
    sentence: str,
) -> None:
    vapi.put(*(a_call(n, NOW - timedelta(days=5, hours=-n)) for n in range(100)))
    lines = Lines()
    vapi.before_answer = lambda n: vapi.refuse(status, times=10) if n == 6 else None

    with pytest.raises(SystemExit):
        read(vapi, tmp_path, lines=lines)

    assert sentence in [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert KEY not in caplog.text


def test_more_calls_of_one_instant_than_a_list_holds_are_an_error_and_no_loop(
    vapi: VapiStandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    at = NOW - timedelta(hours=2)
    vapi.put(*(a_call(n, at) for n in range(1001)))

    with pytest.raises(SystemExit):
        read(vapi, tmp_path)

    assert "More than 1000 calls were made and changed in one instant" in caplog.text


def test_a_list_in_no_order_is_an_error_where_order_matters(
    vapi: VapiStandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    at = NOW - timedelta(hours=2)
    vapi.newest_first = False
    made = [at - timedelta(seconds=60 + n * 7919 % 1200) for n in range(1200)]
    vapi.put(*(a_call(n, at, createdAt=iso(moment)) for n, moment in enumerate(made)))

    with pytest.raises(SystemExit):
        read(vapi, tmp_path)

    assert "in no order" in caplog.text


def test_order_does_not_matter_otherwise(vapi: VapiStandIn, tmp_path: Path) -> None:
    vapi.newest_first = False
    calls = [a_call(n, NOW - timedelta(days=2, seconds=-n)) for n in range(1500)]
    vapi.put(*calls)

    assert {told(r) for r in records_of(read(vapi, tmp_path))} == {told(c) for c in calls}


@pytest.mark.parametrize("line_id", ["unknown-line", "../call", "x" * 201, 5, None])
def test_a_line_that_vapi_does_not_know_is_left_blank(
    vapi: VapiStandIn, tmp_path: Path, line_id: object
) -> None:
    vapi.put(*(a_call(n, NOW - timedelta(hours=n), phoneNumberId=line_id) for n in (1, 2)))

    records = records_of(read(vapi, tmp_path))

    assert [record["phone_number"] for record in records] == [None, None]
    assert len(vapi.asked) - len(vapi.lists) <= 1


def test_our_own_name_is_sent(vapi: VapiStandIn, tmp_path: Path) -> None:
    read(vapi, tmp_path)

    [name] = vapi.user_agents
    assert name.startswith("target-hubspot-calls/")


def test_both_doors_are_read_when_a_key_is_set(
    vapi: VapiStandIn, tmp_path: Path, data_dir: Path, append_calls: AppendCalls
) -> None:
    [position] = append_calls(range(1))
    vapi.put(a_call(1, NOW - timedelta(hours=1)))
    config = {"data_dir": str(data_dir), "vapi_api_key": KEY, "vapi_api_url": vapi.url}
    lines = Lines()

    TapVapi(config=config, message_writer=lines).sync_all()

    state = lines.last_state()
    assert state is not None
    partitions = state["bookmarks"]["calls"]["partitions"]
    assert [record["source"] for record in records_of(lines)] == ["webhook", "api"]
    assert [each["context"]["source"] for each in partitions] == ["stream", "api"]
    assert partitions[0]["replication_key_value"] == position


def test_a_following_tap_asks_the_api_beside_the_call_stream(
    vapi: VapiStandIn,
    tmp_path: Path,
    data_dir: Path,
    append_calls: AppendCalls,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "ApiPoll", partial(ApiPoll, every_s=0.05))
    append_calls(range(1))
    vapi.put(a_call(1, NOW - timedelta(hours=1)))
    vapi.before_answer = lambda n: (
        (vapi.refuse(500, times=6), vapi.put(a_call(2, datetime.now(UTC)))) if n == 3 else None
    )
    config = {
        "data_dir": str(data_dir),
        "vapi_api_key": KEY,
        "vapi_api_url": vapi.url,
        "follow": True,
    }
    lines = StopsAfter(3)
    lines.tap = TapVapi(config=config, message_writer=lines)

    lines.tap.sync_all()

    summaries = {record["summary"] for record in records_of(lines)}
    state = lines.last_state()
    assert state is not None
    bookmarks = {
        each["context"]["source"]: each["replication_key_value"]
        for each in state["bookmarks"]["calls"]["partitions"]
    }
    assert summaries == {None, "Call 1.", "Call 2."}
    assert bookmarks.keys() == {"stream", "api"}


@pytest.mark.parametrize("bookmark", ["2026-11-20T00:00:00Z", True, 1.5])
def test_a_bookmark_that_is_no_time_is_said(
    vapi: VapiStandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture, bookmark: object
) -> None:
    partition = {
        "context": {"source": "api"},
        "replication_key": "sequence",
        "replication_key_value": bookmark,
    }

    with pytest.raises(SystemExit):
        read(vapi, tmp_path, state={"bookmarks": {"calls": {"partitions": [partition]}}})

    assert "The state's bookmark of VAPI's API is not a time in milliseconds." in caplog.text


@pytest.mark.parametrize("answer", [b"", b"{", b'{"a": 1}', b"[1]", b'[{"no": "id"}]'])
def test_an_answer_that_makes_no_sense_is_a_sentence(answer: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=answer))
    with Vapi(KEY, transport=transport) as client, pytest.raises(VapiError):
        list(read_calls(client, NOW - timedelta(hours=1), NOW))


def test_an_error_of_the_network_does_not_carry_the_key() -> None:
    client = Vapi(KEY, "http://127.0.0.1:9", tries=1)

    with client, pytest.raises(VapiError) as caught:
        client.list_calls(updated_ge=NOW, updated_le=NOW, limit=1)

    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_who_cannot_reach_vapi_is_told_where_how_long_and_what_to_do() -> None:
    seconds = iter((100.0, 162.4))
    client = Vapi(
        KEY, "http://127.0.0.1:9", tries=3, sleep=lambda _: None, clock=lambda: next(seconds)
    )

    with client, pytest.raises(VapiUnreachable) as caught:
        client.list_calls(updated_ge=NOW, updated_le=NOW, limit=1)

    assert str(caught.value) == (
        "VAPI could not be asked at 127.0.0.1:9 (ConnectError); it was asked 3 times within 62 s."
        " Check that this machine reaches it (network, firewall, DNS), and VAPI_API_URL (setting"
        " vapi_api_url)."
    )


def test_a_pass_says_how_many_calls_it_read_and_of_what_time(
    vapi: VapiStandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vapi.put(*(a_call(n, NOW - timedelta(hours=n + 1)) for n in range(3)))
    caplog.set_level(logging.INFO)

    read(vapi, tmp_path, start_date="2026-11-20T00:00:00Z", end_date=iso(NOW))

    assert (
        "Read 3 ended calls from VAPI's API, changed from 2026-11-20 00:00:00 UTC to"
        f" {NOW:%Y-%m-%d %H:%M:%S} UTC"
    ) in [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("address", "faults"),
    [
        ("https://api.vapi.ai", 0),
        ("https://api.eu.vapi.ai", 0),
        ("http://127.0.0.1:8080", 0),
        ("http://localhost:8080", 0),
        ("http://[::1]:8080", 0),
        ("http://api.vapi.ai", 1),
        ("ftp://api.vapi.ai", 1),
        ("https://user:word@api.vapi.ai", 1),
        ("https://", 1),
        ("https://api.vapi.ai/?a=1", 1),
        ("http://[", 1),
        ("", 1),
    ],
)
def test_the_key_goes_to_https_only_or_to_this_machine(address: str, faults: int) -> None:
    assert len(faults_of_address(address)) == faults
