"""Entries of a call stream out of JetStream's messages, payloads from the object store included.

Knows headers and where a payload lies; no payload's meaning.
"""

from __future__ import annotations

from collections.abc import Mapping

from nats.js import JetStreamContext
from nats.js import errors as js_errors

from call_stream.jetstream_names import KIND, OBJECT, RECEIVED_NS, payload_bucket
from call_stream.jetstream_payloads import PayloadMissing, load_payload
from call_stream.stream import EntryKind, StreamEntry, StreamError

_KINDS = {str(int(kind)): kind for kind in EntryKind}


async def to_entry(
    js: JetStreamContext,
    stream: str,
    sequence: int,
    headers: Mapping[str, str] | None,
    data: bytes,
) -> StreamEntry:
    """The entry that a message is. Raises StreamError where it is none, or not whole."""
    told = headers or {}
    kind = _KINDS.get(told.get(KIND, ""))
    if kind is None:
        raise _not_ours(sequence) if KIND not in told else _from_the_future(sequence)
    received_ns = received_ns_of(told, sequence)
    name = told.get(OBJECT)
    if name is not None:
        try:
            store = await js.object_store(payload_bucket(stream))
        except js_errors.NotFoundError as err:
            raise PayloadMissing(sequence, "is missing") from err
        data = await load_payload(store, name, sequence)
    return StreamEntry(sequence, kind, received_ns, data)


def received_ns_of(headers: Mapping[str, str] | None, sequence: int) -> int:
    """When the entry was received. Raises StreamError where the message is no entry."""
    text = (headers or {}).get(RECEIVED_NS, "")
    if not text.isascii() or not text.isdigit():
        raise _not_ours(sequence)
    return int(text)


def _not_ours(sequence: int) -> StreamError:
    return StreamError(
        f"The message at position {sequence} of the call stream is no entry: another program"
        " publishes to its subjects. Stop it, and set the bookmark to this position to go on."
    )


def _from_the_future(sequence: int) -> StreamError:
    return StreamError(
        f"The entry at position {sequence} is of a kind this version does not know."
        " A newer version wrote it; update this one."
    )
