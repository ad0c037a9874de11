"""From what HubSpot answered, or failed to answer, to an error of ours: the only place that maps.

It must not retry, wait or log; its messages name fields and never repeat a value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from target_hubspot_calls.errors import (
    AccountMigrating,
    AnswerLost,
    DailyLimit,
    HubSpotError,
    Locked,
    MissingScope,
    RateLimited,
    ReconnectRequired,
    Rejected,
    TransientHubSpotError,
    Unavailable,
)
from target_hubspot_calls.hubspot.api import EFFECT, Effect, is_search
from target_hubspot_calls.hubspot.wire import object_or_empty

LOCKED_WAIT_S = 2.0
BLIND_PARK_S = 3600.0
LONGEST_PARK_S = 86_400.0
_WINDOW_WAITS_S = {"SECONDLY": 1.0, "TEN_SECONDLY_ROLLING": 10.0}
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_NOT_FOUND = "OBJECT_NOT_FOUND"
_CONFLICTS = ("CONFLICT", "OBJECT_ALREADY_EXISTS")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}\Z")
_CORRELATION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_PROPERTY_IN_MESSAGE = re.compile(
    r'"(?:name|propertyName)"\s*:\s*"([a-z][a-z0-9_]{0,99})"'
    r'|[Pp]roperty "([a-z][a-z0-9_]{0,99})"'
)
_TAKEN = "CONFLICTING_UNIQUE_VALUE"
_TAKEN_IN_WORDS = "already has that value"
_CODE_IN_MESSAGE = re.compile(
    r'"(?:error|code)"\s*:\s*"([A-Z][A-Z0-9_]{2,63})"'
    rf"|\b({_TAKEN}|PROPERTY_DOESNT_EXIST|MISSING_(?:CONDITIONAL_)?REQUIRED_PROPERTY)\b"
)
# Sentences of this kind open with the value that was sent ("maria was not a valid long").
_ECHO = re.compile(r"\b(?:is|was|were|are) (?:not|invalid)\b", re.IGNORECASE)
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'|“[^”]*”|`[^`]*`")
_MAIL = re.compile(r"\S+@\S+")
_DIGITS = re.compile(r"\+?\d(?:[\d ().-]*\d)?")


def error_of_response(response: httpx.Response) -> HubSpotError | None:
    """The error a status code stands for, None for 2xx. Source: HubSpot docs, error handling."""
    status = response.status_code
    if 200 <= status < 300:
        return None
    body = object_or_empty(response)
    correlation_id = correlation_id_of(body)
    wait_s = retry_after_s(response)
    match status:
        case 401:
            return ReconnectRequired(
                "HubSpot refuses the access token; connect the portal again",
                correlation_id=correlation_id,
            )
        case 403 if body:
            return _missing_scope(body, correlation_id)
        case 423:
            return Locked(
                "HubSpot holds the record locked (423)",
                retry_after_s=max(LOCKED_WAIT_S, wait_s or 0.0),
                correlation_id=correlation_id,
            )
        case 429:
            return _rate_error(response, body, correlation_id)
        case 477:
            return AccountMigrating(
                "HubSpot is moving the account between data centres (477)",
                retry_after_s=BLIND_PARK_S if wait_s is None else wait_s,
                correlation_id=correlation_id,
            )
        case 408:
            return _no_answer(response.request, "HubSpot answered 408", wait_s, correlation_id)
        case _ if status < 400:
            return Unavailable(f"HubSpot answered {status}; redirects are refused")
        case 403 | 425:
            return Unavailable(f"something before HubSpot answered {status}", retry_after_s=wait_s)
        case _ if status < 500:
            return Rejected(
                cleaned(body, f"HubSpot answered {status}"),
                http_status=status,
                category=_category(body),
                correlation_id=correlation_id,
            )
    return _no_answer(response.request, f"HubSpot answered {status}", wait_s, correlation_id)


def error_of_transport(err: httpx.HTTPError, request: httpx.Request) -> TransientHubSpotError:
    """The error for a request without an answer; only `ONCE` requests can lose theirs."""
    what = f"no answer from HubSpot ({type(err).__name__})"
    failed = _request_of(err) or request
    if isinstance(err, _NEVER_SENT):
        return Unavailable(what)
    return _no_answer(failed, what, None, None)


def error_of_malformed(response: httpx.Response, fault: Exception) -> TransientHubSpotError:
    """The error for a 2xx that cannot be read: on a `ONCE` request nobody knows what was done."""
    what = f"HubSpot answered {response.status_code}, unreadable: {fault}"
    return _no_answer(response.request, what, None, None)


def error_of_input(error: Mapping[str, Any], correlation_id: str | None) -> HubSpotError:
    """The error for one input of a batch, from an entry of `errors` in a 207."""
    category = _category(error)
    message = cleaned(error, "HubSpot refused this record")
    own_id = correlation_id_of(error) or correlation_id
    if category and "RATE_LIMIT" in category:
        return RateLimited(message, retry_after_s=10.0, correlation_id=own_id)
    if category and any(word in category for word in ("INTERNAL", "SERVER", "TIMEOUT")):
        return Unavailable(message, correlation_id=own_id)
    http_status = {_NOT_FOUND: 404, **dict.fromkeys(_CONFLICTS, 409)}.get(category or "", 400)
    return Rejected(message, http_status=http_status, category=category, correlation_id=own_id)


def is_not_found(error: Mapping[str, Any]) -> bool:
    """True if an entry of `errors` only says that a record is not there."""
    return _category(error) == _NOT_FOUND or "NO_ASSOCIATIONS_FOUND" in str(
        error.get("subCategory", "")
    )


def correlation_id_of(body: Mapping[str, Any]) -> str | None:
    """HubSpot's correlation id, where the body has one that looks like one."""
    written = body.get("correlationId")
    return written if isinstance(written, str) and _CORRELATION_ID.match(written) else None


