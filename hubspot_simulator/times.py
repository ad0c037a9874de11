"""Points in time as HubSpot writes and reads them.

It knows nothing of records or requests.
"""

from __future__ import annotations

from datetime import UTC, datetime


def iso(at: float) -> str:
    """A point in time, given in seconds since 1970, as HubSpot prints it: UTC, milliseconds."""
    moment = datetime.fromtimestamp(at, UTC)
    precision = "milliseconds" if moment.microsecond >= 1000 else "seconds"
    return f"{moment.isoformat(timespec=precision)[:-6]}Z"


def to_epoch_ms(written: str) -> int | None:
    """Milliseconds since 1970 of an epoch number or ISO-8601 text; None where it is neither."""
    text = written.strip()
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
