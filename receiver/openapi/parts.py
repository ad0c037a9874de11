"""Pieces that the API's description is put together from: parameters, bodies, replies.

Pure: knows the OpenAPI 3.1 format and none of our addresses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

_KEY_WAYS: list[Json] = [{"accessKey": []}, {"password": []}, {"session": []}]


def ref(kind: str, name: str) -> Json:
    """A reference to a part of `components`."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schema(name: str) -> Json:
    """A reference to a schema."""
    return ref("schemas", name)


def nullable(kind: str, **more: Any) -> Json:
    """A value of this type, or null."""
    return {"type": [kind, "null"], **more}


def described(description: str, of: Json) -> Json:
    """The schema with its meaning."""
    return {**of, "description": description}


def an_object(properties: Mapping[str, Json], *, optional: Sequence[str] = ()) -> Json:
    """An object that has all of these properties, but the optional ones."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
    }


def a_list(items: Json) -> Json:
    """A list of such items."""
    return {"type": "array", "items": items}


def or_blank(of: Json, *, null: bool = False) -> Json:
    """The schema, or nothing: forms and front ends spell "not set" as an empty value."""
    blank = {"type": "string", "maxLength": 0}
    return {"anyOf": [of, blank, *([{"type": "null"}] if null else [])]}


def query(
    name: str, description: str, of: Json, example: object = None, *, blank: bool = True
) -> Json:
    """An optional parameter of the address; an empty one counts as not given, if `blank`."""
    schema = or_blank(of) if blank else of
    parameter = {"name": name, "in": "query", "description": description, "schema": schema}
    return parameter if example is None else {**parameter, "example": example}


def in_path(name: str, description: str, example: str, **of: Any) -> Json:
    """A part of the path."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "minLength": 1, **of},
        "example": example,
    }


def json_body(of: Json, example: Json, *, required: bool = True) -> Json:
    """A JSON body."""
    content = {"application/json": {"schema": of, "example": example}}
    return {"required": required, "content": content}


def json_reply(description: str, of: Json, example: object) -> Json:
    """A reply in JSON."""
    return {
        "description": description,
        "headers": {"X-Request-ID": ref("headers", "RequestId")},
        "content": {"application/json": {"schema": of, "example": example}},
    }


def other_reply(description: str, media_type: str, example: str) -> Json:
    """A reply in another form."""
    return {
        "description": description,
        "headers": {"X-Request-ID": ref("headers", "RequestId")},
        "content": {media_type: {"schema": {"type": "string"}, "example": example}},
    }


def page_or_error(description: str) -> Json:
    """An error as a page for people, or in the one form for those who would rather have that."""
    return {
        "description": description,
        "headers": {"X-Request-ID": ref("headers", "RequestId")},
        "content": {
            "text/html": {"schema": {"type": "string"}, "example": "<!doctype html>"},
            "application/json": {
                "schema": schema("Error"),
                "example": {
                    "success": False,
                    "error": "There is no such call in your workspace.",
                    "code": "not_found",
                },
            },
        },
    }


def refusals(*statuses: int) -> Json:
    """Errors of these statuses, each in the one form."""
    return {str(status): ref("responses", f"Error{status}") for status in statuses}


def operation(
    name: str,
    summary: str,
    *,
    tag: str,
    replies: Json,
    errors: Sequence[int] = (),
    parameters: Sequence[Json] = (),
    body: Json | None = None,
    description: str = "",
    is_open: bool = False,
) -> Json:
    """What one method of an address does; it needs a key unless it `is_open`."""
    described_as: Json = {"operationId": name, "summary": summary, "tags": [tag]}
    if description:
        described_as["description"] = description
    described_as["security"] = [] if is_open else _KEY_WAYS
    if parameters:
        described_as["parameters"] = list(parameters)
    if body is not None:
        described_as["requestBody"] = body
    of_everybody = () if is_open else (401, 403)
    described_as["responses"] = replies | refusals(*sorted({*errors, *of_everybody, 500, 503}))
    return described_as
