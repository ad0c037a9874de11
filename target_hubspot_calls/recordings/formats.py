"""What a file is by its first bytes; what its link or its sender call it counts for nothing.

Pure: looks at bytes it is given.
"""

from __future__ import annotations

from dataclasses import dataclass

# A WebM document says so in its EBML header, which is shorter than this.
HEAD_BYTES = 64


@dataclass(frozen=True)
class AudioFormat:
    """A kind of recording HubSpot can play, with the names it goes by."""

    extension: str
    content_type: str


WAV = AudioFormat("wav", "audio/wav")
MP3 = AudioFormat("mp3", "audio/mpeg")
OGG = AudioFormat("ogg", "audio/ogg")
FLAC = AudioFormat("flac", "audio/flac")
M4A = AudioFormat("m4a", "audio/mp4")
MP4 = AudioFormat("mp4", "video/mp4")
WEBM = AudioFormat("webm", "audio/webm")

_AUDIO_BRANDS = (b"M4A ", b"M4B ")
# "ftyp" also opens pictures (HEIC, AVIF): only brands of sound and film count.
_FILM_BRANDS = (b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"dash",
                b"M4V ", b"MSNV", b"3gp4", b"3gp5", b"3gp6")  # fmt: skip


def format_of(head: bytes) -> AudioFormat | None:
    """The format of a file that begins like this, None if it is no recording."""
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return WAV
    if head[:4] == b"OggS":
        return OGG
    if head[:4] == b"fLaC":
        return FLAC
    if head[4:8] == b"ftyp":
        return _ftyp(head[8:12])
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return WEBM if b"\x42\x82\x84webm" in head[:HEAD_BYTES] else None
    return MP3 if head[:3] == b"ID3" or _is_mp3_frame(head) else None


def _ftyp(brand: bytes) -> AudioFormat | None:
    if brand in _AUDIO_BRANDS:
        return M4A
    return MP4 if brand in _FILM_BRANDS else None


def _is_mp3_frame(head: bytes) -> bool:
    """True for an MPEG audio frame header of layer III with a bit rate and a sample rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer == 1 and bit_rate not in (0, 15) and sample_rate != 3
