"""Whether a stored link still works, as far as one can tell without asking.

Pure: the time comes in as an argument.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

# Private since mid-2026 and gone from DNS, in that order: without a signature neither answers.
_VAPI_STORAGE = ("r2.cloudflarestorage.com", "storage.vapi.ai")
_LONGEST_LIFE_S = 604_800
_AMZ_DATE = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


def is_alive(url: str, expires_at: datetime | None, now: datetime) -> bool:
    """True if the link should work now: it has not expired, or never does."""
    try:
        parts = urlsplit(url)
        ends_at = expires_at or _signature_ends_at(parts.query)
        host = parts.hostname or ""
    except ValueError:
        return False
    if ends_at is not None:
        return now < ends_at
    return not any(host == name or host.endswith(f".{name}") for name in _VAPI_STORAGE)


def _signature_ends_at(query: str) -> datetime | None:
    """When a presigned link dies, None if it is not one. Source: AWS, Signature Version 4."""
    fields = {name.lower(): values[0] for name, values in parse_qs(query).items()}
    signed_at, life_s = fields.get("x-amz-date", ""), fields.get("x-amz-expires", "")
    if not _AMZ_DATE.fullmatch(signed_at) or not life_s.isdecimal() or len(life_s) > 6:
        return None
    moment = datetime.strptime(signed_at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return moment + timedelta(seconds=min(int(life_s), _LONGEST_LIFE_S))
