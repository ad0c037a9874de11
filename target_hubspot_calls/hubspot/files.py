"""Uploading a file as it streams in: the multipart body, written piece by piece.

It must not know where the bytes come from, and never holds more than a piece of them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from target_hubspot_calls.hubspot import wire

# Source: HubSpot docs, files guide. A second upload of the same file gives back the first.
OPTIONS = {
    "access": "PRIVATE",
    "overwrite": False,
    "duplicateValidationStrategy": "RETURN_EXISTING",
    "duplicateValidationScope": "EXACT_FOLDER",
}
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,64}\Z")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\"\\/]")
_FOLDER = re.compile(r"(?:/[^\x00-\x1f\x7f\"\\/]+)+\Z")


@dataclass(frozen=True)
class FileUpload:
    """A file to upload; `size` in bytes where the source states it.

    `content` is read once per attempt: one that can be iterated anew lets an upload be retried.
    """

    name: str
    folder_path: str
    content: AsyncIterable[bytes]
    content_type: str = "application/octet-stream"
    size: int | None = None

    @property
    def replayable(self) -> bool:
        """True if `content` starts over each time it is iterated."""
        return not isinstance(self.content, AsyncIterator)


@dataclass(frozen=True)
class UploadedFile:
    """A file as HubSpot keeps it; `size` in bytes."""

    id: str
    name: str | None = None
    path: str | None = None
    size: int | None = None


class ContentFailed(Exception):
    """The source of the bytes failed; its own error is the cause."""


class UploadBody(httpx.AsyncByteStream):
    """The multipart body of one upload."""

    def __init__(self, upload: FileUpload) -> None:
        self._upload = upload
        self._started = False
        boundary = secrets.token_hex(16)
        self._head = _head(upload, boundary)
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if upload.size is None:
            self.headers["Transfer-Encoding"] = "chunked"
        else:
            self.headers["Content-Length"] = str(len(self._head) + upload.size + len(self._tail))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._started and not self._upload.replayable:
            raise ContentFailed from httpx.StreamConsumed()
        self._started = True
        yield self._head
        sent = 0
        try:
            async for chunk in self._upload.content:
                sent += len(chunk)
                if chunk:
                    yield bytes(chunk)
        except Exception as err:
            raise ContentFailed from err
        if self._upload.size is not None and sent != self._upload.size:
            raise ContentFailed from EOFError(f"the file has {sent} bytes, not as stated")
        yield self._tail


def read_file(body: Mapping[str, Any]) -> UploadedFile:
    """The file of an upload's reply. Raises MalformedReply."""
    name, path, size = body.get("name"), body.get("path"), body.get("size")
    return UploadedFile(
        id=wire.identifier(body),
        name=name if isinstance(name, str) else None,
        path=path if isinstance(path, str) else None,
        size=size if isinstance(size, int) else None,
    )


def _head(upload: FileUpload, boundary: str) -> bytes:
    """Everything before the file's first byte. Raises ValueError on an unfit name or type."""
    if not upload.name or _UNSAFE.search(upload.name):
        raise ValueError("a file name needs plain characters")
    if not _FOLDER.match(upload.folder_path):
        raise ValueError("a folder path needs plain names, each after a slash")
    if not _MEDIA_TYPE.match(upload.content_type):
        raise ValueError("content_type must be a media type such as audio/wav")
    fields = {
        "folderPath": upload.folder_path,
        "fileName": upload.name,
        "options": wire.encode(OPTIONS).decode(),
    }
    lines = []
    for name, value in fields.items():
        lines += [f"--{boundary}", f'Content-Disposition: form-data; name="{name}"', "", value]
    lines += [
        f"--{boundary}",
        f'Content-Disposition: form-data; name="file"; filename="{upload.name}"',
        f"Content-Type: {upload.content_type}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()
