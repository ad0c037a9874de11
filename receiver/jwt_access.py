"""Tokens of an embedding product: JWTs that say whose request its front end sends on.

Which algorithm may be used follows from the key and never from the token; no claim is believed
before the signature has been checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt

from receiver.access import CHALLENGE
from receiver.answers import Refusal
from receiver.jwks import KeysUnavailable, TokenKey
from target_hubspot_calls.call import Workspace

# A secret must be as long as the digest (RFC 7518, 3.2).
_SHARED = {"HS256": 32, "HS384": 48, "HS512": 64}
_LONGEST_TOKEN = 8_192
_LONGEST_NAME = 200
_LEEWAY_S = 30


class TokenKeys(Protocol):
    """Where keys for tokens come from."""

    async def find(self, key_id: str | None, /) -> TokenKey | None:
        """The key with this id, None if there is none. Raises KeysUnavailable."""


class SharedSecret:
    """One secret that the embedding product signs with too, whatever id its tokens name."""

    def __init__(self, secret: str) -> None:
        key = secret.encode()
        self._key = TokenKey(key, tuple(one for one, least in _SHARED.items() if len(key) >= least))

    async def find(self, key_id: str | None, /) -> TokenKey | None:
        """The secret, for any id."""
        return self._key


@dataclass(frozen=True)
class TokenRules:
    """What a token must say; issuer and audience only where they are set."""

    issuer: str | None = None
    audience: str | None = None
    user_claim: str = "sub"
    workspace_claim: str = "workspace_id"


class JwtAccess:
    """Opens the workspace that a token names. A token without an end opens nothing."""

    def __init__(self, keys: TokenKeys, rules: TokenRules) -> None:
        self._keys = keys
        self._rules = rules

    async def workspace_of_token(self, token: str) -> Workspace:
        """What the token opens. Raises Refusal (401, 503)."""
        if len(token) > _LONGEST_TOKEN:
            raise _refused("token_malformed", "The token is no JWT that can be read.")
        try:
            key = await self._keys.find(_key_id(token))
        except KeysUnavailable:
            raise Refusal(
                503,
                "token_keys_unavailable",
                "The keys that tokens are signed with cannot be fetched now.",
                {"Retry-After": "30"},
            ) from None
        if key is None:
            raise _refused("token_key_unknown", "The token is signed with a key not known here.")
        claims = _checked(token, key, self._rules)
        return Workspace(
            _name(claims, self._rules.user_claim), _name(claims, self._rules.workspace_claim)
        )


def _key_id(token: str) -> str | None:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise _refused("token_malformed", "The token is no JWT that can be read.") from None
    key_id = header.get("kid")
    return key_id if isinstance(key_id, str) else None


def _checked(token: str, key: TokenKey, rules: TokenRules) -> Mapping[str, Any]:
    """The claims of a token that is signed, in force and meant for us."""
    try:
        claims: Mapping[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=list(key.algorithms),
            issuer=rules.issuer,
            audience=rules.audience,
            leeway=_LEEWAY_S,
            options={"require": ["exp"]},
        )
    except jwt.PyJWTError as err:
        raise _refusal_of(err) from None
    except (ValueError, TypeError, OverflowError):
        raise _refused("token_malformed", "The token is no JWT that can be read.") from None
    return claims


def _refusal_of(err: jwt.PyJWTError) -> Refusal:
    """What is wrong, without a word of what the token says."""
    match err:
        case jwt.ExpiredSignatureError():
            return _refused("token_expired", "The token has expired.")
        case jwt.ImmatureSignatureError() | jwt.InvalidIssuedAtError():
            return _refused("token_not_yet_valid", "The token is not valid yet; check the clocks.")
        case jwt.InvalidAudienceError():
            return _refused("token_wrong_audience", "The token is meant for somebody else.")
        case jwt.InvalidIssuerError():
            return _refused("token_wrong_issuer", "The token comes from another issuer.")
        case jwt.MissingRequiredClaimError():
            return _missing(err.claim)
        case jwt.InvalidAlgorithmError():
            return _refused("token_wrong_algorithm", "The token is signed in a way not taken here.")
        case jwt.InvalidSignatureError():
            return _refused("token_signature", "The token's signature is wrong.")
        case _:
            return _refused("token_malformed", "The token is no JWT that can be read.")


def _name(claims: Mapping[str, Any], claim: str) -> str:
    """The claim's text; a number is read as its digits. Names of ours begin with a colon."""
    written = claims.get(claim)
    if isinstance(written, int) and not isinstance(written, bool):
        written = str(written)
    if written is None or written == "":
        raise _missing(claim)
    if (
        not isinstance(written, str)
        or len(written) > _LONGEST_NAME
        or not written.isprintable()
        or written.startswith(":")
    ):
        raise _refused("token_claim", f"The token's claim {claim} is no name that can be used.")
    return written


def _missing(claim: str) -> Refusal:
    if claim == "aud":
        return _refused("token_wrong_audience", "The token is meant for somebody else.")
    if claim == "iss":
        return _refused("token_wrong_issuer", "The token comes from another issuer.")
    return _refused("token_claim", f"The token has no claim {claim}.")


def _refused(code: str, sentence: str) -> Refusal:
    return Refusal(401, code, sentence, {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'})
