"""Pictures made small stay the same pictures."""

from __future__ import annotations

import struct
import zlib

import pytest

from tests.browser.small_png import shrink

RED, BLUE = b"\xff\0\0", b"\0\0\xff"


def a_png(kind: int, lines: list[bytes]) -> bytes:
    """A picture two pixels wide, its lines with their filters."""

    def chunk(name: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + crc

    head = struct.pack(">IIBBBBB", 2, len(lines), 8, kind, 0, 0, 0)
    packed = zlib.compress(b"".join(lines))
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def pixels_of(small: bytes) -> list[bytes]:
    """The colours of a picture two pixels wide that `shrink` made."""
    at = small.index(b"PLTE")
    palette = small[at + 4 : at + 4 + int.from_bytes(small[at - 4 : at], "big")]
    at = small.index(b"IDAT")
    raw = zlib.decompress(small[at + 4 : at + 4 + int.from_bytes(small[at - 4 : at], "big")])
    places = [raw[i] for i in range(len(raw)) if i % 3]
    return [palette[3 * place : 3 * place + 3] for place in places]


@pytest.mark.parametrize(
    "lines",
    [
        [b"\0" + RED + BLUE, b"\0" + RED + RED],
        [b"\0" + RED + BLUE, b"\1" + RED + b"\0\0\0"],
        [b"\0" + RED + BLUE, b"\2" + b"\0\0\0" + b"\xff\0\x01"],
        [b"\0" + RED + BLUE, b"\3" + b"\x80\0\0" + b"\x80\0\x81"],
        [b"\0" + RED + BLUE, b"\4" + b"\0\0\0" + b"\0\0\x01"],
    ],
    ids=["plain", "left", "above", "mean", "nearest"],
)
def test_every_way_a_line_is_written_is_read(lines: list[bytes]) -> None:
    found = pixels_of(shrink(a_png(2, lines)))

    assert found[:2] == [RED, BLUE]
    assert found[2] == RED


def test_transparency_is_left_out() -> None:
    found = pixels_of(shrink(a_png(6, [b"\0" + RED + b"\xff" + BLUE + b"\xff"])))

    assert found == [RED, BLUE]


def test_rare_colours_give_way_to_near_ones() -> None:
    lines = [b"\0" + bytes((n, 0, 0)) * 2 for n in range(255)]
    lines += [b"\0" + BLUE + BLUE, b"\0" + BLUE + b"\0\0\xfe"]

    found = pixels_of(shrink(a_png(2, lines)))

    assert len(set(found)) == 256
    assert found[-1] == BLUE


def test_what_is_no_png_is_refused() -> None:
    with pytest.raises(ValueError, match="no PNG"):
        shrink(b"GIF89a")
