"""Log lines: what people read and what machines read say the same."""

from __future__ import annotations

import json
import logging

from hubspot_calls.log_setup import JsonLine, PlainLine

REFUSED = {"event": "webhook", "status": 401, "outcome": "unauthorized", "why": "no_signature"}


def test_a_plain_line_says_why_as_the_json_one_does() -> None:
    line = (0.0, "receiver", logging.INFO, "message refused with 401 unauthorized", REFUSED)

    plain, machine = PlainLine().line(*line), json.loads(JsonLine().line(*line))

    assert plain.endswith(" receiver: message refused with 401 unauthorized (why: no_signature)")
    assert machine["why"] == "no_signature"


def test_a_plain_line_without_a_finer_word_is_only_its_text() -> None:
    assert (
        PlainLine()
        .line(0.0, "receiver", logging.INFO, "call c1 stored", {})
        .endswith(" receiver: call c1 stored")
    )
