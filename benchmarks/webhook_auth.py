"""CPU of one webhook request, taken or refused, for each way of proof: no sockets and no disk.

    python -m benchmarks.webhook_auth [--bytes 4000] [--requests 2000] [--rounds 5]

Prints the least of several rounds, in microseconds: what the route itself costs, log line and
counting included, but for the server before it and the disk behind it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import logging
import os
import sys
import time
from datetime import UTC, datetime
from typing import Any, TextIO

import uvloop

from call_stream.stream import DEFAULT_OWNER, EntryKind, Owner
from hubspot_calls.log_setup import PlainLine, StderrHandler
from receiver.lookups import WebhookLookup
from receiver.settings import ReceiverSettings
from receiver.webhook_counts import WebhookTally
from receiver.webhooks import WebhookDesk, WebhookRoute
from target_hubspot_calls.store.webhook_auth import WebhookAuth, settle_options
from target_hubspot_calls.store.webhooks import Webhook

SECRET = b"a secret of forty-three characters, no less"


class NoDisk:
    """A stream that has everything at once."""

    def append_async(
        self, kind: EntryKind, payload: bytes, *, owner: Owner = DEFAULT_OWNER
    ) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(1)
        return future


class OneWebhook:
    """A directory of one."""

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook

    def get(self, webhook_id: str, /) -> Webhook:
        return self._webhook


def a_webhook(auth: WebhookAuth) -> Webhook:
    return Webhook(
        id="w" * 32,
        user_id="ada",
        workspace_id="sales",
        auth=auth,
        secret_digests=(hashlib.sha256(SECRET).digest(),),
        created_at=datetime.now(UTC),
        disabled_at=None,
        options=settle_options(auth),
        signing_secrets=(SECRET,),
    )


def a_report(number: int, size: int) -> bytes:
    message = {
        "type": "end-of-call-report",
        "call": {"id": f"call-{number}"},
        "artifact": {"transcript": "x" * size},
    }
    return json.dumps({"message": message}).encode()


def headers_for(auth: WebhookAuth, secret: bytes, body: bytes) -> list[tuple[bytes, bytes]]:
    """What a server hands on: the usual headers, and the proof."""
    usual = [
        (b"host", b"calls.example"),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    if auth is WebhookAuth.HMAC:
        at = b"%d" % time.time()
        mac = hmac.new(secret, at + b"." + body, "sha256").hexdigest().encode()
        return [*usual, (b"x-timestamp", at), (b"x-signature", mac)]
    if auth is WebhookAuth.BEARER:
        return [*usual, (b"authorization", b"Bearer " + secret)]
    return [*usual, (b"x-vapi-secret", secret)]


async def us_per_request(auth: WebhookAuth, secret: bytes, size: int, requests: int) -> float:
    webhook = a_webhook(auth)
    tally = WebhookTally(lambda counted: None)
    stream: Any = NoDisk()
    route = WebhookRoute(
        ReceiverSettings(),
        stream=stream,
        lookup=WebhookLookup(OneWebhook(webhook), keep_s=60, most=10),
        desk=WebhookDesk(on_event=[tally.count]),
    )
    bodies = [a_report(number, size) for number in range(requests)]
    prepared = [(body, headers_for(auth, secret, body)) for body in bodies]

    async def send(message: Any) -> None:
        return None

    started = time.process_time()
    for body, headers in prepared:
        message = {"type": "http.request", "body": body, "more_body": False}

        async def receive(message: Any = message) -> Any:
            return message

        scope = {
            "type": "http",
            "method": "POST",
            "path": f"/api/webhooks/{webhook.id}",
            "query_string": b"",
            "headers": headers,
        }
        await route(scope, receive, send)
    return (time.process_time() - started) / requests * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bytes", type=int, default=4000)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    out, sys.stderr = sys.stdout, open(os.devnull, "w", buffering=1)  # noqa: SIM115, PTH123
    logging.basicConfig(level=logging.INFO, handlers=[StderrHandler(PlainLine())], force=True)
    uvloop.run(measure(asked.bytes, asked.requests, asked.rounds, out))


async def measure(size: int, requests: int, rounds: int, out: TextIO) -> None:
    ways = (WebhookAuth.NONE, WebhookAuth.SECRET, WebhookAuth.BEARER, WebhookAuth.HMAC)
    print(f"CPU microseconds a request, bodies of {size} bytes", file=out)
    for auth in ways:
        best = {
            word: min([await us_per_request(auth, secret, size, requests) for _ in range(rounds)])
            for word, secret in (("taken", SECRET), ("refused", b"wrong"))
            if word == "taken" or auth is not WebhookAuth.NONE
        }
        told = "   ".join(f"{word} {best_us:6.1f}" for word, best_us in best.items())
        print(f"{auth:8} {told}", file=out, flush=True)


if __name__ == "__main__":
    main()
