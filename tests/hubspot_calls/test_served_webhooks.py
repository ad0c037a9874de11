"""A signed webhook from `create` to `list` and `raw`, with `serve` as a process in between."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import httpx

HubSpotCalls = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]

BODY = b'{"message": {"type": "end-of-call-report", "call": {"id": "call-1"}, "token": "canary-1"}}'


def signed(secret: str, body: bytes, late_s: int = 0) -> dict[str, str]:
    """The headers VAPI sends by the defaults of its HMAC credential."""
    timestamp = str(int(time.time()) - late_s)
    payload = timestamp.encode() + b"." + body
    mac = hmac.new(secret.encode(), payload, hashlib.sha256)
    return {"x-timestamp": timestamp, "x-signature": mac.hexdigest()}


def test_a_signed_webhook_works_as_printed_and_is_counted_and_kept_for_support(
    hubspot_calls: HubSpotCalls, start: Start
) -> None:
    made = json.loads(hubspot_calls("webhooks", "create", "--auth", "hmac", "--json").out)
    receiver = start(
        *("serve", "--port", "0", "--no-sync"),
        HUBSPOT_CALLS_KEEP_RAW_REPORTS_DAYS="1",
        HUBSPOT_CALLS_LOG_FORMAT="json",
    )
    assert receiver.stderr is not None
    said = ""
    while not (found := re.search(r"http://127\.0\.0\.1:\d+", said)):
        line = receiver.stderr.readline()
        assert line, said
        said += line
    address = f"{found[0]}/api/webhooks/{made['webhook_id']}"
    right = signed(made["secret"], BODY)

    with httpx.Client(trust_env=False) as client:
        answers = [
            client.post(address, content=BODY, headers=headers)
            for headers in (
                {**right, "X-Request-ID": "r-1"},
                right,
                signed(made["secret"], BODY, late_s=400),
                signed(made["secret"], BODY + b" "),
                {"X-Vapi-Secret": made["secret"]},
            )
        ]
    receiver.send_signal(signal.SIGTERM)
    said += receiver.stderr.read()
    receiver.wait(30)

    (listed,) = json.loads(hubspot_calls("webhooks", "list", "--json").out)
    (kept,) = json.loads(hubspot_calls("webhooks", "raw", "--call-id", "call-1").out)
    logged = [json.loads(line) for line in said.splitlines()]
    lines = [line for line in logged if line.get("event") == "webhook"]
    assert [answer.status_code for answer in answers] == [200, 200, 401, 401, 401]
    assert answers[0].headers["x-request-id"] == "r-1"
    assert listed["counts"] == {
        **dict.fromkeys(["no_signature", "replayed", "stale_timestamp", "stored"], 1),
        "wrong_signature": 1,
    }
    assert kept["body"] == json.loads(BODY)
    assert kept["request_id"] == "r-1"
    assert [(line["request_id"], line["outcome"], line.get("why")) for line in lines] == [
        (answer.headers["x-request-id"], outcome, why)
        for answer, (outcome, why) in zip(
            answers,
            [
                ("stored", None),
                ("replayed", None),
                *(("unauthorized", why) for why in ("stale_timestamp", "wrong_signature")),
                ("unauthorized", "no_signature"),
            ],
            strict=True,
        )
    ]
    assert made["secret"] not in said
    assert "canary" not in said
