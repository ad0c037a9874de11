"""Pace of one portal: no more requests in any window than HubSpot allows, on purpose.

It must not know what a request is for, nor tokens; it sees every attempt, replays included.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from target_hubspot_calls.hubspot.api import BEFORE_SENDING, is_search, is_upload
from target_hubspot_calls.hubspot.failures import retry_after_s

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]

WINDOW_S = 10.0
SEARCH_WINDOW_S = 1.0
# Two clocks never tick alike: a slot is given back this much later than the window says.
SLACK_S = 0.02
LONGEST_HOLD_S = 60.0
# Files can be many and can wait: they leave so many slots of a window to notes and look-ups.
KEPT_FROM_UPLOADS = 8


@dataclass
class PaceSeen:
    """What a pace has let through so far, for tests and the run's closing figures."""

    requests: int = 0
    searches: int = 0
    exempt: int = 0
    refused: int = 0
    waited_s: float = 0.0
    most_at_once: int = 0


class SlidingWindow:
    """So many slots in any `seconds`; a slot is taken when a request leaves.

    HubSpot counts a request somewhere between its leaving and its answer, so a slot stays taken
    while the request is in flight and comes back `seconds` after the answer. That is exact for
    every window; a leaky bucket lets through twice the limit after a pause.
    """

    def __init__(self, limit: int, seconds: float, *, clock: Clock, sleep: Sleep) -> None:
        if limit < 1:
            raise ValueError("a window needs room for one request")
        self.seconds = seconds
        self.limit = limit
        self._configured = limit
        self._clock = clock
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._patient_turn = asyncio.Lock()
        self._ended = asyncio.Event()
        self._in_flight = 0
        self._free_at: deque[float] = deque()
        self._closed_until = float("-inf")

    @property
    def taken(self) -> int:
        """How many slots are taken now."""
        now = self._clock()
        while self._free_at and self._free_at[0] <= now:
            self._free_at.popleft()
        return self._in_flight + len(self._free_at)

    async def enter(self, *, keep_free: int = 0) -> float:
        """Takes a slot, first come first served, and gives back the seconds waited for it.

        One that leaves so many slots to others waits in a line of its own, and never before them.
        """
        started = self._clock()
        async with self._patient_turn if keep_free else self._turn:
            while not await self._has_room(keep_free):
                pass
            self._in_flight += 1
        return self._clock() - started

    def leave(self) -> None:
        """The request is answered or dead: its slot comes back one window from now."""
        self._in_flight -= 1
        self._free_at.append(self._clock() + self.seconds + SLACK_S)
        self._ended.set()

    def free_after_s(self) -> list[float]:
        """In how many seconds each slot that is taken comes free, the first one first.

        One in flight may yet be counted: for it a whole window from now.
        """
        now, _ = self._clock(), self.taken
        in_flight = [self.seconds + SLACK_S] * self._in_flight
        return [*(free_at - now for free_at in self._free_at), *in_flight]

    def take_over(self, free_after_s: Iterable[float]) -> None:
        """Counts slots that another process took, by the seconds until each comes free."""
        now = self._clock()
        self._free_at = deque(sorted([*self._free_at, *(now + s for s in free_after_s)]))

    def close_for(self, seconds: float) -> None:
        """Lets nothing through for so long."""
        self._closed_until = max(self._closed_until, self._clock() + seconds)

    def learn(self, allowed: int, left: int) -> None:
        """Takes over HubSpot's own count: a lower limit, and slots other programs have used."""
        self.limit = max(1, min(self._configured, allowed))
        elsewhere = allowed - left - self.taken
        free_at = self._clock() + self.seconds + SLACK_S
        self._free_at.extend([free_at] * max(0, min(elsewhere, self.limit)))

    async def _has_room(self, keep_free: int) -> bool:
        closed_s = self._closed_until - self._clock()
        if closed_s > 0:
            await self._sleep(closed_s)
            return False
        if self.taken < self.limit - min(keep_free, self.limit // 2):
            return True
        if self._free_at:
            await self._sleep(max(self._free_at[0] - self._clock(), 0.001))
        else:
            self._ended.clear()
            await self._ended.wait()
        return False


class Pace:
    """The windows of one portal: searches in one, everything but token requests in the other."""

    def __init__(
        self,
        requests_per_10_s: int = 100,
        searches_per_s: int = 4,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.requests = SlidingWindow(requests_per_10_s, WINDOW_S, clock=clock, sleep=sleep)
        self.searches = SlidingWindow(searches_per_s, SEARCH_WINDOW_S, clock=clock, sleep=sleep)
        self.seen = PaceSeen()
        self._at_once = 0
        self._before_each: Callable[[], Awaitable[None]] | None = None

    @asynccontextmanager
    async def slot(self, request: httpx.Request) -> AsyncIterator[None]:
        """Holds the request back until its window has room, and holds the slot until it ends."""
        window = self._window_of(request)
        if window is None:
            self.seen.exempt += 1
            yield
            return
        kept = KEPT_FROM_UPLOADS if is_upload(request) else 0
        self.seen.waited_s += await window.enter(keep_free=kept)
        self._note(window)
        try:
            yield
        finally:
            self._at_once -= 1
            window.leave()

    def guard(self, before_each: Callable[[], Awaitable[None]]) -> None:
        """Has this awaited whenever a request that counts is about to leave.

        What it raises keeps the request from being sent and passes through.
        """
        self._before_each = before_each

    async def check(self, request: httpx.Request) -> None:
        """Returns if the request may leave now. Raises what the guard raises."""
        if self._before_each is not None and self._window_of(request) is not None:
            await self._before_each()

    def learn(self, request: httpx.Request, response: httpx.Response) -> None:
        """Takes a refusal and the rate headers into account. Source: HubSpot usage guidelines."""
        window = self._window_of(request)
        if window is None:
            return
        if response.status_code == 429:
            self.seen.refused += 1
            asked_s = retry_after_s(response)
            window.close_for(min(window.seconds if asked_s is None else asked_s, LONGEST_HOLD_S))
        allowed = _count(response, "x-hubspot-ratelimit-max")
        left = _count(response, "x-hubspot-ratelimit-remaining")
        interval_ms = _count(response, "x-hubspot-ratelimit-interval-milliseconds")
        same_window = interval_ms in (None, int(window.seconds * 1000))
        if allowed and left is not None and left <= allowed and same_window:
            window.learn(allowed, left)

    def _window_of(self, request: httpx.Request) -> SlidingWindow | None:
        if request.url.path.startswith("/oauth/"):
            return None
        return self.searches if is_search(request) else self.requests

    def _note(self, window: SlidingWindow) -> None:
        if window is self.searches:
            self.seen.searches += 1
        else:
            self.seen.requests += 1
        self._at_once += 1
        self.seen.most_at_once = max(self.seen.most_at_once, self._at_once)


class PortalPaces:
    """One pace per portal for the whole process, however many clients talk to it."""

    def __init__(self, new_pace: Callable[[], Pace] = Pace) -> None:
        self._new_pace = new_pace
        self._paces: dict[Hashable, Pace] = {}

    def of(self, portal: Hashable) -> Pace:
        """The portal's pace, made when it is asked for first."""
        if portal not in self._paces:
            self._paces[portal] = self._new_pace()
        return self._paces[portal]

    def adopt(self, portal: Hashable, pace: Pace) -> Pace:
        """The portal's pace, which is the one given unless it has one already."""
        return self._paces.setdefault(portal, pace)


class PacedTransport(httpx.AsyncBaseTransport):
    """Sends each request when the portal's pace has room for it.

    What a request asks to have done before it leaves is done then, however long it was held back.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, pace: Pace) -> None:
        self._inner = inner
        self._pace = pace

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer of the transport beneath, once there was room to send."""
        async with self._pace.slot(request):
            await self._pace.check(request)
            before_sending = request.extensions.get(BEFORE_SENDING)
            if before_sending is not None:
                await before_sending()
            response = await self._inner.handle_async_request(request)
        self._pace.learn(request, response)
        return response

    async def aclose(self) -> None:
        """Closes the transport beneath."""
        await self._inner.aclose()


def _count(response: httpx.Response, header: str) -> int | None:
    written = response.headers.get(header, "")
    return int(written) if written.isascii() and written.isdigit() else None