def retry_after_s(response: httpx.Response) -> float | None:
    """Seconds the Retry-After header asks for, None without a usable one; a day at most."""
    written = response.headers.get("retry-after")
    if written is None:
        return None
    try:
        seconds = float(written)
    except ValueError:
        seconds = _seconds_until(written, response.headers.get("date"))
    if not math.isfinite(seconds):
        return None
    return min(max(seconds, 0.0), LONGEST_PARK_S)


def cleaned(body: Mapping[str, Any], otherwise: str) -> str:
    """A short message: category, codes, property names and masked text; never a value sent."""
    message = body.get("message")
    text = message if isinstance(message, str) else ""
    names = sorted(set(_property_names(body, text)))
    codes = {quoted or bare for quoted, bare in _CODE_IN_MESSAGE.findall(text)}
    if _TAKEN_IN_WORDS in text:
        codes.add(_TAKEN)
    parts = [otherwise, _category(body), ", ".join(sorted(codes)[:5]), _plain_words(text)]
    if names:
        parts.append("property " + ", ".join(names[:10]))
    return "; ".join(part for part in parts if part)


def is_taken(error: HubSpotError) -> bool:
    """True if a unique property's value belongs to another record: our call is there already."""
    return isinstance(error, Rejected) and _TAKEN in str(error)


def _plain_words(text: str) -> str:
    plain = re.split(r"[\[{]", text, maxsplit=1)[0]
    # Control characters could colour or forge a log line.
    plain = "".join(char if char.isprintable() else " " for char in plain)
    if _ECHO.search(plain):
        return ""
    plain = _MAIL.sub("(...)", _QUOTED.sub("(...)", plain))
    return " ".join(_DIGITS.sub("(...)", plain).split()).rstrip(": ")[:200]


def _no_answer(
    request: httpx.Request, what: str, wait_s: float | None, correlation_id: str | None
) -> TransientHubSpotError:
    if request.extensions.get(EFFECT) == Effect.ONCE:
        return AnswerLost(
            f"{what}; the write may or may not have happened",
            retry_after_s=wait_s,
            correlation_id=correlation_id,
        )
    return Unavailable(what, retry_after_s=wait_s, correlation_id=correlation_id)


def _request_of(err: httpx.HTTPError) -> httpx.Request | None:
    try:
        return err.request
    except RuntimeError:
        return None


def _rate_error(
    response: httpx.Response, body: Mapping[str, Any], correlation_id: str | None
) -> HubSpotError:
    policy = str(body.get("policyName", "")).upper()
    wait_s = retry_after_s(response)
    spent = response.headers.get("x-hubspot-ratelimit-daily-remaining") == "0"
    if policy == "DAILY" or (not policy and (spent or "daily" in str(body.get("message")).lower())):
        return DailyLimit(
            "the portal's HubSpot requests for today are used up (429 DAILY)",
            retry_after_s=BLIND_PARK_S if wait_s is None else wait_s,
            correlation_id=correlation_id,
        )
    guess_s = _WINDOW_WAITS_S.get(policy, 1.0 if is_search(response.request) else 10.0)
    return RateLimited(
        f"HubSpot's rate limit is reached (429 {policy or 'without a policy'})"[:100],
        retry_after_s=guess_s if wait_s is None else wait_s,
        correlation_id=correlation_id,
    )


def _missing_scope(body: Mapping[str, Any], correlation_id: str | None) -> MissingScope:
    scopes = sorted(set(_context_names(body, "requiredGranularScopes", "requiredScopes")))
    named = f"the scope {', '.join(scopes)}" if scopes else "a scope it does not name"
    return MissingScope(
        f"the connection lacks {named}; connect the portal again and grant it",
        correlation_id=correlation_id,
    )


def _category(body: Mapping[str, Any]) -> str | None:
    category = body.get("category")
    return category if isinstance(category, str) and _NAME.match(category) else None


def _property_names(body: Mapping[str, Any], text: str) -> Iterable[str]:
    yield from _context_names(body, "propertyName", "properties")
    for quoted, written in _PROPERTY_IN_MESSAGE.findall(text):
        yield quoted or written


def _context_names(body: Mapping[str, Any], *fields: str) -> Iterable[str]:
    errors = body.get("errors")
    for holder in (body, *(errors if isinstance(errors, list) else ())):
        context = holder.get("context") if isinstance(holder, dict) else None
        if not isinstance(context, dict):
            continue
        for field in fields:
            names = context.get(field)
            for name in names if isinstance(names, list) else [names]:
                if isinstance(name, str) and _NAME.match(name):
                    yield name


def _seconds_until(written: str, dated: str | None) -> float:
    try:
        return (parsedate_to_datetime(written) - parsedate_to_datetime(dated or "")).total_seconds()
    except (ValueError, TypeError):
        return math.nan
