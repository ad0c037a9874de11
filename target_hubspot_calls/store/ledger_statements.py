"""What a change of a ledger row writes into it, as statements that are given their values later.

Knows columns and nothing of who may change what; a row's values come from `ledger_rows.py`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Integer,
    Text,
    Update,
    and_,
    bindparam,
    case,
    func,
    true,
    update,
)

from target_hubspot_calls.store.ledger_rows import DUE
from target_hubspot_calls.store.many_rows import Given, UpdateEach
from target_hubspot_calls.store.schema import UtcDateTime
from target_hubspot_calls.store.schema import calls as table

_TEXT, _TIME, _WHETHER = Text(), UtcDateTime(), Boolean()
_KEY = dict.fromkeys(("k_user", "k_workspace", "k_call"), _TEXT)


def _is_of_key(given: Given) -> ColumnElement[bool]:
    return and_(
        table.c.user_id == given("k_user"),
        table.c.workspace_id == given("k_workspace"),
        table.c.call_id == given("k_call"),
    )


def _merge(given: Given) -> Update:
    return (
        update(table)
        .where(_is_of_key(given))
        .values(
            record=given("b_record"),
            record_digest=given("b_digest"),
            state=given("b_state"),
            due_at=given("b_due_at"),
            attempt=given("b_attempt"),
            call_started_at=given("b_started_at"),
            recording_url_expires_at=given("b_expires_at"),
            customer_number=given("b_number"),
            updated_at=given("b_now"),
        )
    )


def _announce_contact(given: Given) -> Update:
    return update(table).where(_is_of_key(given)).values(intent_contact_id=given("b_contact"))


def _settle(given: Given) -> Update:
    is_unchanged = table.c.record_digest == given("b_digest")
    write_is_unknown = given("b_write_unknown") == true()
    recording_is_due = given("b_recording_due") == true()
    return (
        update(table)
        .where(_is_of_key(given))
        .values(
            state=case((is_unchanged, given("b_state")), else_=DUE),
            due_at=case((is_unchanged, given("b_due_at")), else_=given("b_now")),
            attempt=given("b_attempt"),
            claimed_by=None,
            claimed_until=None,
            intent=case((write_is_unknown, table.c.intent), else_=None),
            contact_id=given("b_contact"),
            contact_match=given("b_match"),
            engagement_id=given("b_engagement"),
            engagement_type=given("b_kind"),
            delivered_digest=given("b_delivered"),
            portal_id=given("b_portal"),
            file_id=given("b_file"),
            recording_status=given("b_recording"),
            recording_due_at=case(
                (recording_is_due, given("b_now")), else_=table.c.recording_due_at
            ),
            status=given("b_status"),
            reason=given("b_reason"),
            retryable=given("b_retryable"),
            error_message=given("b_message"),
            correlation_id=given("b_correlation"),
            customer_number=case((is_unchanged, given("b_number")), else_=table.c.customer_number),
            settled_at=given("b_now"),
            updated_at=given("b_now"),
        )
    )


def _settle_recording(given: Given) -> Update:
    return (
        update(table)
        .where(_is_of_key(given))
        .values(
            file_id=given("b_file"),
            recording_status=given("b_recording"),
            delivered_digest=given("b_delivered"),
            recording_due_at=given("b_due_at"),
            recording_attempt=given("b_attempt"),
            claimed_by=None,
            claimed_until=None,
            updated_at=given("b_now"),
        )
    )


MERGE = UpdateEach(
    {
        **_KEY,
        **dict.fromkeys(("b_record", "b_digest", "b_state", "b_number"), _TEXT),
        **dict.fromkeys(("b_due_at", "b_started_at", "b_expires_at", "b_now"), _TIME),
        "b_attempt": Integer(),
    },
    _merge,
)
ANNOUNCE_CONTACT = UpdateEach({**_KEY, "b_contact": _TEXT}, _announce_contact)
SETTLE = UpdateEach(
    {
        **_KEY,
        **dict.fromkeys(
            (
                "b_digest",
                "b_state",
                "b_contact",
                "b_match",
                "b_engagement",
                "b_kind",
                "b_delivered",
                "b_file",
                "b_recording",
                "b_status",
                "b_reason",
                "b_message",
                "b_correlation",
                "b_number",
            ),
            _TEXT,
        ),
        **dict.fromkeys(("b_due_at", "b_now"), _TIME),
        **dict.fromkeys(("b_write_unknown", "b_recording_due", "b_retryable"), _WHETHER),
        "b_attempt": Integer(),
        "b_portal": BigInteger(),
    },
    _settle,
)
SETTLE_RECORDING = UpdateEach(
    {
        **_KEY,
        **dict.fromkeys(("b_file", "b_recording", "b_delivered"), _TEXT),
        **dict.fromkeys(("b_due_at", "b_now"), _TIME),
        "b_attempt": Integer(),
    },
    _settle_recording,
)

_IS_UPDATE = bindparam("b_intent", type_=Text) == "update"
ANNOUNCE = update(table).values(
    # A create that is looked up and found stays announced until its result is settled: only
    # then is its engagement in the row.
    intent=case((_IS_UPDATE, func.coalesce(table.c.intent, "update")), else_=bindparam("b_intent")),
    intent_at=bindparam("b_now"),
    claimed_until=bindparam("b_until"),
    updated_at=bindparam("b_now"),
)
