"""What must hold when all faults are over: every call exactly once where it belongs, nothing lost.

Reads HubSpot's side from the simulator, ours from the files themselves, with no code of ours.
"""

from __future__ import annotations

import html
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb

from hubspot_simulator import Simulator
from tests.campaign.plan import CallPlan, Plan

DONE = {"created", "updated", "unchanged"}
SKIPPED = {"contact_not_found", "no_phone_number", "ambiguous_contact"}
TRANSCRIPT = b"TRANSCRIPT-CANARY"


def faults_of(plan: Plan, simulator: Simulator, data_dir: Path, outputs: Path) -> list[str]:
    """What is wrong, a sentence each; empty when the run kept every promise."""
    engagements = _engagements(plan, simulator)
    with duckdb.connect(str(data_dir / "sync_log.duckdb"), read_only=True) as log:
        statuses = _status_by_call(log)
        rows = log.execute("select * from hubspot_sync_logs").fetchall()
        ids = log.execute("select id from hubspot_sync_logs").fetchall()
    wrong = [f"sync log ids are not unique: {len(ids)}"] if len(set(ids)) != len(ids) else []
    wrong += _ledger_faults(data_dir)
    for call in plan.calls:
        wrong += _call_faults(plan, call, engagements.get(call.id, []), statuses.get(call.id, []))
    wrong += _new_contact_faults(plan, simulator)
    wrong += _file_faults(plan, simulator)
    wrong += _leaks(simulator, data_dir, outputs, rows)
    return wrong


