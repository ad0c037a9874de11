"""The history over HTTP: rows, filters, wrong values, hostile text, paging, chart, retrying."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any

import pytest

from tests.hubspot_calls.receiver_app.visitors import (
    CREATED,
    HOSTILE,
    NOT_FOUND,
    REJECTED,
    Visitor,
    address,
    addresses,
    calls_on,
    due,
)

BERLIN = {"Cookie": "hubspot_calls_zone=Europe%2FBerlin"}


@pytest.fixture
def dana(shared_whole: Any) -> Visitor:
    return Visitor(shared_whole)


def test_an_entry_tells_what_became_of_a_call_and_leads_to_more(dana: Visitor) -> None:
    dana.writes({"call_id": "call-1", "attempt": 3})

    page = dana.page("/history")

    assert "1\N{EN DASH}1 of 1 entry" in page
    assert "In HubSpot" in page
    assert "Written" in page
    assert "(try 3)" in page
    assert '<time datetime="2026-11-20T' in page
    assert "+12025550142" in page
    assert "Attached" in page
    assert calls_on(page) == ["call-1"]
    assert "https://app.hubspot.com/contacts/77/record/0-1/501" in addresses(page)


def test_an_entry_of_a_record_without_a_call_leads_to_the_entry(dana: Visitor) -> None:
    (row,) = dana.writes(
        {"call_id": None, "status": "error", "reason": "invalid_record", "contact_id": None,
         "portal_id": None, "phone_number": None, "recording_status": None, "attempt": None}
    )  # fmt: skip

    page = dana.page("/history")

    assert f"/history/rows/{row}" in addresses(page)
    assert "No number" in page


def test_a_workspace_without_entries_is_told_what_comes_here(dana: Visitor) -> None:
    page = dana.page("/history")

    assert "No entries yet" in page
    assert "data-live-mark" in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"a", "b", "c", "d"}),
        ("status=error", {"b"}),
        ("reason=contact_not_found", {"c"}),
        ("call_id=a", {"a"}),
        ("number=0199", {"d"}),
        ("number=%2B12025550142", {"a", "b", "c"}),
        ("q=OWNER", {"b"}),
        ("q=0199&status=success", {"d"}),
        ("from=2026-11-19&to=2026-11-19", {"d"}),
        ("from=2026-11-20", {"a", "b", "c"}),
        ("to=2026-11-18", set()),
        ("q=%25", set()),
        ("q=%00", set()),
        ("utm_source=mail", {"a", "b", "c", "d"}),
    ],
)
def test_a_filter_in_the_address_narrows_the_list(
    dana: Visitor, query: str, found: set[str]
) -> None:
    dana.writes(
        {"call_id": "a"},
        {"call_id": "b", "status": "error", "reason": "rejected", "error_message": "Bad owner"},
        {"call_id": "c", "status": "skipped", "reason": "contact_not_found"},
        {"call_id": "d", "phone_number": "+442079460199", "created_at": "2026-11-19T10:00:00Z"},
    )

    page = dana.page(f"/history?{query}")

    assert set(calls_on(page)) == found
    assert ("No entries match" in page) is (not found)


def test_a_day_is_the_viewers_own(dana: Visitor) -> None:
    dana.writes({"call_id": "late", "created_at": "2026-11-19T23:30:00Z"})
    path = "/history?from=2026-11-20&to=2026-11-20"

    assert calls_on(dana.page(path)) == []
    assert calls_on(dana.page(path, **BERLIN)) == ["late"]


def test_counts_by_status_lead_to_the_rest_of_the_filter_with_that_status(dana: Visitor) -> None:
    dana.writes({}, {"status": "error"}, {"status": "error"}, {"phone_number": "+15550199"})

    page = dana.page("/history?number=0142&status=success")

    tally = re.findall(
        r'<a href="([^"]*)" class="(\w+)"( aria-current="true")?>.*?number">([\d,]+)<', page, re.S
    )
    assert [(unescape(link), name, bool(chosen), count) for link, name, chosen, count in tally] == [
        ("/history?number=0142", "all", False, "3"),
        ("/history?status=success&number=0142", "success", True, "1"),
        ("/history?status=skipped&number=0142", "skipped", False, "0"),
        ("/history?status=error&number=0142", "error", False, "2"),
    ]


def test_a_form_with_empty_fields_leads_to_a_short_address(dana: Visitor) -> None:
    answer = dana.get("/history?q=&status=error&reason=&from=&to=&number=+&call_id=&path=x")

    assert (answer.status_code, answer.headers["location"]) == (303, "/history?status=error")


@pytest.mark.parametrize(
    "query",
    ["status=odd", "from=soon", "to=2026-13-01", f"q={'x' * 300}", "from=2026-11-21&to=2026-11-01"],
)
def test_a_wrong_value_is_said_beside_its_field_and_the_rest_is_shown(
    dana: Visitor, query: str
) -> None:
    dana.writes({"call_id": "a"}, {"call_id": "b", "phone_number": "+15550199"})

    page = dana.page(f"/history?number=0142&{query}")

    assert "A part of the filter cannot be used" in page
    assert 'aria-invalid="true"' in page
    assert calls_on(page) == ["a"]


@pytest.mark.parametrize("query", ["offset=-1", "offset=many", "as_of=" + "x" * 200, "limit=9999"])
def test_a_place_that_is_none_is_the_newest(dana: Visitor, query: str) -> None:
    dana.writes({"call_id": "a"})

    assert calls_on(dana.page(f"/history?{query}")) == ["a"]


def test_a_pin_to_a_row_that_is_gone_begins_anew_and_says_so(dana: Visitor) -> None:
    dana.writes({"call_id": "a"})

    page = dana.page("/history?as_of=no-such-row&offset=50")

    assert "no longer there" in page
    assert calls_on(page) == ["a"]


@pytest.mark.parametrize(
    "field", ["call_id", "contact_id", "phone_number", "error_message", "reason", "status"]
)
def test_text_from_outside_is_text(dana: Visitor, field: str) -> None:
    dana.writes({"status": "error", "recording_status": HOSTILE, field: HOSTILE})

    page = dana.page("/history")

    assert "<script>alert" not in page
    assert "javascript:" not in page
    assert "{{7*7}}" in page


def test_a_hostile_filter_is_text_too(dana: Visitor) -> None:
    dana.writes({"call_id": HOSTILE})

    for path in ("/history", "/history/chart", "/history/retry"):
        text = dana.get(f"{path}?q=%22%3E%3Cscript%3Ealert(1)&call_id=%3Cb%3E&status=%3Ci%3E").text
        assert "<script>alert" not in text
        assert "<b>" not in text
        assert "<i>" not in text


def test_pages_stay_put_while_rows_arrive(dana: Visitor) -> None:
    written = [f"call-{n:03}" for n in range(120)]
    dana.writes(*({"call_id": call_id} for call_id in written))
    first = dana.page("/history")

    dana.writes({"call_id": "newer-1"})
    second = dana.page(address(first, "Older"))
    dana.writes({"call_id": "newer-2", "created_at": "2020-01-01T00:00:00Z"})
    third = dana.page(address(second, "Older"))
    back = dana.page(address(third, "Newer"))

    seen = calls_on(first) + calls_on(second) + calls_on(third)
    assert seen == written[::-1]
    assert calls_on(back) == calls_on(second)
    assert "51\N{EN DASH}100 of 120 entries" in second
    assert "101\N{EN DASH}120 of 120 entries" in third
    assert "1 newer entry." in second
    assert "2 newer entries." in third
    assert calls_on(dana.page(address(third, "Go to the newest")))[0] == "newer-1"


def test_behind_the_last_page_there_is_a_way_back(dana: Visitor) -> None:
    dana.writes({}, {}, {})

    page = dana.page("/history?offset=500")

    assert "nothing on this page" in page
    assert len(calls_on(dana.page(address(page, "Newer")))) == 3


def test_the_file_has_the_same_rows_as_the_page(dana: Visitor) -> None:
    dana.writes(
        {"call_id": "a", "created_at": "2026-11-19T23:30:00Z"},
        {"call_id": "b", "status": "error", "created_at": "2026-11-19T23:40:00Z"},
        {"call_id": "c", "phone_number": "+15550199", "created_at": "2026-11-19T23:50:00Z"},
        {"call_id": "d", "created_at": "2026-11-19T20:00:00Z"},
    )
    page = dana.page("/history?status=success&number=0142&from=2026-11-20", **BERLIN)
    dana.writes({"call_id": "later"})

    text = dana.get(address(page, "Download CSV")).text

    assert calls_on(page) == ["a"]
    assert [line.split(",")[1] for line in text.splitlines()[1:]] == ['"a"']


def test_the_word_for_the_newest_row_changes_with_every_row_of_ones_own(dana: Visitor) -> None:
    other = Visitor(dana.whole)

    def mark() -> Any:
        return dana.get("/history/mark").json()["mark"]

    before = mark()
    (first,) = dana.writes({})
    page, after_first = dana.page("/history"), mark()
    other.writes({})
    after_others = mark()
    (second,) = dana.writes({"created_at": "2020-01-01T00:00:00Z"})

    assert (before, after_first, after_others, mark()) == ("", first, first, second)
    assert f'data-mark="{first}"' in page


@contextmanager
def opened_by_another_program(path: Any) -> Iterator[None]:
    program = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True);"
        "sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "open\n"
        yield
    finally:
        process.communicate(timeout=20)


def test_a_busy_history_is_said_kindly_and_loads_again_by_itself(dana: Visitor) -> None:
    dana.writes({})
    with opened_by_another_program(dana.whole.store.settings.data_dir / "sync_log.duckdb"):
        page, mark = dana.get("/history"), dana.get("/history/mark", **{"X-Background": "1"})

    assert (page.status_code, mark.status_code) == (503, 503)
    assert "open in another program" in page.text
    assert 'http-equiv="refresh"' in page.text
    assert mark.json()["code"] == "sync_log_busy"


# The chart


def test_the_chart_counts_each_call_once_on_the_day_of_its_latest_try(dana: Visitor) -> None:
    missed = {"status": "skipped", "reason": "contact_not_found"}
    dana.writes(
        {"call_id": "mended", "created_at": "2026-11-18T10:00:00Z", **missed},
        {"call_id": "mended", "created_at": "2026-11-19T10:00:00Z"},
        {"call_id": "missed", "created_at": "2026-11-18T23:30:00Z", **missed},
    )

    def said(path: str, **headers: str) -> list[str]:
        return re.findall(r"<title>(\w+ \d+ \w+: [^<]*)</title>", dana.page(path, **headers))

    days = "/history/chart?from=2026-11-18&to=2026-11-20"
    assert said(days) == [
        "Wed 18 Nov: 1 call. Skipped 1",
        "Thu 19 Nov: 1 call. In HubSpot 1",
        "Fri 20 Nov: 0 calls",
    ]
    assert said(days, **BERLIN)[1] == "Thu 19 Nov: 2 calls. In HubSpot 1, Skipped 1"
    assert said(f"{days}&status=skipped")[1] == "Thu 19 Nov: 0 calls"
    assert "No calls from" in dana.page(f"{days}&status=error")


def test_a_bar_leads_to_its_day_with_the_rest_of_the_filter(dana: Visitor) -> None:
    dana.writes({"created_at": "2026-11-18T10:00:00Z"})

    chart = dana.page("/history/chart?from=2026-11-18&to=2026-11-19&number=0142")

    assert "/history?from=2026-11-18&to=2026-11-18&number=0142" in addresses(chart)
    assert chart.count('<th scope="row">') == 2


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=2099-01-01", "still to come"),
        ("from=1999-01-01&to=2026-11-20", "Only the last 92 days"),
        ("from=soon", "Calls per day"),
    ],
)
def test_the_chart_is_bounded_and_takes_wrong_days_kindly(
    dana: Visitor, query: str, said: str
) -> None:
    dana.writes({})

    page = dana.page(f"/history/chart?{query}")

    assert said in page


def test_the_chart_draws_without_a_style_of_its_own(dana: Visitor) -> None:
    dana.writes({"status": "error"}, {"status": "skipped"}, {})

    chart = dana.page("/history/chart?from=2026-11-20&to=2026-11-20")

    assert 'style="' not in chart
    assert 'fill="url(#pattern-error)"' in chart


# Retrying


def hidden_fields(page: str) -> dict[str, str]:
    """What the page's own form would send."""
    form = page.partition('action="/history/retry"')[2].partition("</form>")[0]
    fields = re.findall(r'name="(\w+)" value="([^"]*)"', form)
    return {name: unescape(value) for name, value in fields}


