"""Stands before the simulator: kills the sender of a request at a chosen moment of it.

Knows requests only by their path; what HubSpot does with them is the simulator's business.
"""

from __future__ import annotations

import asyncio
import fnmatch
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hubspot_simulator.wire import drop


@dataclass
class Ambush:
    """What happens to the `nth` request from now on whose path matches; once.

    `moment` is one of mishaps.MOMENTS, or "reset_late": no kill, but the connection is reset and
    the request carried out `late_s` seconds (real ones) later.
    """

    path: str
    nth: int
    moment: str
    kill: Callable[[], None]
    late_s: float = 0.0
    seen: int = 0


class _Answer:
    """The answer to one request; when it begins, the request has been carried out."""

    def __init__(self, send: Send, done: Callable[[], None]) -> None:
        self.is_heard = True
        self._send = send
        self._done = done
        self._begun = False

    def begin(self) -> None:
        """Says once that the request has been carried out."""
        if not self._begun:
            self._begun = True
            self._done()

    async def __call__(self, message: Message) -> None:
        """Passes on a piece of it, unless nobody is left to hear."""
        self.begin()
        if self.is_heard:
            await self._send(message)


class Gate:
    """An ASGI application around another."""

    def __init__(self, inside: ASGIApp) -> None:
        self._inside = inside
        self._lock = threading.Lock()
        self._ambushes: list[Ambush] = []
        self._unanswered = 0

    def set(self, ambush: Ambush) -> None:
        """Lies in wait."""
        with self._lock:
            self._ambushes.append(ambush)

    def clear(self) -> None:
        """Gives up on all that has not happened yet."""
        with self._lock:
            self._ambushes.clear()

    def wait_until_idle(self, timeout_s: float = 20.0) -> None:
        """Returns when everything sent so far has been carried out. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while self._unanswered:
            if time.monotonic() > deadline:
                raise TimeoutError("the simulator is still at work")
            time.sleep(0.005)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._inside(scope, receive, send)
            return
        answer = _Answer(send, self._one_less)
        self._unanswered += 1
        try:
            await self._serve(scope, receive, answer)
        finally:
            answer.begin()

    def _one_less(self) -> None:
        self._unanswered -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: _Answer) -> None:
        ambush = self._struck(scope["path"])
        if ambush is None:
            await self._inside(scope, receive, send)
        elif ambush.moment == "written":
            await self._inside(scope, receive, _killing_first(ambush, send))
        elif ambush.moment == "answered":
            await self._inside(scope, receive, send)
            ambush.kill()
        else:
            await self._arrived(ambush, scope, receive, send)

    async def _arrived(self, ambush: Ambush, scope: Scope, receive: Receive, send: _Answer) -> None:
        messages = await _read(receive)
        if ambush.moment != "reset_late":
            ambush.kill()
        await drop(scope, receive)
        await asyncio.sleep(ambush.late_s)
        send.is_heard = False
        await self._inside(scope, _replayed(messages), send)

    def _struck(self, path: str) -> Ambush | None:
        with self._lock:
            for ambush in self._ambushes:
                if not fnmatch.fnmatchcase(path, ambush.path):
                    continue
                ambush.seen += 1
                if ambush.seen >= ambush.nth:
                    self._ambushes.remove(ambush)
                    return ambush
        return None


def _killing_first(ambush: Ambush, send: Send) -> Send:
    async def kill_and_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            ambush.kill()
        await send(message)

    return kill_and_send


async def _read(receive: Receive) -> list[Message]:
    messages: list[Message] = []
    while not messages or (
        messages[-1]["type"] == "http.request" and messages[-1].get("more_body")
    ):
        messages.append(await receive())
    return messages


def _replayed(messages: list[Message]) -> Receive:
    waiting = list(messages)

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    return receive
