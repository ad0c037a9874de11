"""What is read from a source, and when reading ends."""

from __future__ import annotations

import asyncio
import logging
import tracemalloc
import zlib
from collections.abc import AsyncIterator

import pytest

from hubspot_simulator import Simulator
from target_hubspot_calls.hubspot.files import FileUpload
from target_hubspot_calls.recordings.fetch import RecordingFetcher
from target_hubspot_calls.recordings.status import RecordingError, RecordingStatus
from tests.target_hubspot_calls.recordings.conftest import (
    Play,
    a_redirect,
    a_source,
    a_wav,
    an_answer,
    read,
)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: audio/wav\r\n\r\n"


def fetch(fetcher: RecordingFetcher, *plays: Play) -> tuple[bytes | RecordingError, int]:
    """What comes of the recording, and how many connections its source took."""

    async def main() -> tuple[bytes | RecordingError, int]:
        async with a_source(*plays) as source:
            try:
                return await read(fetcher, source.url("/c.wav?sig=canary")), source.connections
            except RecordingError as err:
                return err, source.connections

    return asyncio.run(main())


def status_of(outcome: tuple[bytes | RecordingError, int]) -> RecordingStatus | None:
    got, _ = outcome
    return got.status if isinstance(got, RecordingError) else None


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(CHUNKED + chunk(a_wav(4096)))
    while True:
        writer.write(chunk(bytes(65_536)))
        await writer.drain()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + a_wav(5000)[:100])
    while True:
        await asyncio.sleep(0.02)
        writer.write(b"\x80")
        await writer.drain()


async def silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


def test_a_recording_says_what_it_is_before_it_is_read(a_fetcher):
    async def main() -> tuple[str, str, int | None]:
        page = an_answer(a_wav(3000), "200 OK", "Content-Type: text/html")
        async with (
            a_source(page) as source,
            a_fetcher() as fetcher,
            fetcher.open(source.url("/c.mp3")) as recording,
        ):
            return recording.content_type, recording.extension, recording.size

    assert asyncio.run(main()) == ("audio/wav", "wav", 3000)


def test_a_source_need_not_state_a_size(a_fetcher):
    async def main() -> tuple[int | None, bytes]:
        body = CHUNKED + chunk(a_wav()[:10]) + chunk(a_wav()[10:]) + chunk(b"")
        async with (
            a_source(body) as source,
            a_fetcher() as fetcher,
            fetcher.open(source.url()) as recording,
        ):
            return recording.size, b"".join([piece async for piece in recording])

    assert asyncio.run(main()) == (None, a_wav())


def test_a_stated_size_that_is_too_large_ends_it_before_a_byte_is_read(a_fetcher):
    huge = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n" + a_wav()

    assert status_of(fetch(a_fetcher(max_bytes=5000), huge)) is RecordingStatus.TOO_LARGE


def test_a_size_stated_beside_chunks_counts_for_nothing(a_fetcher):
    async def main() -> tuple[int | None, bytes]:
        both = CHUNKED.replace(b"\r\n", b"\r\nContent-Length: 5\r\n", 1)
        async with (
            a_source(both + chunk(a_wav()) + chunk(b"")) as source,
            a_fetcher() as fetcher,
            fetcher.open(source.url()) as recording,
        ):
            return recording.size, b"".join([piece async for piece in recording])

    assert asyncio.run(main()) == (None, a_wav())


def test_a_recording_of_just_the_largest_size_is_read(a_fetcher):
    assert fetch(a_fetcher(max_bytes=2000), an_answer(a_wav(2000))) == (a_wav(2000), 1)
    assert status_of(fetch(a_fetcher(max_bytes=1999), an_answer(a_wav(2000)))) is (
        RecordingStatus.TOO_LARGE
    )


def test_an_endless_recording_ends_at_the_largest_size(a_fetcher):
    async def main() -> tuple[int, RecordingStatus]:
        arrived = 0
        async with a_source(endless) as source, a_fetcher(max_bytes=1_000_000) as fetcher:
            try:
                async with fetcher.open(source.url()) as recording:
                    async for piece in recording:
                        arrived += len(piece)
            except RecordingError as err:
                return arrived, err.status
        raise AssertionError("it came to an end")

    arrived, status = asyncio.run(main())

    assert 900_000 < arrived <= 1_000_000
    assert status is RecordingStatus.TOO_LARGE


