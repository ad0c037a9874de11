"""How a call stream's things are called on JetStream: subjects, buckets, headers.

Knows spelling alone; whatever the ids of users and workspaces hold, two owners never share a
subject, and no id can reach beyond its own token.
"""

from __future__ import annotations

import hashlib
import re

MESSAGE_ID = "Nats-Msg-Id"
"""By which the server knows a repeated publish."""
EXPECTED_STREAM = "Nats-Expected-Stream"
KIND = "Calls-Kind"
RECEIVED_NS = "Calls-Received-Ns"
OBJECT = "Calls-Object"
"""Names the object that holds the payload, where it is larger than a message may be."""

_MOST_TOKEN_CHARACTERS = 96
_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
_READER_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def subjects_of(stream: str) -> list[str]:
    """What the stream listens to: one subject for each user's workspace, nothing else."""
    return [f"hubspot-calls.{stream}.*.*"]


def subject_of(stream: str, owner: tuple[str, str]) -> str:
    """The subject of one user's workspace."""
    user_id, workspace_id = owner
    return f"hubspot-calls.{stream}.{to_token(user_id)}.{to_token(workspace_id)}"


def to_token(text: str) -> str:
    """The text as one token of a subject; other texts have other tokens.

    `=` never stands for itself: before two hex digits it is a byte, `==` begins a SHA-256.
    """
    data = text.encode("utf-8", "surrogatepass")
    if not data:
        return "="
    token = _UNSAFE.sub(lambda found: b"=%02X" % found[0][0], data).decode()
    if len(token) > _MOST_TOKEN_CHARACTERS:
        return f"=={hashlib.sha256(data).hexdigest()}"
    return token


def payload_bucket(stream: str) -> str:
    """The object store bucket of payloads that no message can hold."""
    return f"{stream}_payloads"


def position_bucket(stream: str) -> str:
    """The key-value bucket of what named readers have finished with."""
    return f"{stream}_readers"


def to_reader_key(reader: str) -> str:
    """The key of a named reader. Raises ValueError for an unfit name."""
    if not _READER_NAME.fullmatch(reader):
        raise ValueError("a reader's name has 1 to 64 letters, digits, '-' or '_'")
    return reader
