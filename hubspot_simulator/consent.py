"""The pages a person sees at app.hubspot.com: consent to an app, and files opened by address.

It turns a choice into a redirect; codes are issued by oauth.py.
"""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from .oauth import KNOWN_SCOPES, App
from .state import SimulatorState

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1>{body}</body></html>"""


class RefusedConsent(Exception):
    """The link that led here is wrong; HubSpot shows a page and does not redirect."""


class ConsentPages:
    """Consent pages over one state."""

    def __init__(self, state: SimulatorState) -> None:
        self._state = state

    async def authorize(self, request: Request) -> Response:
        """GET /oauth/authorize: what the app asks for, with a button to approve and one to deny."""
        query = dict(request.query_params)
        try:
            app, scopes = self._asked(query)
            portals = self._portals(request.path_params.get("account_id"))
        except RefusedConsent as err:
            return _page("Authorization failed", f"<p>{escape(str(err))}</p>", 400)
        if self._state.settings.auto_approve:
            return self._approved(app, scopes, query, portals[0])
        hidden = "".join(
            f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
            for name, value in query.items()
        )
        options = "".join(f'<option value="{p}">{p}</option>' for p in portals)
        listed = "".join(f"<li>{escape(scope)}</li>" for scope in scopes)
        body = (
            f"<p>{escape(app.name)} wants access to your account:</p><ul>{listed}</ul>"
            f'<form action="/oauth/decision" method="get">{hidden}'
            f'<label>Account <select name="portal_id">{options}</select></label> '
            '<button name="decision" value="approve">Connect app</button> '
            '<button name="decision" value="deny">Cancel</button></form>'
        )
        return _page("Connect an app", body)

    async def decide(self, request: Request) -> Response:
        """GET /oauth/decision: back to the app, with a code or with an error."""
        query = dict(request.query_params)
        try:
            app, scopes = self._asked(query)
            portals = self._portals(query.get("portal_id"))
        except RefusedConsent as err:
            return _page("Authorization failed", f"<p>{escape(str(err))}</p>", 400)
        if query.get("decision") == "approve":
            return self._approved(app, scopes, query, portals[0])
        return _back(query, error="access_denied", error_description="The user denied the request.")

    async def public_file(self, request: Request) -> Response:
        """GET /hubfs/{portal}/...: a public file, or 404; private ones open by signature only."""
        with self._state.lock:
            portal = self._state.portals.get(int(request.path_params["portal_id"]))
            found = portal.files.at(f"/{request.path_params['path']}") if portal else None
        if found is None or found.is_private or found.content is None:
            return HTMLResponse("Not found", status_code=404)
        return Response(found.content, media_type=found.content_type)

    async def signed_file(self, request: Request) -> Response:
        """GET /signed-files/{signature}/{name}: a file whose signature still holds."""
        with self._state.lock:
            signed = self._state.signatures.get(request.path_params["signature"])
            if signed is None or signed[2] <= self._state.clock():
                return HTMLResponse("Forbidden", status_code=403)
            found = self._state.portals[signed[0]].files.files.get(signed[1])
        if found is None or found.content is None:
            return HTMLResponse("Not found", status_code=404)
        return Response(found.content, media_type=found.content_type)

    def _asked(self, query: dict[str, str]) -> tuple[App, tuple[str, ...]]:
        app = self._state.authority.apps.get(query.get("client_id", ""))
        if app is None:
            msg = "We couldn't complete this connection: the client id is unknown."
            raise RefusedConsent(msg)
        redirect_uri = query.get("redirect_uri", "")
        if redirect_uri not in app.redirect_uris:
            msg = "Authorization failed because the redirect URL doesn't match the registered URL."
            raise RefusedConsent(msg)
        parts = urlsplit(redirect_uri)
        if parts.scheme != "https" and parts.hostname not in {"localhost", "127.0.0.1"}:
            msg = "The redirect URL must use https."
            raise RefusedConsent(msg)
        required = query.get("scope", "").split()
        optional = query.get("optional_scope", "").split()
        unknown = [scope for scope in (*required, *optional) if scope not in KNOWN_SCOPES]
        if unknown or not required:
            msg = f"Authorization failed because of unknown or missing scopes: {unknown}"
            raise RefusedConsent(msg)
        return app, tuple(dict.fromkeys(["oauth", *required, *optional]))

    def _portals(self, wanted: str | None) -> list[int]:
        known = list(self._state.portals)
        if wanted is not None:
            known = [portal_id for portal_id in known if str(portal_id) == wanted]
        if not known:
            msg = "You have no account that could be connected."
            raise RefusedConsent(msg)
        return known

    def _approved(
        self, app: App, scopes: tuple[str, ...], query: dict[str, str], portal_id: int
    ) -> Response:
        challenge = query.get("code_challenge")
        with self._state.lock:
            code = self._state.authority.new_code(
                app, portal_id, query["redirect_uri"], scopes, self._state.clock(), challenge
            )
        return _back(query, code=code)


def _back(query: dict[str, str], **said: str) -> Response:
    address = query["redirect_uri"]
    if "state" in query:
        said["state"] = query["state"]
    joint = "&" if urlsplit(address).query else "?"
    return RedirectResponse(f"{address}{joint}{urlencode(said)}", status_code=302)


def _page(title: str, body: str, status: int = 200) -> Response:
    return HTMLResponse(_PAGE.format(title=escape(title), body=body), status_code=status)
