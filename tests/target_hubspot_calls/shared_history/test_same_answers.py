"""The table of several hosts answers as the DuckDB file of one does, whatever is asked."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from target_hubspot_calls.sync_log.filters import HistoryFilter
from target_hubspot_calls.sync_log.log import UnknownRow

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OWNERS = [("ada", "sales"), ("ada", "support"), ("Ünal", "sales")]
NUMBERS = ["+12025550142", "+442079460142", "(202) 555 0199", "0142", "anonymous", "%", None]
OUTCOMES = [
    ("success", "created", None),
    ("success", "updated", None),
    ("skipped", "contact_not_found", "No contact in HubSpot has this number."),
    ("error", "unavailable", "HubSpot answered 503; 100% of tries_failed \\ here."),
    ("error", "rejected", "Ärger: die Größe stimmt nicht."),
]
CALLS = [f"Call-{n}" for n in range(9)] + ["ÄÖ-9", None]
SEARCHES = [
    *("call", "CALL-3", "ärger", "GRÖSSE", "größe", "%", "_", "\\", "503", "555 0199", "o", "+ -"),
    *("(202) 555-0142", "0142", "501", "s_f", "xyz", "  ", "no contact"),
]


class Random:
    """Rows and filters by dice that fall the same each time."""

    def __init__(self, seed, a_row):
        self.dice = random.Random(seed)
        self._a_row = a_row
        self._rows = 0

    def moment(self):
        return NOON + timedelta(minutes=30 * self.dice.randrange(-60, 60))

    def row(self):
        choose = self.dice.choice
        user_id, workspace_id = choose(OWNERS)
        status, reason, message = choose(OUTCOMES)
        self._rows += 1
        return self._a_row(
            user_id=user_id,
            workspace_id=workspace_id,
            call_id=choose(CALLS),
            contact_id=choose(["501", "7501", None]),
            status=status,
            reason=reason,
            error_message=message,
            phone_number=choose(NUMBERS),
            created_at=self.moment().isoformat(),
            # No two alike: of two last calls of a number either may be told.
            call_started_at=(NOON + timedelta(seconds=self._rows)).isoformat(),
        )

    def maybe(self, values, of=4):
        return self.dice.choice(values) if self.dice.randrange(of) == 0 else None

    def filter(self, *, of_one=False):
        user_id, workspace_id = self.dice.choice(OWNERS)
        if not of_one and self.dice.randrange(4) == 0:
            user_id, workspace_id = self.dice.choice(
                [(None, None), (user_id, None), (None, workspace_id)]
            )
        status, reason, _ = self.dice.choice(OUTCOMES)
        return HistoryFilter(
            user_id,
            workspace_id,
            status=self.maybe([status]),
            reason=self.maybe([reason]),
            call_id=self.maybe(CALLS, of=6),
            since=self.moment() if self.dice.randrange(3) == 0 else None,
            until=self.moment() if self.dice.randrange(3) == 0 else None,
            query=self.maybe(SEARCHES, of=3),
            phone_number=self.maybe([*NUMBERS, '"0142"', "+1 202 555 0142", "199"], of=5),
        )


def exported(history, wanted, as_of):
    piece = history.rows_behind(wanted, as_of=as_of, limit=13)
    rows = []
    while piece.rows:
        rows += piece.rows
        piece = history.rows_behind(wanted, as_of=piece.as_of, last=piece.rows[-1], limit=13)
    return rows, piece.as_of


def answers(history, chance, as_of):
    """What the history says to some questions; the same ones for chance in the same state."""
    wanted, of_one = chance.filter(), chance.filter(of_one=True)
    owner = (of_one.user_id, of_one.workspace_id)
    page = {"limit": chance.dice.randrange(1, 20), "offset": chance.dice.choice([0, 0, 7, 90])}
    begins = sorted({chance.moment() for _ in range(4)})
    minutes = chance.dice.choice([0, 330, -720])
    told = {"asked": (wanted, of_one, as_of, page, begins, minutes)}
    for name, ask in {
        "view": lambda: history.view(wanted, as_of=as_of, **page),
        "view of one": lambda: history.view(of_one, as_of=as_of, **page),
        "export": lambda: exported(history, of_one, as_of),
        "outcomes": lambda: history.outcome_counts(wanted),
        "days": lambda: history.days(wanted, utc_offset_min=minutes),
        "days of one": lambda: history.days(HistoryFilter(*owner, since=of_one.since)),
        "spans": lambda: history.spans(wanted, begins),
        "spans of one": lambda: history.spans(of_one, begins),
        "numbers": lambda: history.unmatched_numbers(wanted, **page),
        "numbers of one": lambda: history.unmatched_numbers(
            HistoryFilter(*owner, until=of_one.until), limit=3
        ),
        "status": lambda: history.call_status(
            user_id=wanted.user_id, status=wanted.status, reason=wanted.reason, **page
        ),
        "newest": lambda: history.newest_id(*owner),
        "story": lambda: history.story(*owner, "Call-3", limit=5),
        "row": lambda: history.row(*owner, as_of or "none"),
    }.items():
        try:
            told[name] = ask()
        except UnknownRow:
            told[name] = "unknown row"
    return told


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 6))]
)
def test_whatever_is_asked_of_whatever_rows_the_answers_are_the_same(log, shared, a_row, seed):
    chance = Random(seed, a_row)
    ids = []

    for _ in range(3):
        rows = [chance.row() for _ in range(chance.dice.randrange(1, 40))]
        again = [{**row} for row in rows[:2]]
        for history in (log, shared):
            # As the outbox hands them on, some of them twice.
            history.append(sorted(rows, key=lambda row: row["id"]))
            history.append(again)
        ids += [row["id"] for row in rows]
        for _ in range(2):
            as_of = chance.maybe(ids, of=2)
            state = chance.dice.getstate()
            in_file = answers(log, chance, as_of)
            chance.dice.setstate(state)
            in_table = answers(shared, chance, as_of)

            assert in_table == in_file
