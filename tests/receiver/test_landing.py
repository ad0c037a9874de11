"""The one sentence for people who connected HubSpot from elsewhere."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from receiver.landing import landing_page


def a_request(query: str) -> Request:
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": query.encode(),
            "headers": [],
        }
    )


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("hubspot=connected", "HubSpot is connected"),
        ("hubspot=error&message=You+declined.", "You declined."),
    ],
)
def test_who_comes_back_from_hubspot_reads_what_came_of_it(query: str, sentence: str) -> None:
    page = landing_page(a_request(query))

    assert page is not None
    assert page.status_code == 200
    assert sentence in bytes(page.body).decode()


@pytest.mark.parametrize("query", ["", "hubspot=else", "notice=disconnected"])
def test_an_address_that_says_nothing_of_it_is_no_landing(query: str) -> None:
    page = landing_page(a_request(query))

    assert page is None


def test_what_the_address_says_is_text_and_no_markup() -> None:
    page = landing_page(a_request("hubspot=error&message=<script>alert(1)</script>" + "x" * 500))

    assert page is not None
    text = bytes(page.body).decode()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert len(text) < 2000
