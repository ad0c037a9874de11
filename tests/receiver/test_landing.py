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
        ("hubspot=error&code=oauth_denied&message=x", "Access was not granted in HubSpot"),
        ("hubspot=error&code=made_up", "Go back to where you began, and try again."),
        ("hubspot=error", "Go back to where you began, and try again."),
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


@pytest.mark.parametrize("name", ["message", "code"])
def test_nobody_puts_words_on_the_page_by_its_address(name: str) -> None:
    page = landing_page(a_request(f"hubspot=error&{name}=Call+555-0100+<script>alert(1)</script>"))

    assert page is not None
    text = bytes(page.body).decode()
    assert "555-0100" not in text
    assert "script" not in text
