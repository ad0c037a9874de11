"""Signatures over a request: what its headers claim, and whether its bytes bear that out.

Knows VAPI's HMACAuthenticationPlan and raw bytes; must not parse a body or know how keys are kept.
The header's text of a timestamp or message id is what is signed, so it is used as it came.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime

from starlette.types import Scope

from receiver.signatures import Headers, SecretUnreadable, Unproven, refuse_repeated
from target_hubspot_calls.store.webhook_auth import HmacEncoding, HmacPlan, Part

TOLERANCE_S = 300
"""How far a signed timestamp may lie from our clock, on either side."""

KEPT_UNDATED_S = 24 * 3600
"""How long a request without a signed timestamp is known again: it never grows too old itself."""

MOST_SIGNATURES = 10
_LONGEST_HEADER = 4096
# Seconds have ten digits until the year 2286, milliseconds thirteen; VAPI does not say which.
_TIMESTAMP = re.compile(rb"[0-9]{9,14}")
_LEAST_MS = 100_000_000_000
# No dot: it parts the fields of a payload, so an id with one could pass for id and timestamp.
_MESSAGE_ID = re.compile(rb"[A-Za-z0-9_-]{1,200}")


class SignedCheck:
    """A signature that one of the keys makes must stand in a header."""

    def __init__(
        self,
        plan: HmacPlan,
        keys: Sequence[bytes],
        *,
        all_keys_open: bool = True,
        public_url: str = "",
    ) -> None:
        self._plan = plan
        self._public_url = public_url
        self._signature_header = plan.signature_header.lower().encode("ascii")
        self._timestamp_header = plan.timestamp_header.lower().encode("ascii")
        self._message_id_header = (plan.message_id_header or "").lower().encode("ascii")
        self._parts = plan.payload_parts
        self._prefix = plan.prefix.encode("ascii")
        self.all_keys_open = all_keys_open
        self.is_hex = plan.encoding == HmacEncoding.HEX
        # A key of no bytes would let anybody sign.
        self.signers = [
            hmac.new(key, digestmod=getattr(hashlib, plan.algorithm)) for key in keys if key
        ]

    def begin(self, headers: Headers, scope: Scope, now: datetime) -> SignedClaim:
        """What the headers claim, when the body may yet prove it. Raises Unproven."""
        refuse_repeated(
            headers,
            scope,
            self._signature_header,
            self._timestamp_header,
            self._message_id_header,
        )
        signatures = self._signatures(headers)
        now_s = now.timestamp()
        keep_until_s = now_s + KEPT_UNDATED_S
        named: dict[str, bytes] = {}
        if Part.TIMESTAMP in self._parts:
            named[Part.TIMESTAMP] = headers.get(self._timestamp_header, b"")
            keep_until_s = _to_seconds(named[Part.TIMESTAMP]) + TOLERANCE_S
            if not now_s <= keep_until_s <= now_s + 2 * TOLERANCE_S:
                raise Unproven("stale_timestamp")
        if Part.MESSAGE_ID in self._parts:
            named[Part.MESSAGE_ID] = _checked_id(headers.get(self._message_id_header, b""))
        if Part.METHOD in self._parts:
            named[Part.METHOD] = scope["method"].encode("ascii")
        if Part.URL in self._parts:
            named[Part.URL] = self._url(scope)
        if not self.signers:
            raise Unproven("no_secret_in_force") if self.all_keys_open else SecretUnreadable
        before, after = self._around_body(named)
        return SignedClaim(self, signatures, before, after, keep_until_s)

    def _signatures(self, headers: Headers) -> list[bytes]:
        """The signatures without their prefix; Standard Webhooks puts several in one header."""
        written = headers.get(self._signature_header, b"")
        if not written:
            raise Unproven("no_signature")
        signatures = written.split(b" ") if len(written) <= _LONGEST_HEADER else []
        if not 0 < len(signatures) <= MOST_SIGNATURES:
            raise Unproven("malformed_signature")
        prefix = self._prefix
        ours = [each[len(prefix) :] for each in signatures if each.startswith(prefix)]
        if not ours:
            raise Unproven("malformed_signature")
        return ours

    def _url(self, scope: Scope) -> bytes:
        """The address as the sender knows it: behind a proxy, the request does not say."""
        query: bytes = scope.get("query_string", b"")
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        return self._public_url.encode() + path + (b"?" + query if query else b"")

    def _around_body(self, named: dict[str, bytes]) -> tuple[bytes, bytes]:
        """What is signed before the body and behind it."""
        at = self._parts.index(Part.BODY)
        before, after = (
            b"".join(named[part] if part in named else part.encode() for part in parts)
            for parts in (self._parts[:at], self._parts[at + 1 :])
        )
        return before, after


class SignedClaim:
    """The signatures of one request and what they must cover."""

    __slots__ = ("_after", "_before", "_check", "_signatures", "keep_until_s")

    def __init__(
        self,
        check: SignedCheck,
        signatures: Sequence[bytes],
        before: bytes,
        after: bytes,
        keep_until_s: float,
    ) -> None:
        self._check = check
        self._signatures = signatures
        self._before = before
        self._after = after
        self.keep_until_s = keep_until_s

    def prove(self, body: bytes) -> tuple[bytes, ...]:
        """What each key in force makes of this request. Raises Unproven, SecretUnreadable.

        Every key and every signature is tried, so that time does not tell which one was right.
        """
        made = tuple(self._sign(signer, body) for signer in self._check.signers)
        proven = False
        for expected in made:
            for signature in self._signatures:
                proven |= hmac.compare_digest(expected, signature)
        if proven:
            return made
        raise Unproven("wrong_signature") if self._check.all_keys_open else SecretUnreadable

    def _sign(self, signer: hmac.HMAC, body: bytes) -> bytes:
        """The signature as text: a second spelling of the same bytes is none."""
        mac = signer.copy()
        mac.update(self._before)
        mac.update(body)
        mac.update(self._after)
        digest = mac.digest()
        return digest.hex().encode() if self._check.is_hex else base64.b64encode(digest)


def _to_seconds(written: bytes) -> float:
    if not written:
        raise Unproven("no_timestamp")
    if not _TIMESTAMP.fullmatch(written):
        raise Unproven("malformed_timestamp")
    number = int(written)
    return number / 1000 if number >= _LEAST_MS else number


def _checked_id(written: bytes) -> bytes:
    if not written:
        raise Unproven("no_message_id")
    if not _MESSAGE_ID.fullmatch(written):
        raise Unproven("malformed_message_id")
    return written
