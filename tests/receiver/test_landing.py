from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from receiver.landing import landing_routes


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("", "The receiver is running"),
        ("?hubspot=connected", "HubSpot is connected"),
        ("?hubspot=error&message=You+declined.", "You declined."),
    ],
)
def test_who_comes_back_from_hubspot_reads_what_came_of_it(query: str, sentence: str) -> None:
    page = TestClient(Starlette(routes=landing_routes())).get(f"/{query}")

    assert page.status_code == 200
    assert sentence in page.text


def test_what_the_address_says_is_text_and_no_markup() -> None:
    page = TestClient(Starlette(routes=landing_routes())).get(
        "/", params={"hubspot": "error", "message": "<script>alert(1)</script>" + "x" * 500}
    )

    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
    assert len(page.text) < 2000
