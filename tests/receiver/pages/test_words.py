from __future__ import annotations

import re
from pathlib import Path

import pytest

from receiver.pages.words import (
    REASON_WORDS,
    RECORDING_WORDS,
    STATUS_WORDS,
    WAITING,
    status_mark,
    to_plural,
    words_of_reason,
)
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.recordings.status import RecordingStatus

SHAPES = Path(__file__).parents[3] / "receiver/templates/shapes.svg"


def test_every_code_has_words_of_its_own() -> None:
    assert REASON_WORDS.keys() == set(Reason)
    assert RECORDING_WORDS.keys() == set(RecordingStatus)
    assert STATUS_WORDS.keys() == {*Status, WAITING}
    for words in (REASON_WORDS, RECORDING_WORDS, STATUS_WORDS):
        labels = [each.label for each in words.values()]
        assert len(set(labels)) == len(labels)
        assert all(each.meaning.endswith(".") for each in words.values())


@pytest.mark.parametrize(
    "reason",
    [
        reason
        for reason in Reason
        if reason not in (Reason.CREATED, Reason.UPDATED, Reason.UNCHANGED)
    ],
)
def test_whatever_went_wrong_comes_with_what_to_do(reason: Reason) -> None:
    assert words_of_reason(reason).advice.endswith(".")


def test_each_status_has_a_shape_of_its_own() -> None:
    drawn = set(re.findall(r'id="shape-(\w+)"', SHAPES.read_text()))
    shapes = [status_mark(status) for status in STATUS_WORDS]

    assert len(set(shapes)) == len(shapes)
    assert set(shapes) <= drawn


def test_a_code_of_a_later_release_is_shown_as_it_is() -> None:
    assert words_of_reason("moon_phase").label == "Moon phase"
    assert words_of_reason(None).label == "Unknown"
    assert status_mark("moon_phase") == "clock"


def test_numbers_agree_with_their_nouns() -> None:
    said = [to_plural(number, "call") for number in (0, 1, 2, 1200)]

    assert said == ["0 calls", "1 call", "2 calls", "1,200 calls"]
