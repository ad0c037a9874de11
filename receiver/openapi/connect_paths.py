"""Addresses for connecting HubSpot and for signing in, described.

Pure; knows what `receiver.oauth`, `receiver.connection_status` and `receiver.sessions` answer.
"""

from __future__ import annotations

from receiver.openapi.parts import (
    Json,
    an_object,
    json_body,
    json_reply,
    operation,
    query,
    schema,
)
from receiver.openapi.schemas import TEXT, TRUTH, YES

_TAG = "connection"
_FLAG: Json = {"type": "string", "examples": ["0", "1"]}
_SIGNED_IN: Json = {
    "success": True,
    "userId": "dana",
    "workspaceId": "harbor-dental",
    "signedInBy": "session",
    "expiresAt": 1795800000000,
    "idleExpiresAt": 1795240000000,
    "csrfToken": "c2FsdA.c2lnbmF0dXJl",
}

CONNECT_PATHS: dict[str, Json] = {
    "/api/hubspot/oauth/initiate": {
        "get": operation(
            "beginConnecting",
            "The link to HubSpot's consent page, good once and for ten minutes",
            tag=_TAG,
            parameters=[
                query("popup", "The link is opened in a popup, which tells its opener", _FLAG, "1"),
                query(
                    "replace",
                    "Another portal than before may be connected",
                    _FLAG,
                ),
                query(
                    "return_to",
                    "The path of ours to come back to",
                    {
                        "type": "string",
                        "pattern": r"^(/|/[!-.0-\[\]-~][!-\[\]-~]*)$",
                        "maxLength": 500,
                    },
                    "/integration",
                    blank=False,
                ),
            ],
            replies={
                "200": json_reply(
                    "The link",
                    an_object({"success": YES, "authUrl": {"type": "string", "format": "uri"}}),
                    {
                        "success": True,
                        "authUrl": "https://app.hubspot.com/oauth/authorize?client_id=...",
                    },
                )
            },
            errors=(400, 409),
        )
    },
    "/api/hubspot/oauth/callback": {
        "get": operation(
            "finishConnecting",
            "Where HubSpot sends the browser back",
            tag=_TAG,
            is_open=True,
            parameters=[
                query("state", "What the link carried", TEXT),
                query("code", "HubSpot's code for the tokens", TEXT),
                query("error", "Why there is no code", TEXT, "access_denied"),
            ],
            replies={
                "200": {
                    "description": "In a popup, a page that tells its opener and closes; or JSON",
                    "content": {
                        "text/html": {"schema": TEXT, "example": "<!doctype html>"},
                        "application/json": {
                            "schema": an_object({"success": YES}),
                            "example": {"success": True},
                        },
                    },
                },
                "302": {
                    "description": "To the page, with ?hubspot=connected, or ?hubspot=error and"
                    " message"
                },
            },
            errors=(400, 401, 403, 409, 502),
        )
    },
    "/api/hubspot/status": {
        "get": operation(
            "getStatus",
            "Whether HubSpot is connected, and how far the calls have come",
            tag=_TAG,
            replies={
                "200": json_reply(
                    "The status",
                    schema("ConnectionStatus"),
                    {
                        "success": True,
                        "connected": True,
                        "tokenExpiresAt": 1795188326000,
                        "kind": "oauth",
                        "portalId": 4000000,
                        "scopes": ["oauth", "crm.objects.contacts.read"],
                        "missingScopes": ["files"],
                        "reconnectRequired": True,
                        "state": "active",
                        "stateDetail": None,
                        "connectedBy": "dana",
                        "connectedAt": 1795100000000,
                        "blockedUntil": None,
                        "blockedReason": None,
                        "lastSync": 1795186530000,
                        "backlog": {
                            "due": 0,
                            "waiting": 0,
                            "oldestAt": None,
                            "streamBehindS": 0,
                        },
                        "canConnect": True,
                    },
                )
            },
        )
    },
    "/api/hubspot/disconnect": {
        "delete": operation(
            "disconnect",
            "Removes the tokens here and revokes them at HubSpot",
            tag=_TAG,
            replies={
                "200": json_reply(
                    "What was done",
                    an_object({"success": YES, "message": TEXT, "revoked": TRUTH}),
                    {"success": True, "message": "HubSpot was not connected.", "revoked": False},
                )
            },
        )
    },
    "/api/session": {
        "get": operation(
            "getAccount",
            "Whose key or session this is",
            tag="session",
            replies={"200": json_reply("The account", schema("Account"), _SIGNED_IN)},
        ),
        "post": operation(
            "signIn",
            "Opens a session for a browser",
            tag="session",
            is_open=True,
            body=json_body(
                an_object({"access_key": {"type": "string", "maxLength": 200}}),
                {"access_key": "hck_..."},
            ),
            replies={
                "200": json_reply("Signed in; the cookie is set", schema("Account"), _SIGNED_IN),
                "303": {"description": "To the page, for a form"},
            },
            errors=(400, 401, 403, 408, 411, 413, 415, 429),
        ),
        "delete": operation(
            "signOut",
            "Ends the browser's session",
            tag="session",
            replies={"200": json_reply("Done", an_object({"success": YES}), {"success": True})},
            errors=(400, 408, 411, 413, 415),
        ),
    },
}
