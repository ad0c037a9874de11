"""What the simulator sends back: answers, and errors in HubSpot's own shape.

It knows nothing of portals, routes or state.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import msgspec

JSON_TYPE = "application/json;charset=utf-8"


@dataclass
class Answer:
    """One HTTP answer, ready to be written."""

    status: int
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(status: int, payload: Any, headers: dict[str, str] | None = None) -> Answer:
    """The answer that carries a JSON document."""
    return Answer(status, msgspec.json.encode(payload), headers=headers or {})


def no_content() -> Answer:
    """The empty 204 of a delete."""
    return Answer(204)


def new_correlation_id() -> str:
    """A fresh id such as HubSpot puts in every error."""
    return str(uuid.uuid4())


class HubSpotError(Exception):
    """A refusal, with everything its JSON body says."""

    def __init__(
        self,
        status: int,
        message: str,
        category: str,
        *,
        errors: list[dict[str, Any]] | None = None,
        context: dict[str, list[str]] | None = None,
        links: dict[str, str] | None = None,
        sub_category: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.category = category
        self.errors = errors or []
        self.context = context or {}
        self.links = links or {}
        self.sub_category = sub_category
        self.headers = headers or {}

    def answer(self) -> Answer:
        """The whole refusal as an HTTP answer."""
        payload: dict[str, Any] = {
            "status": "error",
            "message": self.message,
            "correlationId": new_correlation_id(),
            "category": self.category,
        }
        if self.sub_category is not None:
            payload["subCategory"] = self.sub_category
        if self.errors:
            payload["errors"] = self.errors
        if self.context:
            payload["context"] = self.context
        if self.links:
            payload["links"] = self.links
        return json_answer(self.status, payload, self.headers)

    def in_batch(self, context: dict[str, list[str]] | None = None) -> dict[str, Any]:
        """One entry of the `errors` list of a 207."""
        entry: dict[str, Any] = {
            "status": "error",
            "category": self.category,
            "message": self.message,
            "context": {**self.context, **(context or {})},
            "errors": self.errors,
            "links": self.links,
        }
        if self.sub_category is not None:
            entry["subCategory"] = self.sub_category
        return entry


def validation_error(
    message: str,
    *,
    errors: list[dict[str, Any]] | None = None,
    context: dict[str, list[str]] | None = None,
) -> HubSpotError:
    """A 400 about what the request says."""
    return HubSpotError(400, message, "VALIDATION_ERROR", errors=errors, context=context)


def object_not_found(message: str, context: dict[str, list[str]] | None = None) -> HubSpotError:
    """A 404 about a record, property or file that is not there."""
    return HubSpotError(404, message, "OBJECT_NOT_FOUND", context=context)


def conflict(message: str) -> HubSpotError:
    """A 409 about something that exists already."""
    return HubSpotError(409, message, "CONFLICT")


def unknown_path() -> HubSpotError:
    """A 404 about an address that no operation has."""
    return HubSpotError(404, "resource not found", "NOT_FOUND")


def limit_answer(policy: str, headers: dict[str, str] | None = None) -> Answer:
    """The 429 of one rate policy: TEN_SECONDLY_ROLLING, SECONDLY or DAILY."""
    message = f"You have reached your {policy.lower()} limit."
    return json_answer(
        429,
        {
            "status": "error",
            "message": message,
            "errorType": "RATE_LIMIT",
            "correlationId": new_correlation_id(),
            "policyName": policy,
            "requestId": new_correlation_id(),
        },
        headers,
    )
