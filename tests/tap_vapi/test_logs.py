"""What the tap says while it works: positions and counts, never a call."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from call_stream.record import CallRecord, encode_record
from call_stream.stream import CallStreamWriter, EntryKind
from tap_vapi.tap import TapVapi


def test_nothing_of_a_call_is_logged_whatever_the_log_level(
    writer: CallStreamWriter,
    a_call_record: Callable[..., CallRecord],
    data_dir: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "tap-vapi")
    call = a_call_record(
        customer_number="+14155550123",
        summary="canary-summary",
        transcript="canary-transcript",
        recording_url="https://storage.example/call.wav?X-Amz-Signature=canary-signature",
    )
    for payload in (encode_record(call), encode_record(call)):
        writer.append(EntryKind.CALL, payload).result()
    writer.append(EntryKind.QUARANTINE, b'{"canary": "quarantined"}').result()

    TapVapi(config={"data_dir": str(data_dir)}).sync_all()

    assert capsys.readouterr().out.count("canary-summary") == 2
    assert caplog.text
    assert "canary" not in caplog.text
    assert "4155550123" not in caplog.text
