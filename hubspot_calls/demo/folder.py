"""The demo's own data directory: made anew each time, and only where an earlier demo made it.

Knows one marker file; what else lies there it does not care.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from target_hubspot_calls.errors import CallSyncError

MARKER = ".made-by-hubspot-calls-demo"
_SAYS = "Made by `hubspot-calls demo`, which deletes this directory when it runs again.\n"


class NotOurFolder(CallSyncError):
    """The directory is there and no demo made it, or one is using it."""


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """An empty directory at `path` (0700), for this demo alone while it runs.

    Raises NotOurFolder and leaves everything as it is where an earlier demo did not make it.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise NotOurFolder(f"{path} is no directory; choose another with --data-dir")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    marker = path / MARKER
    if not marker.is_file() and any(path.iterdir()):
        raise NotOurFolder(
            f"{path} holds files that no demo made, so it is left alone;"
            " choose another with --data-dir"
        )
    handle = os.open(marker, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise NotOurFolder(
                f"another demo runs in {path}; stop it, or choose another with --data-dir"
            ) from err
        os.ftruncate(handle, 0)
        os.pwrite(handle, _SAYS.encode(), 0)
        _empty(path)
        yield path
    finally:
        os.close(handle)


def _empty(path: Path) -> None:
    for entry in path.iterdir():
        if entry.name == MARKER:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