def test_the_number_of_calls_is_said_before_any_is_retried(dana: Visitor) -> None:
    missed, refused = dana.stands(NOT_FOUND), dana.stands(REJECTED)
    dana.stands(CREATED)
    history = dana.page("/history?from=2026-11-20&to=2026-11-20")

    question = dana.page(address(history, "Retry calls"))
    untouched = due(dana)
    answer = dana.post("/history/retry", hidden_fields(question))
    again = dana.page(address(history, "Retry calls"))

    assert "Retry 2 calls?" in question
    assert re.search(r"Skipped: No contact with this number</dt><dd[^>]*>1 call<", question)
    assert re.search(r"Failed: Refused by HubSpot</dt><dd[^>]*>1 call<", question)
    assert untouched == set()
    assert answer.status_code == 303
    assert answer.headers["location"] == (
        "/history?from=2026-11-20&to=2026-11-20&notice=retried&count=2"
    )
    assert "2 calls are back in line." in dana.page(answer.headers["location"])
    assert due(dana) == {missed, refused}
    assert re.search(r"In line already</dt><dd[^>]*>2 calls", again)
    assert '<form method="post" action="/history/retry"' not in again


@pytest.mark.parametrize(
    ("fields", "matched"),
    [
        ({}, 3),
        ({"status": "skipped"}, 2),
        ({"reason": "rejected"}, 1),
        ({"number": "0199"}, 1),
        ({"number": "+1 202 555 0142"}, 2),
        ({"number": "+0142"}, 0),
        ({"q": "0199"}, 1),
        ({"call_id": "nobody"}, 0),
        ({"from": "2026-11-21"}, 0),
    ],
)
def test_a_retry_takes_the_calls_that_the_filter_shows(
    dana: Visitor, fields: dict[str, str], matched: int
) -> None:
    dana.stands(NOT_FOUND)
    dana.stands(NOT_FOUND, customer_number="+12025550199")
    dana.stands(REJECTED)
    dana.stands(CREATED)

    question = dana.whole.client.get(
        "/history/retry", params=fields, headers={"Authorization": f"Bearer {dana.key}"}
    ).text
    answer = dana.post("/history/retry", fields)

    assert (f"Retry {matched} call" in question) is (matched > 0)
    assert ("nothing to retry" in question) is (matched == 0)
    assert answer.headers["location"].endswith(f"notice=retried&count={matched}")
    assert len(due(dana)) == matched


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "success"},
        {"status": "odd"},
        {"from": "soon"},
        {"stauts": "error"},
        {"from": "2026-11-21", "to": "2026-11-01"},
    ],
    ids=lambda fields: ",".join(fields),
)
def test_a_filter_that_cannot_be_used_retries_nothing(
    dana: Visitor, fields: dict[str, str]
) -> None:
    dana.stands(NOT_FOUND)

    answer = dana.post("/history/retry", fields)
    asked = dana.page("/history/retry?" + "&".join(f"{k}={v}" for k, v in fields.items()))

    assert answer.status_code == 400
    assert "Back to the history" in answer.text
    for page in (answer.text, asked):
        assert "Retry 1 call" not in page
    assert due(dana) == set()


def test_a_name_that_is_given_twice_retries_nothing(dana: Visitor) -> None:
    dana.stands(NOT_FOUND)

    page = dana.page("/history/retry?status=error&status=skipped")

    assert "no filter of the history" in page
    assert '<button class="primary">' not in page


def test_calls_in_hubspot_are_said_to_need_no_retry(dana: Visitor) -> None:
    dana.writes({})

    history = dana.page("/history?status=success")
    question = dana.page("/history/retry?status=success")

    assert "need no retry" in history
    assert "never tried again" in question


def test_signing_in_and_a_token_are_needed_to_retry(dana: Visitor) -> None:
    dana.stands(NOT_FOUND)
    client = dana.whole.client
    signed_in = client.post("/api/session", json={"access_key": dana.key})
    assert signed_in.status_code == 200

    try:
        refused = client.post("/history/retry", data={}, follow_redirects=False)
    finally:
        client.cookies.clear()

    assert refused.status_code == 403
    assert due(dana) == set()
