"""Whether a request proves that it comes from whom the webhook was made for.

Works on raw bytes and in constant time; must not parse a body or know how secrets are kept. What
signs a body is in `hmac_signatures.py`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from starlette.types import Scope

from target_hubspot_calls.store.webhook_auth import AuthOptions, SecretHeader

Headers = Mapping[bytes, bytes]
"""Of headers that come more than once the last; `refuse_repeated` looks at all of them."""


class Unproven(Exception):
    """The request proves nothing. `why` is a word to count and log, and never told the sender."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class SecretUnreadable(Exception):
    """We cannot check, because a secret of the webhook does not open: no sender's fault."""


class Webhook(Protocol):
    """What the receiver needs of a webhook; the store's own class has it."""

    @property
    def auth(self) -> str:
        """How a sender proves itself: a word of `WebhookAuth`."""

    @property
    def options(self) -> AuthOptions:
        """The options of that way; None for auth none, and where they cannot be read."""

    @property
    def user_id(self) -> str:
        """Whose calls arrive here."""

    @property
    def workspace_id(self) -> str:
        """The workspace they belong to."""

    @property
    def disabled_at(self) -> datetime | None:
        """When it was taken out of use; None while it is in use."""

    @property
    def assistant_ids(self) -> Sequence[str]:
        """The only assistants whose reports are taken; empty for all."""

    @property
    def signing_secrets(self) -> Sequence[bytes]:
        """The keys that signatures in force are made with, newest first."""

    @property
    def is_readable(self) -> bool:
        """False if a secret does not open, or the options are not of this version."""

    def accepts(self, presented: bytes) -> bool:
        """True if `presented` is one of the secrets in force."""


class Claim(Protocol):
    """What the headers of a signed request claim, to be held against its body."""

    @property
    def keep_until_s(self) -> float:
        """Until when (epoch seconds) the same request would pass again."""

    def prove(self, body: bytes) -> tuple[bytes, ...]:
        """Marks by which this very request is known again. Raises Unproven, SecretUnreadable."""


class Check(Protocol):
    """How one webhook's requests are checked; built once, not for each request."""

    def begin(self, headers: Headers, scope: Scope, now: datetime) -> Claim | None:
        """None when the headers alone are proof, else what the body must still show.

        Raises Unproven, SecretUnreadable.
        """


class SecretCheck:
    """The secret itself must stand in a header."""

    def __init__(self, accepts: Callable[[bytes], bool], options: SecretHeader) -> None:
        self._accepts = accepts
        self._header = options.header.lower().encode("ascii")
        self._bearer = options.bearer_prefix

    def begin(self, headers: Headers, scope: Scope, now: datetime) -> None:
        """Returns when the secret is there. Raises Unproven."""
        refuse_repeated(headers, scope, self._header)
        presented = headers.get(self._header, b"")
        if self._bearer:
            scheme, _, token = presented.partition(b" ")
            presented = token.strip() if scheme.lower() == b"bearer" else b""
        accepted = self._accepts(presented)
        if not presented:
            raise Unproven("no_secret")
        if not accepted:
            raise Unproven("wrong_secret")


class OpenCheck:
    """Anyone may send: the webhook was made so, by name."""

    def begin(self, headers: Headers, scope: Scope, now: datetime) -> None:
        """Returns."""


class ClosedCheck:
    """Nobody may send: how the webhook works cannot be told."""

    def begin(self, headers: Headers, scope: Scope, now: datetime) -> None:
        """Raises SecretUnreadable."""
        raise SecretUnreadable


def refuse_repeated(headers: Headers, scope: Scope, *names: bytes) -> None:
    """Returns if none of the names came twice. Raises Unproven: which of them would count?"""
    raw = scope["headers"]
    if len(raw) == len(headers):
        return
    came = [name for name, _ in raw]
    if any(came.count(name) > 1 for name in names):
        raise Unproven("repeated_header")


def refuse_unknown(headers: Headers) -> None:
    """Does the work of a check for a webhook that is not there, so that time tells nothing."""
    presented = headers.get(b"x-vapi-secret", b"")
    hmac.compare_digest(hashlib.sha256(presented).digest(), _NOBODYS_DIGEST)


_NOBODYS_DIGEST = secrets.token_bytes(32)
