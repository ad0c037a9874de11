"""The public keys of whoever signs tokens, fetched from one address and kept.

Knows HTTP and JWK sets; what a token says is not its business. Nothing of an answer is believed
before its shape has been looked at.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import msgspec

logger = logging.getLogger("receiver")

_KEEP_S = 3600.0
_ASK_AGAIN_S = 30.0
_DEADLINE_S = 8.0
_MAX_BYTES = 256 * 1024
_MOST_KEYS = 100
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_BY_CURVE: Mapping[str, tuple[str, ...]] = {
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA",),
}


class KeysUnavailable(Exception):
    """No keys could be fetched, and none are kept."""


@dataclass(frozen=True)
class TokenKey:
    """A key and the only algorithms it may be used with."""

    key: Any
    algorithms: tuple[str, ...]


class JwksKeys:
    """The keys behind one address, by id; asked again now and then, and for an id never seen.

    Keys that are kept go on working while the address does not answer. An address that is asked
    for nonsense is asked once in half a minute, so nobody can make us flood it.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
        keep_s: float = _KEEP_S,
        ask_again_s: float = _ASK_AGAIN_S,
    ) -> None:
        self._url = url
        self._clock = clock
        self._transport = transport
        self._keep_s = keep_s
        self._ask_again_s = ask_again_s
        self._keys: Mapping[str | None, TokenKey] | None = None
        self._fetched_at = 0.0
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()

    async def find(self, key_id: str | None) -> TokenKey | None:
        """The key with this id, None if there is none. Raises KeysUnavailable."""
        if self._is_fresh() and self._chosen(key_id) is not None:
            return self._chosen(key_id)
        async with self._asking:
            if self._may_ask() and not (self._is_fresh() and self._chosen(key_id) is not None):
                await self._ask()
        if self._keys is None:
            raise KeysUnavailable
        return self._chosen(key_id)

    def _chosen(self, key_id: str | None) -> TokenKey | None:
        keys = self._keys or {}
        if key_id is None:
            # Without an id only a set of one says which key is meant.
            return next(iter(keys.values())) if len(keys) == 1 else None
        return keys.get(key_id)

    def _is_fresh(self) -> bool:
        return self._keys is not None and self._clock() - self._fetched_at < self._keep_s

    def _may_ask(self) -> bool:
        return self._asked_at is None or self._clock() - self._asked_at >= self._ask_again_s

    async def _ask(self) -> None:
        self._asked_at = self._clock()
        try:
            keys = read_keys(await self._fetch())
        except (httpx.HTTPError, TimeoutError, ValueError) as err:
            logger.warning("the keys for tokens cannot be fetched: %s", type(err).__name__)
            return
        self._keys = keys
        self._fetched_at = self._clock()

    async def _fetch(self) -> bytes:
        body = bytearray()
        async with (
            asyncio.timeout(_DEADLINE_S),
            httpx.AsyncClient(
                trust_env=False,
                follow_redirects=False,
                transport=self._transport,
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            ) as http,
            http.stream("GET", self._url) as response,
        ):
            if response.status_code != 200:
                raise ValueError(f"status {response.status_code}")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise ValueError("too large")
        return bytes(body)


def read_keys(body: bytes) -> dict[str | None, TokenKey]:
    """The keys for signatures of a JWK set, by id. Raises ValueError if there is none."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as err:
        raise ValueError("not JSON") from err
    written = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(written, list):
        raise ValueError("no JWK set")
    keys: dict[str | None, TokenKey] = {}
    for one in written[:_MOST_KEYS]:
        key = _read_key(one) if isinstance(one, dict) else None
        if key is not None:
            key_id = one.get("kid")
            keys[key_id if isinstance(key_id, str) else None] = key
    if not keys:
        raise ValueError("no key for signatures")
    return keys


def _read_key(written: dict[str, Any]) -> TokenKey | None:
    """The key, None if it is no public key for signatures: a shared secret is none."""
    algorithms: tuple[str, ...] | None = _RSA
    if written.get("kty") != "RSA":
        algorithms = _BY_CURVE.get(str(written.get("crv")))
    if algorithms is None or written.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    if written.get("use", "sig") != "sig":
        return None
    said = written.get("alg")
    if said is not None:
        algorithms = tuple(one for one in algorithms if one == said)
    if not algorithms or "d" in written:
        return None
    try:
        key = jwt.PyJWK(written, algorithm=algorithms[0]).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return TokenKey(key, algorithms)
