"""The statements of a `queries.sql`, by name.

Knows how such a file is laid out, and not what any statement is for.
"""

from __future__ import annotations

import re
from importlib.resources import files


def load_queries(room: str = __package__) -> dict[str, str]:
    """Each statement of the room's `queries.sql` under its name, without its line of why.

    Where a statement says `@name`, it has the one of that name, which stands above it.
    """
    text = files(room).joinpath("queries.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)\n-- .*\n", text, flags=re.MULTILINE)
    queries: dict[str, str] = {}
    for name, statement in zip(parts[1::2], parts[2::2], strict=True):
        queries[name] = re.sub(r"@(\w+)", lambda used: queries[used[1]], statement).strip()
    return queries
