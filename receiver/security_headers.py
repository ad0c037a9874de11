"""Headers that keep browsers in bounds, on every answer but a webhook's, errors included.

Knows paths and origins. A route that needs other values sets them itself; they are left as is.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API_PREFIX = "/api/"
OAUTH_CALLBACK = "/api/hubspot/oauth/callback"
CONNECT_PATH = "/connect"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HSTS = "max-age=31536000"
_CORS_METHODS = "GET, POST, DELETE"
_CORS_REQUEST_HEADERS = "Authorization, Content-Type"
_CORS_ANSWER_HEADERS = "Retry-After, X-Request-ID, Content-Disposition"
_PREFLIGHT_KEPT_S = 600


class SecurityHeaders:
    """Wraps an application; `https` says that people reach it by https, whatever a request claims.

    Pages of `allowed_origins` may call the API, with an access key and never with cookies.
    """

    def __init__(self, app: ASGIApp, *, https: bool, allowed_origins: Collection[str] = ()) -> None:
        self._app = app
        self._https = https
        self._allowed_origins = frozenset(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; anything that is no request passes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin = self._allowed_origin(scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message.get("headers", ())))
                self._add(headers, scope["path"], origin)
                message = {**message, "headers": headers.raw}
            await send(message)

        if origin is not None and _is_preflight(scope):
            await guarded({"type": "http.response.start", "status": 204, "headers": []})
            await guarded({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, receive, guarded)

    def _allowed_origin(self, scope: Scope) -> str | None:
        """The origin of the page that asks, if it may use the API from there."""
        if not self._allowed_origins or not scope["path"].startswith(API_PREFIX):
            return None
        origin = Headers(scope=scope).get("origin")
        return origin if origin in self._allowed_origins else None

    def _add(self, headers: MutableHeaders, path: str, origin: str | None) -> None:
        for name, value in _ALWAYS.items():
            headers.setdefault(name, value)
        headers.setdefault("Cross-Origin-Opener-Policy", _opener_policy(path))
        if self._https:
            headers.setdefault("Strict-Transport-Security", _HSTS)
        if self._allowed_origins and path.startswith(API_PREFIX):
            headers.add_vary_header("Origin")
        if origin is not None:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Allow-Methods"] = _CORS_METHODS
            headers["Access-Control-Allow-Headers"] = _CORS_REQUEST_HEADERS
            headers["Access-Control-Expose-Headers"] = _CORS_ANSWER_HEADERS
            headers["Access-Control-Max-Age"] = str(_PREFLIGHT_KEPT_S)


def _opener_policy(path: str) -> str:
    # The popup goes to HubSpot by one and comes back to the other, which tells its opener; any
    # other value than `unsafe-none` cuts that tie (HTML standard, "cross-origin opener policies").
    is_of_popup = path in (CONNECT_PATH, OAUTH_CALLBACK)
    return "unsafe-none" if is_of_popup else "same-origin-allow-popups"


def _is_preflight(scope: Scope) -> bool:
    asked = Headers(scope=scope)
    return scope["method"] == "OPTIONS" and "access-control-request-method" in asked
