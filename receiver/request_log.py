"""A request id and one log line for each request that is not a webhook's, and no stray exception.

Knows ASGI and the routes' templates; of a request it repeats neither path, query, header nor body.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from receiver.answers import body_message, error_body, start_message
from receiver.failures import INTERNAL_ERROR
from receiver.request_ids import REQUEST_ID_HEADER, to_request_id

logger = logging.getLogger("receiver")

# Asked every few seconds by machines; a line each would bury the others.
_QUIET_ROUTES = frozenset({"/healthz", "/readyz", "/metrics"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True)
class Answered:
    """What may be said of one request; `route` is a template such as `/recordings/{call_id}`."""

    method: str
    route: str
    status: int
    seconds: float
    request_id: str


OnAnswered = Callable[[Answered], None]


class RequestLog:
    """Wraps the application whose `routes` these are; hands every request to `on_answered`."""

    def __init__(
        self,
        app: ASGIApp,
        routes: Sequence[BaseRoute],
        *,
        on_answered: OnAnswered | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = app
        self._routes = routes
        self._on_answered = on_answered
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, whatever happens in it; anything that is no request passes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = self._clock(), 0
        given = (value for name, value in scope["headers"] if name == REQUEST_ID_HEADER)
        request_id = to_request_id(next(given, None))

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                named_by = (REQUEST_ID_HEADER, request_id.encode("ascii"))
                message = {**message, "headers": [*message.get("headers", ()), named_by]}
            await send(message)

        try:
            await self._app(scope, receive, named)
        except Exception as err:  # noqa: BLE001  the text of an error may repeat what somebody said
            _log_fault(err, request_id)
            if not status:
                body = error_body(INTERNAL_ERROR.code, INTERNAL_ERROR.sentence)
                await named(start_message(INTERNAL_ERROR.status, body))
                await send(body_message(body))
        finally:
            self._tell(scope, status, self._clock() - started, request_id)

    def _tell(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        answered = Answered(method, self._template(scope), status, seconds, request_id)
        log_answered(answered)
        if self._on_answered is not None:
            self._on_answered(answered)

    def _template(self, scope: Scope) -> str:
        """The template of the route that was asked, a dash where there is none."""
        for route in self._routes:
            if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
                return route.path
        return "-"


def log_answered(answered: Answered) -> None:
    """Write the request's line: plain words, and the same as fields."""
    level = logging.DEBUG if answered.route in _QUIET_ROUTES else logging.INFO
    if answered.status >= 500:
        level = logging.WARNING
    if not logger.isEnabledFor(level):
        return
    fields = {
        "event": "request",
        "method": answered.method,
        "route": answered.route,
        "status": answered.status,
        "ms": round(answered.seconds * 1000, 2),
        "request_id": answered.request_id,
    }
    logger.log(
        level,
        "%s %s answered with %d, %.1f ms, request %s",
        answered.method,
        answered.route,
        answered.status,
        answered.seconds * 1000,
        answered.request_id,
        extra={"fields": fields},
    )


def _log_fault(err: Exception, request_id: str) -> None:
    """Write where a fault of ours is, without its text: it might repeat a value of the request."""
    where = "".join(traceback.format_tb(err.__traceback__))
    logger.error("request %s failed with %s\n%s", request_id, type(err).__name__, where)
