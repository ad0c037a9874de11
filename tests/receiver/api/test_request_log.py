"""One line a request, an id for each, and nothing in it that was said (O5, O6)."""

from __future__ import annotations

import io
import json
import logging

import pytest

from hubspot_calls.log_setup import JsonLine, PlainLine

LOGS = "/api/hubspot/sync-logs"


@pytest.fixture
def lines():
    """What is logged from here on, as the JSON lines of the command."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLine())
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    # The test's own client says what it asks for.
    handler.addFilter(lambda record: not record.name.startswith(("httpx", "asyncio")))
    root.addHandler(handler)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(level)


def of_requests(lines):
    return [line for line in lines() if line.get("event") == "request"]


def test_a_request_is_one_line_with_route_status_time_and_id(api, lines):
    answer = api.get("/api/hubspot/calls/call-canary?nonsense=canary")

    (line,) = of_requests(lines)
    assert {name: line[name] for name in ("method", "route", "status", "level", "logger")} == {
        "method": "GET",
        "route": "/api/hubspot/calls/{call_id:path}",
        "status": 400,
        "level": "info",
        "logger": "receiver",
    }
    assert line["ms"] > 0
    assert line["request_id"] == answer.headers["x-request-id"]


def test_every_request_has_an_id_of_its_own(api):
    ids = {api.client.get(path).headers["x-request-id"] for path in ("/healthz", LOGS, "/nowhere")}

    assert len(ids) == 3


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("7f3a-req.1:2", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("", False),
        ("a b", False),
        ('a"b', False),
        ("\x1b[31mred", False),
        ("caf\xe9", False),
    ],
    ids=repr,
)
def test_an_id_is_taken_over_only_if_it_cannot_fake_a_line(api, lines, given, kept):
    answer = api.client.get(LOGS, headers={"X-Request-ID": given.encode("latin-1")})

    shown = answer.headers["x-request-id"]
    assert (shown == given) is kept
    assert of_requests(lines)[0]["request_id"] == shown
    assert shown.isascii()


def test_nothing_that_was_sent_is_repeated(api, lines):
    canary = "canary-4155550177"
    api.client.get(f"/{canary}?x={canary}", headers={"User-Agent": canary, "Cookie": canary})
    api.client.get(LOGS, headers={"Authorization": f"Bearer hck_{canary}"})
    api.get(LOGS, params={"q": canary, canary: "x", "status": canary})
    api.get(f"/api/hubspot/calls/{canary}")
    api.post("/api/hubspot/retry", json={"q": canary, canary: canary})
    api.post(f"/api/hubspot/sync-logs/{canary}/retry")
    api.client.request("CANARY", f"/{canary}")

    written = json.dumps(lines())
    assert len(of_requests(lines)) == 7
    assert "canary" not in written.lower()
    assert "5550177" not in written
    assert [key for key in api.keys.values() if key in written] == []


def test_a_fault_is_one_entry_that_says_where_and_not_what(api, lines, monkeypatch):
    text = "-".join(["canary", "+12025550177"])

    def fail(*arguments, **options):
        raise RuntimeError(text)

    monkeypatch.setattr(api.sync_log, "page", fail)

    answer = api.get(LOGS)

    told = lines()
    (fault,) = [line for line in told if line["level"] == "error"]
    assert answer.headers["x-request-id"] in fault["message"]
    assert "RuntimeError" in fault["message"]
    assert "test_request_log.py" in fault["message"]
    assert "canary" not in json.dumps(told)
    assert of_requests(lines)[0]["level"] == "warning"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_what_machines_ask_all_the_time_is_not_worth_a_line(api, lines, path):
    api.client.get(path)

    (line,) = of_requests(lines)
    assert line["level"] == "debug"


def test_a_path_with_breaks_and_colours_fakes_no_line(api, lines):
    api.client.get("/%0d%0a%1b[31m" + "x" * 3000)

    (line,) = of_requests(lines)
    assert line["route"] == "-"
    assert len(json.dumps(line)) < 400


def test_the_plain_line_says_it_in_words(api, caplog):
    with caplog.at_level(logging.INFO, logger="receiver"):
        answer = api.get(LOGS)

    (record,) = [record for record in caplog.records if "answered" in record.getMessage()]
    line = PlainLine().format(record)
    assert f"receiver: GET {LOGS} answered with 200, " in line
    assert line.endswith(f"request {answer.headers['x-request-id']}")


def test_those_who_count_hear_of_every_request(api):
    api.get(LOGS)
    api.client.get("/nowhere")

    assert [(told.method, told.route, told.status) for told in api.answered] == [
        ("GET", LOGS, 200),
        ("GET", "-", 404),
    ]
