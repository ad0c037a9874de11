"""How far a workspace's calls have come."""

from __future__ import annotations

from datetime import timedelta

import pytest

from target_hubspot_calls.call import Workspace
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.progress import Progress, ProgressReader

HARBOR = Workspace("dana", "harbor-dental")


@pytest.fixture
def ledger(engine):
    return Ledger(engine)


def test_a_workspace_without_calls_has_come_nowhere(engine):
    assert ProgressReader(engine).of(HARBOR) == Progress(None, 0, 0, None)


def test_calls_are_counted_by_where_they_stand(engine, ledger, a_call, noon):
    ledger.accept([a_call(id=f"c{n}") for n in range(4)], now=noon)
    ledger.accept([a_call(id="late")], now=noon + timedelta(hours=1))
    done, waiting = ledger.claim(HARBOR, holder="r/1", limit=2, for_s=9, now=noon)
    ledger.settle(
        [
            (done, Outcome(Status.SUCCESS, Reason.CREATED)),
            (waiting, Outcome(Status.SKIPPED, Reason.NOT_CONNECTED, retryable=True)),
        ],
        holder="r/1", kind="note", run_id="r", now=noon + timedelta(minutes=1),
    )  # fmt: skip

    progress = ProgressReader(engine).of(HARBOR)

    assert progress == Progress(noon + timedelta(minutes=1), due=3, waiting=1, oldest_open_at=noon)


@pytest.mark.parametrize(
    "stranger", [Workspace("dana", "other"), Workspace("eve", "harbor-dental")], ids=repr
)
def test_another_workspaces_calls_do_not_count(engine, ledger, a_call, noon, stranger):
    ledger.accept([a_call()], now=noon)

    assert ProgressReader(engine).of(stranger) == Progress(None, 0, 0, None)
