"""A multipart upload read as a stream: small fields kept, the file measured and hashed.

It knows nothing of portals or folders.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from .answers import HubSpotError, validation_error

_MAX_FIELD_BYTES = 64 * 1024


@dataclass
class Upload:
    """What came with one multipart request."""

    fields: dict[str, str] = field(default_factory=dict)
    file_count: int = 0
    file_name: str | None = None
    content_type: str = "application/octet-stream"
    size: int = 0
    md5: str = ""
    content: bytes | None = None
    body_bytes: int = 0


async def read_upload(
    chunks: AsyncIterator[bytes], content_type: str, *, max_bytes: int, kept_bytes: int
) -> Upload:
    """The upload. Raises 415 where it is not multipart, 400 where malformed, 413 where too big."""
    media_type, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if media_type != b"multipart/form-data" or not boundary:
        raise HubSpotError(415, "HTTP 415 Unsupported Media Type", "UNSUPPORTED_MEDIA")
    reader = _Reader(boundary, kept_bytes)
    too_big = False
    async for chunk in chunks:
        reader.upload.body_bytes += len(chunk)
        too_big = too_big or reader.upload.size > max_bytes
        if not too_big:
            reader.feed(chunk)
    if too_big or reader.upload.size > max_bytes:
        raise HubSpotError(413, "The file is larger than this account allows.", "FILE_TOO_LARGE")
    return reader.finished()


class _Reader:
    def __init__(self, boundary: bytes, kept_bytes: int) -> None:
        self.upload = Upload()
        self._kept_bytes = kept_bytes
        self._hash = hashlib.md5(usedforsecurity=False)
        self._kept: list[bytes] | None = []
        self._whole = False
        self._headers: dict[str, str] = {}
        self._header_name = b""
        self._header_value = b""
        self._name = ""
        self._is_file = False
        self._text = b""
        callbacks: Any = {
            "on_part_begin": self._part_begins,
            "on_header_field": self._header_field,
            "on_header_value": self._header_text,
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_ends,
            "on_end": self._ends,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except MultipartParseError as err:
            raise validation_error(f"Malformed multipart body: {err}") from err

    def finished(self) -> Upload:
        if not self._whole:
            raise validation_error("Malformed multipart body: it ends before its last boundary")
        self.upload.md5 = self._hash.hexdigest()
        if self._kept is not None:
            self.upload.content = b"".join(self._kept)
        return self.upload

    def _part_begins(self) -> None:
        self._headers, self._text, self._header_name, self._header_value = {}, b"", b"", b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _header_text(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[self._header_name.decode("latin-1").lower()] = self._header_value.decode(
            "utf-8", errors="replace"
        )
        self._header_name, self._header_value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", ""))
        self._name = options.get(b"name", b"").decode("utf-8", errors="replace")
        self._is_file = self._name == "file"
        if self._is_file:
            self.upload.file_count += 1
            named = options.get(b"filename")
            self.upload.file_name = named.decode("utf-8", errors="replace") if named else None
            self.upload.content_type = self._headers.get("content-type", "application/octet-stream")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        if not self._is_file:
            if len(self._text) + len(piece) > _MAX_FIELD_BYTES:
                raise validation_error(f"Part {self._name!r} is too long")
            self._text += piece
            return
        self._hash.update(piece)
        self.upload.size += len(piece)
        if self._kept is not None:
            self._kept.append(piece)
            if self.upload.size > self._kept_bytes:
                self._kept = None

    def _part_ends(self) -> None:
        if not self._is_file:
            self.upload.fields[self._name] = self._text.decode("utf-8", errors="replace")

    def _ends(self) -> None:
        self._whole = True
