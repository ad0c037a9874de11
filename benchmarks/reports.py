"""Bodies as VAPI posts them, of about the sizes that benchmarks claim something about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SAMPLE = Path(__file__).parents[1] / "sample_data" / "reports" / "01-inbound-with-recording.json"
CALL_ID = "01a1f97c-7301-7aa2-9c10-5f3a2b6d8e01"
SIZES = {"4 KB": 4_000, "40 KB": 40_000}
_PROMPT = "You are the front desk of Harbor Dental. " + "Be kind and brief. " * 15
_SAID = "This is turn number {} of a talk about opening hours, prices and Friday."


def a_body(size: int) -> bytes:
    """A report of at least `size` bytes: the sample, with as many turns as that takes."""
    turns = 0
    while len(body := json.dumps(_report(turns), separators=(",", ":")).encode()) < size:
        turns += 1
    return body


def bodies(body: bytes, count: int) -> Iterator[bytes]:
    """The same report of so many different calls."""
    for number in range(count):
        yield body.replace(CALL_ID.encode(), b"01a1f97c-7301-7aa2-9c10-%012d" % number)


def _report(turns: int) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(SAMPLE.read_text())
    if not turns:
        return body
    message = body["message"]
    said = [(("bot", "user")[turn % 2], _SAID.format(turn)) for turn in range(turns)]
    message["artifact"]["messages"] = message["messages"] = [
        {"role": role, "message": text, "time": 1795187046000, "secondsFromStart": 2.0}
        for role, text in [("system", _PROMPT), *said]
    ]
    message["artifact"]["messagesOpenAIFormatted"] = [
        {"role": "assistant" if role == "bot" else role, "content": text}
        for role, text in [("system", _PROMPT), *said]
    ]
    message["transcript"] = message["artifact"]["transcript"] = "".join(
        f"{'AI' if role == 'bot' else 'User'}: {text}\n" for role, text in said
    )
    return body
