"""Copies a sync log that is in use: python copy_sync_log.py FROM TO

Holds the file open to read while it copies, which keeps writers out for that moment.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import duckdb

GIVE_UP_AFTER_S = 30.0


def copy(source: Path, target: Path) -> None:
    """Writes a whole copy, with what is still in DuckDB's write-ahead log."""
    give_up_at = time.monotonic() + GIVE_UP_AFTER_S
    while True:
        try:
            with duckdb.connect(source, read_only=True):
                for suffix in ("", ".wal"):
                    Path(f"{target}{suffix}").unlink(missing_ok=True)
                    if (part := Path(f"{source}{suffix}")).exists():
                        shutil.copy(part, f"{target}{suffix}")
            return
        except duckdb.IOException as err:
            if "lock" not in str(err) or time.monotonic() > give_up_at:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    copy(Path(sys.argv[1]), Path(sys.argv[2]))
