"""The HTTP face of the simulator: every request passes token, scopes, limits and faults here.

What an operation does is elsewhere; this file only decides whether it happens and how it ends.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from .answers import Answer, HubSpotError, limit_answer
from .contact_pages import is_contact_page
from .faults import Fault
from .file_operations import upload
from .limits import policy_exceeded
from .oauth import Grant, require_scopes
from .request_log import LoggedRequest
from .requests import Request
from .routes import Matched, Operation, match, plain_path
from .state import SimulatorState
from .uploads import read_upload
from .wire import ConnectionDropped, RequestBody, drop, send_answer, send_faulty


class HubSpotApi:
    """The ASGI application of the pretend HubSpot API; other paths go to `pages`."""

    def __init__(self, state: SimulatorState, pages: ASGIApp) -> None:
        self._state = state
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or not _is_api(scope["path"]):
            await self._pages(scope, receive, send)
            return
        started = perf_counter()
        entry = self._logged(scope)
        try:
            await self._serve(scope, receive, send, entry)
        except ConnectionDropped:
            entry.status = 0
            await drop(scope, receive)
        finally:
            entry.duration_ms = (perf_counter() - started) * 1000

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, entry: LoggedRequest
    ) -> None:
        fault: Fault | None = None
        headers: dict[str, str] = {}
        body = RequestBody(receive, entry)
        try:
            matched, request = self._request(scope, entry)
            limited = self._limited(matched.operation, request, entry, headers)
            if limited is not None:
                await body.drain()
                await send_answer(send, limited, headers, entry)
                return
            fault = self._fault(entry)
            answer = await self._answer(matched.operation, request, body, fault, entry)
        except HubSpotError as err:
            await body.drain()
            answer = err.answer()
        if fault is not None:
            await send_faulty(send, fault, answer, headers, entry)
        else:
            await send_answer(send, answer, headers, entry)

    def _logged(self, scope: Scope) -> LoggedRequest:
        path = _raw_path(scope)
        try:
            plain, _ = plain_path(path)
        except HubSpotError:
            plain = path
        entry = LoggedRequest(self._state.clock(), scope["method"], path, plain)
        entry.operation = f"{scope['method']} {plain}"
        self._state.log.entries.append(entry)
        return entry

    def _request(self, scope: Scope, entry: LoggedRequest) -> tuple[Matched, Request]:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        matched = match(scope["method"], _raw_path(scope))
        entry.operation = f"{scope['method']} {_named(matched)}"
        grant: Grant | None = None
        if matched.operation.needs_token:
            with self._state.lock:
                grant = self._state.authority.authenticated(
                    headers.get("authorization"), self._state.clock()
                )
                entry.portal_id = grant.portal_id
                require_scopes(grant, matched.operation.scopes)
        return matched, Request(
            state=self._state,
            method=scope["method"],
            path=_raw_path(scope),
            version=matched.version,
            params=matched.params,
            query=parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True),
            headers=headers,
            base_url=f"http://{headers.get('host', '127.0.0.1')}",
            grant=grant,
        )

    def _limited(
        self,
        operation: Operation,
        request: Request,
        entry: LoggedRequest,
        headers: dict[str, str],
    ) -> Answer | None:
        if request.grant is None:
            return None
        with self._state.lock:
            entry.policy = policy_exceeded(self._state, operation.limit, request.grant, headers)
        return limit_answer(entry.policy) if entry.policy is not None else None

    def _fault(self, entry: LoggedRequest) -> Fault | None:
        with self._state.lock:
            fault = self._state.faults.take(
                entry.method, entry.path, entry.plain_path, entry.portal_id
            )
        entry.fault = fault.action if fault is not None else None
        return fault

    async def _answer(
        self,
        operation: Operation,
        request: Request,
        body: RequestBody,
        fault: Fault | None,
        entry: LoggedRequest,
    ) -> Answer:
        if operation.handler is not None:
            # Read before any delay: a client that gives up waiting has sent its request all the
            # same, and HubSpot would carry it out.
            request.body = await body.whole()
        if fault is not None:
            if fault.delay_s:
                await asyncio.sleep(fault.delay_s)
            if fault.action == "reset_before":
                raise ConnectionDropped
            canned = None if fault.is_processed else fault.canned()
            if canned is not None:
                await body.drain()
                return canned
            request.partial_failure = fault.partial_failure(self._state.faults.chooser)
        try:
            return await self._processed(operation, request, body)
        finally:
            entry.inputs = request.input_count

    async def _processed(self, operation: Operation, request: Request, body: RequestBody) -> Answer:
        settings = self._state.settings
        if operation.handler is None:
            sent = await read_upload(
                body.chunks(),
                request.headers.get("content-type", ""),
                max_bytes=settings.max_file_bytes,
                kept_bytes=settings.file_bytes_kept,
            )
            with self._state.lock:
                return upload(request, sent)
        with self._state.lock:
            return operation.handler(request)


def _is_api(path: str) -> bool:
    if path.startswith("/oauth/"):
        return not path.endswith("/authorize") and not path.startswith("/oauth/decision")
    if path.startswith(("/_simulator", "/hubfs/", "/signed-files/")):
        return False
    return not is_contact_page(path)


def _raw_path(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].decode("latin-1")


def _named(matched: Matched) -> str:
    named = matched.operation.template
    for name in ("kind", "to_kind"):
        if name in matched.params:
            named = named.replace(f"{{{name}}}", matched.params[name])
    return named
