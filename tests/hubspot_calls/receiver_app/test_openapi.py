"""The API and its description say the same: routes, fields, statuses, examples."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode
from starlette.routing import Route

from receiver.openapi.document import build_document
from receiver.server import build_server
from receiver.webhooks import PATH_PREFIX
from target_hubspot_calls.errors import Reason
from tests.hubspot_calls.receiver_app.conftest import ADA, start_receiver

DOCUMENT = build_document("http://127.0.0.1:8000")
WEBHOOK = ("POST", f"{PATH_PREFIX}{{webhook_id}}")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_route_is_described_and_nothing_else_is(shared_whole: Any) -> None:
    routes = {
        (method, re.sub(r":\w+(?=})", "", route.path))
        for route in shared_whole.app.routes
        if isinstance(route, Route) and route.include_in_schema
        for method in (route.methods or ()) - {"HEAD"}
    }

    described = {(method, path) for method, path, _ in operations()}

    assert described == routes | {WEBHOOK}


def test_the_document_is_served_to_anybody(shared_whole: Any) -> None:
    answer = shared_whole.ask("GET", "/openapi.json", of=None)

    assert answer.status_code == 200
    assert answer.json() == DOCUMENT
    assert answer.json()["servers"] == [{"url": "http://127.0.0.1:8000"}]


def test_every_example_is_of_its_schema() -> None:
    wrong = []
    for method, path, operation in operations():
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in bodies:
            for content in resolved(body).get("content", {}).values():
                validator = Draft202012Validator({**content["schema"], "components": COMPONENTS})
                wrong += [
                    f"{method} {path}: {error.message}"
                    for error in validator.iter_errors(content["example"])
                ]
        for parameter in operation.get("parameters", ()):
            if "example" in parameter:
                Draft202012Validator(parameter["schema"]).validate(parameter["example"])

    assert wrong == []


COMPONENTS = DOCUMENT["components"]


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    _, _, kind, name = part["$ref"].split("/")
    found: dict[str, Any] = COMPONENTS[kind][name]
    return found


def test_every_operation_has_a_name_of_its_own_and_says_what_errors_look_like() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]

    assert len(names) == len(set(names))
    for _, _, operation in operations():
        assert {"500", "503"} <= operation["responses"].keys()
        assert operation["summary"]


def test_the_reasons_are_those_of_outcomes() -> None:
    reasons = COMPONENTS["schemas"]["Log"]["properties"]["reason"]["enum"]

    assert [*reasons[:-1]] == [reason.value for reason in Reason]


def closed(part: Any) -> Any:
    """The schema, which now takes no field that it does not name."""
    if isinstance(part, list):
        return [closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    found = {name: closed(each) for name, each in part.items()}
    return {"additionalProperties": False, **found} if "properties" in found else found


@pytest.mark.parametrize(
    ("method", "path", "described"),
    [
        ("GET", "/api/hubspot/status", "ConnectionStatus"),
        ("GET", "/api/session", "Account"),
        ("GET", "/api/hubspot/sync-logs", "LogPage"),
        ("GET", "/api/hubspot/sync-logs/summary", "Summary"),
        ("GET", "/api/hubspot/sync-logs/days", "Days"),
        ("GET", "/api/hubspot/unmatched-numbers", "Numbers"),
        ("GET", "/api/hubspot/calls/canary-missed", "CallStory"),
        ("POST", "/api/hubspot/retry", "Retried"),
        ("POST", "/api/hubspot/sync-logs/{row}/retry", "CallRetried"),
        ("GET", "/api/hubspot/calls/nothing", "Error"),
    ],
)
def test_a_reply_has_exactly_the_fields_described(
    shared_whole: Any, method: str, path: str, described: str
) -> None:
    rows = shared_whole.ask("GET", "/api/hubspot/sync-logs?status=skipped").json()["logs"]

    reply = shared_whole.ask(method, path.format(row=rows[0]["id"])).json()

    schema = {"$ref": f"#/components/schemas/{described}", "components": closed(COMPONENTS)}
    assert [error.message for error in Draft202012Validator(schema).iter_errors(reply)] == []


# How often somebody tries a key is bounded, links for the way back must be right, and a secret or
# a state is nothing that a description could make up.
NEVER_RIGHT_BY_CHANCE = {"signIn", "takeReport", "finishConnecting"}
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]
load_all_checks()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The receiver on a port, and a key of it."""
    receiver, stop = start_receiver(tmp_path_factory.mktemp("fuzzed") / "data", enter=False)
    listening = threading.Event()
    server = build_server(receiver.app, "127.0.0.1", 0, on_listening=lambda url: listening.set())
    thread = threading.Thread(target=server.run)
    thread.start()
    assert listening.wait(10)
    yield server.url, receiver.keys[ADA]
    server.should_exit = True
    thread.join(15)
    stop()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda found: found.label)
def test_what_is_asked_at_random_is_answered_as_described(
    operation: Any, address: tuple[str, str]
) -> None:
    url, key = address
    name = operation.definition.raw["operationId"]
    left_out = ["positive_data_acceptance"] if name in NEVER_RIGHT_BY_CHANCE else []
    checks = [check for check in CHECKS.get_all() if check.__name__ not in left_out]

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        case.call_and_validate(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, checks=checks
        )

    ask()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda found: found.label)
def test_what_is_wrong_on_purpose_is_refused_as_described(
    operation: Any, address: tuple[str, str]
) -> None:
    url, key = address

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def ask(case: Any) -> None:
        case.call_and_validate(base_url=url, headers={"Authorization": f"Bearer {key}"})

    # What takes nothing has nothing that could be wrong.
    with suppress(Unsatisfiable):
        ask()
