"""The calls that have no lasting outcome yet, and what each of them waits for.

Knows the ledger's counts; it must not know how a call is delivered.
"""

from __future__ import annotations

from dataclasses import dataclass

from hubspot_calls.output import count_of
from hubspot_calls.rooms import open_store_if_there
from hubspot_calls.settings import Settings
from target_hubspot_calls.errors import Reason

CONNECT = "hubspot-calls connections add --service-key-stdin < key.txt"


@dataclass(frozen=True)
class WaitingCalls:
    """How many calls there are in all, and how many wait for what."""

    known: int
    next_try: int
    connection: int
    reconnection: int

    def in_words(self) -> str:
        """What waits for what, without a full stop; empty if nothing waits."""
        parts = []
        if self.next_try:
            its = "its" if self.next_try == 1 else "their"
            parts.append(f"{_wait(self.next_try)} for {its} next try")
        if self.reconnection:
            parts.append(f"{_wait(self.reconnection)} until a person reconnects HubSpot")
        if parts:
            parts[-1] += " (hubspot-calls history says why)"
        if self.connection:
            parts.append(f"{_wait(self.connection)} until HubSpot is connected: {CONNECT}")
        return "; ".join(parts)


def load_waiting(settings: Settings) -> WaitingCalls:
    """What waits now. Raises StoreUnavailable."""
    with open_store_if_there(settings) as store:
        counts = store.ledger.counts() if store else {}
    for_person = {reason: n for (state, reason), n in counts.items() if state == "waiting"}
    connection = for_person.pop(Reason.NOT_CONNECTED.value, 0)
    return WaitingCalls(
        known=sum(counts.values()),
        next_try=sum(n for (state, _), n in counts.items() if state == "due"),
        connection=connection,
        reconnection=sum(for_person.values()),
    )


def _wait(count: int) -> str:
    return f"{count_of(count, 'call')} {'waits' if count == 1 else 'wait'}"
