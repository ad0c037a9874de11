"""The other party's number beside its call, and an index of the calls that could be retried."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_PIECE = 20_000
_UNDONE = "status IN ('error', 'skipped')"
_INDEXED = (
    "user_id",
    "workspace_id",
    "call_id",
    "customer_number",
    "status",
    "reason",
    "settled_at",
)
_calls = sa.table(
    "calls",
    sa.column("user_id", sa.Text),
    sa.column("workspace_id", sa.Text),
    sa.column("call_id", sa.Text),
    sa.column("customer_number", sa.Text),
)
_KEYS = (_calls.c.user_id, _calls.c.workspace_id, _calls.c.call_id)
_WRITTEN = {
    "sqlite": sa.literal_column("json_extract(record, '$.customer_number')", sa.Text),
    "postgresql": sa.literal_column("(CAST(record AS json) ->> 'customer_number')", sa.Text),
}
_BYTES = {
    "sqlite": sa.func.length(sa.cast(_WRITTEN["sqlite"], sa.LargeBinary)),
    "postgresql": sa.func.octet_length(_WRITTEN["postgresql"]),
}


def upgrade() -> None:
    """Adds the column, fills it for the calls that are there, and creates the index."""
    with op.batch_alter_table("calls") as calls:
        calls.add_column(sa.Column("customer_number", sa.Text))
    _fill(op.get_bind())
    op.create_index(
        "ix_calls_undone",
        "calls",
        list(_INDEXED),
        sqlite_where=sa.text(_UNDONE),
        postgresql_where=sa.text(_UNDONE),
    )


def _fill(connection: sa.Connection) -> None:
    """In pieces by key, so that a million calls need no more memory than a few."""
    written, size = _WRITTEN[connection.dialect.name], _BYTES[connection.dialect.name]
    # An entry of PostgreSQL's index fits into a third of a page: what is too long for any number
    # is cut.
    number = sa.case((size <= 100, written), else_=sa.func.substr(written, 1, 25))
    last: tuple[str, ...] = ("", "", "")
    while True:
        behind = sa.tuple_(*_KEYS) > sa.tuple_(*last)
        query = sa.select(*_KEYS).where(behind).order_by(*_KEYS).limit(1).offset(_PIECE - 1)
        bound = connection.execute(query).one_or_none()
        is_in_piece = (
            behind if bound is None else sa.and_(behind, sa.tuple_(*_KEYS) <= sa.tuple_(*bound))
        )
        connection.execute(sa.update(_calls).where(is_in_piece).values(customer_number=number))
        if bound is None:
            return
        last = tuple(bound)
