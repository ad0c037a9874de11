"""The data directory: made for its owner alone, and what is wrong with it as a sentence.

Knows one directory; what lies in it is the rooms' business.
"""

from __future__ import annotations

import stat
from pathlib import Path

from target_hubspot_calls.errors import CallSyncError

_VARIABLE = "HUBSPOT_CALLS_DATA_DIR"


class DataDirUnusable(CallSyncError):
    """The data directory cannot be had where the settings say."""


def check_data_dir(path: Path) -> None:
    """Return where there is a directory, or nothing at all, at `path`. Raises DataDirUnusable."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as err:
        raise _unusable(path, err) from err
    if not stat.S_ISDIR(mode):
        raise DataDirUnusable(f"{_VARIABLE} {path} is a file, not a directory; name another")


def make_data_dir(path: Path) -> None:
    """Make the directory (0700) where it is missing. Raises DataDirUnusable."""
    check_data_dir(path)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as err:
        raise _unusable(path, err) from err


def _unusable(path: Path, err: OSError) -> DataDirUnusable:
    for parent in path.parents:
        if isinstance(err, NotADirectoryError) and parent.is_file():
            return DataDirUnusable(
                f"{_VARIABLE} {path} cannot be made: {parent} is a file, not a directory"
            )
    if isinstance(err, PermissionError):
        return DataDirUnusable(
            f"{_VARIABLE} {path} cannot be made or entered: this user lacks the right to;"
            " change the rights, or name another"
        )
    if isinstance(err, FileExistsError):
        return DataDirUnusable(f"{_VARIABLE} {path} is a link to nowhere; mend it, or name another")
    reason = err.strerror or type(err).__name__
    return DataDirUnusable(f"{_VARIABLE} {path} cannot be used ({reason}); name another")
