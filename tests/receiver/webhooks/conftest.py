"""The webhook route called as a server calls it, over a real store and a real stream."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from call_stream.excerpt import record_from_excerpt
from call_stream.stream import (
    DEFAULT_OWNER,
    CallStreamWriter,
    EntryKind,
    Owner,
    StreamUnavailable,
    open_reader,
    open_writer,
)
from receiver.event_log import Event
from receiver.lookups import WebhookLookup
from receiver.settings import ReceiverSettings
from receiver.webhooks import WebhookDesk, WebhookRoute
from target_hubspot_calls.errors import WrongEncryptionKey
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.vault import Vault
from target_hubspot_calls.store.webhook_auth import HmacPlan
from target_hubspot_calls.store.webhooks import Webhook, Webhooks

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HeaderList = list[tuple[bytes, bytes]]


class MovedClock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Keys:
    """The encryption keys, which can be lost or changed."""

    def __init__(self) -> None:
        self.vault: Vault | None = Vault([Fernet.generate_key().decode()])

    def __call__(self, *, create: bool) -> Vault:
        if self.vault is None:
            raise WrongEncryptionKey("The key file is missing.")
        return self.vault


@dataclass(frozen=True)
class Answer:
    """What the route answered."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def code(self) -> str:
        """The contract's word for a refusal; `ok` where there is none."""
        return str(json.loads(self.body).get("code", "ok"))


class Door:
    """One route with its store, stream and clock, and everything that became of requests."""

    def __init__(
        self,
        directory: Path,
        *,
        settings: ReceiverSettings | None = None,
        stream: CallStreamWriter | None = None,
        lookup_keep_s: float = 0,
        lookup_clock: Callable[[], float] = time.monotonic,
        **desk: Any,
    ) -> None:
        self.clock = MovedClock()
        self.keys = Keys()
        self.engine = open_database(f"sqlite:///{directory}/store.db")
        self.webhooks = Webhooks(self.engine, open_vault=self.keys, clock=self.clock)
        self.stream_url = f"file:{directory}/stream"
        self.stream = stream or open_writer(self.stream_url)
        self.events: list[Event] = []
        on_event = [lambda event, seconds: self.events.append(event), *desk.pop("on_event", ())]
        self.route = WebhookRoute(
            settings or ReceiverSettings(public_url="https://calls.example"),
            stream=self.stream,
            lookup=WebhookLookup(self.webhooks, keep_s=lookup_keep_s, most=10, clock=lookup_clock),
            desk=WebhookDesk(on_event=on_event, **desk),
            clock=self.clock,
        )

    async def ask(
        self,
        webhook: Webhook | str,
        headers: Mapping[str, str | bytes] | HeaderList,
        body: bytes,
        *,
        query: bytes = b"",
        method: str = "POST",
    ) -> Answer:
        """The answer to one request, whose headers and body come as bytes do."""
        path = f"/api/webhooks/{webhook if isinstance(webhook, str) else webhook.id}"
        given = headers if isinstance(headers, list) else to_raw(headers)
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": [(b"content-length", b"%d" % len(body)), *given],
        }
        sent: list[Any] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.route(scope, receive, send)
        start = sent[0]
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(start["status"], dict(start["headers"]), content)

    def post(self, *arguments: Any, **options: Any) -> Answer:
        """The same, for one request at a time."""
        return asyncio.run(self.ask(*arguments, **options))

    def stored(self) -> list[str]:
        """The calls in the stream; a dash for what names none."""
        return [
            record_from_excerpt(entry.payload).id if entry.kind is EntryKind.REPORT else "-"
            for entry in open_reader(self.stream_url).read()
        ]

    def outcomes(self) -> list[str]:
        """The word for each request, the finer one where there is."""
        return [event.why or event.outcome for event in self.events]

    def close(self) -> None:
        self.stream.close()
        self.engine.dispose()


def to_raw(headers: Mapping[str, str | bytes]) -> HeaderList:
    """Headers as a server hands them on: lower-case names, bytes."""
    return [
        (name.lower().encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in headers.items()
    ]


def signed(
    plan: HmacPlan,
    secret: str,
    body: bytes,
    *,
    at: datetime | str = NOON,
    message_id: str = "msg_1",
    url: str = "",
) -> dict[str, str]:
    """The headers with which VAPI signs by this plan, written anew from its documentation."""
    key = base64.b64decode(secret) if plan.secret_is_base64 else secret.encode()
    timestamp = at if isinstance(at, str) else str(int(at.timestamp()))
    named = {
        b"{body}": body,
        b"{timestamp}": timestamp.encode(),
        b"{method}": b"POST",
        b"{url}": url.encode(),
        b"{svix-id}": message_id.encode(),
    }
    payload = re.sub(rb"\{[a-z-]+\}", lambda found: named[found[0]], plan.payload_format.encode())
    mac = hmac.new(key, payload, plan.algorithm).digest()
    written = mac.hex() if plan.encoding == "hex" else base64.b64encode(mac).decode()
    headers = {plan.signature_header: plan.prefix + written}
    if plan.include_timestamp:
        headers[plan.timestamp_header] = timestamp
    if plan.message_id_header is not None:
        headers[plan.message_id_header] = message_id
    return headers


@pytest.fixture
def sign() -> Callable[..., dict[str, str]]:
    return signed


def a_report(call_id: str = "call-1", **fields: Any) -> bytes:
    message = {"type": "end-of-call-report", "call": {"id": call_id}, **fields}
    return json.dumps({"message": message}).encode()


@pytest.fixture
def open_door(tmp_path: Path) -> Iterator[Callable[..., Door]]:
    """Opens a route in the test's own directory and closes its stream in the end."""
    opened: list[Door] = []

    def open_(**options: Any) -> Door:
        opened.append(Door(tmp_path, **options))
        return opened[-1]

    yield open_
    for door in opened:
        door.close()


@pytest.fixture
def door(open_door: Callable[..., Door]) -> Door:
    return open_door()


@pytest.fixture
def report() -> Callable[..., bytes]:
    return a_report


class FullStream:
    """A stream whose disk is full, until it is not."""

    def __init__(self) -> None:
        self.is_full = True
        self.taken: list[bytes] = []

    def append_async(
        self, kind: EntryKind, payload: bytes, *, owner: Owner = DEFAULT_OWNER
    ) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self.is_full:
            future.set_exception(StreamUnavailable("The call stream's disk is full."))
        else:
            self.taken.append(payload)
            future.set_result(1)
        return future

    def close(self) -> None:
        pass


@pytest.fixture
def full_stream() -> FullStream:
    return FullStream()
