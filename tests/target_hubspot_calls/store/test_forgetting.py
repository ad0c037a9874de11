"""One caller's data leaves the store, and neither a report nor a delivery brings it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text

from target_hubspot_calls.call import Call, Workspace
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.phone import parse_number
from target_hubspot_calls.store.call_states import CallStates
from target_hubspot_calls.store.database import is_shared, reading
from target_hubspot_calls.store.figures import load_figures
from target_hubspot_calls.store.forgetting import Forgetting
from target_hubspot_calls.store.known_calls import KnownCalls
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.ledger_rows import Accepted, Claim
from target_hubspot_calls.store.new_contacts import NewContacts
from target_hubspot_calls.store.outbox import Outbox
from target_hubspot_calls.store.retries import CallRetry, Retries, RetryFilter
from target_hubspot_calls.store.schema import calls
from target_hubspot_calls.store.sought_calls import Sought
from target_hubspot_calls.store.store_file import write_file_anew

OWNER = Workspace("dana", "harbor-dental")
OTHERS = Workspace("lena", "bakery")
NOBODYS = Workspace("default", "default")
NUMBER = "+14155550142"
WRITTEN = Outcome(
    Status.SUCCESS,
    Reason.CREATED,
    engagement_id="901",
    contact_id="77",
    contact_match="phone, 1 of 1",
    delivered_digest="d",
    portal_id=4242,
)
MISSED = Outcome(Status.SKIPPED, Reason.CONTACT_NOT_FOUND, message="Nobody has that number.")


def sought(**more: object) -> Sought:
    """Whatever names the caller's number, however it is written."""

    def is_number(written: str) -> bool:
        return parse_number(written, "US").e164 == NUMBER

    return replace(Sought(digits="4155550142", is_number=is_number), **more)  # type: ignore[arg-type]


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


@pytest.fixture
def forgetting(engine: Engine) -> Forgetting:
    return Forgetting(engine)


@pytest.fixture
def told(a_call: Callable[..., Call]) -> Callable[..., Call]:
    def build(call_id: str, owner: Workspace = OWNER, **fields: object) -> Call:
        fields = {"customer_number": NUMBER, "customer_name": "Iris Quince", **fields}
        call = a_call(id=call_id, **fields)
        return replace(call, user_id=owner.user_id, workspace_id=owner.workspace_id)

    return build


@pytest.fixture
def deliver(ledger: Ledger, noon: datetime) -> Callable[..., Claim]:
    """Brings one due call to its outcome."""

    def settle(outcome: Outcome, owner: Workspace = OWNER) -> Claim:
        (claim,) = ledger.claim(owner, holder="r/1", limit=1, for_s=60, now=noon)
        ledger.settle([(claim, outcome)], holder="r/1", kind="note", run_id="r", now=noon)
        return claim

    return settle


def forget_all(forgetting: Forgetting, now: datetime, wanted: Sought) -> None:
    found = [call.key for call in forgetting.find(wanted)]
    forgetting.forget(found, now=now)
    forgetting.finish(found, now=now)


def test_calls_are_found_by_number_however_it_is_written(
    ledger: Ledger, forgetting: Forgetting, told: Callable[..., Call], noon: datetime
) -> None:
    spellings = (NUMBER, "(415) 555-0142", "1 415 555 0142", "sip:+14155550142@example.net")
    ledger.accept([told(f"c{i}", customer_number=n) for i, n in enumerate(spellings)], now=noon)
    ledger.accept([told("other", customer_number="+14155550143")], now=noon)
    ledger.accept([told("web", customer_number=None, customer_email="Iris@Example.com")], now=noon)
    ledger.accept([told("elsewhere", OTHERS)], now=noon)

    everywhere = {call.key[1] for call in forgetting.find(sought())}
    of_one = {call.key[1] for call in forgetting.find(sought(user_id="dana"))}
    with_email = {call.key[1] for call in forgetting.find(sought(email="iris@example.COM"))}
    by_id = {call.key for call in forgetting.find(Sought(call_ids=("other", "unknown")))}

    assert everywhere == {"c0", "c1", "c2", "c3", "elsewhere"}
    assert of_one == {"c0", "c1", "c2", "c3"}
    assert with_email == everywhere | {"web"}
    assert by_id == {(OWNER, "other")}


