"""The few fields of a form or of a small JSON object, read within bounds.

Knows no route; what it has read, a later reader of the same request gets again.
"""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from receiver.answers import Refusal
from receiver.bodies import body_too_large

MAX_BYTES = 64 * 1024
_MOST_FIELDS = 100
_TIMEOUT_S = 15.0
_FORM = "application/x-www-form-urlencoded"


async def read_fields(request: Request, *, max_bytes: int = MAX_BYTES) -> dict[str, str]:
    """The text fields of the body, none of an empty one. Raises Refusal."""
    body = await _read(request, max_bytes)
    if not body:
        return {}
    kind = media_type(request)
    if kind == _FORM:
        return _form_fields(body)
    if kind == "application/json":
        return _json_fields(body)
    raise Refusal(415, "unsupported_media_type", "The body must be JSON or a form.")


def media_type(request: Request) -> str:
    """What the body is said to be, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_form(request: Request) -> bool:
    """True if a plain form was sent, as pages without script do."""
    return media_type(request) == _FORM


async def _read(request: Request, max_bytes: int) -> bytes:
    written = request.headers.get("content-length")
    if written is None:
        # Chunked bodies have no bound to check before reading; no browser sends a form like that.
        if "transfer-encoding" in request.headers:
            raise Refusal(411, "length_required", "The body must come with its length.")
        return b""
    if not (written.isascii() and written.isdigit()):
        raise Refusal(400, "bad_request", "The request cannot be read.")
    if len(written) > 9 or int(written) > max_bytes:
        raise body_too_large(max_bytes)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await request.body()
    except TimeoutError:
        sentence = f"The body did not arrive within {_TIMEOUT_S:g} seconds."
        raise Refusal(408, "body_timeout", sentence) from None


def _form_fields(body: bytes) -> dict[str, str]:
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise Refusal(400, "not_a_form", "The form cannot be read.") from None
    return dict(pairs)


def _json_fields(body: bytes) -> dict[str, str]:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal(400, "not_json", "The body is not JSON.") from None
    if not isinstance(fields, dict):
        raise Refusal(400, "not_an_object", "The body must be a JSON object.")
    return {name: value for name, value in fields.items() if isinstance(value, str)}
