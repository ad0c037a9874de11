"""What a receiver and the process that writes its stream say to each other, as bytes.

Entries go one way, each as a head and its payload; answers come back as MessagePack behind their
length. Pure: knows no sockets and no processes.
"""

from __future__ import annotations

import struct

import msgspec
from msgspec import Struct

from call_stream.segment_log import Entry

_ENTRY_HEAD = struct.Struct("<IBQ")
_LENGTH = struct.Struct("<I")


class Opened(Struct, tag=True):
    """The stream is open for writing."""


class NotOpened(Struct, tag=True):
    """It is not, and the process ends; `error` is the name of one of `call_stream.stream`."""

    error: str
    sentence: str


class Stored(Struct, tag=True):
    """So many entries, in the order in which they were sent, are durable; where each ends."""

    positions: list[int]


class Refused(Struct, tag=True):
    """So many entries are not in the stream; with a fault no later one will be, either."""

    count: int
    sentence: str
    is_fault: bool


class Said(Struct, tag=True):
    """A line for the log, of one of the levels of `logging`."""

    level: int
    text: str


Answer = Opened | NotOpened | Stored | Refused | Said

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answer).decode


def entry_head(kind: int, received_ns: int, size: int) -> bytes:
    """The bytes that go before a payload of `size` bytes."""
    return _ENTRY_HEAD.pack(size, kind, received_ns)


def encode_answer(answer: Answer) -> bytes:
    """The bytes of one answer."""
    body = _encode(answer)
    return _LENGTH.pack(len(body)) + body


class Entries:
    """Takes bytes as they come, and gives the entries that are whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def take(self, data: bytes) -> list[Entry]:
        """All that are whole with this, and not given before."""
        self._buffer += data
        entries = []
        at, end = 0, len(self._buffer)
        with memoryview(self._buffer) as view:
            while at + _ENTRY_HEAD.size <= end:
                size, kind, received_ns = _ENTRY_HEAD.unpack_from(view, at)
                start = at + _ENTRY_HEAD.size
                if start + size > end:
                    break
                at = start + size
                entries.append(Entry(kind, received_ns, bytes(view[start:at])))
        del self._buffer[:at]
        return entries


class Answers:
    """Takes bytes as they come, and gives the answers that are whole."""

    def __init__(self) -> None:
        self._buffer = b""

    def take(self, data: bytes) -> list[Answer]:
        """All that are whole with this, and not given before."""
        self._buffer += data
        answers = []
        while len(self._buffer) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                break
            answers.append(_decode(self._buffer[_LENGTH.size : end]))
            self._buffer = self._buffer[end:]
        return answers
