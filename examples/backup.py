"""Backs up a data directory that may be in use: python backup.py DATA_DIR NEW_DIR

What was confirmed must be copied before what confirms it: first how far the stream was read, then
the store, then the stream. So a restored backup may read calls again, and never skips one. The
encryption key is left out, as it belongs elsewhere.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from copy_sync_log import copy as copy_sync_log


def back_up(data: Path, backup: Path) -> None:
    """Writes the backup. Raises FileExistsError where it would go over another one."""
    backup.mkdir(mode=0o700, parents=True)
    _copy(data, backup, "sync_state.json")
    _copy_store(data / "store.db", backup / "store.db")
    if (data / "sync_log.duckdb").exists():
        copy_sync_log(data / "sync_log.duckdb", backup / "sync_log.duckdb")
    for folder in ("stream/readers", "stream", "raw_reports"):
        if (data / folder).is_dir():
            shutil.copytree(data / folder, backup / folder, dirs_exist_ok=True)
    os.sync()


def _copy(data: Path, backup: Path, name: str) -> None:
    if (data / name).exists():
        shutil.copy2(data / name, backup / name)


def _copy_store(store: Path, backup: Path) -> None:
    """A copy of one moment, whatever is written meanwhile."""
    with (
        closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(backup)) as target,
    ):
        source.backup(target)
    backup.chmod(0o600)


if __name__ == "__main__":
    back_up(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"{sys.argv[2]} holds all but the encryption key (secret.key)")  # noqa: T201
