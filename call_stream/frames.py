"""Entries as framed, checksummed bytes, and the header a segment file starts with.

Pure: knows bytes and numbers, no files, and nothing of what a payload means.

A frame, little-endian:

    magic 4 | payload length u32 | crc32 u32 | back u32 | kind u8 | received_ns u64 | payload

`back` is the distance in bytes to the first frame of the batch that was flushed together, so a
whole frame tells that everything before its batch had been flushed. The checksum covers the
frame's own position in the stream too: a frame copied or moved elsewhere does not check.
The magic holds bytes that UTF-8 never has, so JSON payloads cannot contain it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

from call_stream.stream import MAX_PAYLOAD_BYTES

MAGIC = b"\xf7CS\xfe"
_FRAME_HEAD = struct.Struct("<4sIIIBQ")
_CHECKED = struct.Struct("<QIIBQ")
FRAME_HEAD_BYTES = _FRAME_HEAD.size

_SEGMENT_MAGIC = b"\xf7CALLS\r\n"
_SEGMENT_VERSION = 1
_SEGMENT_CHECKED = struct.Struct("<8sIQQ")
_SEGMENT_CRC = struct.Struct("<I")
SEGMENT_HEADER_BYTES = _SEGMENT_CHECKED.size + _SEGMENT_CRC.size


class Frame(NamedTuple):
    """One whole frame; `end` is the stream position just after it."""

    end: int
    batch_start: int
    kind: int
    received_ns: int
    payload: bytes


class SegmentHeader(NamedTuple):
    """Where a segment starts in the stream, and where the data of the one before it ended."""

    base: int
    previous_end: int


def frame_head(position: int, back: int, kind: int, received_ns: int, payload: bytes) -> bytes:
    """The bytes that go before `payload` when the frame is written at `position`."""
    length = len(payload)
    checked = _CHECKED.pack(position, length, back, kind, received_ns)
    crc = crc32(payload, crc32(checked))
    return _FRAME_HEAD.pack(MAGIC, length, crc, back, kind, received_ns)


def claimed_bytes(buffer: bytes, at: int) -> int:
    """Bytes the frame at `at` says it has, unchecked; 0 when no frame starts there."""
    magic, length, *_ = _FRAME_HEAD.unpack_from(buffer, at)
    if magic != MAGIC or not 0 < length <= MAX_PAYLOAD_BYTES:
        return 0
    return FRAME_HEAD_BYTES + int(length)


def parse_frame(buffer: bytes, at: int, position: int) -> Frame | None:
    """The whole frame at `at`, which is `position` in the stream; None if there is none."""
    start = at + FRAME_HEAD_BYTES
    if start > len(buffer):
        return None
    magic, length, crc, back, kind, received_ns = _FRAME_HEAD.unpack_from(buffer, at)
    if magic != MAGIC or not 0 < length <= MAX_PAYLOAD_BYTES or start + length > len(buffer):
        return None
    payload = buffer[start : start + length]
    checked = _CHECKED.pack(position, length, back, kind, received_ns)
    if crc32(payload, crc32(checked)) != crc:
        return None
    end = position + FRAME_HEAD_BYTES + length
    return Frame(end, position - back, kind, received_ns, payload)


def later_batch_follows(buffer: bytes, position: int) -> bool:
    """Whether behind the bad frame at `position`, where `buffer` starts, a later batch begins.

    If so the bad frame had been flushed and acknowledged: it is damage, not a torn tail.
    """
    at = buffer.find(MAGIC, 1)
    while at >= 0:
        frame = parse_frame(buffer, at, position + at)
        if frame is not None and frame.batch_start > position:
            return True
        at = buffer.find(MAGIC, at + 1 if frame is None else frame.end - position)
    return False


def build_segment_header(header: SegmentHeader) -> bytes:
    """The first SEGMENT_HEADER_BYTES of a segment file."""
    checked = _SEGMENT_CHECKED.pack(
        _SEGMENT_MAGIC, _SEGMENT_VERSION, header.base, header.previous_end
    )
    return checked + _SEGMENT_CRC.pack(crc32(checked))


def parse_segment_header(buffer: bytes) -> SegmentHeader | None:
    """The header `buffer` starts with; None when it is damaged or of another version."""
    if len(buffer) < SEGMENT_HEADER_BYTES:
        return None
    magic, version, base, previous_end = _SEGMENT_CHECKED.unpack_from(buffer)
    (crc,) = _SEGMENT_CRC.unpack_from(buffer, _SEGMENT_CHECKED.size)
    if magic != _SEGMENT_MAGIC or version != _SEGMENT_VERSION:
        return None
    if crc != crc32(buffer[: _SEGMENT_CHECKED.size]):
        return None
    return SegmentHeader(base, previous_end)