def test_a_forgotten_call_keeps_its_outcome_and_says_nothing(
    ledger: Ledger,
    forgetting: Forgetting,
    told: Callable[..., Call],
    deliver: Callable[..., Claim],
    engine: Engine,
    noon: datetime,
) -> None:
    ledger.accept([told("c1", summary="Wants a crown.")], now=noon)
    deliver(WRITTEN)

    forget_all(forgetting, noon, sought())

    known = KnownCalls(engine).get(OWNER, "c1")
    assert known is not None
    assert known.is_forgotten
    assert not known.is_moving
    assert known.call == Call("c1", OWNER.user_id, OWNER.workspace_id, source="webhook")
    assert (known.status, known.reason, known.engagement_id) == ("success", "created", "901")
    assert (known.contact_id, known.contact_match, known.error_message) == (None, None, None)
    with reading(engine) as connection:
        row = connection.execute(select(calls)).one()
    assert (row.customer_number, row.delivered_digest, row.intent_contact_id) == (None, None, None)
    state = CallStates(engine).get(OWNER, "c1")
    assert state is not None
    assert state.state == "forgotten"
    link = ledger.recording_of(OWNER, "c1")
    assert link is not None
    assert link.url is None


def test_a_report_that_comes_again_makes_no_call_and_brings_nothing_back(
    ledger: Ledger,
    forgetting: Forgetting,
    told: Callable[..., Call],
    deliver: Callable[..., Claim],
    engine: Engine,
    noon: datetime,
) -> None:
    ledger.accept([told("c1")], now=noon)
    deliver(WRITTEN)
    forget_all(forgetting, noon, sought())

    accepted = ledger.accept([told("c1", summary="Now with a summary.")], now=noon)

    assert accepted == Accepted(new=0, changed=0, unchanged=1)
    assert ledger.count_due(now=noon) == 0
    known = KnownCalls(engine).get(OWNER, "c1")
    assert known is not None
    assert known.call.summary is known.call.customer_number is None


@pytest.mark.parametrize("first", ["api", "webhook"])
def test_neither_of_vapis_doors_brings_a_call_back_that_the_other_told_of(
    ledger: Ledger,
    forgetting: Forgetting,
    told: Callable[..., Call],
    engine: Engine,
    noon: datetime,
    first: str,
) -> None:
    by_door = {
        "api": told("c1", NOBODYS, source="api"),
        "webhook": told("c1", OWNER, source="webhook"),
    }
    ledger.accept([by_door.pop(first)], now=noon, nobodys=NOBODYS)
    forget_all(forgetting, noon, sought())

    ledger.accept(list(by_door.values()), now=noon, nobodys=NOBODYS)

    assert ledger.count_due(now=noon) == 0
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(calls)).scalar_one() == 1


