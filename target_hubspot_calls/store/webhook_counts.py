"""What each webhook took, ignored and refused, counted by a word for it.

Knows words and numbers; which words there are is the receiver's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, and_, case, exists, insert, select, update

from target_hubspot_calls.store.database import reading, writing
from target_hubspot_calls.store.schema import webhook_counts, webhooks


@dataclass(frozen=True)
class Count:
    """How often something came of a request, and when last."""

    count: int
    last_at: datetime


class WebhookCounts:
    """The counts of all webhooks. Every method raises StoreUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, counts: Mapping[tuple[str, str], tuple[int, datetime]]) -> None:
        """Adds how often, and when last, to each (webhook id, word): all or nothing."""
        with writing(self._engine) as connection:
            for (webhook_id, outcome), (count, last) in sorted(counts.items()):
                this_one = and_(
                    webhook_counts.c.webhook_id == webhook_id, webhook_counts.c.outcome == outcome
                )
                last_at = webhook_counts.c.last_at
                changed = connection.execute(
                    update(webhook_counts)
                    .where(this_one)
                    .values(
                        count=webhook_counts.c.count + count,
                        last_at=case((last_at > last, last_at), else_=last),
                    )
                )
                known = exists().where(webhooks.c.id == webhook_id)
                if not changed.rowcount and connection.scalar(select(known)):
                    connection.execute(
                        insert(webhook_counts).values(
                            webhook_id=webhook_id,
                            outcome=outcome,
                            count=count,
                            last_at=last,
                        )
                    )

    def of(self, webhook_ids: Sequence[str]) -> dict[str, dict[str, Count]]:
        """What is counted for each of these webhooks, by word, the most frequent first."""
        chosen = (
            select(webhook_counts)
            .where(webhook_counts.c.webhook_id.in_(webhook_ids))
            .order_by(webhook_counts.c.count.desc(), webhook_counts.c.outcome)
        )
        found: dict[str, dict[str, Count]] = {webhook_id: {} for webhook_id in webhook_ids}
        with reading(self._engine) as connection:
            for row in connection.execute(chosen):
                found[row.webhook_id][row.outcome] = Count(row._mapping["count"], row.last_at)
        return found