def _engagements(plan: Plan, simulator: Simulator) -> dict[str, list[dict[str, Any]]]:
    """All notes or calls in all portals, by the call id they show."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for portal_id in plan.portals:
        for item in (*simulator.notes(portal_id), *simulator.calls(portal_id)):
            shown = re.search(r"Call ID: ([0-9a-f-]+)", _body(item))
            found[shown[1] if shown else "?"].append({**item, "portal_id": portal_id})
    return found


def _status_by_call(log: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    columns = "status, reason, retryable, engagement_id, recording_status, file_id"
    query = f"select call_id, {columns} from call_status"
    for call_id, *rest in log.execute(query).fetchall():
        found[call_id].append(tuple(rest))
    return found


def _ledger_faults(data_dir: Path) -> Iterator[str]:
    with closing(sqlite3.connect(data_dir / "store.db")) as store:
        (waiting,) = store.execute("select count(*) from outbox").fetchone()
        states = store.execute("select call_id, state, reason from calls where state != 'settled'")
        for call_id, state, reason in states.fetchall():
            yield f"call {call_id} is still {state} in the ledger ({reason})"
        claims = store.execute("select call_id from calls where claimed_by is not null").fetchall()
    if waiting:
        yield f"{waiting} rows are still in the outbox"
    if claims:
        yield f"{len(claims)} calls are still claimed"


def _call_faults(
    plan: Plan,
    call: CallPlan,
    engagements: list[dict[str, Any]],
    statuses: list[tuple[Any, ...]],
) -> Iterator[str]:
    if len(engagements) > 1:
        yield f"call {call.id} has {len(engagements)} engagements"
    if len(statuses) != 1:
        yield f"call {call.id} has {len(statuses)} latest rows"
        return
    status, reason, retryable, engagement_id, recording, file_id = statuses[0]
    if retryable or reason not in DONE | SKIPPED | {"rejected"}:
        yield f"call {call.id} ends as {status}/{reason}, which is not final"
    if reason == "rejected" and plan.may_be_rejected:
        return
    if call.contact_id is None:
        if engagements or reason != call.skip_reason:
            yield f"call {call.id} ends as {reason} with {len(engagements)}, not {call.skip_reason}"
        return
    if not engagements or reason not in DONE:
        yield f"call {call.id} ends as {reason} with {len(engagements)} engagements"
        return
    (first, *_) = engagements
    if engagement_id != first["id"]:
        yield f"call {call.id}: the log names engagement {engagement_id}, HubSpot {first['id']}"
    yield from _content_faults(plan, call, first)
    wanted = plan.settings["upload_recordings"] and call.has_recording
    attached = first["properties"].get("hs_attachment_ids")
    if recording not in ({"attached", "upload_failed"} if wanted else {"none", "disabled"}):
        yield f"the recording of call {call.id} ends as {recording}"
    if recording == "attached" and (file_id is None or attached != file_id):
        yield f"call {call.id} has file {file_id} in the log and {attached} in HubSpot"


def _content_faults(plan: Plan, call: CallPlan, engagement: dict[str, Any]) -> Iterator[str]:
    contacts = engagement["associations"].get("contacts", [])
    if engagement["portal_id"] != call.portal_id:
        yield f"call {call.id} is in portal {engagement['portal_id']}"
    if call.contact_id != "new" and contacts != [call.contact_id]:
        yield f"call {call.id} is on contacts {contacts}, not {call.contact_id}"
    if call.contact_id == "new" and len(contacts) != 1:
        yield f"call {call.id} is on contacts {contacts}, not on a new one"
    body = html.unescape(_body(engagement))
    lacking = [text for text in _texts(plan, call) if text not in body]
    if lacking:
        yield f"the note of call {call.id} lacks {lacking}"


def _texts(plan: Plan, call: CallPlan) -> Iterable[str]:
    """What the fullest value of each field shows in the body."""
    fullest: dict[str, str] = {}
    for report in call.reports:
        for name in ("customer_name", "assistant_name", "ended_reason", "success_evaluation"):
            if report.get(name):
                fullest[name] = report[name].replace("-", " ") if "reason" in name else report[name]
        fullest["summary"] = max(fullest.get("summary", ""), report.get("summary", ""), key=len)
        for name, value in report.get("structured_data", {}).items():
            fullest[name] = value
        if plan.settings["include_transcript"] and report.get("transcript"):
            fullest["transcript"] = report["transcript"].splitlines()[-1]
    return [text for text in fullest.values() if text]


def _new_contact_faults(plan: Plan, simulator: Simulator) -> Iterator[str]:
    """No number has more contacts than it began with, or one if it began with none."""
    for portal_id in plan.portals:
        planned = {contact.id for contact in plan.contacts}
        made = [
            contact["properties"].get("phone")
            for contact in simulator.contacts(portal_id)
            if contact["id"] not in planned
        ]
        wanted = {
            call.number
            for call in plan.calls
            if call.portal_id == portal_id and call.contact_id == "new"
        }
        for number, count in Counter(made).items():
            if count > 1 or number not in wanted:
                yield f"{count} contacts were made for {number}"


def _file_faults(plan: Plan, simulator: Simulator) -> Iterator[str]:
    """No call has two files: each recording is of a size of its own."""
    for portal_id in plan.portals:
        sizes = Counter(file["size"] for file in simulator.files(portal_id))
        for size, count in sizes.items():
            if count > 1:
                yield f"{count} files were made of the recording with {size} bytes"


def _leaks(
    simulator: Simulator, data_dir: Path, outputs: Path, rows: list[tuple[Any, ...]]
) -> Iterator[str]:
    authority = simulator.state.authority
    secrets = [*authority.grants, *authority.refreshes]
    secrets += [app.client_secret for app in authority.apps.values()]
    places = {f"file {p.name}": p.read_bytes() for p in data_dir.iterdir() if p.is_file()}
    places |= {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for name in ("stderr", "stdout")
        for path in outputs.glob(f"*/{name}")
    }
    places["sync log rows"] = repr(rows).encode()
    for place, text in places.items():
        if any(secret.encode() in text for secret in secrets):
            yield f"a secret is in {place}"
        if TRANSCRIPT in text and not place.startswith("file store.db"):
            yield f"a transcript is in {place}"
        if b"Traceback" in text and place.endswith("stderr"):
            yield f"a traceback is in {place}: {text.decode()[-1500:]}"


def _body(item: dict[str, Any]) -> str:
    properties = item["properties"]
    return str(properties.get("hs_note_body") or properties.get("hs_call_body") or "")
