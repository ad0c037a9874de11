"""The machine's clock jumps: entries keep the order they came in, none is lost or given twice."""

from __future__ import annotations

from collections.abc import Iterator

from tests.call_stream.conftest import Stream

NOON_S = 1_790_000_000
# An hour back, a day forward, and a second that comes twice, as a leap second does.
JUMPS_S = (0, -3600, 86_400, 86_400, 1)


def ticking(offsets_s: tuple[int, ...]) -> Iterator[int]:
    return (NOON_S * 10**9 + offset_s * 10**9 for offset_s in offsets_s)


def test_entries_keep_their_order_whatever_the_clock_says(stream: Stream) -> None:
    clock = ticking((0, *JUMPS_S))
    stream.open(clock_ns=lambda: next(clock), segment_bytes=200)

    positions = stream.append(*(b"entry-%d" % number for number in range(len(JUMPS_S))))

    entries = list(stream.reader().read())
    assert [entry.payload for entry in entries] == [b"entry-%d" % n for n in range(len(JUMPS_S))]
    assert positions == sorted(set(positions)) == [entry.position for entry in entries]
    assert [int(entry.received_at.timestamp()) - NOON_S for entry in entries] == list(JUMPS_S)


def test_a_clock_that_is_an_hour_back_after_a_restart_gives_no_position_twice(
    stream: Stream,
) -> None:
    stream.open(clock_ns=lambda: NOON_S * 10**9)
    before = stream.append(b"before")
    stream.close()

    stream.open(clock_ns=lambda: (NOON_S - 3600) * 10**9)
    after = stream.append(b"after")

    assert after[0] > before[0]
    assert stream.read() == [b"before", b"after"]
    assert stream.read(after=before[0]) == [b"after"]
