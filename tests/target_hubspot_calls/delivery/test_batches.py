"""Batches whose answers come in any order, nameless, with strangers, or as one refusal of all.

Between the client and the simulated portal stands a wire that does to bodies what HubSpot's
documents leave open; what the portal has afterwards is the truth every result is held to.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubspot_simulator import DEFAULT_PORTAL, Simulator
from target_hubspot_calls.call import Call
from target_hubspot_calls.delivery import write
from target_hubspot_calls.delivery.match import Matcher, MatchRules
from target_hubspot_calls.delivery.portals import Portal
from target_hubspot_calls.delivery.write import Draft, Found
from target_hubspot_calls.errors import AnswerLost, Reason, Rejected, Unavailable
from target_hubspot_calls.hubspot.auth import PortalAuth, StaticTokens
from target_hubspot_calls.hubspot.client import HubSpotClient, open_client
from target_hubspot_calls.hubspot.engagements import EngagementKind
from target_hubspot_calls.hubspot.pace import Pace
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.store.ledger_rows import Claim

NOTE = EngagementKind.NOTE
WRITES = ("/batch/create", "/batch/update")
NUMBERS = itertools.count(1)


@dataclass
class Wire(httpx.AsyncBaseTransport):
    """A connection that changes batch writes and their answers on their way."""

    strip_trace_ids: bool = False
    spoil: Callable[[dict[str, Any]], None] | None = None
    writes: int = 0
    _beneath: httpx.AsyncHTTPTransport = field(
        default_factory=lambda: httpx.AsyncHTTPTransport(verify=False)
    )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith(WRITES):
            return await self._beneath.handle_async_request(request)
        self.writes += 1
        sent = json.loads(await request.aread())
        if self.strip_trace_ids:
            for item in sent["inputs"]:
                item.pop("objectWriteTraceId")
        body = json.dumps(sent).encode()
        headers = httpx.Headers(request.headers)
        headers["content-length"] = str(len(body))
        answer = await self._beneath.handle_async_request(
            httpx.Request(request.method, request.url, headers=headers, content=body)
        )
        told = json.loads(await answer.aread())
        if self.spoil is not None:
            self.spoil(told)
        return httpx.Response(answer.status_code, json=told)

    async def aclose(self) -> None:
        await self._beneath.aclose()


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(rate_limits=False) as running:
        running.add_service_key(key="pat-na1-key")
        yield running


@dataclass(frozen=True)
class Bench:
    """One contact, its drafts, and a portal behind a wire."""

    sim: Simulator
    contact_id: str
    drafts: list[Draft]
    wire: Wire
    unique: bool

    def run(self, action: Callable[[Portal, list[Draft]], Awaitable[Any]]) -> Any:
        async def scenario() -> Any:
            auth = PortalAuth(StaticTokens("pat-na1-key"), now=lambda: datetime.now(UTC))
            pace = Pace()
            async with open_client(self.sim.url, auth, pace, transport=self.wire) as client:
                if self.unique:
                    await client.create_call_id_property(NOTE)
                return await action(a_portal(client, pace, self.unique), self.drafts)

        return asyncio.run(scenario())

    def notes(self) -> list[dict[str, Any]]:
        return [
            note
            for note in self.sim.notes()
            if note["associations"].get("contacts") == [self.contact_id]
        ]

    def ids(self) -> dict[str, str]:
        """By call id, the one note the portal has of it."""
        pairs = [
            (note["properties"]["hs_note_body"].split()[-1], note["id"]) for note in self.notes()
        ]
        ids = {call_id.removesuffix("</p>"): note_id for call_id, note_id in pairs}
        assert len(ids) == len(pairs), "a call has two notes"
        return ids


def a_portal(client: HubSpotClient, pace: Pace, unique: bool) -> Portal:
    return Portal(
        name="portal",
        client=client,
        pace=pace,
        matcher=Matcher(client, MatchRules("US", "oldest"), lambda: 0.0),
        portal_id=DEFAULT_PORTAL,
        connection_id=None,
        kind=NOTE,
        unique_call_ids=unique,
    )


def a_bench(sim: Simulator, count: int, bad: set[int], *, unique: bool, wire: Wire) -> Bench:
    contact_id = sim.add_contact(firstname="Dana")
    run = next(NUMBERS)
    drafts = [a_draft(f"call-{run}-{i}", contact_id, bad=i in bad) for i in range(count)]
    return Bench(sim, contact_id, drafts, wire, unique)


def a_draft(call_id: str, contact_id: str, *, bad: bool, engagement_id: str | None = None) -> Draft:
    properties = {
        "hs_timestamp": "1763651121600",
        "hs_note_body": f"<p>A call</p><p>Call ID: {call_id}</p>",
    }
    claimed: dict[str, Any] = dict.fromkeys(each.name for each in fields(Claim))
    claimed |= {"call": Call(call_id, "dana", "harbor-dental"), "engagement_id": engagement_id}
    return Draft(
        claim=Claim(**claimed),
        properties=properties | ({"no_such_property": "x"} if bad else {}),
        digest="d",
        contact_id=contact_id,
        contact_match=None,
        kind=NOTE,
    )


async def announce(drafts: Sequence[Draft]) -> list[Draft]:
    return list(drafts)


def create(bench: Bench) -> dict[str, Any]:
    results: dict[str, Any] = bench.run(
        lambda portal, drafts: write.create(portal, NOTE, drafts, announce, announce)
    )
    return results


@settings(max_examples=30)
@given(data=st.data(), count=st.integers(1, 12), unique=st.booleans())
def test_each_call_of_a_207_is_judged_alone_whatever_the_answer_looks_like(
    data: st.DataObject, count: int, unique: bool, sim: Simulator
) -> None:
    places = st.sets(st.integers(0, count - 1))
    bad, unechoed, nameless = data.draw(places), data.draw(places), data.draw(places)
    strangers, seed = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 2**16))

    def spoil(told: dict[str, Any]) -> None:
        results, errors = told["results"], told.get("errors", [])
        for i in unechoed & set(range(len(results))):
            results[i].pop("objectWriteTraceId")
            if i % 2:
                results[i]["properties"].pop("vapi_call_id", None)
                results[i]["properties"].pop("hs_note_body")
        for i in nameless & set(range(len(errors))):
            errors[i]["context"] = {}
        results += [{"id": f"99{n}", "properties": {"hs_object_id": "1"}} for n in range(strangers)]
        random.Random(seed).shuffle(results)
        random.Random(seed).shuffle(errors)

    bench = a_bench(sim, count, bad, unique=unique, wire=Wire(spoil=spoil))

    results = create(bench)

    written = bench.ids()
    good = {d.call_id for i, d in enumerate(bench.drafts) if i not in bad}
    assert set(written) == good
    assert set(results) == {d.call_id for d in bench.drafts}
    for call_id, result in results.items():
        if call_id in good:
            assert isinstance(result, Outcome | Found)
            assert result.engagement_id == written[call_id]
        else:
            assert isinstance(result, Rejected | AnswerLost | Unavailable)
    named = len(bad) - len([i for i in nameless if i < len(bad)])
    assert sum(isinstance(r, Rejected) for r in results.values()) == named
    assert bench.wire.writes == 1


@settings(max_examples=20)
@given(data=st.data(), count=st.integers(1, 100), unique=st.booleans())
def test_a_batch_refused_whole_ends_with_the_bad_calls_refused_and_all_others_written_once(
    data: st.DataObject, count: int, unique: bool, sim: Simulator
) -> None:
    bad = data.draw(st.sets(st.integers(0, count - 1), max_size=4))
    bench = a_bench(sim, count, bad, unique=unique, wire=Wire(strip_trace_ids=True))

    results = create(bench)

    refused = {d.call_id for i, d in enumerate(bench.drafts) if i in bad}
    assert {k for k, r in results.items() if isinstance(r, Rejected)} == refused
    assert {k: r.engagement_id for k, r in results.items() if k not in refused} == bench.ids()
    assert {r.reason for k, r in results.items() if k not in refused} <= {Reason.CREATED}
    assert bench.wire.writes <= 1 + 2 * len(bad) * math.ceil(math.log2(max(count, 2)))


@pytest.mark.parametrize("place", [0, 41, 99])
def test_one_bad_call_of_a_hundred_costs_a_handful_of_requests(place: int, sim: Simulator) -> None:
    bench = a_bench(sim, 100, {place}, unique=True, wire=Wire(strip_trace_ids=True))

    results = create(bench)

    assert Counter(type(result) for result in results.values()) == {Outcome: 99, Rejected: 1}
    assert bench.wire.writes - 1 <= 2 * math.log2(100) + 1


@settings(max_examples=15)
@given(data=st.data(), count=st.integers(1, 40), whole=st.booleans())
def test_updates_are_judged_alone_and_split_as_creates_are(
    data: st.DataObject, count: int, whole: bool, sim: Simulator
) -> None:
    bad = data.draw(st.sets(st.integers(0, count - 1), max_size=3))
    bench = a_bench(sim, count, set(), unique=True, wire=Wire())
    create(bench)
    bench.wire.strip_trace_ids = whole
    ids = bench.ids()
    changed = [
        a_draft(d.call_id, bench.contact_id, bad=i in bad, engagement_id=ids[d.call_id])
        for i, d in enumerate(bench.drafts)
    ]

    results = Bench(sim, bench.contact_id, changed, Wire(strip_trace_ids=whole), True).run(
        lambda portal, drafts: write.update(portal, NOTE, drafts, announce, announce)
    )

    refused = {d.call_id for i, d in enumerate(changed) if i in bad}
    assert {k for k, r in results.items() if isinstance(r, Rejected)} == refused
    assert {k for k, r in results.items() if isinstance(r, Outcome)} == set(ids) - refused
    assert bench.ids() == ids


@pytest.mark.parametrize("strip_trace_ids", [False, True], ids=["trace ids echoed", "none"])
def test_results_in_another_order_belong_to_their_own_calls(
    strip_trace_ids: bool, sim: Simulator
) -> None:
    def turn_round(told: dict[str, Any]) -> None:
        told["results"].sort(key=lambda item: -int(item["id"]))

    wire = Wire(strip_trace_ids=strip_trace_ids, spoil=turn_round)
    bench = a_bench(sim, 10, set(), unique=True, wire=wire)

    results = create(bench)

    assert {k: r.engagement_id for k, r in results.items()} == bench.ids()


def test_a_write_the_portal_kept_but_left_out_of_its_answer_is_found(sim: Simulator) -> None:
    def leave_out(told: dict[str, Any]) -> None:
        told["results"] = told["results"][:3]

    bench = a_bench(sim, 10, set(), unique=False, wire=Wire(spoil=leave_out))

    results = create(bench)

    assert {k: r.engagement_id for k, r in results.items()} == bench.ids()
    assert bench.wire.writes == 1
