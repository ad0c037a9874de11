"""Which address and method is which operation, in every version's spelling.

A request's path is stripped of its version first, so each operation is named once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from . import (
    account_operations,
    association_operations,
    batch_operations,
    file_operations,
    property_operations,
    record_operations,
    token_operations,
)
from .answers import Answer, HubSpotError, unknown_path
from .requests import Request
from .search import search

DATED_VERSIONS = ("2025-09", "2026-03", "2026-09")
_DATED = "|".join(DATED_VERSIONS)
_SPELLINGS = (
    re.compile(rf"^(?P<head>/crm/objects)/(?P<version>{_DATED})(?P<tail>/.*)$"),
    re.compile(r"^(?P<crm>/crm)/(?P<version>v3|v4)(?P<tail>/objects/.*)$"),
    re.compile(rf"^(?P<head>/crm/associations)/(?P<version>{_DATED})(?P<tail>/.*)$"),
    re.compile(r"^(?P<crm>/crm)/(?P<version>v4)(?P<tail>/associations/.*)$"),
    re.compile(rf"^(?P<head>/crm/(?:properties|owners))/(?P<version>{_DATED})(?P<tail>/.*|)$"),
    re.compile(r"^(?P<crm>/crm)/(?P<version>v3)(?P<tail>/(?:properties|owners)(?:/.*|))$"),
    re.compile(rf"^(?P<head>/files)/(?P<version>{_DATED}|v3)(?P<tail>/.*)$"),
    re.compile(rf"^(?P<head>/oauth)/(?P<version>{_DATED}|v3|v1)(?P<tail>/.*)$"),
    re.compile(rf"^(?P<head>/account-info)/(?P<version>{_DATED}|v3)(?P<tail>/.*)$"),
)

READ_CONTACTS = ("crm.objects.contacts.read",)
WRITE_CONTACTS = ("crm.objects.contacts.write",)
WRITE_SCHEMAS = ("crm.schemas.contacts.write",)
WRITE_FILES = ("files", "files.write")
READ_FILES = ("files", "files.read")
DELETE_FILES = ("files", "files.delete")

Handler = Callable[[Request], Answer]


@dataclass(frozen=True)
class Operation:
    """One thing the API can do. `limit` names the rate policy that counts it."""

    method: str
    template: str
    handler: Handler | None
    scopes: tuple[str, ...] = ()
    limit: str = "burst"
    needs_token: bool = True

    @property
    def is_upload(self) -> bool:
        """Whether its body is a multipart stream."""
        return self.handler is None


def _objects() -> list[Operation]:
    base = "/crm/objects/{kind}"
    one = f"{base}/{{id}}"
    joined = f"{one}/associations"
    records, batches, links = record_operations, batch_operations, association_operations
    return [
        Operation("POST", f"{base}/search", search, READ_CONTACTS, limit="search"),
        Operation("POST", f"{base}/batch/create", batches.create, WRITE_CONTACTS),
        Operation("POST", f"{base}/batch/read", batches.read, READ_CONTACTS),
        Operation("POST", f"{base}/batch/update", batches.change, WRITE_CONTACTS),
        Operation("POST", f"{base}/batch/upsert", batches.upsert, WRITE_CONTACTS),
        Operation("POST", f"{base}/batch/archive", batches.archive, WRITE_CONTACTS),
        Operation("POST", base, records.create, WRITE_CONTACTS),
        Operation("GET", base, records.list_all, READ_CONTACTS),
        Operation("GET", one, records.read, READ_CONTACTS),
        Operation("PATCH", one, records.change, WRITE_CONTACTS),
        Operation("DELETE", one, records.archive, WRITE_CONTACTS),
        Operation(
            "PUT", f"{joined}/default/{{to_kind}}/{{to_id}}", links.join_default, WRITE_CONTACTS
        ),
        Operation("PUT", f"{joined}/{{to_kind}}/{{to_id}}", links.join_labelled, WRITE_CONTACTS),
        Operation("DELETE", f"{joined}/{{to_kind}}/{{to_id}}", links.part, WRITE_CONTACTS),
        Operation("GET", f"{joined}/{{to_kind}}", links.list_of_record, READ_CONTACTS),
    ]


def _associations() -> list[Operation]:
    base = "/crm/associations/{kind}/{to_kind}"
    links = association_operations
    limit = "association"
    return [
        Operation("POST", f"{base}/batch/read", links.batch_read, READ_CONTACTS, limit),
        Operation(
            "POST",
            f"{base}/batch/associate/default",
            links.batch_join_default,
            WRITE_CONTACTS,
            limit,
        ),
        Operation("POST", f"{base}/batch/create", links.batch_join_labelled, WRITE_CONTACTS, limit),
        Operation("POST", f"{base}/batch/archive", links.batch_part, WRITE_CONTACTS, limit),
        Operation("GET", f"{base}/labels", links.labels, READ_CONTACTS),
    ]


def _properties() -> list[Operation]:
    base = "/crm/properties/{kind}"
    properties = property_operations
    return [
        Operation("GET", f"{base}/groups", properties.list_groups, READ_CONTACTS),
        Operation("POST", f"{base}/groups", properties.create_group, WRITE_SCHEMAS),
        Operation("GET", f"{base}/groups/{{name}}", properties.read_group, READ_CONTACTS),
        Operation("GET", base, properties.list_all, READ_CONTACTS),
        Operation("POST", base, properties.create, WRITE_SCHEMAS),
        Operation("GET", f"{base}/{{name}}", properties.read, READ_CONTACTS),
        Operation("DELETE", f"{base}/{{name}}", properties.archive, WRITE_SCHEMAS),
    ]


def _files() -> list[Operation]:
    base = "/files/files"
    files = file_operations
    return [
        Operation("POST", base, None, WRITE_FILES),
        Operation("GET", f"{base}/search", files.find, READ_FILES),
        Operation("GET", f"{base}/stat/{{path*}}", files.stat, READ_FILES),
        Operation("GET", f"{base}/{{id}}", files.read, READ_FILES),
        Operation("GET", f"{base}/{{id}}/signed-url", files.sign, READ_FILES),
        Operation("DELETE", f"{base}/{{id}}", files.archive, DELETE_FILES),
        Operation("DELETE", f"{base}/{{id}}/gdpr-delete", files.archive, DELETE_FILES),
    ]


def _tokens() -> list[Operation]:
    def open_to_all(method: str, template: str, handler: Handler) -> Operation:
        return Operation(method, template, handler, limit="none", needs_token=False)

    tokens = token_operations
    return [
        open_to_all("POST", "/oauth/token", tokens.token),
        open_to_all("POST", "/oauth/token/introspect", tokens.introspect),
        open_to_all("POST", "/oauth/token/revoke", tokens.revoke),
        open_to_all("GET", "/oauth/access-tokens/{token}", tokens.access_token_information),
        open_to_all("GET", "/oauth/refresh-tokens/{token}", tokens.refresh_token_information),
        open_to_all("DELETE", "/oauth/refresh-tokens/{token}", tokens.delete_refresh_token),
    ]


def _account() -> list[Operation]:
    account = account_operations
    return [
        Operation("GET", "/account-info/details", account.details),
        Operation("GET", "/account-info/api-usage/daily/private-apps", account.daily_usage),
        Operation("GET", "/crm/owners", account.owners, ("crm.objects.owners.read",)),
    ]


OPERATIONS: tuple[Operation, ...] = (
    *_objects(),
    *_associations(),
    *_properties(),
    *_files(),
    *_tokens(),
    *_account(),
)
_SPLIT = [(operation, operation.template.strip("/").split("/")) for operation in OPERATIONS]


@dataclass(frozen=True)
class Matched:
    """An operation found for an address."""

    operation: Operation
    params: dict[str, str]
    version: str
    plain_path: str


def plain_path(raw_path: str) -> tuple[str, str]:
    """A path without its version, and the version. Raises a 404 where it has none we know."""
    for spelling in _SPELLINGS:
        found = spelling.match(raw_path)
        if found is not None:
            parts = found.groupdict()
            head = parts.get("head") or parts.get("crm") or ""
            return f"{head}{parts['tail']}".rstrip("/"), parts["version"]
    raise unknown_path()


def match(method: str, raw_path: str) -> Matched:
    """The operation of an address. Raises a 404 or a 405."""
    path, version = plain_path(raw_path)
    segments = path.strip("/").split("/")
    other_method = False
    for operation, template in _SPLIT:
        params = _params(template, segments)
        if params is None:
            continue
        if operation.method == method:
            return Matched(operation, params, version, path)
        other_method = True
    if other_method:
        raise HubSpotError(405, "HTTP 405 Method Not Allowed", "METHOD_NOT_ALLOWED")
    raise unknown_path()


def _params(template: list[str], segments: list[str]) -> dict[str, str] | None:
    takes_rest = template[-1].endswith("*}")
    if len(template) != len(segments) and not (takes_rest and len(segments) >= len(template)):
        return None
    params: dict[str, str] = {}
    for position, part in enumerate(template):
        if part.endswith("*}"):
            params[part[1:-2]] = unquote("/".join(segments[position:]))
        elif part.startswith("{"):
            params[part[1:-1]] = unquote(segments[position])
        elif part != segments[position]:
            return None
    return params
