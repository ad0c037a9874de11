"""Syncs the demo's calls by another command than ours, such as `meltano run`.

Knows how tap and target are told their settings through the environment; nothing of what they do.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from typing import Any

from hubspot_calls.halves import SyncFailed
from hubspot_calls.processes import clean_environment
from hubspot_calls.settings import Settings


def run_command(command: str, settings: Settings) -> float:
    """Seconds the command took, run in the working directory with tap and target set up for it.

    What it prints goes to stderr. Raises SyncFailed when it cannot start or ends with a failure.
    """
    words = shlex.split(command)
    # Where Meltano keeps its bookmarks is whoever runs it to say, and not the demo's.
    meltano = {name: value for name, value in os.environ.items() if name.startswith("MELTANO_")}
    environment = clean_environment(
        meltano
        | _variables("TAP_VAPI", settings.tap_config(follow=False))
        | _variables("TARGET_HUBSPOT_CALLS", settings.target_config())
    )
    started = time.monotonic()
    try:
        ended = subprocess.run(words, env=environment, stdout=2, check=False)  # noqa: S603
    except OSError as err:
        raise SyncFailed(f"{words[0]} cannot be started: {err.strerror}") from err
    if ended.returncode != 0:
        raise SyncFailed(f"{words[0]} ended with exit code {ended.returncode}")
    return time.monotonic() - started


def _variables(prefix: str, config: dict[str, Any]) -> dict[str, str]:
    return {
        f"{prefix}_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in config.items()
    }
