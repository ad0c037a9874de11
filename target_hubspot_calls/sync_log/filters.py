"""What a reader asks the sync log for, and the parameters of the statements that find it.

Pure: knows the names that `queries.sql` gives its parameters, no connection and no file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from target_hubspot_calls.sync_log.rows import to_naive_utc

_QUOTED = re.compile(r'"(.+)"')
_WRITTEN_NUMBER = re.compile(r"[\d\s()+./-]*\d[\d\s()+./-]*")


@dataclass(frozen=True)
class SoughtNumber:
    """A number as somebody looks for it: how it may be written, and how it may end."""

    spellings: tuple[str, ...]
    ending: str | None = None


@dataclass(frozen=True)
class HistoryFilter:
    """Which rows; None lets everything pass. `since` is included, `until` is not.

    `query` is looked for in call id, phone number, error message and contact id; `phone_number` is
    the whole number, or its last digits; in quotation marks the number as it is written.
    """

    user_id: str | None = None
    workspace_id: str | None = None
    status: str | None = None
    reason: str | None = None
    call_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    query: str | None = None
    phone_number: str | None = None

    def parameters(self) -> dict[str, Any]:
        """The parameters of `matching`. Raises ValueError for a time without a time zone."""
        query = (self.query or "").strip() or None
        has_letters = query is not None and query.lower() != query.upper()
        sought = sought_number(self.phone_number)
        return {
            "user_id": self.user_id,
            "workspace_id": self.workspace_id,
            "status": self.status,
            "reason": self.reason,
            "call_id": self.call_id,
            "since": to_naive_utc(self.since, "since"),
            "until": to_naive_utc(self.until, "until"),
            "query": query,
            "digits": digits_of(query),
            "caseless": None if has_letters else query,
            "lower_case": query.lower() if query and has_letters else None,
            "numbers": list(sought.spellings) if sought else None,
            "number_end": sought.ending if sought else None,
        }


def digits_of(query: str | None) -> str | None:
    """The digits of a number however it was written, None for a text that is no number."""
    if query is None or not _WRITTEN_NUMBER.fullmatch(query):
        return None
    return re.sub(r"\D", "", query)


def sought_number(written: str | None) -> SoughtNumber | None:
    """The number that a text asks for, however it was written; None for a blank one.

    With its country, a number is meant whole; without, it may be the end of a longer one. Between
    quotation marks it is meant as it stands there.
    """
    text = (written or "").strip()
    if not text:
        return None
    if quoted := _QUOTED.fullmatch(text):
        return SoughtNumber((quoted[1],))
    digits = digits_of(text)
    if digits is None:
        return SoughtNumber((text,))
    if text.startswith("+"):
        return SoughtNumber(tuple(dict.fromkeys((text, f"+{digits}"))))
    return SoughtNumber((text,), digits)
