"""The two halves of a run, `tap-vapi` and `target-hubspot-calls`, each as a child process.

Knows the two commands, the settings they are given and what their ends mean; it must not know how
they are joined.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hubspot_calls.processes import (
    ChildProcess,
    LineHandler,
    clean_environment,
    singer_log_environment,
)
from hubspot_calls.run_totals import in_plain_words
from hubspot_calls.settings import Settings
from target_hubspot_calls.errors import CallSyncError

TAP = ("tap-vapi", "tap_vapi.tap")
TARGET = ("target-hubspot-calls", "target_hubspot_calls.target")

ENDED_AS_ASKED = (0, -signal.SIGTERM, 128 + signal.SIGTERM)

Progress = Callable[[], None]


class SyncFailed(CallSyncError):
    """A run that ended before its time; says which half failed, and its last error."""


@dataclass(frozen=True)
class RunEnd:
    """How a run ended; `fault` is None when all input was taken over, or when it was stopped."""

    fault: str | None
    stopped: bool
    signum: int | None = None
    seconds: float = 0.0
    read_elsewhere: str | None = None
    """Who read the stream instead, where the stream is shared and another process reads it."""


def start_tap(
    settings: Settings,
    *,
    follow: bool,
    arguments: Sequence[str] = (),
    state: str | None = None,
    stdout: int = subprocess.PIPE,
) -> ChildProcess:
    """A tap that has begun to read; `state` is handed over in a file of its own without a name."""
    documents: dict[str, Any] = {"--config": settings.tap_config(follow=follow)}
    if state is not None:
        documents["--state"] = json.loads(state)
    return ChildProcess(
        *TAP,
        arguments,
        documents=documents,
        environment=_environment(settings),
        directory=Path.cwd(),  # relative paths in the settings' URLs start here
        stdout=stdout,
    )


def start_target(
    settings: Settings, *, stdin: IO[bytes] | int, on_line: LineHandler | None
) -> ChildProcess:
    """A target that has begun to read `stdin`, and to deliver what is due."""
    return ChildProcess(
        *TARGET,
        documents={"--config": settings.target_config()},
        environment=_environment(settings),
        directory=Path.cwd(),
        stdin=stdin,
        on_line=on_line,
        reword=in_plain_words,
    )


def describe_end(child: ChildProcess, code: int) -> str:
    """How a half ended, with the last thing it said."""
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    last = child.last_error or (child.last_lines[-1] if child.last_lines else None)
    return f"{child.name} {how}" + (f": {last}" if last else "; it said nothing")


def _environment(settings: Settings) -> dict[str, str]:
    return clean_environment(singer_log_environment(settings.log_level))
