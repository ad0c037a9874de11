from __future__ import annotations

import re
from pathlib import Path

import pytest

from receiver.pages.notices import notice_of

RECEIVER = Path(__file__).parents[3] / "receiver"


def codes_of_connecting() -> set[str]:
    """Every code that connecting can end with, read from where they are raised."""
    text = (RECEIVER / "consent.py").read_text() + (RECEIVER / "oauth.py").read_text()
    raised = re.findall(r'Refusal\(\s*\d+,\s*"(\w+)"', text)
    return {*raised, "store_unavailable"} - {"bad_return_to"}


@pytest.mark.parametrize("code", sorted(codes_of_connecting()))
def test_every_way_connecting_fails_has_a_sentence_of_its_own(code: str) -> None:
    notice = notice_of({"hubspot": "error", "code": code})
    unknown = notice_of({"hubspot": "error", "code": "x"})

    assert notice is not None
    assert unknown is not None
    assert not notice.is_good
    assert notice.text.endswith(".")
    assert notice.text != unknown.text


def test_success_is_said() -> None:
    notice = notice_of({"hubspot": "connected"})

    assert notice is not None
    assert notice.is_good
    assert notice.text.startswith("HubSpot is connected.")


def test_nobody_can_put_words_on_a_page_by_a_link() -> None:
    words = "Call +1 202 555 0100 to get your money back"

    notices = [
        notice_of({"hubspot": "error", "message": words}),
        notice_of({"hubspot": "error", "code": words}),
        notice_of({"notice": words}),
        notice_of({"notice": "retried", "count": words}),
    ]

    assert all(notice is None or words not in notice.text for notice in notices)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        ("0", "No call was waiting to be retried."),
        ("1", "1 call is back in line."),
        ("1204", "1,204 calls are back in line."),
    ],
)
def test_retried_calls_are_counted(count: str, text: str) -> None:
    notice = notice_of({"notice": "retried", "count": count})

    assert notice is not None
    assert notice.text == text


@pytest.mark.parametrize("count", ["", "-1", "x", "1e9", "²", "9" * 30])
def test_a_count_that_is_none_says_nothing(count: str) -> None:
    assert notice_of({"notice": "retried", "count": count}) is None
