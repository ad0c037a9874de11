"""The end of a run, and what still waits, in plain words."""

from __future__ import annotations

import json
import logging

import pytest

from hubspot_calls.log_setup import JsonLine
from hubspot_calls.run_totals import in_plain_words
from hubspot_calls.waiting import CONNECT, WaitingCalls


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            'run finished: {"run_id": "r", "outcomes": {"created": 2, "locked": 1}, "waiting": 1}',
            "the run is over: 2 created, 1 locked; 1 call waits",
        ),
        (
            'run finished: {"outcomes": {}, "waiting": 0}',
            "the run is over: no call was due",
        ),
        ("run finished: oddly", "run finished: oddly"),
        ("3 calls: locked", "3 calls: locked"),
    ],
    ids=["counts", "nothing", "not understood", "another line"],
)
def test_the_last_line_of_a_run_is_a_sentence(said: str, words: str) -> None:
    assert in_plain_words(said) == words


@pytest.mark.parametrize(
    ("waiting", "words"),
    [
        (WaitingCalls(1, 0, 0, 0), ""),
        (
            WaitingCalls(1, 1, 0, 0),
            "1 call waits for its next try (hubspot-calls history says why)",
        ),
        (
            WaitingCalls(9, 2, 1, 3),
            "2 calls wait for their next try; 3 calls wait until a person reconnects HubSpot"
            " (hubspot-calls history says why);"
            f" 1 call waits until HubSpot is connected: {CONNECT}",
        ),
    ],
    ids=["none", "one", "all kinds"],
)
def test_what_waits_is_said_with_what_it_waits_for(waiting: WaitingCalls, words: str) -> None:
    assert waiting.in_words() == words


def test_fields_of_a_record_stand_in_the_json_line() -> None:
    record = logging.makeLogRecord(
        {"name": "receiver", "msg": "call 7 stored", "fields": {"call_id": "7"}}
    )

    entry = json.loads(JsonLine().format(record))

    assert (entry["call_id"], entry["message"]) == ("7", "call 7 stored")
