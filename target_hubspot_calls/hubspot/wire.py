"""Reading HubSpot's JSON: nothing is believed before its shape has been looked at.

It must not know which request was sent; a reply that cannot be read is a `MalformedReply`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec


class MalformedReply(Exception):
    """A reply HubSpot never documents: not JSON, or without a field it always has."""


def encode(body: object) -> bytes:
    """Compact JSON, the bytes that are measured and sent; half a character becomes `?`."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8 form, and one such text must not stop a whole batch.
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def read_object(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of a reply. Raises MalformedReply."""
    try:
        body = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise MalformedReply("the body is not JSON") from err
    if not isinstance(body, dict):
        raise MalformedReply("the body is not a JSON object")
    return body


def object_or_empty(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of a reply, or an empty one: for error replies, which promise nothing."""
    try:
        return read_object(response)
    except MalformedReply:
        return {}


def list_of_objects(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects in a list field; none if it is absent. Raises MalformedReply."""
    items = body.get(name)
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise MalformedReply(f"{name} is not a list of objects")
    return items


def results(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `results` of a finished reply, which may be empty but never absent."""
    if "results" not in body:
        raise MalformedReply("there are no results")
    if body.get("status", "COMPLETE") != "COMPLETE":
        raise MalformedReply("the batch is not complete")
    return list_of_objects(body, "results")


def identifier(item: Mapping[str, Any], name: str = "id") -> str:
    """An id as text; HubSpot writes some as numbers. Raises MalformedReply."""
    value = item.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise MalformedReply(f"{name} is missing")
    return value


def properties(item: Mapping[str, Any]) -> dict[str, str]:
    """The properties that have a value. Raises MalformedReply."""
    values = item.get("properties")
    if not isinstance(values, dict):
        raise MalformedReply("properties are missing")
    return {name: value for name, value in values.items() if isinstance(value, str) and value}


def next_after(body: Mapping[str, Any]) -> str | None:
    """Where the next page starts, None on the last one. Raises MalformedReply."""
    paging = body.get("paging")
    following = paging.get("next") if isinstance(paging, dict) else None
    if not isinstance(following, dict):
        return None
    return identifier(following, "after")