def test_a_source_that_states_more_than_it_gives_is_unreachable(a_fetcher):
    short = an_answer(a_wav()).replace(b"Content-Length: 2000", b"Content-Length: 9000")

    assert status_of(fetch(a_fetcher(), short)) is RecordingStatus.UNREACHABLE


def test_a_source_that_states_less_than_it_gives_is_cut_there(a_fetcher):
    long = an_answer(a_wav()).replace(b"Content-Length: 2000", b"Content-Length: 1500")

    assert fetch(a_fetcher(), long) == (a_wav()[:1500], 1)


@pytest.mark.parametrize("lie", ["-1", "abc", "1e9", "5, 6"])
def test_a_size_that_is_no_number_is_unreachable(a_fetcher, lie):
    answer = an_answer(a_wav()).replace(b"Content-Length: 2000", f"Content-Length: {lie}".encode())

    assert status_of(fetch(a_fetcher(), answer)) is RecordingStatus.UNREACHABLE


def test_one_byte_at_a_time_runs_into_the_deadline(a_fetcher):
    outcome = fetch(a_fetcher(total_s=0.3), dripping)

    assert status_of(outcome) is RecordingStatus.UNREACHABLE
    assert "longer than 0.3 s" in str(outcome[0])


def test_a_silent_source_runs_into_the_deadline(a_fetcher):
    assert status_of(fetch(a_fetcher(total_s=0.2), silent)) is RecordingStatus.UNREACHABLE


def test_a_slow_reader_is_not_the_sources_fault(a_fetcher):
    async def main() -> int:
        async with (
            a_source(an_answer(a_wav(300_000))) as source,
            a_fetcher(total_s=0.4) as fetcher,
            fetcher.open(source.url()) as recording,
        ):
            arrived = 0
            async for piece in recording:
                arrived += len(piece)
                await asyncio.sleep(0.2)
            return arrived

    assert asyncio.run(main()) == 300_000


def test_a_packed_body_is_not_unpacked(a_fetcher):
    bomb = zlib.compress(bytes(50_000_000), 9, wbits=31)
    answer = an_answer(bomb, "200 OK", "Content-Encoding: gzip", "Content-Type: audio/wav")

    tracemalloc.start()
    outcome = fetch(a_fetcher(), answer)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert status_of(outcome) is RecordingStatus.UNSUPPORTED_TYPE
    assert peak < 10_000_000


@pytest.mark.parametrize("body", [b"", b"<html>RIFF</html>", b"GIF89a/*RIFF", b"PK\x03\x04"])
def test_what_only_calls_itself_a_recording_is_none(a_fetcher, body):
    answer = an_answer(body, "200 OK", "Content-Type: audio/wav")

    assert status_of(fetch(a_fetcher(), answer)) is RecordingStatus.UNSUPPORTED_TYPE


@pytest.mark.parametrize(
    ("status", "expected", "connections"),
    [
        (400, RecordingStatus.EXPIRED, 1),
        (403, RecordingStatus.EXPIRED, 1),
        (404, RecordingStatus.EXPIRED, 1),
        (410, RecordingStatus.EXPIRED, 1),
        (401, RecordingStatus.UNREACHABLE, 1),
        (204, RecordingStatus.UNREACHABLE, 1),
        (206, RecordingStatus.UNREACHABLE, 1),
        (304, RecordingStatus.UNREACHABLE, 1),
        (429, RecordingStatus.UNREACHABLE, 3),
        (503, RecordingStatus.UNREACHABLE, 3),
    ],
)
def test_a_refusal_says_whether_the_link_has_died(a_fetcher, status, expected, connections):
    outcome = fetch(a_fetcher(), an_answer(a_wav(), f"{status} So"))

    assert (status_of(outcome), outcome[1]) == (expected, connections)


