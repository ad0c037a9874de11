"""What the servers say of a call stream as a whole: its ends, and how far named readers are.

Runs in a reader's loop; reads at most one entry and moves nothing but a named reader's position.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

from nats.js import JetStreamContext, api
from nats.js import errors as js_errors
from nats.js.kv import KeyValue

from call_stream.jetstream_entries import received_ns_of
from call_stream.jetstream_layout import find_positions, load_info, open_positions
from call_stream.jetstream_marks import Mark, check_marks, load_mark
from call_stream.jetstream_names import position_bucket
from call_stream.jetstream_url import JetStreamUrl
from call_stream.stream import Backlog, EntryKind, PositionGone, StreamEntry, StreamError

_LOOKS = 3
_LOOK_AGAIN_S = 0.4


def end_of(info: api.StreamInfo | None) -> int:
    """The position of the last entry; 0 when nothing was ever written."""
    if info is None or info.state.last_seq < (info.config.first_seq or 1):
        return 0
    return info.state.last_seq


async def load_checked(
    js: JetStreamContext, url: JetStreamUrl, position: int
) -> api.StreamInfo | None:
    """What the server says of the stream, None without one. Raises PositionGone."""
    info = await load_info(js, url)
    for _ in range(_LOOKS):
        if position <= end_of(info) or info is None or info.cluster is None:
            break
        # A leader that was just elected may still be about to apply the last entries.
        await asyncio.sleep(_LOOK_AGAIN_S)
        info = await load_info(js, url)
    last = end_of(info)
    if position > last:
        why = "it lies beyond the end of the stream" if last else "the stream is empty"
        raise PositionGone(position, why)
    if info is not None and position and position + 1 < info.state.first_seq:
        raise PositionGone(position, "the entries there are no longer kept")
    return info


async def save_position(
    js: JetStreamContext, url: JetStreamUrl, reader: str, position: int
) -> Mark | None:
    """Keeps the position in a bucket that every host reads; gives the mark of its entry.

    Beside it stand marks of the entry there and of the last one. Position 0 forgets them: the
    reader begins anew. Raises PositionGone where those kept before say that the stream is another.
    """
    positions = await open_positions(js, url)
    if position:
        await check_marks(js, url, position, await _load_marks(positions, reader))
    marks: list[Mark] = []
    info = await load_info(js, url)
    if info is not None and position:
        found = [await load_mark(js, url, at, info) for at in {position, end_of(info)}]
        marks = sorted(mark for mark in found if mark is not None)
    said = {
        "position": position,
        "saved_at": datetime.now(UTC).isoformat(),
        "marks": [mark._asdict() for mark in marks],
    }
    await positions.put(reader, json.dumps(said).encode())
    return next((mark for mark in marks if mark.position == position), None)


async def load_position(js: JetStreamContext, url: JetStreamUrl, reader: str) -> int:
    """The position saved last; 0 without one. Raises StreamError where it cannot be read."""
    positions = await find_positions(js, url.stream)
    if positions is None:
        return 0
    try:
        position = json.loads((await positions.get(reader)).value or b"")["position"]
    except js_errors.NotFoundError:
        return 0
    except (ValueError, KeyError, TypeError):
        position = None
    if not isinstance(position, int):
        raise StreamError(f"The position that the reader {reader} has saved cannot be read.")
    return position


async def load_marks_at(js: JetStreamContext, url: JetStreamUrl, position: int) -> list[Mark]:
    """What any named reader has marked at exactly this position."""
    positions = await find_positions(js, url.stream)
    if positions is None:
        return []
    bucket = position_bucket(url.stream)
    prefix = f"$KV.{bucket}."
    info = await js.stream_info(f"KV_{bucket}", subjects_filter=f"{prefix}>")
    marks: list[Mark] = []
    for subject in info.state.subjects or ():
        marks += await _load_marks(positions, subject.removeprefix(prefix))
    return [mark for mark in marks if mark.position == position]


async def _load_marks(positions: KeyValue, reader: str) -> list[Mark]:
    """What the named reader has marked; nothing where it did not, or it cannot be read."""
    try:
        told = json.loads((await positions.get(reader)).value or b"")["marks"]
        return [
            Mark(int(each["position"]), str(each["identity"]), each["made_at"]) for each in told
        ]
    except (js_errors.NotFoundError, ValueError, KeyError, TypeError):
        return []


async def load_backlog(js: JetStreamContext, url: JetStreamUrl, reader: str) -> Backlog:
    """What the named reader has not finished with. Raises PositionGone."""
    position = await load_position(js, url, reader)
    info = await load_checked(js, url, position)
    nothing = Backlog(end=position, position=position, size_bytes=0, oldest_at=None)
    end = end_of(info)
    if info is None or position == end or not info.state.messages:
        return nothing
    try:
        oldest = await js.get_msg(url.stream, seq=position + 1, subject=">", next=True)
    except js_errors.NotFoundError:
        return nothing
    received_ns = received_ns_of(oldest.headers, oldest.seq or end)
    state = info.state
    behind = min(state.messages, end - max(position, state.first_seq - 1))
    return Backlog(
        end=end,
        position=position,
        size_bytes=max(1, state.bytes * behind // state.messages),
        oldest_at=StreamEntry(end, EntryKind.CALL, received_ns, b"").received_at,
    )
