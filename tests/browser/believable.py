"""Two weeks of an invented dental practice: some 400 calls of every outcome, as a sync leaves them.

The same from run to run but for the clock: times count back from now. Nobody in it exists.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import update

from hubspot_calls.rooms import Store, open_sync_log
from target_hubspot_calls.call import Call, Workspace, parse_call
from target_hubspot_calls.content import engagement_content
from target_hubspot_calls.engagement import EngagementType
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome, RecordingOutcome
from target_hubspot_calls.recordings.status import RecordingStatus
from target_hubspot_calls.settings import read_settings
from target_hubspot_calls.store.database import writing
from target_hubspot_calls.store.keys import AccessKeys
from target_hubspot_calls.store.ledger_rows import Claim, RefusedRecord
from target_hubspot_calls.store.schema import connections
from target_hubspot_calls.store.webhooks import Webhooks
from target_hubspot_calls.sync_log.log import drain

DAYS, CALLS = 14, 400
SHOWN_CALL = "3f0c1b52-7d0e-4c55-9d7e-5f1c2ab40001"
OUR_LINE, REMINDERS = "+12025550100", "+12025550101"
_HOLDER = "run-0001/1"
_NAMES = (
    "Maria Jensen", "Tomás Ortega", "Priya Nair", "Walter Quill", "Aiko Brandt", "Chidi Bello",
    "Lena Hartwell", "Owen Pryce", "Samira Haddad", "Jonas Vik", "Beatriz Lobo", "Marcus Dell",
)  # fmt: skip
_SUMMARIES = (
    "The caller moved a cleaning to Friday at ten. The change was confirmed.",
    "The caller asked for the price of a first visit and will call back.",
    "The caller asked whether the practice takes their insurance. It does.",
    "The caller confirmed the appointment of tomorrow morning.",
    "The caller has a toothache and took the next free slot.",
)
_STRANGERS = tuple(f"+1202555017{digit}" for digit in range(10))


@dataclass(frozen=True)
class Told:
    """A call as it was reported, and what became of each try, so many seconds after the report."""

    record: Mapping[str, Any]
    tries: Sequence[tuple[float, Outcome]]
    recording: RecordingStatus | None = None
    later: Mapping[str, Any] | None = None


@dataclass
class Practice:
    """The workspace that is filled, and how."""

    store: Store
    workspace: Workspace
    now: datetime
    random: random.Random = field(default_factory=lambda: random.Random(5))
    webhook_id: str = ""
    portal_id: int | None = None

    def fill(self) -> str:
        """Webhooks, keys, calls with their outcomes, and one report that was no call.

        Gives back the text of a key.
        """
        self._date_connection()
        self._open_webhooks()
        key = self._make_keys()
        for told in sorted(self._calls(), key=lambda told: str(told.record["received_at"])):
            self._live(told)
        refused = RefusedRecord(
            "invalid-0001",
            self.workspace,
            "A report cannot become a call: the report names no call"
            f" (webhook {self.webhook_id}, received {self._at(27):%Y-%m-%dT%H:%M:%SZ})",
        )
        self.store.ledger.accept([], now=self._at(27), refused=[refused], run_id="run-0001")
        drain(self.store.outbox, open_sync_log(self.store.settings, wait_s=20))
        return key

    def _date_connection(self) -> None:
        """Lets the connection, which was made a moment ago, be as old as the calls."""
        whose = (self.workspace.user_id, self.workspace.workspace_id)
        connection = self.store.connections.get(*whose)
        if connection is None:
            return
        self.portal_id = connection.portal_id
        with writing(self.store.engine) as opened:
            made = update(connections).where(connections.c.id == connection.id)
            opened.execute(made.values(created_at=self._at(62 * 24)))

    def _open_webhooks(self) -> None:
        whose = (self.workspace.user_id, self.workspace.workspace_id)
        webhooks = Webhooks(self.store.engine, clock=partial(_same, self._at(61 * 24)))
        reminders, _ = webhooks.create(*whose, "bearer", label="Reminders")
        desk, _ = webhooks.create(*whose, label="Front desk")
        self.webhook_id = desk.id
        self.store.webhook_counts.add(
            {
                (desk.id, "stored"): (341, self._at(0.05)),
                (desk.id, "ignored"): (1204, self._at(0.05)),
                (reminders.id, "stored"): (61, self._at(3)),
                (reminders.id, "wrong_secret"): (2, self._at(90)),
            }
        )

    def _make_keys(self) -> str:
        text = ""
        for days in (61.0, 20.0, 3.0):
            made_at = self._at(days * 24)
            keys = AccessKeys(self.store.engine, clock=partial(_same, made_at))
            key, text = keys.create(self.workspace.user_id, self.workspace.workspace_id)
            if days == 61.0:
                AccessKeys(self.store.engine, clock=partial(_same, self._at(500))).revoke(key.id)
        return text

    def _calls(self) -> Iterator[Told]:
        yield self._shown()
        yield from self._open()
        for number in range(CALLS):
            yield self._call(number)

    def _shown(self) -> Told:
        """The call whose page is shown: tried twice, written, and filled in by a later report."""
        record = self._record(SHOWN_CALL, self._at(26.4), number="+12025550142") | {
            "customer_name": "Maria Jensen",
            "summary": _SUMMARIES[0],
            "structured_data": {"intent": "reschedule", "day": "Friday", "new_patient": False},
            "success_evaluation": "true",
        }
        match = "phone number, oldest of 2 contacts with it"
        lost = self._error(
            Reason.UNAVAILABLE, "HubSpot did not answer within 30 seconds.", retry_s=12
        )
        first = {**record, "summary": None, "structured_data": None, "success_evaluation": None}
        return Told(
            first,
            [(2, lost), (14.6, _written("51204", match))],
            RecordingStatus.ATTACHED,
            later=record,
        )

    def _open(self) -> Iterator[Told]:
        """What is under way: a call that waits for its next try, and two in line."""
        busy = self._error(
            Reason.RATE_LIMITED, "HubSpot asked to wait before the next request.", retry_s=900
        )
        yield Told(self._record("call-under-way-1", self._at(0.05)), [(2, busy)])
        yield Told(self._record("call-under-way-2", self._at(0.01)), [])
        yield Told(self._record("call-under-way-3", self._at(0.005)), [])

    def _call(self, number: int) -> Told:
        at = self._moment()
        call_id = f"{self.random.getrandbits(32):08x}-{number:04x}-4a10-8c00-{number:012x}"
        record = self._record(call_id, at)
        kind = self.random.random()
        if kind < 0.13:
            stranger = _STRANGERS[min(int(self.random.expovariate(0.45)), 9)]
            return Told({**record, "customer_number": stranger, "customer_name": None}, [_MISSED])
        if kind < 0.16:
            return Told({**record, "customer_number": None, "direction": "web"}, [_NO_NUMBER])
        if kind < 0.17:
            return Told({**record, "customer_number": "anonymous"}, [_NO_PHONE])
        if kind < 0.19:
            return Told(record, [_REFUSED])
        contact_id = str(51_200 + int(record["customer_number"][-2:]))
        tries = [(2.1, _written(contact_id, "phone number, the only contact with it"))]
        if kind < 0.23:
            gone = self._error(Reason.UNAVAILABLE, "HubSpot answered 503.", retry_s=4)
            tries = [(1.5, gone), (6.0, tries[0][1])]
        recording = RecordingStatus.ATTACHED
        if kind > 0.96:
            recording = self.random.choice([RecordingStatus.EXPIRED, RecordingStatus.TOO_LARGE])
        return Told(record, tries, recording if record["recording_url"] else None)

    def _record(self, call_id: str, at: datetime, *, number: str | None = None) -> dict[str, Any]:
        seconds = self.random.randint(25, 340)
        is_reminder = self.random.random() < 0.2
        went = self.random.choices(["completed", "voicemail", "no_answer", "busy"], [80, 10, 8, 2])[
            0
        ]
        has_sound = went in ("completed", "voicemail")
        who = self.random.randrange(len(_NAMES))
        return {
            "id": call_id,
            "webhook_id": self.webhook_id,
            "source": "webhook",
            "direction": "outbound" if is_reminder else "inbound",
            "customer_number": number or f"+12025550{120 + who}",
            "customer_name": _NAMES[who],
            "phone_number": REMINDERS if is_reminder else OUR_LINE,
            "started_at": (at - timedelta(seconds=seconds + 4)).isoformat(),
            "ended_at": (at - timedelta(seconds=4)).isoformat(),
            "duration_ms": seconds * 1000,
            "ended_reason": "customer-ended-call" if has_sound else "customer-did-not-answer",
            "outcome": went,
            "summary": self.random.choice(_SUMMARIES) if went == "completed" else None,
            "recording_url": f"https://recordings.example/{call_id}.wav" if has_sound else None,
            "assistant_name": "Reminders" if is_reminder else "Front desk",
            "received_at": at.isoformat(),
        }

    def _moment(self) -> datetime:
        """Some time in the two weeks: in opening hours mostly, seldom on a weekend."""
        while True:
            at = self.now - timedelta(days=DAYS * self.random.random(), minutes=20)
            is_open = 8 <= at.hour < 18 and at.weekday() < 5
            if is_open or self.random.random() < 0.06:
                return at

    def _at(self, hours_ago: float) -> datetime:
        return self.now - timedelta(hours=hours_ago)

    def _error(self, reason: Reason, message: str, *, retry_s: float) -> Outcome:
        return Outcome(
            Status.ERROR,
            reason,
            retryable=True,
            message=message,
            correlation_id=f"7c1d{self.random.getrandbits(24):06x}-0f5e-4b7a-9a51-0d2f1f3e8b77",
            # The next try is written down later by a try of its own, or lies ahead.
            retry_at=self.now + timedelta(seconds=retry_s),
        )

    def _live(self, told: Told) -> None:
        """Takes the call through the ledger as the sync would have."""
        at = datetime.fromisoformat(told.record["received_at"])
        call = self._accept(told.record, at)
        for after_s, outcome in told.tries:
            self._settle(call, outcome, at + timedelta(seconds=after_s))
        if told.recording is not None:
            self._attach(call, told.recording, at + timedelta(seconds=told.tries[-1][0] + 3.2))
        if told.later is not None:
            later_at = at + timedelta(minutes=4)
            record = {**told.later, "received_at": later_at.isoformat()}
            call = self._accept(record, later_at)
            outcome = _written(*_contact_of(told), reason=Reason.UPDATED)
            self._settle(call, outcome, later_at + timedelta(seconds=2))

    def _accept(self, record: Mapping[str, Any], at: datetime) -> Call:
        call = parse_call(record, self.workspace)
        self.store.ledger.accept([call], now=at + timedelta(seconds=1))
        return call

    def _settle(self, call: Call, outcome: Outcome, at: datetime) -> None:
        claim = self._claim(call, at)
        outcome = replace(outcome, portal_id=self.portal_id)
        if outcome.engagement_id is not None:
            outcome = self._with_digest(claim, outcome)
        self.store.ledger.settle(
            [(claim, outcome)], holder=_HOLDER, kind="note", run_id="run-0001", now=at
        )

    def _with_digest(self, claim: Claim, outcome: Outcome) -> Outcome:
        recording = RecordingStatus.NONE if not claim.call.recording_url else None
        return Outcome(
            **vars(outcome)
            | {
                "delivered_digest": self._digest(claim, claim.file_id),
                "recording_status": claim.recording_status or recording,
                "recording_due": recording is None and claim.recording_status is None,
                "engagement_id": claim.engagement_id or str(88_000 + self.random.randrange(9_999)),
            }
        )

    def _attach(self, call: Call, status: RecordingStatus, at: datetime) -> None:
        (claim,) = self.store.ledger.claim_recordings(
            self.workspace, holder=_HOLDER, limit=1, for_s=9, now=at
        )
        file_id = "712004" if status is RecordingStatus.ATTACHED else None
        digest = self._digest(claim, file_id)
        outcome = RecordingOutcome(status, file_id=file_id, delivered_digest=digest)
        self.store.ledger.settle_recordings(
            [(claim, outcome)], holder=_HOLDER, run_id="run-0001", now=at
        )

    def _claim(self, call: Call, at: datetime) -> Claim:
        # A try of now belongs to a time when the next one was still to come.
        self.store.retries.put_back_call(self.workspace, call.id, now=at)
        claims = self.store.ledger.claim(
            self.workspace, holder=_HOLDER, limit=9, for_s=9, now=at + timedelta(seconds=1)
        )
        (claim,) = [claim for claim in claims if claim.call.id == call.id]
        return claim

    def _digest(self, claim: Claim, file_id: str | None) -> str:
        settings = read_settings(self.store.settings.target_config(), ignored=frozenset())
        return engagement_content(claim.call, EngagementType.NOTE, settings, file_id=file_id).digest


def fill(store: Store, workspace: Workspace) -> str:
    """Fills the workspace with two weeks that end now; gives back an access key of it."""
    return Practice(store, workspace, datetime.now(UTC).replace(microsecond=0)).fill()


def _written(contact_id: str, match: str, reason: Reason = Reason.CREATED) -> Outcome:
    return Outcome(
        Status.SUCCESS,
        reason,
        contact_id=contact_id,
        contact_match=match,
        engagement_id="to be given",
    )


def _same(moment: datetime) -> datetime:
    return moment


def _contact_of(told: Told) -> tuple[str, str]:
    outcome = told.tries[-1][1]
    return str(outcome.contact_id), str(outcome.contact_match)


def _skipped(reason: Reason, message: str) -> tuple[float, Outcome]:
    return 2.0, Outcome(Status.SKIPPED, reason, message=message)


_MISSED = _skipped(Reason.CONTACT_NOT_FOUND, "No contact in HubSpot has this number.")
_NO_NUMBER = _skipped(Reason.NO_PHONE_NUMBER, "The call has no phone number.")
_NO_PHONE = _skipped(Reason.INVALID_PHONE_NUMBER, "What the call gives is no phone number.")
_REFUSED = (
    2.0,
    Outcome(
        Status.ERROR,
        Reason.REJECTED,
        message="HubSpot refused: Property values were not valid (VALIDATION_ERROR).",
        correlation_id="aeb5f871-7f07-4993-9211-075dc63e7cbf",
    ),
)
