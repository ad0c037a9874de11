"""One call's whole story on a terminal, in the words of its page.

Knows what the ledger and the sync log say of a call; it must not know how a call is delivered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from hubspot_calls.commands.history_table import STATUS_STYLES
from hubspot_calls.moments import shown_moment, shown_moments
from hubspot_calls.output import print_indented, stdout_console
from receiver.pages.call_standing import Standing, standing_of
from receiver.pages.call_story import Step, tell
from receiver.pages.call_words import who_called
from receiver.pages.words import words_of_status
from target_hubspot_calls.call import Workspace
from target_hubspot_calls.store.known_calls import KnownCall, KnownCalls

if TYPE_CHECKING:
    from hubspot_calls.rooms import Store
    from target_hubspot_calls.sync_log.log import HistoryFilter, HistoryReader

_TONE_STYLES = {"good": "green", "bad": "red", "pause": "yellow", "wait": "cyan", "plain": ""}
_MOST_TRIES = 1_000


def tell_stories(
    store: Store | None, log: HistoryReader, wanted: HistoryFilter, *, now: datetime
) -> bool:
    """Print the story of the call in each workspace that has it; False if none has.

    Raises StoreUnavailable, SyncLogBusy, SyncLogUnavailable.
    """
    owners = _workspaces(store, log, wanted)
    call_id = wanted.call_id or ""
    for number, owner in enumerate(owners):
        known = KnownCalls(store.engine).get(owner, call_id) if store is not None else None
        rows = log.story(owner.user_id, owner.workspace_id, call_id)
        _print(call_id, owner, known, rows, now, is_first=number == 0)
    return bool(owners)


def _workspaces(store: Store | None, log: HistoryReader, wanted: HistoryFilter) -> list[Workspace]:
    """Whose call it is: an id that somebody copied may be several workspaces'."""
    rows = log.page(wanted, limit=_MOST_TRIES).rows
    found = {Workspace(row["user_id"], row["workspace_id"]) for row in rows}
    if store is not None and wanted.call_id:
        found |= {
            owner
            for owner in KnownCalls(store.engine).workspaces_of(wanted.call_id)
            if wanted.user_id in (None, owner.user_id)
            and wanted.workspace_id in (None, owner.workspace_id)
        }
    return sorted(found)


def _print(
    call_id: str,
    owner: Workspace,
    known: KnownCall | None,
    rows: Sequence[dict[str, Any]],
    now: datetime,
    *,
    is_first: bool,
) -> None:
    console = stdout_console()
    latest = rows[-1] if rows else {}
    standing = standing_of(known, latest, now=now)
    if not is_first:
        console.print()
    number = known.call.customer_number if known else latest.get("phone_number")
    console.print(Text(f"Call {call_id}", "bold"), soft_wrap=True)
    who = f"{who_called(known.call if known else None)} {number or 'an unknown number'}"
    owned = Text(f"{who}, user {owner.user_id}, workspace {owner.workspace_id}")
    for line in (owned, *_stand(standing, known, latest, now)):
        print_indented(console, line, 0)
    console.print()
    steps = [
        step
        for part in tell(known, rows, webhook=known.call.webhook_id if known else None, now=now)
        for step in part.steps
    ]
    times = shown_moments([step.at for step in steps], now=now)
    width = max(map(len, times), default=0)
    for step, time in zip(steps, times, strict=True):
        told = Text.assemble(f"{time:>{width}}  ", (step.title, _TONE_STYLES[step.tone]))
        print_indented(console, told, 0)
        for line in _details(step):
            print_indented(console, line, width + 2)


def _stand(
    standing: Standing, known: KnownCall | None, latest: dict[str, Any], now: datetime
) -> Iterator[Text]:
    """Where the call stands, and what somebody can do."""
    label = f": {standing.label}" if standing.label else ""
    style = STATUS_STYLES.get(standing.code, "cyan")
    yield Text.assemble((f"{words_of_status(standing.code).label}{label}", f"bold {style}"))
    for text in (standing.meaning, standing.before and f"Before: {standing.before}."):
        if text:
            yield Text(text)
    for text in (standing.message, standing.line, standing.advice):
        if text:
            yield Text(text)
    if standing.next_try_at is not None:
        yield Text(f"Next try: {shown_moment(standing.next_try_at, now=now)}.")
    told = vars(known) if known is not None else latest
    names = (("contact", "contact_id"), ("note", "engagement_id"), ("portal", "portal_id"))
    ids = [f"{word} {told[name]}" for word, name in names if told.get(name)]
    if ids:
        yield Text(", ".join(ids).capitalize(), "dim")


def _details(step: Step) -> Iterator[Text]:
    for text in (step.text, step.message):
        if text:
            yield Text(text, "dim")
    if step.contact_id:
        yield Text(f"Contact {step.contact_id}", "dim")
    if step.reference:
        yield Text(f"For HubSpot support: {step.reference}", "dim")
