"""GET /openapi.json: the API described in one OpenAPI 3.1 document.

Puts together what the other modules of this package describe; a test compares it with the routes.
"""

from __future__ import annotations

from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from receiver.openapi.connect_paths import CONNECT_PATHS
from receiver.openapi.history_paths import HISTORY_PATHS
from receiver.openapi.parts import Json, schema
from receiver.openapi.schemas import SCHEMAS
from receiver.openapi.service_paths import SERVICE_PATHS

OPENAPI_PATH = "/openapi.json"
_PACKAGE = "target-hubspot-calls"
_DESCRIPTION = (
    "VAPI calls become HubSpot notes. Every error has one form: `success` false, a sentence in"
    " `error`, a stable word in `code`. Times in replies are milliseconds since 1970, UTC."
)
_TAGS: list[Json] = [
    {"name": "webhook", "description": "For VAPI"},
    {"name": "connection", "description": "Connecting a HubSpot portal"},
    {"name": "history", "description": "What became of calls, and trying them again"},
    {"name": "session", "description": "Signing in to the pages"},
    {"name": "recordings", "description": "The links that notes carry"},
    {"name": "service", "description": "For machines that watch"},
]
_ERROR_EXAMPLES = {
    400: ("invalid_parameters", "limit must be a whole number from 1 to 1000."),
    401: ("unauthorized", "This address needs an access key."),
    403: ("cross_site", "This request was not sent by a page of this address."),
    404: ("not_found", "There is nothing at this address."),
    408: ("body_timeout", "The body did not arrive within 10 seconds."),
    409: ("nothing_to_retry", "This row names no call that could be tried again."),
    410: ("recording_expired", "The link to this recording has expired."),
    411: ("length_required", "The body must come with its length."),
    413: ("body_too_large", "The body has more than 16384 bytes."),
    415: ("unsupported_media_type", "The body must be JSON or a form."),
    429: ("too_many_tries", "Too many tries; wait a little."),
    500: ("internal_error", "The receiver failed; the log says where."),
    502: ("hubspot_unavailable", "HubSpot could not be reached."),
    503: ("store_unavailable", "The store cannot be used now."),
}
_ASKS_TO_WAIT = (429, 503)


def build_document(public_url: str) -> Json:
    """The document of the receiver at this address."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hubspot-calls receiver",
            "version": _version(),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url}],
        "tags": _TAGS,
        "paths": {**SERVICE_PATHS, **CONNECT_PATHS, **HISTORY_PATHS},
        "components": {
            "schemas": SCHEMAS,
            "headers": _HEADERS,
            "responses": {f"Error{status}": _error_reply(status) for status in _ERROR_EXAMPLES},
            "securitySchemes": _SECURITY,
        },
    }


def openapi_routes(public_url: str) -> list[Route]:
    """The one route."""
    document = build_document(public_url)

    async def openapi(request: Request) -> JSONResponse:
        return JSONResponse(document)

    return [Route(OPENAPI_PATH, openapi)]


_HEADERS: Json = {
    "RequestId": {
        "description": "By which the request is found in the log",
        "schema": {"type": "string"},
    },
    "RetryAfter": {
        "description": "Seconds after which to ask again",
        "schema": {"type": "integer", "minimum": 1},
    },
}

_SECURITY: Json = {
    "accessKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `hubspot-calls keys create`, or a token of the embedding product",
    },
    "password": {"type": "http", "scheme": "basic", "description": "The key as the password"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "hubspot_calls_session",
        "description": "A browser's session; changes need its csrfToken as X-CSRF-Token. By https"
        " the name begins with __Host-",
    },
    "webhookSecret": {"type": "apiKey", "in": "header", "name": "X-Vapi-Secret"},
    "webhookBearer": {"type": "http", "scheme": "bearer"},
    "metricsToken": {"type": "http", "scheme": "bearer"},
}


def _error_reply(status: int) -> Json:
    code, sentence = _ERROR_EXAMPLES[status]
    headers: Json = {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}}
    if status in _ASKS_TO_WAIT:
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    example = {"success": False, "error": sentence, "code": code}
    return {
        "description": HTTPStatus(status).phrase,
        "headers": headers,
        "content": {"application/json": {"schema": schema("Error"), "example": example}},
    }


def _version() -> str:
    try:
        return version(_PACKAGE)
    except PackageNotFoundError:
        return "0"
