"""The statements of `queries.sql`, by name.

Knows how the file is laid out, and not what any statement is for.
"""

from __future__ import annotations

import re
from importlib.resources import files


def load_queries() -> dict[str, str]:
    """Each statement of `queries.sql` under the name above it, without its line of why."""
    text = files(__package__).joinpath("queries.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)\n-- .*\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))
