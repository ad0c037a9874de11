"""Trying a webhook out: a sample report, sent through the very door that VAPI's reports take.

Proves itself the webhook's own way, with a secret that is made for this one report and ended after
it; must not know the pages that ask for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_bytes, token_urlsafe
from typing import Protocol

import httpx
from starlette.types import Receive, Scope, Send
from uuid_utils import uuid7

from receiver.proofs import proving_headers
from receiver.sample_report import build_sample_report
from receiver.webhooks import PATH_PREFIX, TRIAL
from target_hubspot_calls.errors import StoreUnavailable
from target_hubspot_calls.store.webhook_auth import WebhookAuth
from target_hubspot_calls.store.webhooks import LentSecret, Webhook

logger = logging.getLogger("receiver")

_NOT_ANSWERED = "test_not_answered"
LENT_FOR_S = 60.0
TIMEOUT_S = 20.0


class Door(Protocol):
    """The webhooks' own route."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""

    def forget(self, webhook_id: str, /) -> None:
        """Looks the webhook up anew."""


class SecretLender(Protocol):
    """What is asked of the store; may block. Raises StoreUnavailable."""

    def lend_secret(self, webhook_id: str, /, for_s: float) -> LentSecret:
        """A secret beside those the webhook has, which ends by itself."""

    def take_back(self, lent: LentSecret, /) -> None:
        """Ends it before its time."""


@dataclass(frozen=True)
class Trial:
    """What the door answered; `code` and `sentence` are empty where it took the report."""

    call_id: str
    status: int
    code: str = ""
    sentence: str = ""

    @property
    def is_answered(self) -> bool:
        """Whether the door said anything at all."""
        return self.code != _NOT_ANSWERED

    @property
    def is_taken(self) -> bool:
        """Whether the report is on disk."""
        return self.status == 200


class Trials:
    """Sends sample reports."""

    def __init__(
        self,
        door: Door,
        lender: SecretLender,
        *,
        public_url: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._door = door
        self._lender = lender
        self._public_url = public_url
        self._now = now

    async def send(self, webhook: Webhook, *, number: str | None = None) -> Trial:
        """What became of a sample report, at a webhook that may be off. Raises StoreUnavailable."""
        call_id = f"test-{uuid7()}"
        assistants = webhook.assistant_ids
        body = build_sample_report(
            call_id,
            at=self._now(),
            number=number,
            assistant_id=assistants[0] if assistants else None,
        )
        lent = await self._lent(webhook)
        try:
            return await self._post(webhook, call_id, body, lent)
        finally:
            await self._take_back(webhook, lent)

    async def _lent(self, webhook: Webhook) -> LentSecret:
        """A secret that opens the webhook, where any could."""
        is_open = webhook.auth is WebhookAuth.NONE
        if is_open or webhook.disabled_at is not None or not webhook.is_readable:
            # No secret of VAPI's would open it either: the door shall say so.
            return LentSecret("", token_urlsafe(32), token_bytes(32))
        lent = await asyncio.to_thread(self._lender.lend_secret, webhook.id, for_s=LENT_FOR_S)
        self._door.forget(webhook.id)
        return lent

    async def _take_back(self, webhook: Webhook, lent: LentSecret) -> None:
        if not lent.id:
            return
        try:
            await asyncio.to_thread(self._lender.take_back, lent)
        except StoreUnavailable as err:
            logger.warning("a webhook's secret for a test ends by itself only: %s", err)
        self._door.forget(webhook.id)

    async def _door_for_trials(self, scope: Scope, receive: Receive, send: Send) -> None:
        # So that nobody takes it for VAPI's voice.
        extensions = {**scope.get("extensions", {}), TRIAL: {}}
        await self._door({**scope, "extensions": extensions}, receive, send)

    async def _post(self, webhook: Webhook, call_id: str, body: bytes, lent: LentSecret) -> Trial:
        url = f"{self._public_url}{PATH_PREFIX}{webhook.id}"
        headers = proving_headers(
            webhook.options,
            secret=lent.text,
            signing_key=lent.signing_key,
            body=body,
            url=url,
            message_id=call_id,
            at=self._now(),
        )
        # In this process, not over the network: the public address may lead through proxies that
        # do not lead back here.
        transport = httpx.ASGITransport(app=self._door_for_trials)
        try:
            # A transport in this process knows no time limits of its own.
            async with asyncio.timeout(TIMEOUT_S), httpx.AsyncClient(transport=transport) as client:
                answer = await client.post(
                    f"http://webhooks.invalid{PATH_PREFIX}{webhook.id}",
                    content=body,
                    headers={"Content-Type": "application/json", **headers},
                )
        except TimeoutError:
            sentence = "The webhook did not answer the test call in time."
            return Trial(call_id, 504, _NOT_ANSWERED, sentence)
        if answer.status_code == 200:
            return Trial(call_id, 200)
        said = json.loads(answer.content)
        return Trial(call_id, answer.status_code, said["code"], said["error"])
