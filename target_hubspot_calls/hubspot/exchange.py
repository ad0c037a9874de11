"""One request and its reply, tried again where that is safe.

It must not know what the request is for; how to read the reply is handed in.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

from target_hubspot_calls.hubspot import failures
from target_hubspot_calls.hubspot.api import BEFORE_SENDING, RequestKind
from target_hubspot_calls.hubspot.files import UploadBody
from target_hubspot_calls.hubspot.retry import RetryPolicy, is_worth_another_try, with_retry
from target_hubspot_calls.hubspot.wire import MalformedReply

Answer = TypeVar("Answer")
Body = bytes | Callable[[], UploadBody] | None
BeforeSending = Callable[[], Awaitable[None]]


class Exchange:
    """Asks one portal, and turns whatever goes wrong into an error of ours."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        retry: RetryPolicy,
        sleep: Callable[[float], Awaitable[None]],
        rng: random.Random,
    ) -> None:
        self._http = http
        self._retry = retry
        self._sleep = sleep
        self._rng = rng

    async def ask(
        self,
        kind: RequestKind,
        method: str,
        path: str,
        body: Body = None,
        *,
        read: Callable[[httpx.Response], Answer],
        worth: Callable[[BaseException], bool] = is_worth_another_try,
        before_sending: BeforeSending | None = None,
    ) -> Answer:
        """What `read` makes of the reply. Raises the HubSpotError family.

        `before_sending` is awaited right before each try leaves; what it raises passes through.
        """

        async def once() -> Answer:
            request = self._request(kind, method, path, body)
            if before_sending is not None:
                request.extensions[BEFORE_SENDING] = before_sending
            return await self._once(request, read)

        return await with_retry(
            once, policy=self._retry, sleep=self._sleep, rng=self._rng, worth=worth
        )

    async def _once(
        self, request: httpx.Request, read: Callable[[httpx.Response], Answer]
    ) -> Answer:
        response = await fetch_response(self._http, request)
        error = failures.error_of_response(response)
        if error is not None:
            raise error
        try:
            return read(response)
        except MalformedReply as err:
            raise failures.error_of_malformed(response, err) from err

    def _request(self, kind: RequestKind, method: str, path: str, body: Body) -> httpx.Request:
        content = body() if callable(body) else body
        headers = {"Content-Type": "application/json"} if content is not None else {}
        if isinstance(content, UploadBody):
            headers = content.headers
        return self._http.build_request(
            method, path, content=content, headers=headers, extensions=kind.extensions()
        )


async def fetch_response(http: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """The answer, whatever its status. Raises Unavailable or AnswerLost when there is none."""
    try:
        return await http.send(request)
    except httpx.HTTPError as err:
        raise failures.error_of_transport(err, request) from err
