from __future__ import annotations

import pytest

from target_hubspot_calls.recordings.formats import format_of
from tests.target_hubspot_calls.recordings.conftest import a_wav

WEBM = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm\x42\x87\x81\x04"
MATROSKA = b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska"


@pytest.mark.parametrize(
    ("head", "extension", "content_type"),
    [
        (a_wav(100), "wav", "audio/wav"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "wav", "audio/wav"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x23", "mp3", "audio/mpeg"),
        (b"\xff\xfb\x90\x64" + bytes(60), "mp3", "audio/mpeg"),
        (b"\xff\xf3\x48\xc4" + bytes(60), "mp3", "audio/mpeg"),
        (b"OggS\x00\x02" + bytes(60), "ogg", "audio/ogg"),
        (b"fLaC\x00\x00\x00\x22", "flac", "audio/flac"),
        (b"\x00\x00\x00\x1cftypM4A \x00\x00\x00\x00", "m4a", "audio/mp4"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00", "mp4", "video/mp4"),
        (WEBM, "webm", "audio/webm"),
    ],
    ids=["wav", "rf64", "mp3-id3", "mp3-mpeg1", "mp3-mpeg2", "ogg", "flac", "m4a", "mp4", "webm"],
)
def test_a_recording_is_known_by_its_first_bytes(head, extension, content_type):
    found = format_of(head)

    assert found is not None
    assert (found.extension, found.content_type) == (extension, content_type)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"R",
        b"RIFF\x00\x00\x00\x00AVI LIST",
        b"<!doctype html><title>Gone</title>",
        b'{"error": "expired"}',
        b"<?xml version='1.0'?><Error/>",
        b"\x1f\x8b\x08\x00" + bytes(60),
        b"%PDF-1.7",
        b"MZ\x90\x00",
        b"\x00\x00\x00\x1cftypheic",
        b"\xff\xf1\x50\x80",
        b"\xff\xfe<\x00h\x00",
        b"\xff\xff\xff\xff",
        b"\xff\xd8\xff\xe0\x00\x10JFIF",
        MATROSKA,
    ],
    ids=["empty", "one-byte", "avi", "html", "json", "xml", "gzip", "pdf", "exe", "heic", "aac",
         "utf16", "ones", "jpeg", "matroska"],
)  # fmt: skip
def test_anything_else_is_no_recording(head):
    assert format_of(head) is None
