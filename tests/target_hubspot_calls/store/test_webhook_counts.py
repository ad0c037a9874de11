"""Counts of what webhooks took and refused."""

from __future__ import annotations

from datetime import timedelta

from target_hubspot_calls.store.webhook_counts import Count, WebhookCounts
from target_hubspot_calls.store.webhooks import Webhooks


def test_counts_add_up_and_keep_the_latest_time(engine, clock):
    webhooks, counts = Webhooks(engine, clock=clock), WebhookCounts(engine)
    one, other = (webhooks.create("ada", "sales")[0].id for _ in range(2))
    later = clock.now + timedelta(hours=1)

    counts.add({(one, "stored"): (2, later), (one, "ignored"): (9, clock.now)})
    counts.add({(one, "stored"): (3, clock.now), (other, "stored"): (1, clock.now)})

    assert counts.of([one, other]) == {
        one: {"ignored": Count(9, clock.now), "stored": Count(5, later)},
        other: {"stored": Count(1, clock.now)},
    }


def test_counts_of_a_webhook_that_is_gone_do_not_hold_up_the_others(engine, clock):
    counts = WebhookCounts(engine)
    known = Webhooks(engine, clock=clock).create("ada", "sales")[0].id

    counts.add({("gone", "stored"): (1, clock.now), (known, "stored"): (1, clock.now)})

    assert counts.of([known, "gone"]) == {known: {"stored": Count(1, clock.now)}, "gone": {}}
