"""Somebody with a workspace of their own, who looks at pages of the whole receiver."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

from uuid_utils import uuid7

from hubspot_calls.rooms import open_sync_log
from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.sync_log.log import drain

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOSTILE = '"><script>alert(1)</script>\u202e{{7*7}}'
NUMBERS = itertools.count(1)
NOT_FOUND = Outcome(Status.SKIPPED, Reason.CONTACT_NOT_FOUND, message="No contact has it.")
REJECTED = Outcome(Status.ERROR, Reason.REJECTED, message="HubSpot refused it.")
CREATED = Outcome(Status.SUCCESS, Reason.CREATED, contact_id="501", portal_id=77)


class Visitor:
    """Somebody with a workspace of their own, who looks at pages."""

    def __init__(self, whole: Any) -> None:
        self.whole = whole
        self.workspace = Workspace("dana", f"workspace-{next(NUMBERS)}")
        self.key = whole.store.keys.create("dana", self.workspace.workspace_id)[1]
        self.log = open_sync_log(whole.store.settings, wait_s=20)

    def get(self, path: str, **headers: str) -> Any:
        return self._ask("GET", path, headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Any:
        return self._ask("POST", path, headers, data=fields)

    def page(self, path: str, **headers: str) -> str:
        answer = self.get(path, **headers)
        assert answer.status_code == 200, answer.text
        return str(answer.text)

    def _ask(self, method: str, path: str, headers: dict[str, str], **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"} | headers
        return self.whole.ask(method, path, of=None, headers=headers, **options)

    def writes(self, *rows: dict[str, Any]) -> list[str]:
        """Writes rows to the history; gives back their ids."""
        whole_rows = [a_row() | vars(self.workspace) | row for row in rows]
        self.log.append(whole_rows)
        return [row["id"] for row in whole_rows]

    def stands(self, outcome: Outcome, **record: Any) -> str:
        """Brings a call to an outcome in ledger and history; gives back its id."""
        told = {"id": f"call-{next(NUMBERS)}", "customer_number": "+12025550142"} | record
        ledger = self.whole.store.ledger
        ledger.accept([parse_call(told, self.workspace)], now=AT)
        (claim,) = ledger.claim(self.workspace, holder="r/1", limit=1, for_s=9, now=AT)
        ledger.settle([(claim, outcome)], holder="r/1", kind="note", run_id="", now=AT)
        drain(self.whole.store.outbox, self.log)
        return str(told["id"])


def a_row() -> dict[str, Any]:
    number = next(NUMBERS)
    return {
        "id": str(uuid7()),
        "call_id": f"call-{number}",
        "contact_id": "501",
        "engagement_id": "9001",
        "engagement_type": "note",
        "status": "success",
        "reason": "created",
        "phone_number": "+12025550142",
        "recording_status": "attached",
        "attempt": 1,
        "portal_id": 77,
        "call_started_at": AT.isoformat(),
        "created_at": (AT + timedelta(seconds=number)).isoformat(),
    }


def calls_on(page: str) -> list[str]:
    return re.findall(r'href="/calls/([^"]+)"', page)


def addresses(page: str) -> list[str]:
    return [unescape(address) for address in re.findall(r'href="([^"]*)"', page)]


def address(page: str, words: str) -> str:
    """Where the link with these words leads."""
    found = re.search(rf'<a [^>]*href="([^"]*)"[^>]*>(?:<svg.*?</svg>)?{re.escape(words)}', page)
    assert found, words
    return unescape(found[1])


def due(visitor: Visitor) -> set[str]:
    """The visitor's calls that are delivered next."""
    claims = visitor.whole.store.ledger.claim(
        visitor.workspace, holder="r/9", limit=99, for_s=0, now=datetime.now(UTC)
    )
    return {claim.call.id for claim in claims}
