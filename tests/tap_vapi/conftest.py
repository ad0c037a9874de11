import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from call_stream.record import CallRecord, CallSource, encode_record
from call_stream.stream import CallStreamWriter, EntryKind, open_writer


@pytest.fixture(autouse=True)
def _own_signal_handlers() -> Iterator[None]:
    """Gives the test run its Ctrl-C back: making a tap installs handlers."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def writer(data_dir: Path) -> Iterator[CallStreamWriter]:
    opened = open_writer(f"file:{data_dir}/stream")
    yield opened
    opened.close()


@pytest.fixture
def a_call_record() -> Callable[..., CallRecord]:
    """A record as the receiver stores it; name what matters."""

    def build(call_id: str = "call-1", **fields: object) -> CallRecord:
        told: dict[str, Any] = {
            "user_id": "ada",
            "workspace_id": "harbor",
            "source": CallSource.WEBHOOK,
            "received_at": "2026-11-20T15:05:26.000Z",
            "updated_at": "2026-11-20T15:05:25.400Z",
            **fields,
        }
        return CallRecord(id=call_id, **told)

    return build


@pytest.fixture
def append_calls(
    writer: CallStreamWriter, a_call_record: Callable[..., CallRecord]
) -> Callable[[range], list[int]]:
    """Appends calls named by number and gives back their positions."""

    def append(numbers: range) -> list[int]:
        futures = [
            writer.append(EntryKind.CALL, encode_record(a_call_record(f"call-{number}")))
            for number in numbers
        ]
        return [future.result() for future in futures]

    return append


@pytest.fixture
def config_file(data_dir: Path, tmp_path: Path) -> Callable[..., Path]:
    def write(**settings: object) -> Path:
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"data_dir": str(data_dir), **settings}))
        return path

    return write
