"""Where HubSpot's API lives: its version, its paths, how long each kind of request may take.

It must not know who asks or what for; nothing here does I/O.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata

import httpx

from target_hubspot_calls.errors import SettingsError

API_VERSION = "2026-09"
API_URL = "https://api.hubapi.com"
APP_URL = "https://app.hubspot.com"
USER_AGENT = f"target-hubspot-calls/{metadata.version('target-hubspot-calls')}"

TOKEN_PATH = f"/oauth/{API_VERSION}/token"
REVOKE_PATH = f"{TOKEN_PATH}/revoke"
INFO_PATH = f"{TOKEN_PATH}/introspect"
ACCOUNT_PATH = f"/account-info/{API_VERSION}/details"
FILES_PATH = f"/files/{API_VERSION}/files"

# HubSpot gives up after 100 s itself (524), so a write that is still silent then is truly lost.
CONNECT_S = 10.0
DEADLINES_S = {"token": 20.0, "read": 30.0, "search": 30.0, "write": 110.0, "upload": 600.0}

_HOST = re.compile(rb"[A-Za-z0-9.:-]+\Z")

EFFECT = "hubspot_effect"
DEADLINE = "hubspot_deadline_s"
# Awaited when the pace has let the request through, right before it leaves.
BEFORE_SENDING = "hubspot_before_sending"


class Effect(StrEnum):
    """What sending a request a second time would do."""

    REPEATABLE = "repeatable"
    ONCE = "once"


@dataclass(frozen=True)
class RequestKind:
    """How a request is sent: what repeating it does, and its deadline in seconds."""

    effect: Effect
    deadline_s: float

    def extensions(self) -> dict[str, object]:
        """The httpx request extensions by which every layer below knows the kind."""
        return {EFFECT: self.effect, DEADLINE: self.deadline_s}


TOKEN = RequestKind(Effect.REPEATABLE, DEADLINES_S["token"])
READ = RequestKind(Effect.REPEATABLE, DEADLINES_S["read"])
SEARCH = RequestKind(Effect.REPEATABLE, DEADLINES_S["search"])
UPDATE = RequestKind(Effect.REPEATABLE, DEADLINES_S["write"])
CREATE = RequestKind(Effect.ONCE, DEADLINES_S["write"])
UPLOAD = RequestKind(Effect.ONCE, DEADLINES_S["upload"])


def object_path(object_name: str, action: str = "") -> str:
    """Path of a CRM object's endpoint, such as `object_path("notes", "batch/create")`."""
    return f"/crm/objects/{API_VERSION}/{object_name}" + (f"/{action}" if action else "")


def associations_path(from_object: str, to_object: str, action: str) -> str:
    """Path of an endpoint for the associations between two kinds of object."""
    return f"/crm/associations/{API_VERSION}/{from_object}/{to_object}/{action}"


def properties_path(object_name: str, name: str = "") -> str:
    """Path of an object's property definitions, or of the one with this name."""
    return f"/crm/properties/{API_VERSION}/{object_name}" + (f"/{name}" if name else "")


def is_search(request: httpx.Request) -> bool:
    """True if HubSpot counts the request in its search limit."""
    path = request.url.path
    return path.startswith("/crm/objects/") and path.endswith("/search")


def is_upload(request: httpx.Request) -> bool:
    """True if the request is about a file."""
    return request.url.path.startswith("/files/")


def checked_base_url(written: str, setting: str = "hubspot_api_url") -> httpx.URL:
    """The base address a setting gives, or SettingsError naming the setting and every fault."""
    try:
        url = httpx.URL(written)
    except (httpx.InvalidURL, TypeError) as err:
        raise SettingsError([f"{setting} is not an address"]) from err
    faults = []
    if url.scheme not in ("http", "https") or not _HOST.match(url.raw_host):
        faults.append(f"{setting} must be an https address")
    elif url.scheme == "http" and not _is_loopback(url.host):
        faults.append(f"{setting} must use https (plain http is for this machine only)")
    if url.userinfo or url.query or url.fragment or url.path not in ("", "/"):
        faults.append(f"{setting} must be a scheme, a host and perhaps a port, nothing more")
    if faults:
        raise SettingsError(faults)
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