def test_a_source_that_stumbles_is_asked_again(a_fetcher):
    async def reset(writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    plays = [reset, an_answer(b"", "503 Busy"), an_answer(a_wav())]

    assert fetch(a_fetcher(), *plays) == (a_wav(), 3)


def test_a_recording_that_breaks_off_midway_is_unreachable(a_fetcher):
    async def broken(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + a_wav(5000))
        await writer.drain()

    outcome = fetch(a_fetcher(), broken)

    assert (status_of(outcome), outcome[1]) == (RecordingStatus.UNREACHABLE, 1)


def test_five_redirects_are_followed_and_no_more(a_fetcher):
    hops = [a_redirect(f"/{n}") for n in range(5)]

    assert fetch(a_fetcher(), *hops, an_answer(a_wav())) == (a_wav(), 6)

    outcome = fetch(a_fetcher(), *hops, a_redirect("/6"), an_answer(a_wav()))

    assert (status_of(outcome), outcome[1]) == (RecordingStatus.UNREACHABLE, 6)


def test_a_redirect_to_nowhere_is_unreachable(a_fetcher):
    outcome = fetch(a_fetcher(), an_answer(b"", "302 Found"))

    assert status_of(outcome) is RecordingStatus.UNREACHABLE


def test_reading_a_recording_anew_fetches_it_anew(a_fetcher):
    async def main() -> tuple[bool, list[bytes], int]:
        async with (
            a_source(an_answer(a_wav(200_000))) as source,
            a_fetcher() as fetcher,
            fetcher.open(source.url()) as recording,
        ):
            upload = FileUpload("c.wav", "/vapi", recording, recording.content_type)
            async for _ in recording:
                break
            whole = [b"".join([piece async for piece in recording]) for _ in range(2)]
            return upload.replayable, whole, source.connections

    replayable, whole, connections = asyncio.run(main())

    assert replayable
    assert whole == [a_wav(200_000)] * 2
    assert connections == 3


def test_a_recording_that_changed_meanwhile_is_not_mixed_up(a_fetcher):
    async def main() -> RecordingStatus:
        async with (
            a_source(an_answer(a_wav(3000)), an_answer(a_wav(3001))) as source,
            a_fetcher() as fetcher,
            fetcher.open(source.url()) as recording,
        ):
            assert b"".join([piece async for piece in recording]) == a_wav(3000)
            with pytest.raises(RecordingError) as caught:
                await read_all(recording)
            return caught.value.status

    async def read_all(pieces: AsyncIterator[bytes]) -> None:
        async for _ in pieces:
            pass

    assert asyncio.run(main()) is RecordingStatus.UNREACHABLE


def test_a_connection_is_given_up_when_nobody_reads_on(a_fetcher):
    async def main() -> bool:
        gone = asyncio.Event()

        async def watched(writer: asyncio.StreamWriter) -> None:
            try:
                await endless(writer)
            finally:
                gone.set()

        async with a_source(watched) as source, a_fetcher() as fetcher:
            async with fetcher.open(source.url()) as recording:
                async for _ in recording:
                    break
            await asyncio.wait_for(gone.wait(), 5)
        return gone.is_set()

    assert asyncio.run(main())


def test_a_large_recording_takes_little_memory(a_fetcher):
    async def main() -> int:
        with Simulator(rate_limits=False) as simulator:
            url = simulator.recording_url(size=20_000_000)
            async with a_fetcher() as fetcher, fetcher.open(url) as recording:
                tracemalloc.start()
                arrived = 0
                async for piece in recording:
                    arrived += len(piece)
                assert arrived == 20_000_000
                return tracemalloc.get_traced_memory()[1]

    try:
        peak = asyncio.run(main())
    finally:
        tracemalloc.stop()

    assert peak < 5_000_000


def test_a_signed_link_reaches_no_log_and_no_error(a_fetcher, caplog):
    for name in (None, "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)

    outcome, _ = fetch(
        a_fetcher(), a_redirect("/next?sig=canary"), an_answer(b"sig=canary", "403 No")
    )

    assert isinstance(outcome, RecordingError)
    texts = [caplog.text, str(outcome), repr(outcome), repr(outcome.__cause__)]
    assert all("canary" not in text for text in texts)
    assert "127.0.0.1 answers 403" in str(outcome)
