"""The cookie that carries a session's id, and the token its pages send back: signed, never stored.

Knows HTTP's cookies and keys; whether a session lives is the store's business.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Literal

from itsdangerous import BadSignature, Signer
from starlette.requests import Request
from starlette.responses import Response

_SESSION = "hubspot_calls_session"
_BROWSER = "hubspot_calls_connect"
_LONGEST = 400
_TOKEN_LENGTH = 43


class SessionCookies:
    """Cookies of one public address, signed with the first of `keys`, accepted with any.

    Where people come by https, their name begins with `__Host-`: then no other host, and nobody on
    the wire, can set them.
    """

    def __init__(self, keys: Sequence[bytes], *, https: bool) -> None:
        self._https = https
        prefix = "__Host-" if https else ""
        self.session_name = prefix + _SESSION
        self.browser_name = prefix + _BROWSER
        self._session_signer = _signer(keys, b"hubspot-calls session cookie")
        self._csrf_signer = _signer(keys, b"hubspot-calls csrf token")

    def has_session(self, request: Request) -> bool:
        """True if the browser shows a session cookie, good or not."""
        return self.session_name in request.cookies

    def session_id(self, request: Request) -> str | None:
        """The session id in the cookie, None without one that we signed."""
        signed = request.cookies.get(self.session_name, "")
        if not 0 < len(signed) <= _LONGEST:
            return None
        try:
            return self._session_signer.unsign(signed.encode("utf-8", "replace")).decode()
        except (BadSignature, UnicodeDecodeError):
            return None

    def set_session(self, response: Response, session_id: str, *, max_age_s: int) -> None:
        """Gives the browser the session."""
        signed = self._session_signer.sign(session_id).decode()
        self._set(response, self.session_name, signed, max_age_s)

    def clear_session(self, response: Response) -> None:
        """Takes the session from the browser."""
        self._set(response, self.session_name, "", 0)

    def csrf_token(self, session_id: str) -> str:
        """A token for this session's pages; each is different, so no compressed page betrays it."""
        salt = secrets.token_urlsafe(16)
        return f"{salt}.{self._csrf_signer.get_signature(f'{salt}.{session_id}').decode()}"

    def is_csrf_token(self, written: str, session_id: str) -> bool:
        """True if the token was made for this session."""
        salt, _, signature = written.partition(".")
        if not 0 < len(written) <= _LONGEST or not written.isascii():
            return False
        return self._csrf_signer.verify_signature(f"{salt}.{session_id}", signature)

    def browser(self, request: Request) -> str | None:
        """The random name that the browser was given to come back with from HubSpot."""
        name = request.cookies.get(self.browser_name, "")
        return name if len(name) == _TOKEN_LENGTH else None

    def set_browser(self, response: Response, name: str, *, max_age_s: int) -> None:
        """Gives the browser a name; two consents at once in one browser share it."""
        self._set(response, self.browser_name, name, max_age_s)

    def _set(self, response: Response, name: str, value: str, max_age_s: int) -> None:
        # Lax, not Strict: HubSpot sends the browser back to us, and the cookie must come along.
        same_site: Literal["lax"] = "lax"
        response.set_cookie(
            name,
            value,
            max_age=max_age_s,
            path="/",
            secure=self._https,
            httponly=True,
            samesite=same_site,
        )


def new_browser_name() -> str:
    """A name of 256 random bits for a browser without a session."""
    return secrets.token_urlsafe(32)


def browser_digest(name: str) -> bytes:
    """The name as stored."""
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()


def _signer(keys: Sequence[bytes], purpose: bytes) -> Signer:
    # itsdangerous signs with the last of its keys.
    return Signer(
        list(reversed(keys)), salt=purpose, key_derivation="hmac", digest_method=hashlib.sha256
    )
