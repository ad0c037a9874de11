"""What a run leaves behind for people and machines: no secret, no forged line, no half truth."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from singer_sdk.singerlib.exceptions import InvalidInputLine

from hubspot_simulator import DEFAULT_PORTAL, Simulator
from target_hubspot_calls.target import TargetHubspotCalls

SCHEMA = {
    "type": "SCHEMA",
    "stream": "calls",
    "key_properties": ["id"],
    "schema": {"type": "object", "properties": {"id": {"type": "string"}}},
}
CREATE = "*/notes/batch/create"
FORGED = "\r\nERROR forged line \x1b[31m\x1b]0;title\x07 {0.__class__} %s %(x)s\n"
PRIVATE = {
    "customer_number": "+14155550123",
    "customer_name": "Canary-Name Ruiz",
    "summary": "canary-summary of the caller",
    "transcript": "User: canary-transcript, please.",
}
ENCRYPTION_KEY = "Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LWNhbjA="
TOKENS = {
    "client_secret": "canary-client-secret",
    "vapi_api_key": "canary-vapi-key",
    "encryption_keys": ENCRYPTION_KEY,
}


@pytest.fixture
def portal() -> Iterator[Simulator]:
    with Simulator(port=0) as simulator:
        simulator.seed_contacts([{"id": "101", "properties": {"phone": "+14155550123"}}])
        yield simulator


@pytest.fixture
def config(portal: Simulator, tmp_path: Path) -> dict[str, Any]:
    return {
        "data_dir": str(tmp_path / "data"),
        "hubspot_api_url": portal.url,
        "service_key": portal.add_service_key(DEFAULT_PORTAL, key="canary-service-key"),
        "batch_wait_s": 0,
    }


@pytest.fixture
def restore_signals() -> Iterator[None]:
    """The SDK takes over SIGTERM and SIGINT of whoever makes a target."""
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    yield
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


def lines(*messages: dict[str, Any]) -> str:
    return "".join(json.dumps(message) + "\n" for message in messages)


def record(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RECORD", "stream": "calls", "record": fields}


def state(number: int) -> dict[str, Any]:
    return {"type": "STATE", "value": {"n": number}}


def listen(config: dict[str, Any], text: str) -> None:
    TargetHubspotCalls(config=config).listen(io.StringIO(text))


def run_target(config: dict[str, Any], text: str) -> subprocess.CompletedProcess[str]:
    """A whole run of the command."""
    path = Path(config["data_dir"]).parent / "config.json"
    path.write_text(json.dumps(config))
    return subprocess.run(
        [sys.executable, "-m", "target_hubspot_calls.target", "--config", str(path)],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def history(config: dict[str, Any], columns: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(Path(config["data_dir"]) / "sync_log.duckdb", read_only=True) as log:
        return log.execute(f"select {columns} from hubspot_sync_logs order by id").fetchall()


def bytes_on_disk(data_dir: str) -> bytes:
    return b"".join(path.read_bytes() for path in Path(data_dir).rglob("*") if path.is_file())


def found(needles: Iterable[str], *haystacks: str | bytes) -> list[str]:
    texts = [h if isinstance(h, bytes) else h.encode() for h in haystacks]
    return [needle for needle in needles if any(needle.encode() in text for text in texts)]


@pytest.mark.parametrize("way", ["service key", "refresh token"])
def test_no_secret_and_nothing_private_leaves_a_run_in_which_everything_fails(
    way: str,
    config: dict[str, Any],
    portal: Simulator,
    a_call_record: Callable[..., dict[str, Any]],
) -> None:
    secrets = {**TOKENS, "service_key": "canary-service-key"}
    config |= TOKENS | {"client_id": "client-1", "vapi_api_url": portal.url}
    if way == "refresh token":
        portal.add_app("client-1", TOKENS["client_secret"])
        issued = portal.issue_tokens(DEFAULT_PORTAL, "client-1")
        config["refresh_token"] = secrets["refresh_token"] = issued["refresh_token"]
        del config["service_key"]
    echoed = f"{PRIVATE['summary']} was not valid; Bearer {secrets.get('service_key')}"
    portal.add_fault("error", path=CREATE, status=400, message=echoed, times=1)
    portal.add_fault("error", path="*/contacts/search", status=503, message=echoed, times=2)
    signed = portal.recording_url("call.wav", status=403) + "&X-Amz-Signature=canary-signature"
    calls = [a_call_record(**PRIVATE, id=f"call-{i}", recording_url=signed) for i in range(3)]
    text = lines(SCHEMA, *(record(call) for call in calls), record({"id": None, **PRIVATE}))

    done = run_target({**config, "recording_hosts": ["127.0.0.1"]}, text)

    said = (done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr
    assert found([*secrets.values(), *PRIVATE.values(), "canary"], *said) == []
    assert found(["4155550123", "Friday"], *said) == []
    assert found(secrets.values(), bytes_on_disk(config["data_dir"])) == []
    rows = str(history(config, "* exclude (phone_number)"))
    assert found([*secrets.values(), *PRIVATE.values(), "canary"], rows) == []


def test_nothing_hubspot_or_a_source_says_can_forge_a_log_line(
    config: dict[str, Any],
    portal: Simulator,
    a_call_record: Callable[..., dict[str, Any]],
) -> None:
    portal.add_fault("error", path=CREATE, status=400, message=FORGED + "x" * 1_000_000)
    odd = ("customer_name", "assistant_name", "ended_reason", "user_id")
    text = lines(
        SCHEMA,
        record(a_call_record(**dict.fromkeys(odd, FORGED))),
        record(a_call_record(id=f"call{FORGED}")),
        record(a_call_record(id="x" * 1_000_000)),
    )

    done = run_target(config, text)

    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("ERROR forged")] == []
    assert "\x1b" not in done.stderr
    assert max(map(len, done.stderr.splitlines())) < 2_000
    messages = [message for (message,) in history(config, "error_message") if message]
    assert messages
    assert not [m for m in messages if len(m) > 1_000 or not m.isprintable()]


@pytest.mark.usefixtures("restore_signals")
def test_a_record_is_not_printed_whatever_the_log_level(
    config: dict[str, Any],
    a_call_record: Callable[..., dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "target-hubspot-calls")

    listen(config, lines(SCHEMA, record(a_call_record(**PRIVATE))))

    assert "run finished" in caplog.text
    assert found([*PRIVATE.values(), "canary"], caplog.text) == []


@pytest.mark.usefixtures("restore_signals")
def test_the_name_of_a_stream_cannot_forge_a_log_line(
    config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.suppress(InvalidInputLine):
        listen(config, lines({**SCHEMA, "stream": f"users{FORGED}"}))

    logged = [text for entry in caplog.records for text in (entry.name, entry.getMessage())]
    assert [text for text in logged if "forged" in text and not text.isprintable()] == []


@pytest.mark.usefixtures("restore_signals")
def test_a_few_poisonous_records_among_many_are_told_and_the_others_delivered(
    config: dict[str, Any],
    portal: Simulator,
    a_call_record: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    portal.add_fault("partial", path=CREATE, status=400, fail_count=1, times=1)
    good = [record(a_call_record(id=f"call-{i}")) for i in range(400)]
    poison = [
        record(a_call_record(id=None)),
        record(a_call_record(id="timeless", ended_at=None, started_at=None, received_at=None)
               | {"updated_at": None}),
        record({"id": {"a": 1}, "structured_data": [[[]]]}),
    ]  # fmt: skip
    messages = [*good[:150], *poison, *good[150:]]

    listen(config, lines(SCHEMA, *messages, state(1)))

    reasons = [reason for (reason,) in history(config, "reason")]
    assert {reason: reasons.count(reason) for reason in reasons} == {
        "created": 399,
        "rejected": 1,
        "invalid_record": 3,
    }
    assert len(portal.notes()) == 399
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"n": 1}


@pytest.mark.usefixtures("restore_signals")
def test_a_tap_that_dies_in_half_a_line_costs_no_call_and_moves_no_state_too_far(
    config: dict[str, Any], portal: Simulator, a_call_record: Callable[..., dict[str, Any]]
) -> None:
    whole = lines(SCHEMA, record(a_call_record(id="one")), state(1))
    second = lines(record(a_call_record(id="two")), state(2))

    broken = run_target(config, whole + second[: len(second) // 2])
    listen(config, lines(SCHEMA) + second)

    assert broken.returncode == 1
    assert "Traceback" not in broken.stderr
    assert broken.stdout in ("", '{"n": 1}\n')
    assert [row[0] for row in history(config, "call_id")] == ["one", "two"]
    assert len(portal.notes()) == 2


@pytest.mark.usefixtures("restore_signals")
def test_a_target_whose_reader_has_gone_delivers_and_says_so_in_one_line(
    config: dict[str, Any], portal: Simulator, a_call_record: Callable[..., dict[str, Any]]
) -> None:
    path = Path(config["data_dir"]).parent / "config.json"
    path.write_text(json.dumps(config))
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [sys.executable, "-m", "target_hubspot_calls.target", "--config", str(path)],
        input=lines(SCHEMA, record(a_call_record()), state(1), state(2)),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    listen(config, lines(SCHEMA))

    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert len(portal.notes()) == 1
