"""The demo after its rounds: it stays up, and says what becomes of each further call.

Knows the live sync and the sync log; it must not know the samples.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hubspot_calls.demo.stage import Stage
from hubspot_calls.live_sync import LiveSync
from hubspot_calls.rooms import open_sync_log
from hubspot_calls.signals import on_signals
from target_hubspot_calls.sync_log.log import HistoryReader, SyncLogError

_LOOK_EVERY_S = 1.0
_MOST_AT_ONCE = 100


def stay_up(stage: Stage, tell: Callable[[str], None]) -> None:
    """Sync live and tell of each outcome, until SIGINT or SIGTERM."""
    ended = threading.Event()
    live = LiveSync(stage.settings, owner="hubspot-calls demo")
    with on_signals(ended.set):
        live.start()
        try:
            tell(f"\nThe receiver stays up at {stage.receiver_url}; end it with Ctrl-C.")
            tell("Post a call of your own, from another terminal:\n")
            tell(build_curl_line(stage) + "\n")
            _tell_outcomes(open_sync_log(stage.settings), ended, tell)
        finally:
            live.stop()


def build_curl_line(stage: Stage) -> str:
    """A line to paste into a shell: a new call, with a new id each time."""
    body = json.dumps(
        {
            "message": {
                "type": "end-of-call-report",
                "call": {
                    "id": "own-CLOCK",
                    "type": "inboundPhoneCall",
                    "customer": {"number": "+14155550123"},
                },
                "endedReason": "customer-ended-call",
                "analysis": {"summary": "Asked to be called back on Monday."},
            }
        }
    )
    # The shell puts its clock between the two quoted halves.
    text = f"'{body}'".replace("CLOCK", "'$(date +%s)'")
    return (
        f"curl -sS {stage.door.url} -H 'Content-Type: application/json'"
        f" -H 'X-Vapi-Secret: {stage.door.secret}' -d {text}"
    )


def _tell_outcomes(log: HistoryReader, ended: threading.Event, tell: Callable[[str], None]) -> None:
    since = datetime.now(UTC)
    told: set[str] = set()
    while not ended.wait(_LOOK_EVERY_S):
        try:
            rows = log.history(since=since, limit=_MOST_AT_ONCE).rows
        except SyncLogError:
            continue
        for row in reversed(rows):
            if row["id"] not in told:
                told.add(row["id"])
                tell(_line(row))


def _line(row: dict[str, Any]) -> str:
    where = f", note {row['engagement_id']}" if row["engagement_id"] else ""
    why = f": {row['error_message']}" if row["error_message"] else ""
    number = row["phone_number"] or "no number"
    return f"{row['call_id']} ({number}) {row['status']} {row['reason']}{where}{why}"
