"""Parameters of an address, however many somebody writes."""

from __future__ import annotations

import time

import pytest
from starlette.requests import Request

from receiver.answers import Refusal
from receiver.parameters import query_parameters


def an_address(query: str) -> Request:
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    return Request({**scope, "query_string": query.encode()})


def test_a_parameter_that_is_given_twice_is_named_once():
    asked = query_parameters(an_address("q=1&q=2&q=3&limit=1"))
    asked.text("q"), asked.text("limit")

    with pytest.raises(Refusal) as refused:
        asked.check()

    assert refused.value.sentence == "Q is given more than once."


def test_thousands_of_parameters_hold_up_nobody():
    request = an_address("&".join(f"{n:x}" for n in range(6_000)))
    started = time.perf_counter()

    query_parameters(request)

    assert time.perf_counter() - started < 0.5
