from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from hubspot_simulator import Simulator

DETAILS = "/account-info/2026-09/details"
NOTES = "/crm/objects/2026-09/notes"
Builder = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("action", "details", "status", "expected"),
    [
        ("error", {"status": 503}, 503, {"category": "INTERNAL_ERROR"}),
        ("error", {"status": 400, "category": "X", "message": "no"}, 400, {"message": "no"}),
        ("locked", {}, 423, {"category": "LOCKED"}),
        ("migrating", {"retry_after_s": 7}, 477, {"status": "error"}),
        ("rate_limited", {}, 429, {"policyName": "TEN_SECONDLY_ROLLING"}),
        ("rate_limited", {"policy": "SECONDLY"}, 429, {"policyName": "SECONDLY"}),
        ("rate_limited", {"policy": "DAILY"}, 429, {"policyName": "DAILY"}),
        ("expired_token", {}, 401, {"category": "EXPIRED_AUTHENTICATION"}),
        ("invalid_token", {}, 401, {"category": "INVALID_AUTHENTICATION"}),
        ("missing_scopes", {}, 403, {"category": "MISSING_SCOPES"}),
    ],
)
def test_a_refusal_on_request_has_hubspots_shape(
    simulator: Simulator,
    client: httpx.Client,
    action: str,
    details: dict[str, Any],
    status: int,
    expected: dict[str, str],
) -> None:
    simulator.add_fault(action, **details)

    struck, after = client.get(DETAILS), client.get(DETAILS)

    assert struck.status_code == status
    assert expected.items() <= struck.json().items()
    assert after.status_code == 200
    if "retry_after_s" in details:
        assert struck.headers["retry-after"] == "7"


def test_a_fault_may_be_html_empty_or_malformed(simulator: Simulator, client: httpx.Client) -> None:
    for action in ("html", "empty", "malformed"):
        simulator.add_fault(action)

    page, empty, malformed = (client.get(DETAILS) for _ in range(3))

    assert (page.status_code, "<html>" in page.text) == (502, True)
    assert (empty.status_code, empty.content) == (200, b"")
    assert malformed.status_code == 200
    with pytest.raises(ValueError, match=r".*"):
        malformed.json()


def test_a_reset_before_processing_writes_nothing(
    simulator: Simulator, client: httpx.Client, a_note: Builder
) -> None:
    simulator.add_fault("reset_before", method="POST", path="*/notes")

    with pytest.raises(httpx.TransportError):
        client.post(NOTES, json=a_note())

    assert simulator.notes() == []
    assert simulator.requests(method="POST")[-1].status == 0


def test_a_reset_after_processing_has_written(
    simulator: Simulator, client: httpx.Client, a_note: Builder
) -> None:
    simulator.add_fault("reset_after", method="POST", path="/crm/objects/notes")

    with pytest.raises(httpx.TransportError):
        client.post(NOTES, json=a_note())
    again = client.get(DETAILS)

    assert len(simulator.notes()) == 1
    assert again.status_code == 200


def test_a_reset_during_the_answer_has_written(
    simulator: Simulator, client: httpx.Client, a_note: Builder
) -> None:
    simulator.add_fault("reset_during")

    with pytest.raises(httpx.TransportError):
        client.post(NOTES, json=a_note())

    assert len(simulator.notes()) == 1


def test_a_delay_holds_the_answer_back(simulator: Simulator, client: httpx.Client) -> None:
    simulator.add_fault("delay", delay_s=0.15)
    started = time.monotonic()

    answer = client.get(DETAILS)

    assert answer.status_code == 200
    assert time.monotonic() - started >= 0.15


@pytest.mark.parametrize("when", ["delay_s", "delay_after_s"])
def test_a_note_is_made_although_the_client_gave_up(
    simulator: Simulator, client: httpx.Client, a_note: Builder, when: str
) -> None:
    simulator.add_fault("delay", **{when: 0.3})

    with pytest.raises(httpx.ReadTimeout):
        client.post(NOTES, json=a_note(), timeout=0.1)
    time.sleep(0.4)

    assert len(simulator.notes()) == 1


def test_a_fault_strikes_from_the_nth_request_so_many_times(
    simulator: Simulator, client: httpx.Client
) -> None:
    fault = simulator.add_fault("error", nth=2, times=2, method="GET")

    statuses = [client.get(DETAILS).status_code for _ in range(5)]

    assert statuses == [200, 500, 500, 200, 200]
    assert fault.struck == 2


def test_a_fault_with_a_probability_is_the_same_for_a_seed() -> None:
    def statuses(seed: int) -> list[int]:
        with Simulator(rate_limits=False, seed=seed) as running:
            key = running.add_service_key()
            running.add_fault("error", probability=0.5, times=None)
            headers = {"Authorization": f"Bearer {key}"}
            with httpx.Client(base_url=running.url, headers=headers, verify=False) as client:
                return [client.get(DETAILS).status_code for _ in range(20)]

    assert statuses(1) == statuses(1)
    assert len(set(statuses(1))) == 2


def test_a_fault_may_mean_one_portal(simulator: Simulator, client: httpx.Client) -> None:
    simulator.add_fault("error", portal_id=99)

    assert client.get(DETAILS).status_code == 200


def test_a_partial_failure_fails_so_many_inputs(
    simulator: Simulator, client: httpx.Client, a_note: Builder
) -> None:
    simulator.add_fault("partial", fail_count=37, path="*/batch/create", extra_results=2)
    inputs = [a_note(trace=f"t{n}") for n in range(100)]

    answer = client.post(f"{NOTES}/batch/create", json={"inputs": inputs})

    failed = {e["context"]["objectWriteTraceId"][0] for e in answer.json()["errors"]}
    assert answer.status_code == 207
    assert len(failed) == 37
    assert len(answer.json()["results"]) == 63 + 2
    assert {note["trace_id"] for note in simulator.notes()} == {
        f"t{n}" for n in range(100)
    } - failed


def test_a_partial_failure_may_name_nobody(
    simulator: Simulator, client: httpx.Client, a_note: Builder
) -> None:
    simulator.add_fault("partial", fail_count=1, name_traces=False)

    answer = client.post(
        f"{NOTES}/batch/create", json={"inputs": [a_note(trace="a"), a_note(trace="b")]}
    )

    assert answer.json()["errors"][0]["context"] == {}


def test_an_answer_may_drip_redirect_or_be_huge(simulator: Simulator, client: httpx.Client) -> None:
    simulator.add_fault("drip", drip_s=0.0001)
    simulator.add_fault("redirect", location="http://127.0.0.1:9/x")
    simulator.add_fault("huge", size_bytes=100_000)
    simulator.add_fault("gzip_bomb", size_bytes=1_000_000)

    dripped, redirected, huge, bomb = (client.get(DETAILS) for _ in range(4))

    assert dripped.json()["timeZone"] == "US/Eastern"
    assert (redirected.status_code, redirected.headers["location"]) == (302, "http://127.0.0.1:9/x")
    assert len(huge.content) == 100_000
    assert int(bomb.headers["content-length"]) < 10_000


def test_the_token_endpoint_can_fail_too(simulator: Simulator, client: httpx.Client) -> None:
    simulator.add_fault("error", status=503, path="/oauth/*")

    answer = client.post("/oauth/2026-09/token", data={"grant_type": "refresh_token"})

    assert answer.status_code == 503


def test_an_unknown_action_is_refused(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match="no fault action"):
        simulator.add_fault("explode")