def test_a_copied_id_does_not_swallow_another_workspaces_call(
    ledger: Ledger, forgetting: Forgetting, told: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([told("c1", NOBODYS, source="webhook")], now=noon, nobodys=NOBODYS)
    forget_all(forgetting, noon, sought())

    accepted = ledger.accept([told("c1", OTHERS)], now=noon, nobodys=NOBODYS)

    assert accepted.new == 1


def test_a_call_that_is_being_delivered_is_left_until_its_claim_ends(
    ledger: Ledger, forgetting: Forgetting, told: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([told("c1"), told("c2")], now=noon)
    ledger.claim(OWNER, holder="r/1", limit=1, for_s=60, now=noon)
    keys = [call.key for call in forgetting.find(sought())]

    held = forgetting.forget(keys, now=noon)
    by_the_dead = forgetting.forget(keys, now=noon, is_dead=lambda holder: holder == "r/1")
    later = forgetting.forget(keys, now=noon + timedelta(seconds=61))

    assert (held.calls, held.held) == (1, {(OWNER, "c1")})
    assert (by_the_dead.calls, by_the_dead.held) == (1, frozenset())
    assert later.calls == 0


def test_who_lost_a_call_to_a_deletion_settles_nothing(
    ledger: Ledger, forgetting: Forgetting, told: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([told("c1")], now=noon)
    (claim,) = ledger.claim(OWNER, holder="r/1", limit=1, for_s=60, now=noon)
    late = noon + timedelta(seconds=61)
    forgetting.forget([(OWNER, "c1")], now=late)

    settled = ledger.settle([(claim, WRITTEN)], holder="r/1", kind="note", run_id="r", now=late)

    assert settled == 0
    assert ledger.counts() == {("forgotten", None): 1}


def test_forgotten_calls_are_never_tried_again(
    ledger: Ledger,
    forgetting: Forgetting,
    told: Callable[..., Call],
    deliver: Callable[..., Claim],
    engine: Engine,
    noon: datetime,
) -> None:
    ledger.accept([told("c1")], now=noon)
    deliver(MISSED)
    forget_all(forgetting, noon, sought())
    retries = Retries(engine)

    counted = retries.count(RetryFilter(), now=noon)
    put_back = retries.put_back(RetryFilter(), now=noon)
    one = retries.put_back_call(OWNER, "c1", now=noon)

    assert (counted.matched, put_back.matched, one) == (0, 0, CallRetry.UNKNOWN)
    assert ledger.hasten(None, "contact_not_found", now=noon) == ledger.wake(OWNER, now=noon) == 0
    assert ledger.counts() == {("forgotten", "contact_not_found"): 1}


def test_figures_do_not_wait_for_a_forgotten_call(
    ledger: Ledger,
    forgetting: Forgetting,
    told: Callable[..., Call],
    engine: Engine,
    noon: datetime,
) -> None:
    ledger.accept([told("c1")], now=noon)
    forget_all(forgetting, noon, sought())

    figures = load_figures(engine)

    assert figures.oldest_open_at is None
    assert [(each.state, each.count) for each in figures.calls] == [("forgotten", 1)]


def test_rows_on_their_way_to_the_history_say_what_happened_and_to_nobody(
    ledger: Ledger,
    forgetting: Forgetting,
    told: Callable[..., Call],
    deliver: Callable[..., Claim],
    engine: Engine,
    noon: datetime,
) -> None:
    ledger.accept([told("c1")], now=noon)
    deliver(WRITTEN)
    ledger.accept([told("c2", customer_number="+14155550143")], now=noon)
    deliver(MISSED)
    expected = 1 if is_shared(engine) else 0
    counted = forgetting.in_outbox([(OWNER, "c1")]), forgetting.count_history([(OWNER, "c1")])

    done = forgetting.forget([(OWNER, "c1")], now=noon)

    assert (done.outbox_rows, done.history_rows) == counted == (1, expected)
    forgotten, kept = Outbox(engine).load(9)
    assert {name for name, value in forgotten.items() if value is None} >= {
        "contact_id", "error_message", "phone_number", "contact_match",
    }  # fmt: skip
    assert (forgotten["status"], forgotten["engagement_id"]) == ("success", "901")
    assert (kept["phone_number"], kept["error_message"]) == ("+14155550143", MISSED.message)
    assert forgetting.in_outbox([(OWNER, "c1")]) == 0
    assert forgetting.count_history([(OWNER, "c1")]) == 0
    if is_shared(engine):
        with reading(engine) as connection:
            rows = connection.execute(text("SELECT phone_number FROM hubspot_sync_logs"))
            assert set(rows.scalars()) == {None, "+14155550143"}


def test_calls_that_only_the_shared_history_tells_of_are_found(
    ledger: Ledger,
    forgetting: Forgetting,
    told: Callable[..., Call],
    deliver: Callable[..., Claim],
    engine: Engine,
    noon: datetime,
) -> None:
    ledger.accept([told("c1", customer_number="(415) 555-0142")], now=noon)
    deliver(MISSED)

    found = forgetting.in_history(sought())

    assert found == ({(OWNER, "c1")} if is_shared(engine) else set())


def test_a_call_without_a_row_is_never_taken_over_later(
    ledger: Ledger, forgetting: Forgetting, told: Callable[..., Call], noon: datetime
) -> None:
    forgetting.forget([(OWNER, "c9")], now=noon)

    accepted = ledger.accept([told("c9")], now=noon)

    assert accepted == Accepted(new=0, changed=0, unchanged=1)


def test_what_an_earlier_run_did_not_end_is_found_again_until_it_is_finished(
    ledger: Ledger, forgetting: Forgetting, told: Callable[..., Call], noon: datetime
) -> None:
    ledger.accept([told("c1")], now=noon)
    forgetting.forget([(OWNER, "c1")], now=noon)

    unfinished = forgetting.find(Sought())
    forgetting.finish([(OWNER, "c1")], now=noon)

    assert [(call.key, call.is_forgotten) for call in unfinished] == [((OWNER, "c1"), True)]
    assert forgetting.find(sought()) == []
    assert [call.is_forgotten for call in forgetting.find(Sought(call_ids=("c1",)))] == [True]


def test_old_calls_are_those_whose_outcome_is_old(
    ledger: Ledger,
    forgetting: Forgetting,
    told: Callable[..., Call],
    deliver: Callable[..., Claim],
    noon: datetime,
) -> None:
    ledger.accept([told("settled")], now=noon)
    deliver(MISSED)
    ledger.accept([told("due")], now=noon)

    before = forgetting.find(Sought(settled_before=noon))
    after = forgetting.find(Sought(settled_before=noon + timedelta(seconds=1)))

    assert before == []
    assert [call.key[1] for call in after] == ["settled"]


def test_contacts_created_for_a_number_are_no_longer_noted(
    forgetting: Forgetting, engine: Engine, noon: datetime
) -> None:
    contacts = NewContacts(engine)
    for portal_id, number in ((1, NUMBER), (2, NUMBER), (1, "+14155550143")):
        contacts.announce(portal_id, number, None, noon)
        contacts.save(portal_id, number, f"{portal_id}7")

    created = forgetting.contacts_created([NUMBER])
    of_one_portal = forgetting.forget_contacts([NUMBER], [2])
    everywhere = forgetting.forget_contacts([NUMBER], None)

    assert sorted(created) == [(1, "17"), (2, "27")]
    assert (of_one_portal, everywhere) == (1, 1)
    assert contacts.load(1, [NUMBER, "+14155550143"]).keys() == {"+14155550143"}


def test_nothing_of_it_is_left_in_the_files_of_a_sqlite_store(
    ledger: Ledger,
    forgetting: Forgetting,
    told: Callable[..., Call],
    deliver: Callable[..., Claim],
    engine: Engine,
    store_path: Path,
    noon: datetime,
) -> None:
    said = "Quincunx " * 2000
    ledger.accept([told("c1", transcript=said)], now=noon)
    ledger.accept([told("c1", transcript=said + "and a crown")], now=noon)
    deliver(WRITTEN)
    ledger.accept([told("c2", customer_number="+14155550143", customer_name="Ivo")], now=noon)

    forget_all(forgetting, noon, sought())
    written = write_file_anew(engine)

    bytes_of_all = b"".join(path.read_bytes() for path in store_path.parent.iterdir())
    assert written
    assert [word for word in (b"Quincunx", b"4155550142", b"Iris") if word in bytes_of_all] == []
    assert b"+14155550143" in bytes_of_all


def test_a_servers_files_are_left_to_the_server(engine: Engine) -> None:
    written = write_file_anew(engine)

    assert written is not is_shared(engine)
