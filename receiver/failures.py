"""Every failure of a Starlette route as the contract's error JSON, decided in one place.

Knows the families of errors and no route; what a person may read never names a path or a value.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from receiver.answers import Refusal, error_content
from receiver.security_headers import API_PREFIX
from target_hubspot_calls.errors import CallSyncError, StoreUnavailable, WrongEncryptionKey
from target_hubspot_calls.store.webhooks import NoSecretToRotate, UnknownWebhook
from target_hubspot_calls.sync_log.opening import SyncLogBusy, SyncLogUnavailable

logger = logging.getLogger("receiver")

INTERNAL_ERROR = Refusal(500, "internal_error", "The receiver failed; the log says where.")

_STORE_AGAIN_S = 10
_SYNC_LOG_AGAIN_S = 2
_HTTP_ERRORS = {
    400: ("bad_request", "The request cannot be read."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not take that method."),
    413: ("body_too_large", "The request's body is too large."),
}

Handler = Callable[[Request, Exception], Awaitable[Response]]
ErrorPage = Callable[[Request, Refusal], Response]
"""Shows a refusal to people."""


def failure_handlers(error_page: ErrorPage | None = None) -> dict[type[Exception], Handler]:
    """What Starlette is given as `exception_handlers`; every route raises, none answers errors.

    Browsers that look at a page get the refusal as one, from `error_page`.
    """

    async def answer(request: Request, err: Exception) -> Response:
        refusal = refusal_of(err)
        log_failure(err, refusal)
        if error_page is not None and _is_page(request):
            return error_page(request, refusal)
        return refused(refusal)

    kinds = (Refusal, CallSyncError, HTTPException, ClientDisconnect, Exception)
    return dict.fromkeys(kinds, answer)


def log_failure(err: Exception, refusal: Refusal) -> None:
    """Writes down what an answer leaves out, paths and process ids, for who runs the receiver.

    What nobody foresaw comes with where it happened; what is no error of ours the server writes.
    """
    if isinstance(err, CallSyncError):
        where = err if refusal is INTERNAL_ERROR else None
        logger.warning("%s", err, exc_info=where)


def refusal_of(err: Exception) -> Refusal:
    """The refusal that an error of ours, of Starlette's or of nobody's stands for."""
    if isinstance(err, Refusal):
        return err
    if isinstance(err, HTTPException):
        return _of_http(err)
    if isinstance(err, StoreUnavailable):
        return _unavailable("store_unavailable", "The store cannot be used now.", _STORE_AGAIN_S)
    if isinstance(err, SyncLogBusy):
        sentence = "The sync history is open in another program; try again in a moment."
        return _unavailable("sync_log_busy", sentence, _SYNC_LOG_AGAIN_S)
    if isinstance(err, SyncLogUnavailable):
        sentence = "The sync history cannot be read now; the log says why."
        return _unavailable("sync_log_unavailable", sentence, _STORE_AGAIN_S)
    if isinstance(err, WrongEncryptionKey):
        sentence = "Stored tokens cannot be opened with the encryption keys that are set."
        return Refusal(503, "wrong_encryption_key", sentence)
    if isinstance(err, UnknownWebhook):
        return Refusal(404, "not_found", "There is no such webhook.")
    if isinstance(err, NoSecretToRotate):
        return Refusal(409, "no_secret", "This webhook has no secret that could be made anew.")
    if isinstance(err, ClientDisconnect):
        return Refusal(400, "sender_gone", "The sender hung up before its message was whole.")
    return INTERNAL_ERROR


def refused(refusal: Refusal) -> JSONResponse:
    """The answer that says it."""
    content = error_content(refusal.code, refusal.sentence)
    return JSONResponse(content, refusal.status, headers=refusal.headers)


def _is_page(request: Request) -> bool:
    """True for what somebody looks at in a browser."""
    is_api = request.url.path.startswith(API_PREFIX)
    return not is_api and "text/html" in request.headers.get("accept", "")


def _of_http(err: HTTPException) -> Refusal:
    known = _HTTP_ERRORS.get(err.status_code)
    headers: Mapping[str, str] = err.headers or {}
    if known is None:
        phrase = HTTPStatus(err.status_code).phrase
        known = ("http_error", f"The request was refused: {phrase.lower()}.")
    return Refusal(err.status_code, *known, headers)


def _unavailable(code: str, sentence: str, again_s: int) -> Refusal:
    return Refusal(503, code, sentence, {"Retry-After": str(again_s)})
