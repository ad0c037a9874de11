"""The form of every answer: the contract's error JSON, and plain ASGI messages for the hot route.

Knows no route and no rule; it says what it is told to say.
"""

from __future__ import annotations

import functools
import http
import json
from collections.abc import Mapping

from starlette.types import Message, Scope, Send

Headers = list[tuple[bytes, bytes]]

OK_BODY = b"{}"
_OK_FIELDS = ((b"content-type", b"application/json"), (b"content-length", b"2"))
_OK_LINES = b"".join(b"%s: %s\r\n" % field for field in _OK_FIELDS) + b"x-request-id: "
_OK_STATUS_LINE = b"HTTP/1.1 200 OK\r\n"
WHOLE_ANSWER = "receiver.whole_answer"
"""What our own server adds to the ASGI scope (one_write.py): `send` takes an answer's bytes."""


class Refusal(Exception):
    """A request that is answered with an error of ours: a sentence, a code, a status."""

    def __init__(
        self, status: int, code: str, sentence: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence
        self.headers = dict(headers or {})


def error_content(code: str, sentence: str) -> dict[str, object]:
    """The contract's error object."""
    return {"success": False, "error": sentence, "code": code}


@functools.lru_cache(maxsize=64)
def error_body(code: str, sentence: str) -> bytes:
    """The contract's error object as JSON."""
    return json.dumps(error_content(code, sentence)).encode()


def start_message(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Message:
    """The message that begins an answer with this JSON body."""
    fields: Headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    for name, value in (headers or {}).items():
        fields.append((name.lower().encode("latin-1"), value.encode("latin-1")))
    return {"type": "http.response.start", "status": status, "headers": fields}


def body_message(body: bytes, *, more: bool = False) -> Message:
    """The message that carries the body, or a part of it."""
    return {"type": "http.response.body", "body": body, "more_body": more}


def ok_lines(request_id: str) -> tuple[bytes, bytes]:
    """The answer 200 `{}` as it stands in HTTP/1.1: its status line, and the rest."""
    return _OK_STATUS_LINE, b"%s%s\r\n\r\n%s" % (_OK_LINES, request_id.encode("ascii"), OK_BODY)


def refusal_lines(
    refusal: Refusal, request_id: str | None = None, *, closes: bool = False
) -> tuple[bytes, bytes]:
    """The answer that refuses a request as it stands in HTTP/1.1: its status line, and the rest."""
    body = error_body(refusal.code, refusal.sentence)
    fields = [
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        *(f"{name.lower()}: {value}".encode("latin-1") for name, value in refusal.headers.items()),
        *([b"x-request-id: " + request_id.encode("ascii")] if request_id is not None else ()),
        *([b"connection: close"] if closes else ()),
    ]
    phrase = http.HTTPStatus(refusal.status).phrase.encode()
    status_line = b"HTTP/1.1 %d %s\r\n" % (refusal.status, phrase)
    return status_line, b"\r\n".join([*fields, b"", body])


async def send_ok(scope: Scope, send: Send, request_id: str) -> None:
    """Answers 200 `{}`, by the server's short cut if it has one."""
    short_cut = scope.get("extensions", {}).get(WHOLE_ANSWER)
    if short_cut is not None and short_cut["send"](*ok_lines(request_id)):
        return
    fields = [*_OK_FIELDS, (b"x-request-id", request_id.encode("ascii"))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send(body_message(OK_BODY))
