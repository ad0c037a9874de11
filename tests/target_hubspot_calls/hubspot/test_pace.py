from __future__ import annotations

import asyncio
import heapq
import random
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from target_hubspot_calls.hubspot.pace import Pace, PacedTransport, PortalPaces

NOTES = httpx.Request("POST", "https://api.hubapi.com/crm/objects/2026-09/notes/batch/create")
SEARCH = httpx.Request("POST", "https://api.hubapi.com/crm/objects/2026-09/contacts/search")
TOKEN = httpx.Request("POST", "https://api.hubapi.com/oauth/2026-09/token")


class VirtualTime:
    """Many sleepers and one clock: time jumps to the next waker when everybody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.now + seconds, self._count, waker))
        await waker

    async def run(self, *tasks: asyncio.Task[Any]) -> None:
        while not all(task.done() for task in tasks):
            for _ in range(20):
                await asyncio.sleep(0)
            if self._sleepers:
                at, _, waker = heapq.heappop(self._sleepers)
                self.now = max(self.now, at)
                if not waker.done():
                    waker.set_result(None)
        await asyncio.gather(*tasks)


def most_in_any_window(moments: list[float], seconds: float) -> int:
    moments = sorted(moments)
    first = most = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    limit=st.integers(1, 12),
    bursts=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 15)), min_size=1, max_size=5),
)
def test_no_window_ever_holds_more_than_the_limit_wherever_hubspot_counts(
    seed: int, limit: int, bursts: list[tuple[float, int]]
) -> None:
    time = VirtualTime()
    pace = Pace(limit, 4, clock=time.monotonic, sleep=time.sleep)
    rng = random.Random(seed)
    counted: list[float] = []

    async def one(start_s: float) -> None:
        await time.sleep(start_s)
        async with pace.slot(NOTES):
            await time.sleep(rng.uniform(0, 3))  # on its way: HubSpot counts when it arrives
            counted.append(time.now)
            await time.sleep(rng.uniform(0, 12))

    async def scenario() -> None:
        starts = [start_s for start_s, size in bursts for _ in range(size)]
        await time.run(*[asyncio.create_task(one(start_s)) for start_s in starts])

    asyncio.run(scenario())

    assert len(counted) == sum(size for _, size in bursts)
    assert most_in_any_window(counted, 10.0) <= limit


def test_after_a_pause_the_window_lets_through_its_limit_and_not_twice_that() -> None:
    time = VirtualTime()
    pace = Pace(5, 4, clock=time.monotonic, sleep=time.sleep)
    left: list[float] = []

    async def one() -> None:
        async with pace.slot(NOTES):
            left.append(time.now)

    async def scenario() -> None:
        time.now = 100.0
        await time.run(*[asyncio.create_task(one()) for _ in range(12)])

    asyncio.run(scenario())

    assert [round(moment - 100, 1) for moment in left] == [0.0] * 5 + [10.0] * 5 + [20.0] * 2


def test_a_request_in_flight_keeps_its_slot_however_long_it_takes() -> None:
    time = VirtualTime()
    pace = Pace(1, 4, clock=time.monotonic, sleep=time.sleep)
    left: list[float] = []

    async def one(takes_s: float) -> None:
        async with pace.slot(NOTES):
            left.append(time.now)
            await time.sleep(takes_s)

    async def scenario() -> None:
        await time.run(asyncio.create_task(one(25.0)), asyncio.create_task(one(0.0)))

    asyncio.run(scenario())

    assert [round(moment, 1) for moment in left] == [0.0, 35.0]


def test_requests_are_served_in_the_order_they_came() -> None:
    time = VirtualTime()
    pace = Pace(2, 4, clock=time.monotonic, sleep=time.sleep)
    served: list[int] = []

    async def one(number: int) -> None:
        async with pace.slot(NOTES):
            served.append(number)

    async def scenario() -> None:
        await time.run(*[asyncio.create_task(one(n)) for n in range(9)])

    asyncio.run(scenario())

    assert served == list(range(9))


def test_a_waiting_request_that_is_cancelled_takes_no_slot() -> None:
    time = VirtualTime()
    pace = Pace(1, 4, clock=time.monotonic, sleep=time.sleep)
    served: list[str] = []

    async def one(name: str) -> None:
        async with pace.slot(NOTES):
            served.append(name)

    async def scenario() -> None:
        tasks = [asyncio.create_task(one(name)) for name in ("a", "b", "c")]
        for _ in range(5):
            await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)
        await time.run(tasks[0], tasks[2])

    asyncio.run(scenario())

    assert served == ["a", "c"]
    assert round(time.now, 1) == 10.0


def test_a_request_that_dies_gives_its_slot_back_a_window_later() -> None:
    time = VirtualTime()
    pace = Pace(1, 4, clock=time.monotonic, sleep=time.sleep)

    async def dies() -> None:
        async with pace.slot(NOTES):
            raise ConnectionError

    async def lives() -> None:
        async with pace.slot(NOTES):
            pass

    async def scenario() -> None:
        with pytest.raises(ConnectionError):
            await dies()
        await time.run(asyncio.create_task(lives()))

    asyncio.run(scenario())

    assert round(time.now, 1) == 10.0


def test_searches_have_a_window_of_their_own_and_token_requests_none() -> None:
    time = VirtualTime()
    pace = Pace(1, 2, clock=time.monotonic, sleep=time.sleep)

    async def one(request: httpx.Request) -> None:
        async with pace.slot(request):
            pass

    async def scenario() -> None:
        requests = [NOTES, SEARCH, SEARCH, TOKEN, TOKEN, TOKEN]
        await time.run(*[asyncio.create_task(one(request)) for request in requests])
        assert time.now == 0.0
        await time.run(asyncio.create_task(one(SEARCH)))

    asyncio.run(scenario())

    assert round(time.now, 1) == 1.0
    assert (pace.seen.requests, pace.seen.searches, pace.seen.exempt) == (1, 3, 3)
    assert round(pace.seen.waited_s, 1) == 1.0


def rate_headers(allowed: int, left: int, interval_ms: int = 10_000) -> dict[str, str]:
    return {
        "X-HubSpot-RateLimit-Max": str(allowed),
        "X-HubSpot-RateLimit-Remaining": str(left),
        "X-HubSpot-RateLimit-Interval-Milliseconds": str(interval_ms),
    }


@pytest.mark.parametrize(
    ("headers", "at_once"),
    [
        (rate_headers(110, 109), 9),
        (rate_headers(4, 3), 3),
        (rate_headers(110, 102), 2),
        (rate_headers(110, 0), 0),
        (rate_headers(4, 0), 0),
        (rate_headers(19, 0, interval_ms=1_000), 9),
        ({"X-HubSpot-RateLimit-Max": "soon", "X-HubSpot-RateLimit-Remaining": "-1"}, 9),
        ({}, 9),
    ],
    ids=["ours", "a lower limit", "others use it", "nothing left", "both", "other", "odd", "none"],
)
def test_what_is_left_is_learnt_from_the_headers(headers: dict[str, str], at_once: int) -> None:
    time = VirtualTime()
    pace = Pace(10, 4, clock=time.monotonic, sleep=time.sleep)
    transport = PacedTransport(
        httpx.MockTransport(lambda _: httpx.Response(200, headers=headers)), pace
    )
    left: list[float] = []

    async def one() -> None:
        async with pace.slot(NOTES):
            left.append(time.now)

    async def scenario() -> None:
        await transport.handle_async_request(NOTES)
        await time.run(*[asyncio.create_task(one()) for _ in range(10)])

    asyncio.run(scenario())

    assert left.count(0.0) == at_once


def test_uploads_leave_room_for_notes_and_never_hold_one_back() -> None:
    time = VirtualTime()
    pace = Pace(20, 4, clock=time.monotonic, sleep=time.sleep)
    upload = httpx.Request("POST", "https://api.hubapi.com/files/2026-09/files")
    left: list[tuple[str, float]] = []

    async def one(name: str, request: httpx.Request, start_s: float) -> None:
        await time.sleep(start_s)
        async with pace.slot(request):
            left.append((name, time.now))

    async def scenario() -> None:
        jobs = [one("upload", upload, 0) for _ in range(30)]
        jobs += [one("note", NOTES, 1) for _ in range(5)]
        await time.run(*(asyncio.create_task(job) for job in jobs))

    asyncio.run(scenario())

    assert [moment for name, moment in left if name == "note"] == [1.0] * 5
    assert len([1 for name, moment in left if name == "upload" and moment < 10]) == 12
    assert most_in_any_window([moment for _, moment in left], 10) <= 20


def test_a_429_holds_everybody_back() -> None:
    time = VirtualTime()
    pace = Pace(100, 4, clock=time.monotonic, sleep=time.sleep)
    answers = [httpx.Response(429), httpx.Response(429, headers={"retry-after": "3"})]
    transport = PacedTransport(httpx.MockTransport(lambda _: answers.pop(0)), pace)

    async def one(request: httpx.Request) -> float:
        async with pace.slot(request):
            return time.now

    async def scenario() -> tuple[float, float]:
        await transport.handle_async_request(NOTES)
        await transport.handle_async_request(SEARCH)
        search = asyncio.create_task(one(SEARCH))
        notes = asyncio.create_task(one(NOTES))
        await time.run(search, notes)
        return search.result(), notes.result()

    assert asyncio.run(scenario()) == (3.0, 10.0)
    assert pace.seen.refused == 2


def test_every_client_of_a_portal_shares_one_pace() -> None:
    paces = PortalPaces(lambda: Pace(7, 2))

    assert paces.of(4711) is paces.of(4711)
    assert paces.of(4711) is not paces.of(4712)
    assert paces.of(4711).requests.limit == 7


def test_a_portal_that_turns_out_to_be_known_has_the_pace_it_had() -> None:
    paces = PortalPaces()
    of_first, of_second = paces.of("connection-1"), paces.of("connection-2")

    assert paces.adopt(4_000_000_001, of_first) is of_first
    assert paces.adopt(4_000_000_001, of_second) is of_first


def test_a_pace_without_room_for_one_request_is_refused() -> None:
    with pytest.raises(ValueError, match="room"):
        Pace(0)


def test_slots_that_another_process_took_count_until_they_are_free() -> None:
    time = VirtualTime()
    before = Pace(5, clock=time.monotonic, sleep=time.sleep)
    after = Pace(5, clock=time.monotonic, sleep=time.sleep)
    sent: list[float] = []

    async def send(pace: Pace) -> None:
        async with pace.slot(NOTES):
            sent.append(time.now)

    async def hand_over() -> None:
        await time.run(*(asyncio.create_task(send(before)) for _ in range(3)))
        time.now = 4.0
        after.requests.take_over(before.requests.free_after_s())
        await time.run(*(asyncio.create_task(send(after)) for _ in range(5)))

    asyncio.run(hand_over())

    assert sent == [0.0] * 3 + [4.0] * 2 + [pytest.approx(10.02)] * 3


def test_a_slot_in_flight_is_handed_over_as_a_whole_window() -> None:
    time = VirtualTime()
    pace = Pace(5, clock=time.monotonic, sleep=time.sleep)

    async def look() -> list[float]:
        async with pace.slot(NOTES):
            return pace.requests.free_after_s()

    assert asyncio.run(look()) == [10.02]


def test_a_guard_keeps_what_counts_from_leaving_and_not_token_requests() -> None:
    sent: list[str] = []

    class Refused(Exception):
        pass

    async def refuse() -> None:
        raise Refused

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path)
        return httpx.Response(200)

    pace = Pace()
    pace.guard(refuse)
    transport = PacedTransport(httpx.MockTransport(answer), pace)

    async def send_all() -> None:
        await transport.handle_async_request(TOKEN)
        for request in (NOTES, SEARCH):
            with pytest.raises(Refused):
                await transport.handle_async_request(request)

    asyncio.run(send_all())

    assert sent == [TOKEN.url.path]
    assert pace.requests.taken == 1
