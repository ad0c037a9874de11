"""PNG images made small: a palette of at most 256 colours, packed as tightly as zlib can.

Reads what browsers write (8 bits a channel, RGB or RGBA, not interlaced); knows nothing of pages.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_COLOURS = 256
_CHANNELS = {2: 3, 6: 4}


def shrink(png: bytes) -> bytes:
    """The same picture; colours that are rare give way to the nearest frequent ones."""
    width, height, channels, packed = _read(png)
    colours = _colours(zlib.decompress(packed), width, height, channels)
    palette, index_of = _palette(colours)
    indexes = bytes(index_of[colour] for colour in colours)
    # Without filters: neighbours in a palette have nothing to do with each other.
    lines = b"".join(b"\0" + indexes[i : i + width] for i in range(0, len(indexes), width))
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", b"".join(palette)),
            _chunk(b"IDAT", zlib.compress(lines, 9)),
            _chunk(b"IEND", b""),
        )
    )


def _read(png: bytes) -> tuple[int, int, int, bytes]:
    if not png.startswith(_SIGNATURE):
        raise ValueError("no PNG")
    width = height = channels = 0
    packed = []
    for name, content in _chunks(png):
        if name == b"IHDR":
            width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", content)
            if depth != 8 or kind not in _CHANNELS or interlaced:
                raise ValueError("a PNG of another kind")
            channels = _CHANNELS[kind]
        elif name == b"IDAT":
            packed.append(content)
    return width, height, channels, b"".join(packed)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_SIGNATURE)
    while place < len(png):
        length = int.from_bytes(png[place : place + 4], "big")
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        place += length + 12


def _chunk(name: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)


def _colours(raw: bytes, width: int, height: int, channels: int) -> list[bytes]:
    """Each pixel's red, green and blue, line by line."""
    stride = width * channels
    before = bytearray(stride)
    found: list[bytes] = []
    for row in range(height):
        start = row * (stride + 1)
        line = bytearray(raw[start + 1 : start + 1 + stride])
        _unfilter(raw[start], line, before, channels)
        found += [bytes(line[i : i + 3]) for i in range(0, stride, channels)]
        before = line
    return found


def _unfilter(kind: int, line: bytearray, above: bytearray, step: int) -> None:
    """Undoes the filter of a line in place. Source: PNG specification, 9.2."""
    if kind == 2:
        for i, value in enumerate(above):
            line[i] = (line[i] + value) & 255
        return
    for i in range(len(line) if kind else 0):
        left = line[i - step] if i >= step else 0
        if kind == 1:
            guess = left
        elif kind == 3:
            guess = (left + above[i]) // 2
        else:
            corner = above[i - step] if i >= step else 0
            guess = _nearest(left, above[i], corner)
        line[i] = (line[i] + guess) & 255


def _nearest(left: int, up: int, corner: int) -> int:
    aim = left + up - corner
    by_left, by_up, by_corner = abs(aim - left), abs(aim - up), abs(aim - corner)
    if by_left <= by_up and by_left <= by_corner:
        return left
    return up if by_up <= by_corner else corner


def _palette(colours: list[bytes]) -> tuple[list[bytes], dict[bytes, int]]:
    counts = Counter(colours)
    palette = [colour for colour, _ in counts.most_common(_MOST_COLOURS)]
    index_of = {colour: place for place, colour in enumerate(palette)}
    for colour in counts:
        if colour not in index_of:
            index_of[colour] = min(
                range(len(palette)), key=lambda place: _distance(colour, palette[place])
            )
    return palette, index_of


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
