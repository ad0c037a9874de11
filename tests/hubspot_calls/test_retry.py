"""`retry`: calls put back in line from the command line, and a clear answer when none are."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from hubspot_calls.commands.retry_wait import wait_for_outcomes
from hubspot_calls.rooms import open_store
from hubspot_calls.settings import Settings
from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.store.retries import CallKey, RetryFilter
from tests.hubspot_calls.terminal import seen_on_terminal

HubSpotCalls = Callable[..., Any]

DEFAULT = Workspace("default", "default")


@pytest.fixture
def ledger(settings: Settings) -> None:
    """Two calls without a contact, one refused, one of another workspace, one written."""
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    missed = Outcome(Status.SKIPPED, Reason.CONTACT_NOT_FOUND)
    stand = {
        "missed-1": (DEFAULT, missed),
        "missed-2": (DEFAULT, missed),
        "refused": (DEFAULT, Outcome(Status.ERROR, Reason.REJECTED)),
        "acme": (Workspace("lee", "acme"), missed),
        "written": (DEFAULT, Outcome(Status.SUCCESS, Reason.CREATED, engagement_id="9")),
    }
    with open_store(settings) as store:
        for call_id, (workspace, outcome) in stand.items():
            number = {"customer_number": "+12025550142"} if call_id == "missed-1" else {}
            store.ledger.accept([parse_call({"id": call_id, **number}, workspace)], now=at)
            (claim,) = store.ledger.claim(workspace, holder="r/1", limit=9, for_s=9, now=at)
            store.ledger.settle([(claim, outcome)], holder="r/1", kind="note", run_id="", now=at)


def counts_of(out: str) -> tuple[int, int, int]:
    told = json.loads(out)
    return told["matched"], told["queued"], told["in_line"]


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ((), 4),
        (("--reason", "contact_not_found"), 3),
        (("--status", "error"), 1),
        (("--status", "skipped", "--workspace", "acme"), 1),
        (("--user", "lee"), 1),
        (("--call-id", "refused"), 1),
        (("--call-id", "written"), 0),
        (("--call-id", "nobody"), 0),
        (("--reason", "unavailable"), 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_matches_is_put_back_once(
    hubspot_calls: HubSpotCalls, arguments: tuple[str, ...], count: int
) -> None:
    dry = hubspot_calls("retry", *arguments, "--dry-run", "--json")
    done = hubspot_calls("retry", *arguments, "--json")
    again = hubspot_calls("retry", *arguments, "--json")

    assert [ended.code for ended in (dry, done, again)] == [0, 0, 0]
    assert counts_of(dry.out) == counts_of(done.out) == (count, count, 0)
    assert counts_of(again.out) == (count, 0, count)
    assert json.loads(dry.out)["dry_run"] is True
    assert done.err == ""


@pytest.mark.usefixtures("ledger")
def test_people_are_told_what_happens_next(hubspot_calls: HubSpotCalls) -> None:
    dry = hubspot_calls("retry", "--status", "skipped", "--dry-run")
    done = hubspot_calls("retry", "--status", "skipped")
    more = hubspot_calls("retry")
    again = hubspot_calls("retry", "--call-id", "refused")

    assert dry.err == "3 calls would be put back in line.\n"
    assert done.err.startswith("3 calls put back in line. `serve` takes them within seconds")
    assert more.err.startswith("1 call put back in line, 3 calls in line already. ")
    assert again.err == "Nothing to do: 1 call in line already.\n"
    assert [line.split() for line in dry.out.splitlines()[1:]] == [
        ["default", "default", "skipped", "contact_not_found", "2", "0"],
        ["lee", "acme", "skipped", "contact_not_found", "1", "0"],
    ]
    assert done.out == ""


@pytest.mark.usefixtures("ledger")
def test_nothing_that_matches_is_said_clearly(hubspot_calls: HubSpotCalls) -> None:
    none = hubspot_calls("retry", "--reason", "ambiguous_contact")
    written = hubspot_calls("retry", "--call-id", "written")

    assert (none.code, written.code) == (0, 0)
    assert none.err == ("Nothing to retry: no call that matches stands at error or skipped.\n")
    assert "no call of this id stands at error or skipped" in written.err


def test_a_missing_data_directory_is_not_made(
    hubspot_calls: HubSpotCalls, settings: Settings
) -> None:
    ended = hubspot_calls("retry", "--json")

    assert (ended.code, counts_of(ended.out)) == (0, (0, 0, 0))
    assert not settings.data_dir.exists()


@pytest.mark.parametrize(
    "arguments",
    [("--status", "success"), ("--reason", "created"), ("--reason", "nonsense"), ("call-1",)],
    ids=str,
)
def test_what_cannot_be_retried_is_wrong_use(
    hubspot_calls: HubSpotCalls, arguments: tuple[str, ...]
) -> None:
    ended = hubspot_calls("retry", *arguments)

    assert ended.code == 2
    assert ended.err.count("\n") == 1


@pytest.mark.usefixtures("ledger")
def test_scripts_are_told_what_stands_how_by_workspace_and_reason(
    hubspot_calls: HubSpotCalls,
) -> None:
    told = json.loads(hubspot_calls("retry", "--dry-run", "--json").out)

    assert told["groups"][0] == {
        "user_id": "default",
        "workspace_id": "default",
        "status": "skipped",
        "reason": "contact_not_found",
        "queued": 2,
        "in_line": 0,
    }
    assert [group["queued"] for group in told["groups"]] == [2, 1, 1]


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (("--all",), 4),
        (("--all", "--workspace", "acme"), 1),
        (("--since", "2026-11-20T11:00Z", "--until", "2026-11-20T13:00Z"), 4),
        (("--since", "2026-11-20T13:00Z"), 0),
        (("--number", "+12025550142"), 1),
        (("--number", "0142"), 1),
        (("--number", "9999"), 0),
        (("--query", "MISSED"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_calls_are_chosen_by_time_number_and_text(
    hubspot_calls: HubSpotCalls, arguments: tuple[str, ...], count: int
) -> None:
    done = hubspot_calls("retry", *arguments, "--json")

    assert counts_of(done.out) == (count, count, 0)


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("answer", "code", "queued"), [("y\n", 0, 3), ("n\n", 1, 0)], ids=["yes", "no"]
)
def test_people_see_what_it_is_and_are_asked_first(
    settings: Settings,
    environment: dict[str, str],
    answer: str,
    code: int,
    queued: int,
) -> None:
    shown, ended = answered(environment, answer, "retry", "--status", "skipped")

    with open_store(settings) as store:
        waiting = store.retries.count(RetryFilter(status="skipped"), now=datetime.now(UTC))
    assert "contact_not_found" in shown
    assert "Put 3 calls back in line? [y/N]" in shown
    assert ended == code
    assert waiting.in_line == queued


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("arguments", [("--yes",), ("--call-id", "refused")], ids=" ".join)
def test_nobody_is_asked_who_said_yes_or_named_one_call(
    environment: dict[str, str], arguments: tuple[str, ...]
) -> None:
    shown, ended = answered(environment, "", "retry", *arguments)

    assert "[y/N]" not in shown
    assert "back in line" in shown
    assert ended == 0


@pytest.mark.usefixtures("ledger")
def test_outcomes_are_told_as_they_come_in(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime.now(UTC)
    keys: list[CallKey] = []
    with open_store(settings) as store:
        store.retries.put_back(RetryFilter(user_id="default"), now=now, tell=keys.extend)

        def deliver_one(_: float) -> None:
            claims = store.ledger.claim(DEFAULT, holder="r/2", limit=1, for_s=9, now=now)
            written = Outcome(Status.SUCCESS, Reason.CREATED, engagement_id="9")
            store.ledger.settle(
                [(claim, written) for claim in claims],
                holder="r/2",
                kind="note",
                run_id="",
                now=now,
            )

        capsys.readouterr()
        seen = wait_for_outcomes(
            store.retries, keys, since=now, wait_s=60, sleep=deliver_one, monotonic=lambda: 0.0
        )

    said = capsys.readouterr().err.splitlines()
    assert seen.counts == {("success", "created"): 3}
    assert said == [
        "missed-1  success created",
        "missed-2  success created",
        "refused  success created",
        "3 success created.",
    ]


@pytest.mark.usefixtures("ledger")
def test_waiting_is_bounded_and_says_that_nobody_delivers(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    now, clock = datetime.now(UTC), iter(range(0, 1000, 5))
    keys: list[CallKey] = []
    with open_store(settings) as store:
        store.retries.put_back(RetryFilter(), now=now, tell=keys.extend)
        capsys.readouterr()
        seen = wait_for_outcomes(
            store.retries,
            keys,
            since=now,
            wait_s=60,
            sleep=lambda s: None,
            monotonic=lambda: float(next(clock)),
        )

    said = capsys.readouterr().err.splitlines()
    assert seen.still_waiting == 4
    assert said == [
        "Nobody has taken them yet: is `hubspot-calls serve` running?",
        "4 calls not tried yet.",
    ]


@pytest.mark.usefixtures("ledger")
def test_scripts_get_the_outcomes_in_their_document(hubspot_calls: HubSpotCalls) -> None:
    ended = hubspot_calls("retry", "--call-id", "refused", "--wait", "1", "--json")

    told = json.loads(ended.out)
    assert (told["queued"], told["outcomes"], told["still_waiting"]) == (1, [], 1)


def answered(environment: dict[str, str], answer: str, *arguments: str) -> tuple[str, int]:
    """What a person at a terminal sees who answers so, and how it ends."""
    plain = environment | {"TERM": "xterm", "NO_COLOR": "1"}
    return seen_on_terminal(plain, *arguments, answer=answer)
