"""The control surface under /_simulator/: seed, look, break and reset.

It is the simulator's own; nothing of it exists at HubSpot.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import recordings
from .answers import HubSpotError
from .consent import ConsentPages
from .contact_pages import ContactPages
from .faults import Fault
from .file_operations import shown as shown_file
from .kinds import CONTACT, kind_named
from .oauth import ALL_SCOPES, App
from .portal import Portal
from .records import CrmObject
from .state import SimulatorState

Endpoint = Callable[[Request], Awaitable[Response]]
Action = Callable[[Request, dict[str, Any]], Any]


def build_pages(state: SimulatorState) -> Starlette:
    """The application for everything that is not HubSpot's API."""
    control, consent = Control(state), ConsentPages(state)
    return Starlette(
        routes=[
            *control.routes(),
            Route("/_simulator/recordings/{name}", recordings.serve),
            Route("/oauth/authorize", consent.authorize),
            Route("/oauth/{account_id}/authorize", consent.authorize),
            Route("/oauth/decision", consent.decide),
            Route("/hubfs/{portal_id:int}/{path:path}", consent.public_file),
            Route("/signed-files/{signature}/{name}", consent.signed_file),
            *ContactPages(state).routes(),
        ]
    )


def shown_record(portal: Portal, record: CrmObject) -> dict[str, Any]:
    """A record with everything the simulator knows of it."""
    associations = {
        other: list(portal.associations.of(record.kind.name, record.id, other))
        for other in portal.records
    }
    return {
        "id": record.id,
        "properties": dict(record.properties),
        "associations": {other: ids for other, ids in associations.items() if ids},
        "trace_id": record.trace_id,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


class Control:
    """Control endpoints over one state."""

    def __init__(self, state: SimulatorState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """All control endpoints but recordings."""
        portal = "/portals/{portal_id:int}"
        return [
            self._route("GET", "/health", lambda *_: {"ok": True}),
            self._route("GET", "/requests", self.requests),
            self._route("DELETE", "/requests", self.clear_requests),
            self._route("GET", "/counts", self.counts),
            self._route("GET", "/rates", lambda *_: {"windows": self._state.rates.report()}),
            self._route("POST", "/reset", self.reset),
            self._route("GET", "/settings", lambda *_: dataclasses.asdict(self._state.settings)),
            self._route("PATCH", "/settings", self.change_settings),
            self._route("GET", "/faults", self.list_faults),
            self._route("POST", "/faults", self.add_faults),
            self._route("DELETE", "/faults", self.clear_faults),
            self._route("POST", "/apps", self.add_app),
            self._route("GET", "/portals", lambda *_: {"portals": [*self._state.portals]}),
            self._route("POST", "/portals", self.add_portal),
            self._route("POST", f"{portal}/service-keys", self.add_service_key),
            self._route("POST", f"{portal}/tokens", self.issue_tokens),
            self._route("POST", f"{portal}/contacts", self.seed_contacts),
            self._route("DELETE", portal + "/{kind}/{object_id}", self.archive),
            self._route("GET", f"{portal}/files", self.files),
            self._route("GET", portal + "/{kind}", self.records),
            self._route("POST", "/tokens/expire", self.expire),
            self._route("POST", "/tokens/revoke", self.revoke),
        ]

    def requests(self, request: Request, _: dict[str, Any]) -> Any:
        """The log; filters: method, operation, status, portal_id."""
        query = request.query_params
        entries = self._state.log.select(
            method=query.get("method"),
            operation=query.get("operation"),
            status=_number(query.get("status")),
            portal_id=_number(query.get("portal_id")),
        )
        return {"total": len(entries), "requests": [entry.payload() for entry in entries]}

    def clear_requests(self, _: Request, __: dict[str, Any]) -> Any:
        """Forgets the log and the highest counts."""
        self._state.log.entries.clear()
        self._state.rates.clear()
        return {"ok": True}

    def counts(self, _: Request, __: dict[str, Any]) -> Any:
        """Requests by operation and by status."""
        log = self._state.log
        return {
            "total": len(log.entries),
            "operations": log.counts(),
            "statuses": log.statuses(),
        }

    def reset(self, _: Request, __: dict[str, Any]) -> Any:
        """Empties portals, faults, log and limits; keys, apps and tokens stay."""
        self._state.reset()
        return {"ok": True}

    def change_settings(self, _: Request, body: dict[str, Any]) -> Any:
        """Changes settings by name."""
        self._state.settings.change(body)
        return dataclasses.asdict(self._state.settings)

    def list_faults(self, _: Request, __: dict[str, Any]) -> Any:
        """The faults in force, with how often each was seen and struck."""
        return {"faults": [dataclasses.asdict(fault) for fault in self._state.faults.faults]}

    def add_faults(self, _: Request, body: dict[str, Any]) -> Any:
        """Adds one fault, or those of `faults`; `seed` restarts the chooser."""
        if "seed" in body:
            self._state.faults.chooser.seed(body.pop("seed"))
        written = body.get("faults") or [body]
        added = [Fault.from_json(one) for one in written]
        self._state.faults.faults.extend(added)
        return {"added": len(added)}

    def clear_faults(self, _: Request, __: dict[str, Any]) -> Any:
        """Ends all faults."""
        self._state.faults.faults.clear()
        return {"ok": True}

    def add_app(self, _: Request, body: dict[str, Any]) -> Any:
        """Adds an OAuth app: client_id, client_secret, redirect_uris, name."""
        app = App(
            client_id=str(body["client_id"]),
            client_secret=str(body["client_secret"]),
            redirect_uris=tuple(body["redirect_uris"]),
            name=str(body.get("name", "Call notes")),
            app_id=len(self._state.authority.apps) + 1,
        )
        self._state.authority.apps[app.client_id] = app
        return {"client_id": app.client_id, "app_id": app.app_id}

    def add_portal(self, _: Request, body: dict[str, Any]) -> Any:
        """Adds a portal: portal_id."""
        return {"portal_id": self._state.portal(int(body["portal_id"])).id}

    def add_service_key(self, request: Request, body: dict[str, Any]) -> Any:
        """Adds a service key to a portal: scopes, key."""
        portal = self._state.portal(request.path_params["portal_id"])
        scopes = tuple(body.get("scopes", ALL_SCOPES))
        key = self._state.authority.add_service_key(portal.id, scopes, body.get("key"))
        return {"key": key}

    def issue_tokens(self, request: Request, body: dict[str, Any]) -> Any:
        """Connects an app to a portal at once: client_id, scopes, lifetime_s."""
        return issue_tokens(
            self._state,
            request.path_params["portal_id"],
            str(body["client_id"]),
            tuple(body.get("scopes", ALL_SCOPES)),
            body.get("lifetime_s"),
        )

    def seed_contacts(self, request: Request, body: Any) -> Any:
        """Adds contacts: a list, or `contacts`."""
        entries = body["contacts"] if isinstance(body, dict) else body
        return {"ids": self._state.seed_contacts(request.path_params["portal_id"], entries)}

    def archive(self, request: Request, _: dict[str, Any]) -> Any:
        """Puts a record into the recycle bin."""
        kind = kind_named(request.path_params["kind"])
        portal = self._state.portal(request.path_params["portal_id"])
        return {"archived": portal.archive(kind, request.path_params["object_id"])}

    def records(self, request: Request, _: dict[str, Any]) -> Any:
        """All notes, calls or contacts of a portal, with associations."""
        kind = kind_named(request.path_params["kind"])
        portal = self._state.portal(request.path_params["portal_id"])
        return {"results": [shown_record(portal, r) for r in portal.records[kind.name].values()]}

    def files(self, request: Request, _: dict[str, Any]) -> Any:
        """All files of a portal."""
        portal = self._state.portal(request.path_params["portal_id"])
        base = f"{request.url.scheme}://{request.url.netloc}"
        return {"results": [shown_file(f, base, portal.id) for f in portal.files.files.values()]}

    def expire(self, _: Request, body: dict[str, Any]) -> Any:
        """Expires OAuth access tokens now: portal_id, or all."""
        count = self._state.authority.expire(self._state.clock(), body.get("portal_id"))
        return {"expired": count}

    def revoke(self, _: Request, body: dict[str, Any]) -> Any:
        """Takes an app off a portal, tokens and all: portal_id, client_id."""
        count = self._state.authority.revoke(int(body["portal_id"]), body.get("client_id"))
        return {"revoked": count}

    def _route(self, method: str, path: str, action: Action) -> Route:
        return Route(f"/_simulator{path}", self._endpoint(action), methods=[method])

    def _endpoint(self, action: Action) -> Endpoint:
        @wraps(action)
        async def answer(request: Request) -> Response:
            try:
                raw = await request.body()
                body = msgspec.json.decode(raw) if raw else {}
                with self._state.lock:
                    payload = action(request, body)
            except HubSpotError as err:
                return _json(err.status, {"ok": False, "error": err.message})
            except (ValueError, TypeError, KeyError, msgspec.DecodeError) as err:
                return _json(400, {"ok": False, "error": f"{type(err).__name__}: {err}"})
            return _json(200, payload)

        return answer


def issue_tokens(
    state: SimulatorState,
    portal_id: int,
    client_id: str,
    scopes: tuple[str, ...],
    lifetime_s: float | None = None,
) -> dict[str, Any]:
    """Tokens as the token endpoint would answer them, without a person's consent."""
    with state.lock:
        state.portal(portal_id)
        issued = state.authority.issue(
            portal_id,
            client_id,
            scopes,
            now=state.clock(),
            lifetime_s=(
                lifetime_s if lifetime_s is not None else state.settings.access_token_lifetime_s
            ),
        )
    return {
        "token_type": "bearer",
        "access_token": issued.access_token,
        "refresh_token": issued.refresh_token,
        "expires_in": issued.expires_in,
        "hub_id": portal_id,
        "scopes": [*scopes],
    }


def contacts_of(portal: Portal) -> list[dict[str, Any]]:
    """All contacts of a portal, with associations."""
    return [shown_record(portal, record) for record in portal.records[CONTACT.name].values()]


def _number(written: str | None) -> int | None:
    return int(written) if written is not None else None


def _json(status: int, payload: Any) -> Response:
    return Response(msgspec.json.encode(payload), status, media_type="application/json")
