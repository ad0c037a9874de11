"""Hands batches of Singer records to the run; judges only whether a stream holds calls.

With target.py the only room that knows Singer. What a record says is checked in call.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from singer_sdk import BatchSink, Target

from target_hubspot_calls.call import Call, parse_call, parse_workspace
from target_hubspot_calls.errors import InvalidCallRecord
from target_hubspot_calls.store.ledger_rows import RefusedRecord

if TYPE_CHECKING:
    from target_hubspot_calls.target import TargetHubspotCalls

STREAM = "calls"
# A stream of another name is taken for calls if it could say whose they are.
WAYS_TO_A_CONTACT = frozenset({"customer_number", "customer_email", "hubspot_contact_id"})


class CallsSink(BatchSink):
    """Accepts call records into the ledger, 500 at a time; other streams are named and skipped."""

    max_size = 500

    def __init__(
        self,
        target: Target,
        stream_name: str,
        schema: dict[str, Any],
        key_properties: Sequence[str] | None,
    ) -> None:
        super().__init__(target, stream_name, schema, key_properties)
        self._calls_target: TargetHubspotCalls = target  # type: ignore[assignment]
        self.holds_calls = holds_calls(stream_name, schema)
        if not self.holds_calls:
            self.logger.warning(
                "Stream '%s' holds no calls (no id, or no way to a contact) and is skipped.",
                stream_name,
            )

    def get_validator(self) -> None:
        """None: the SDK's validator prints the values it refuses. call.py checks instead."""
        return

    def process_record(self, record: dict[str, Any], context: dict[str, Any]) -> None:
        """Keeps the record for the batch."""
        if self.holds_calls:
            super().process_record(record, context)

    def process_batch(self, context: dict[str, Any]) -> None:
        """Returns when the batch is durable in the ledger. Raises StoreUnavailable."""
        default = self._calls_target.settings.default_workspace
        calls: list[Call] = []
        refused: list[RefusedRecord] = []
        for record in context.get("records", ()):
            try:
                calls.append(parse_call(record, default))
            except InvalidCallRecord as err:
                workspace = parse_workspace(record, default)
                refused.append(RefusedRecord(_fingerprint(record), workspace, str(err)))
        if calls or refused:
            self._calls_target.run.accept(calls, refused)

    def _after_process_record(self, context: dict[str, Any]) -> None:
        # The SDK prints the whole batch here at DEBUG: numbers and transcripts.
        return

    def _validate_and_parse(self, record: dict[str, Any]) -> dict[str, Any]:
        # The SDK ends the whole run at the first odd date; call.py reads dates itself.
        return record

    def _singer_validate_message(self, record: dict[str, Any]) -> None:
        # The SDK ends the whole run at a record without its key; here it becomes an outcome.
        return


def _fingerprint(record: Mapping[str, Any]) -> str:
    told = json.dumps(record, sort_keys=True, default=str)
    return f"invalid-{hashlib.sha256(told.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def holds_calls(stream_name: str, schema: Mapping[str, Any]) -> bool:
    """True for the stream `calls`, and for any whose records can be read as calls."""
    properties = schema.get("properties") or {}
    return stream_name == STREAM or (
        "id" in properties and not WAYS_TO_A_CONTACT.isdisjoint(properties)
    )
