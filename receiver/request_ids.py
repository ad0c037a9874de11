"""The id by which one request can be found in the log, here and at whoever sent it on.

Pure: an id of the sender's is taken only if it can neither break nor fake a line of the log.
"""

from __future__ import annotations

import re

from uuid_utils import uuid7

REQUEST_ID_HEADER = b"x-request-id"
_SANE = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


def to_request_id(given: bytes | None) -> str:
    """The sender's own id of the request if it is a sane one, else a new one."""
    if given is not None and _SANE.fullmatch(given):
        return given.decode("ascii")
    return uuid7().hex
