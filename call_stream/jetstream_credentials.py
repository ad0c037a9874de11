"""The credentials file of NATS's own tools: a signed user, and the seed that answers a challenge.

Knows that file's form and Ed25519; it must not show a seed, in an error neither.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from call_stream.stream import StreamError

_BLOCK = rb"-+BEGIN %b-+\s+([A-Za-z0-9+/=._-]+)\s+-+END %b-+"
_JWT = re.compile(_BLOCK % (b"NATS USER JWT", b"NATS USER JWT"))
_SEED = re.compile(_BLOCK % (b"USER NKEY SEED", b"USER NKEY SEED"))
# Two bytes of prefix, the seed, two bytes of checksum: github.com/nats-io/nkeys.
_SEED_BYTES = 36
_SEED_PREFIX, _USER_PREFIX = 18 << 3, 20 << 3


@dataclass(frozen=True)
class Credentials:
    """A user of an account, and the key that proves it."""

    jwt: bytes = field(repr=False)
    key: Ed25519PrivateKey = field(repr=False)

    def load_jwt(self) -> bytearray:
        """The signed user, as the driver asks for it."""
        return bytearray(self.jwt)

    def sign(self, nonce: str) -> bytes:
        """The answer to a server's challenge."""
        return base64.b64encode(self.key.sign(nonce.encode()))


def load_credentials(path: Path) -> Credentials:
    """What the file holds. Raises StreamError, which repeats nothing of it."""
    try:
        text = path.read_bytes()
    except OSError as err:
        raise StreamError(
            f"The credentials file {path} of the call stream cannot be read: {err.strerror}."
        ) from err
    jwt, seed = _JWT.search(text), _SEED.search(text)
    if jwt is None or seed is None:
        raise StreamError(f"The file {path} holds no NATS user credentials.")
    return Credentials(jwt[1], _to_key(seed[1], path))


def _to_key(seed: bytes, path: Path) -> Ed25519PrivateKey:
    try:
        raw = base64.b32decode(seed + b"=" * (-len(seed) % 8))
    except binascii.Error:
        raw = b""
    is_user_seed = (
        len(raw) == _SEED_BYTES
        and raw[0] & 0xF8 == _SEED_PREFIX
        and ((raw[0] & 0x07) << 5 | raw[1] >> 3) == _USER_PREFIX
        and binascii.crc_hqx(raw[:-2], 0).to_bytes(2, "little") == raw[-2:]
    )
    if not is_user_seed:
        raise StreamError(f"The seed in the credentials file {path} is no user's.")
    return Ed25519PrivateKey.from_private_bytes(raw[2:-2])
