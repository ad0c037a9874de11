"""Payloads larger than a message may be: kept as objects, which the stream's messages name.

Knows the object store, whose own chunks and digest carry them; no stream and no reader.
"""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import suppress

from nats import errors
from nats.js import JetStreamContext, api
from nats.js import errors as js_errors
from nats.js.object_store import ObjectStore

from call_stream.jetstream_names import payload_bucket
from call_stream.stream import StreamError

_CHUNK_BYTES = 128 * 1024
_MEGABYTE = 1_000_000
_BASE_S = 5.0
_S_PER_MEGABYTE = 1.0
_FETCH_S = 30.0


class PayloadMissing(StreamError):
    """An entry stands in the stream and its payload is gone."""

    def __init__(self, position: int, why: str) -> None:
        self.position = position
        super().__init__(
            f"The call stream is damaged: the payload of the entry at position {position} {why} in"
            " the object store. Restore the bucket from a backup, or set the bookmark to this"
            " position to go on without it."
        )


class PayloadDeleted(PayloadMissing):
    """The payload was deleted on purpose, and its entry was to be deleted next."""

    def __init__(self, position: int) -> None:
        super().__init__(position, "was deleted")
        self.args = (
            f"Forgetting was cut off at position {position} of the call stream: the payload of the"
            " entry is deleted, and the entry is not. Let it be forgotten again, or set the"
            " bookmark to this position to go on without it.",
        )


def patience_for(size: int) -> float:
    """How long storing so many bytes may take, in seconds."""
    return _BASE_S + _S_PER_MEGABYTE * size / _MEGABYTE


async def store_payload(store: ObjectStore, name: str, payload: bytes, *, most_bytes: int) -> None:
    """Returns when the object is stored, in messages of so many bytes at most.

    Raises what the driver raises, TimeoutError among it.
    """
    options = api.ObjectMetaOptions(max_chunk_size=min(_CHUNK_BYTES, most_bytes))
    async with asyncio.timeout(patience_for(len(payload))):
        await store.put(name, payload, api.ObjectMeta(name=name, options=options))


async def drop_payload(store: ObjectStore, name: str) -> None:
    """Deletes an object that nothing refers to, if it is there; what fails is left to its age."""
    with suppress(errors.Error, OSError, TimeoutError):
        await store.delete(name)


async def delete_payload(js: JetStreamContext, stream: str, name: str) -> None:
    """Deletes the object for good, also one that is deleted in part. Raises what the driver raises.

    The driver's own takes the chunks away also where it could not say that they are deleted, and
    does not come back to those of an object that is marked as deleted.
    """
    bucket = payload_bucket(stream)
    try:
        store = await js.object_store(bucket)
        info = await store.get_info(name, show_deleted=True)
    except js_errors.NotFoundError:
        return
    if not info.deleted:
        info.deleted, info.size, info.chunks, info.digest = True, 0, 0, ""
        await js.publish(
            f"$O.{bucket}.M.{base64.urlsafe_b64encode(name.encode()).decode()}",
            json.dumps(info.as_dict()).encode(),
            headers={api.Header.ROLLUP: "sub"},
        )
    await js.purge_stream(f"OBJ_{bucket}", subject=f"$O.{bucket}.C.{info.nuid}")


async def load_payload(store: ObjectStore, name: str, position: int) -> bytes:
    """The payload of the entry at that position. Raises PayloadMissing."""
    try:
        info = await store.get_info(name, show_deleted=True)
        if info.deleted:
            raise PayloadDeleted(position)
        # The driver would wait for ever for chunks that are gone.
        async with asyncio.timeout(_FETCH_S):
            found = await store.get(name)
    except js_errors.NotFoundError as err:
        raise PayloadMissing(position, "is missing") from err
    except (js_errors.DigestMismatchError, js_errors.BadObjectMetaError) as err:
        raise PayloadMissing(position, "is not what was stored") from err
    except TimeoutError as err:
        raise PayloadMissing(position, "cannot be read whole") from err
    payload = bytes(found.data or b"")
    if len(payload) != info.size:
        raise PayloadMissing(position, "is not whole")
    return payload
