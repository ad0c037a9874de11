"""Where the page of a call is, whatever the call is named.

Pure. A path that is "." or ".." never leaves the browser, so calls of that name go in the query.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

CALL = "/calls/"
MARK = "/call-mark/"
RETRY = "/call-retry/"
ROW = "/history/rows/"

_LOST_IN_PATHS = frozenset({".", ".."})


def call_page(call_id: str, **said: str) -> str:
    """The address of the call's page, which may be told something more."""
    return _address(CALL, call_id, said)


def call_mark(call_id: str) -> str:
    """The address that says whether something is new of the call."""
    return _address(MARK, call_id, {})


def call_retry(call_id: str) -> str:
    """The address that puts the call back in line."""
    return _address(RETRY, call_id, {})


def row_page(row_id: str) -> str:
    """The address of one row of the history, for those that name no call."""
    return f"{ROW}{quote(row_id, safe='')}"


def _address(prefix: str, call_id: str, said: dict[str, str]) -> str:
    path = f"{prefix}{quote(call_id, safe='')}"
    if call_id in _LOST_IN_PATHS:
        path, said = prefix, {"id": call_id, **said}
    return f"{path}?{urlencode(said)}" if said else path
