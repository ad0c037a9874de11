"""`retry`: calls put back in line from the command line, and a clear answer when none are."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from hubspot_calls.rooms import open_store
from hubspot_calls.settings import Settings
from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome

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
            store.ledger.accept([parse_call({"id": call_id}, workspace)], now=at)
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
    assert (dry.out, done.out) == ("", "")


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
