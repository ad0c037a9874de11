"""Faults on request: which requests go wrong, how often, and what happens to them.

It decides and describes; app.py carries it out on the wire.
"""

from __future__ import annotations

import fnmatch
import gzip
import random
from dataclasses import dataclass, fields
from typing import Any

from .answers import Answer, HubSpotError, limit_answer

ACTIONS = frozenset(
    {
        "error",
        "delay",
        "reset_before",
        "reset_after",
        "reset_during",
        "malformed",
        "empty",
        "html",
        "partial",
        "locked",
        "migrating",
        "rate_limited",
        "expired_token",
        "invalid_token",
        "missing_scopes",
        "redirect",
        "drip",
        "huge",
        "gzip_bomb",
    }
)
_ANSWERED_AFTER_PROCESSING = {"malformed", "empty", "reset_after", "reset_during", "drip"}
_HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


@dataclass
class PartialFailure:
    """Some inputs of a batch that are to fail although nothing is wrong with them."""

    count: int
    status: int
    category: str
    message: str
    name_traces: bool
    extra_results: int
    chooser: random.Random

    def chosen(self, inputs: int) -> frozenset[int]:
        """Positions of the inputs that fail."""
        return frozenset(self.chooser.sample(range(inputs), min(self.count, inputs)))

    def error(self) -> HubSpotError:
        """The error each of them gets."""
        return HubSpotError(self.status, self.message, self.category)


@dataclass
class Fault:
    """One scripted fault. `nth` is the first matching request it strikes, `times` how many (None:
    for ever), `probability` how likely each.
    """

    action: str
    method: str | None = None
    path: str = "*"
    portal_id: int | None = None
    nth: int = 1
    times: int | None = 1
    probability: float = 1.0
    delay_s: float = 0.0
    delay_after_s: float = 0.0
    status: int | None = None
    category: str | None = None
    message: str | None = None
    headers: dict[str, str] | None = None
    body: str | None = None
    content_type: str | None = None
    process: bool | None = None
    retry_after_s: float | None = None
    policy: str = "TEN_SECONDLY_ROLLING"
    location: str | None = None
    fail_count: int = 1
    name_traces: bool = True
    extra_results: int = 0
    drip_s: float = 0.05
    size_bytes: int = 50_000_000
    seen: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            msg = f"there is no fault action {self.action!r}; there are {sorted(ACTIONS)}"
            raise ValueError(msg)

    @classmethod
    def from_json(cls, written: dict[str, Any]) -> Fault:
        """A fault from its JSON. Raises ValueError where a name or an action is wrong."""
        known = {found.name for found in fields(cls)} - {"seen", "struck"}
        unknown = sorted(set(written) - known)
        if unknown or "action" not in written:
            msg = f"a fault needs an action and takes no {unknown}"
            raise ValueError(msg)
        return cls(**written)

    @property
    def is_processed(self) -> bool:
        """Whether the request does its work before it goes wrong."""
        if self.process is not None:
            return self.process
        return self.action in _ANSWERED_AFTER_PROCESSING | {"delay", "partial"}

    def matches(self, method: str, path: str, plain_path: str, portal_id: int | None) -> bool:
        """Whether the fault means this request; the path may be given with or without version."""
        return (
            self.method in (None, method)
            and self.portal_id in (None, portal_id)
            and (fnmatch.fnmatchcase(path, self.path) or fnmatch.fnmatchcase(plain_path, self.path))
        )

    def canned(self) -> Answer | None:
        """The answer that does not depend on the request; None where it does."""
        headers = dict(self.headers or {})
        if self.retry_after_s is not None:
            headers["Retry-After"] = f"{self.retry_after_s:g}"
        match self.action:
            case "rate_limited":
                return limit_answer(self.policy, headers)
            case "html":
                return self._page(self.status or 502, self.body or _HTML, headers)
            case "redirect":
                headers["Location"] = self.location or "http://127.0.0.1:9/elsewhere"
                return Answer(self.status or 302, headers=headers)
            case "huge":
                return Answer(self.status or 200, b" " * self.size_bytes, headers=headers)
            case "gzip_bomb":
                headers["Content-Encoding"] = "gzip"
                packed = gzip.compress(b" " * self.size_bytes, 1)
                return Answer(self.status or 200, packed, headers=headers)
        return self._refused(headers)

    def _refused(self, headers: dict[str, str]) -> Answer | None:
        default = _REFUSALS.get(self.action)
        if default is None:
            return None
        if self.action == "error" and self.body is not None:
            return self._page(self.status or 500, self.body, headers)
        status, category, message = default
        if self.action == "migrating":
            headers.setdefault("Retry-After", "3600")
        return HubSpotError(
            self.status or status,
            self.message or message,
            self.category or category,
            headers=headers,
        ).answer()

    def _page(self, status: int, body: str, headers: dict[str, str]) -> Answer:
        content_type = self.content_type or "text/html;charset=utf-8"
        return Answer(status, body.encode(), content_type, headers)

    def spoil(self, answer: Answer) -> Answer:
        """What becomes of the true answer of a request that was processed."""
        if self.action == "malformed":
            cut = self.body.encode() if self.body is not None else answer.body[:-7] or b'{"results'
            return Answer(self.status or answer.status, cut, answer.content_type, answer.headers)
        if self.action == "empty":
            return Answer(self.status or answer.status, b"", answer.content_type, answer.headers)
        if self.action in {"delay", "partial", "drip", "reset_after", "reset_during"}:
            return answer
        return self.canned() or answer

    def partial_failure(self, chooser: random.Random) -> PartialFailure | None:
        """What a batch is to be told, where this is that sort of fault."""
        if self.action != "partial":
            return None
        return PartialFailure(
            self.fail_count,
            self.status or 400,
            self.category or "VALIDATION_ERROR",
            self.message or "Property values were not valid: []",
            self.name_traces,
            self.extra_results,
            chooser,
        )


_REFUSALS: dict[str, tuple[int, str, str]] = {
    "error": (500, "INTERNAL_ERROR", "internal error"),
    "locked": (423, "LOCKED", "The record is locked by another write; try again in 2 seconds."),
    "migrating": (477, "MIGRATION_IN_PROGRESS", "This account is being migrated."),
    "expired_token": (
        401,
        "EXPIRED_AUTHENTICATION",
        "The OAuth token used to make this call expired 1 second(s) ago.",
    ),
    "invalid_token": (
        401,
        "INVALID_AUTHENTICATION",
        "The access token you provided is invalid or has been revoked.",
    ),
    "missing_scopes": (
        403,
        "MISSING_SCOPES",
        "This app hasn't been granted all required scopes to make this call.",
    ),
}


class FaultScript:
    """All faults in force, in order; the first that strikes wins."""

    def __init__(self, seed: int) -> None:
        self.faults: list[Fault] = []
        self.chooser = random.Random(seed)

    def take(self, method: str, path: str, plain_path: str, portal_id: int | None) -> Fault | None:
        """The fault that strikes this request, or None."""
        for fault in self.faults:
            if not fault.matches(method, path, plain_path, portal_id):
                continue
            fault.seen += 1
            if fault.seen < fault.nth or (fault.times is not None and fault.struck >= fault.times):
                continue
            if fault.probability < 1 and self.chooser.random() >= fault.probability:
                continue
            fault.struck += 1
            return fault
        return None
