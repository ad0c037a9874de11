"""The SDK's standard suite for taps, all of it, against a call stream of the sample reports.

None is left out. The suite reads no bookmark back, stops nothing half-way and sees no fault, so
those are in the files beside this one.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class

from call_stream.excerpt import cut_excerpt
from call_stream.quarantine import UnusableEntry, encode_unusable
from call_stream.record import OtherMessage, encode_record, record_from_report
from call_stream.stream import EntryKind, open_writer
from tap_vapi.tap import TapVapi

REPORTS = Path(__file__).parents[2] / "sample_data" / "reports"
# The suite wants the path when its class is made; the folder itself is made by the fixture.
DATA_DIR = Path(tempfile.gettempdir()) / f"tap-vapi-suite-{os.getpid()}"

StandardSuite = get_tap_test_class(
    TapVapi, config={"data_dir": str(DATA_DIR)}, suite_config=SuiteConfig(max_records_limit=50)
)


@pytest.fixture(scope="module", autouse=True)
def _sample_stream() -> Iterator[None]:
    writer = open_writer(f"file:{DATA_DIR}/stream")
    sender: dict[str, Any] = {
        "user_id": "ada",
        "workspace_id": "harbor",
        "webhook_id": "hook-1",
        "received_at": datetime(2026, 11, 20, 18, tzinfo=UTC),
    }
    for path in sorted(REPORTS.iterdir()):
        body = path.read_bytes()
        try:
            record = record_from_report(json.loads(body), **sender)
        except OtherMessage:
            continue
        writer.append(EntryKind.CALL, encode_record(record)).result()
        writer.append(EntryKind.REPORT, cut_excerpt(body, **sender).payload).result()
    writer.append(EntryKind.QUARANTINE, encode_unusable(UnusableEntry(**sender))).result()
    writer.close()
    yield
    shutil.rmtree(DATA_DIR)


class TestTapVapi(StandardSuite):
    pass
