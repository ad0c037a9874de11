import asyncio

import pytest

from receiver.answers import Refusal
from receiver.bodies import SenderGone, read_body
from receiver.in_flight import InFlight


def a_sender(*chunks, gone=False):
    """An ASGI receive that gives these chunks, then ends or hangs up."""
    last = {"type": "http.disconnect"} if gone else None
    messages = [
        {"type": "http.request", "body": chunk, "more_body": gone or chunk is not chunks[-1]}
        for chunk in chunks
    ] + ([last] if last else [])

    async def receive():
        return messages.pop(0)

    return receive


def read(in_flight, receive, *, announced=0, max_bytes=1000):
    async def run():
        with in_flight.reserve(announced) as reservation:
            body = await read_body(
                receive, max_bytes=max_bytes, timeout_s=5, reservation=reservation
            )
            return body, in_flight.used_bytes

    return asyncio.run(run())


def test_room_is_taken_and_given_back():
    in_flight = InFlight(100)

    with in_flight.reserve(60), in_flight.reserve(40):
        taken = in_flight.used_bytes

    assert (taken, in_flight.used_bytes) == (100, 0)


def test_who_finds_no_room_is_told_when_to_come_back_and_takes_none():
    in_flight = InFlight(100, retry_after_s=7)
    held = in_flight.reserve(60)

    with pytest.raises(Refusal) as caught:
        in_flight.reserve(41)

    refusal = caught.value
    assert (refusal.status, refusal.code, refusal.headers) == (503, "busy", {"Retry-After": "7"})
    assert in_flight.used_bytes == 60
    held.release()
    in_flight.reserve(100)


def test_a_body_within_what_was_announced_takes_no_more():
    in_flight = InFlight(100)

    assert read(in_flight, a_sender(b"a" * 30, b"b" * 30), announced=60) == (
        b"a" * 30 + b"b" * 30,
        60,
    )
    assert in_flight.used_bytes == 0


def test_an_unannounced_body_takes_room_as_it_arrives():
    in_flight = InFlight(100)

    assert read(in_flight, a_sender(b"a" * 30, b"b" * 30, b"")) == (b"a" * 30 + b"b" * 30, 60)


def test_a_body_that_outgrows_the_room_is_refused_and_leaves_nothing_behind():
    in_flight = InFlight(50)

    with pytest.raises(Refusal, match="too many bodies"):
        read(in_flight, a_sender(b"a" * 30, b"b" * 30))

    assert in_flight.used_bytes == 0


@pytest.mark.parametrize("fault", [SenderGone, Refusal])
def test_room_is_given_back_whatever_ends_the_reading(fault):
    in_flight = InFlight(100)
    sender = a_sender(b"a" * 30, gone=True) if fault is SenderGone else a_sender(b"a" * 30)

    with pytest.raises(fault):
        read(in_flight, sender, announced=10, max_bytes=20 if fault is Refusal else 1000)

    assert in_flight.used_bytes == 0


def test_room_given_back_twice_counts_once():
    in_flight = InFlight(100)
    held = in_flight.reserve(60)

    held.release()
    held.release()

    assert in_flight.used_bytes == 0
