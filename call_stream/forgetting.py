"""Takes what entries say out of a call stream, whatever keeps them, and leaves the rest in place.

Knows which kinds of streams can do that; it must not know whose entries are meant, nor why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from call_stream.frames import Frame
from call_stream.segment_rewriting import count_frames, rewrite_segments
from call_stream.stream import (
    EntryKind,
    StreamEntry,
    StreamError,
    directory_of,
    is_network,
    open_reader,
)

NewPayload = Callable[[StreamEntry], bytes | None]
"""What stands in an entry from now on, as long as what stood there; None leaves it as it is."""

_KINDS = {int(kind): kind for kind in EntryKind}


@dataclass(frozen=True)
class EntriesForgotten:
    """How many entries say nothing any more, and how many still do, and why.

    `is_busy` is False where trying again comes to the same.
    """

    entries: int
    left: int = 0
    why_left: str | None = None
    is_busy: bool = True


def forget_entries(url: str, new_payload: NewPayload, *, dry_run: bool = False) -> EntriesForgotten:
    """Gives the entries of the stream their new payloads; with `dry_run` it only counts them.

    Raises StreamError; what was done before stays done.
    """
    if is_network(url):
        return _forget_on_servers(url, new_payload, dry_run=dry_run)
    return forget_in_files(directory_of(url), new_payload, dry_run=dry_run)


def forget_in_files(
    directory: Path, new_payload: NewPayload, *, dry_run: bool = False
) -> EntriesForgotten:
    """The same of the file stream in `directory`."""

    def of_frame(frame: Frame) -> bytes | None:
        kind = _KINDS.get(frame.kind)
        if kind is None:  # of a newer version: nothing is known of it
            return None
        return new_payload(StreamEntry(frame.end, kind, frame.received_ns, frame.payload))

    if dry_run:
        return EntriesForgotten(count_frames(directory, of_frame).frames)
    done = rewrite_segments(directory, of_frame)
    why = "another process writes to the newest part of the call stream" if done.left else None
    return EntriesForgotten(done.frames, done.left, why)


def _forget_on_servers(url: str, new_payload: NewPayload, *, dry_run: bool) -> EntriesForgotten:
    from call_stream.jetstream_forgetting import JetStreamForgetting

    forgetting = JetStreamForgetting(url)
    try:
        found, lost = _walk(url, new_payload)
        why = f"{lost[0]} Whose it was cannot be told" if lost else None
        if dry_run or not found:
            return EntriesForgotten(len(found), len(lost), why, is_busy=False)
        if not forgetting.is_possible():
            why = "the JetStream stream lets no entry be deleted (deny_delete)"
            return EntriesForgotten(0, len(found) + len(lost), why, is_busy=False)
        for position in found:
            forgetting.delete(position)
        return EntriesForgotten(len(found), len(lost), why, is_busy=not lost)
    finally:
        forgetting.close()


def _walk(url: str, new_payload: NewPayload) -> tuple[list[int], list[StreamError]]:
    """Positions of entries to delete, and what is said of those whose payload was lost.

    A payload that was deleted on purpose is of an entry that was being forgotten, and cut off.
    """
    from call_stream.jetstream_payloads import PayloadDeleted, PayloadMissing

    reader = open_reader(url)
    found: list[int] = []
    lost: list[StreamError] = []
    after, is_over = 0, False
    while not is_over:
        try:
            for entry in reader.read(after):
                after = entry.position
                if new_payload(entry) is not None:
                    found.append(after)
            is_over = True
        except PayloadMissing as err:
            after = err.position
            if isinstance(err, PayloadDeleted):
                found.append(after)
            else:
                lost.append(err)
    return found, lost
