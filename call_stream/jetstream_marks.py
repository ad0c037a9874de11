"""Marks: which entry stood at a position, so that another one that stands there later is noticed.

A position alone cannot tell a stream that was made anew, or whose servers lost its last entries,
from the one it was read from. Knows how an entry is recognised; not whose position it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nats.js import JetStreamContext, api
from nats.js import errors as js_errors

from call_stream.jetstream_layout import load_info
from call_stream.jetstream_names import MESSAGE_ID, RECEIVED_NS
from call_stream.jetstream_url import JetStreamUrl
from call_stream.stream import PositionGone

_LOOKS = 3
_LOOK_AGAIN_S = 0.4

WHY_GONE = (
    "the stream is not the one that was read up to there: it was made anew, or its servers have"
    " lost its last entries, and other entries have their positions"
)


class Mark(NamedTuple):
    """An entry that stood in the stream."""

    position: int
    identity: str
    """What no other entry has."""
    made_at: str | None = None
    """When the stream was made, as its server said; None where that is not known."""


def mark_of(
    position: int, headers: Mapping[str, str] | None, info: api.StreamInfo | None = None
) -> Mark | None:
    """The mark of a message; None of one that is no entry."""
    told = headers or {}
    identity = told.get(MESSAGE_ID) or told.get(RECEIVED_NS)
    return Mark(position, identity, _made_at(info)) if identity else None


async def load_mark(
    js: JetStreamContext, url: JetStreamUrl, position: int, info: api.StreamInfo
) -> Mark | None:
    """The mark of what stands there now; None where nothing does."""
    if not max(1, info.state.first_seq) <= position <= info.state.last_seq:
        return None
    try:
        message = await js.get_msg(url.stream, seq=position)
    except js_errors.NotFoundError:
        return None
    return mark_of(position, message.headers, info)


async def check_marks(
    js: JetStreamContext, url: JetStreamUrl, position: int, marks: Iterable[Mark]
) -> None:
    """Returns unless what was marked says that the stream is another at this position.

    An entry that still stands vouches for all before it. One that does not says that somewhere
    behind the last that stands the stream is another. Raises PositionGone.
    """
    any_differs = False
    for mark in sorted(marks, reverse=True):
        stands = await _stands(js, url, mark)
        if stands and position <= mark.position:
            return
        if stands:
            break
        any_differs = any_differs or stands is False
    if any_differs:
        raise PositionGone(position, WHY_GONE)


async def _stands(js: JetStreamContext, url: JetStreamUrl, mark: Mark) -> bool | None:
    """Whether the entry is where it was; None where it was deleted since, and nothing can tell."""
    info = await load_info(js, url)
    for _ in range(_LOOKS):
        if info is None or info.cluster is None or info.state.last_seq >= mark.position:
            break
        # A leader that was just elected may still be about to apply the last entries.
        await asyncio.sleep(_LOOK_AGAIN_S)
        info = await load_info(js, url)
    if info is None or info.state.last_seq < mark.position:
        return False
    now = await load_mark(js, url, mark.position, info)
    if now is not None:
        return now.identity == mark.identity
    is_known = mark.made_at is not None and _made_at(info) is not None
    return False if is_known and mark.made_at != _made_at(info) else None


def _made_at(info: api.StreamInfo | None) -> str | None:
    return info.created.isoformat() if info is not None and info.created is not None else None
