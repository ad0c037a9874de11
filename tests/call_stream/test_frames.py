from hypothesis import given
from hypothesis import strategies as st

from call_stream.frames import (
    FRAME_HEAD_BYTES,
    MAGIC,
    SegmentHeader,
    build_segment_header,
    claimed_bytes,
    frame_head,
    parse_frame,
    parse_segment_header,
)

positions = st.integers(0, 2**53)
payloads = st.binary(min_size=1, max_size=2000)


@given(positions, st.integers(0, 255), st.integers(0, 2**63), payloads, st.binary(max_size=50))
def test_a_frame_is_read_back_as_it_was_written(position, kind, received_ns, payload, before):
    frame = frame_head(position, 0, kind, received_ns, payload) + payload

    parsed = parse_frame(before + frame, len(before), position)

    assert parsed == (position + len(frame), position, kind, received_ns, payload)
    assert claimed_bytes(before + frame, len(before)) == len(frame)


@given(positions, payloads, st.data())
def test_a_frame_with_one_bit_flipped_is_no_frame(position, payload, data):
    frame = bytearray(frame_head(position, 0, 1, 7, payload) + payload)
    bit = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8

    parsed = parse_frame(bytes(frame), 0, position)

    assert parsed is None


@given(positions, payloads, st.data())
def test_a_cut_frame_is_no_frame(position, payload, data):
    frame = frame_head(position, 0, 1, 7, payload) + payload
    size = data.draw(st.integers(0, len(frame) - 1))

    parsed = parse_frame(frame[:size], 0, position)

    assert parsed is None


@given(positions, positions, payloads)
def test_a_frame_moved_elsewhere_is_no_frame(position, other, payload):
    frame = frame_head(position, 0, 1, 7, payload) + payload

    parsed = parse_frame(frame, 0, other)

    assert (parsed is None) == (position != other)


def test_zeros_are_no_frame():
    zeros = bytes(4096)

    parsed = parse_frame(zeros, 0, 0)

    assert parsed is None
    assert claimed_bytes(zeros, 0) == 0


def test_json_cannot_hold_the_magic():
    assert FRAME_HEAD_BYTES == 25
    assert MAGIC.decode("utf-8", errors="ignore").encode() != MAGIC


@given(positions, positions)
def test_a_segment_header_is_read_back_as_it_was_written(base, previous_end):
    header = SegmentHeader(base, previous_end)

    parsed = parse_segment_header(build_segment_header(header))

    assert parsed == header


def test_a_segment_header_with_any_bit_flipped_is_refused():
    header = build_segment_header(SegmentHeader(5, 4))
    flipped = [
        header[:at] + bytes([header[at] ^ 1 << bit]) + header[at + 1 :]
        for at in range(len(header))
        for bit in range(8)
    ]

    parsed = {parse_segment_header(each) for each in flipped}

    assert parsed == {None}
