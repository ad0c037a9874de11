"""Whose data is to be deleted, what there is of it, and what became of it.

Pure: decides whether a stored thing is one of those that are meant. Must not know how a place
forgets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from call_stream.stream import StreamEntry
from call_stream.told_call import ToldCall, blanked, told_call
from hubspot_calls.elsewhere import Elsewhere
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.errors import CallOutcomeError
from target_hubspot_calls.phone import PhoneNumber, parse_number
from target_hubspot_calls.store.sought_calls import LedgerCall, Sought

if TYPE_CHECKING:
    from receiver.raw_reports import RawReport
    from target_hubspot_calls.store.ledger_conditions import CallKey

DEFAULT_REGION = "US"


@dataclass(frozen=True)
class Asked:
    """Whose data: calls of a number, an e-mail address, some ids, or all that settled long ago."""

    number: PhoneNumber | None = None
    email: str | None = None
    call_ids: tuple[str, ...] = ()
    settled_before: datetime | None = None
    user_id: str | None = None
    workspace_id: str | None = None
    default_region: str = DEFAULT_REGION

    def is_number(self, written: str) -> bool:
        """Whether somebody wrote the number so."""
        return self.number is not None and self._e164(written) == self.number.e164

    def is_email(self, written: str) -> bool:
        """Whether somebody wrote the e-mail address so."""
        return self.email is not None and written.strip().lower() == self.email.lower()

    def e164_of(self, calls: list[LedgerCall]) -> set[str]:
        """The numbers of the calls, and the one that is asked for."""
        found = {self._e164(call.number) for call in calls if call.number}
        found |= {self.number.e164} if self.number else set()
        return {number for number in found if number is not None}

    @property
    def is_of_one_owner(self) -> bool:
        """Whether only one user's or workspace's calls are meant."""
        return self.user_id is not None or self.workspace_id is not None

    @property
    def sought(self) -> Sought:
        """The same as the store is asked."""
        return Sought(
            user_id=self.user_id,
            workspace_id=self.workspace_id,
            digits=self.number.national if self.number else None,
            is_number=self.is_number,
            email=self.email,
            call_ids=self.call_ids,
            settled_before=self.settled_before,
        )

    def _e164(self, written: str) -> str | None:
        try:
            return parse_number(written, self.default_region).e164
        except CallOutcomeError:
            return None


@dataclass(frozen=True)
class Places:
    """How many things of the calls there are, or were, in each place that is ours."""

    ledger_rows: int = 0
    outbox_rows: int = 0
    shared_history_rows: int = 0
    sync_log_rows: int = 0
    stream_entries: int = 0
    raw_reports: int = 0
    created_contacts: int = 0


@dataclass(frozen=True)
class Plan:
    """What there is of the calls, here and elsewhere; nothing is changed yet.

    `unfinished` are calls whose deletion an earlier run began, `numbers` those of the calls in
    E.164; contacts that were created for them are noted in the portals, None for all.
    """

    asked: Asked
    keys: frozenset[CallKey]
    unfinished: int
    numbers: frozenset[str]
    portal_ids: frozenset[int] | None
    there: Places
    elsewhere: Elsewhere


@dataclass
class Done:
    """What was deleted; `left` says in a sentence each what was not, and what to do about it."""

    deleted: Places
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Meant:
    """The calls that are meant, in places whose entries have to be looked at one by one.

    `keys` are those that are known, `default` is the workspace of entries that name none.
    """

    asked: Asked
    keys: frozenset[CallKey]
    default: Workspace

    def key_of(self, entry: StreamEntry) -> CallKey | None:
        """The call of an entry of the call stream, where it is one of those that are meant."""
        told = told_call(entry)
        if told is None:
            return None
        owner = Workspace(
            told.user_id or self.default.user_id, told.workspace_id or self.default.workspace_id
        )
        is_meant = (owner, told.call_id) in self.keys or (
            self.asked.sought.is_of_owner(owner) and self._names_caller(told)
        )
        return (owner, told.call_id) if is_meant else None

    def new_payload(self, entry: StreamEntry) -> bytes | None:
        """What is left of an entry that is meant; None for the others."""
        return None if self.key_of(entry) is None else blanked(entry)

    def has_raw(self, report: RawReport) -> bool:
        """Whether a raw report is one of a call that is meant.

        One of which no call could be made names its caller in no known place.
        """
        owner = Workspace(report.arrival.user_id, report.arrival.workspace_id)
        if report.call_id is not None and (owner, report.call_id) in self.keys:
            return True
        words = [self.asked.number.e164] if self.asked.number else []
        words += [self.asked.email] if self.asked.email else []
        return self.asked.sought.is_of_owner(owner) and any(
            word.encode() in report.body for word in words
        )

    def _names_caller(self, told: ToldCall) -> bool:
        return (
            told.call_id in self.asked.call_ids
            or any(map(self.asked.is_number, told.numbers))
            or any(map(self.asked.is_email, told.emails))
        )
