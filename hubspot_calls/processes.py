"""Child processes: started with a clean environment, listened to, and ended by their id.

Knows processes and log lines; it must not know Singer, HubSpot or what a child does.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

# Ours, and those that would change what a Singer plugin does behind our back.
OUR_PREFIXES = ("HUBSPOT_", "VAPI_", "TAP_VAPI_", "TARGET_HUBSPOT_CALLS_", "MELTANO_", "SINGER_")
_LOG_CONFIG = Path(__file__).with_name("child_logging.json")
_KEPT_LINES = 20
# What DuckDB's bindings print where a connection still lives as Python ends: it is closed by then,
# the ledger has long been written, and nobody who runs a sync can do anything about it.
_OF_NANOBIND = re.compile(
    r"nanobind: leaked \d+ (instances|keep_alive records|types|functions)!"
    r"|nanobind: this is likely caused by a reference counting issue in the binding code\."
    r"| - leaked (instance 0x[0-9a-f]+ of type|type|function) \"[^\"]*\""
    r"| - \.\.\. skipped remainder"
    r"|See https://nanobind\.readthedocs\.io/en/latest/refleaks\.html"
)

LineHandler = Callable[[Mapping[str, Any]], None]
Reword = Callable[[str], str]


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without any variable of ours, and then `extra`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(OUR_PREFIXES)}
    return {**kept, **(extra or {})}


def singer_log_environment(level: str) -> dict[str, str]:
    """Variables that make a Singer plugin log JSON lines, from INFO on whatever we show of them.

    The target says its counts at INFO.
    """
    level = "DEBUG" if level == "debug" else "INFO"
    return {"SINGER_SDK_LOG_CONFIG": str(_LOG_CONFIG), "LOGLEVEL": level}


class ChildProcess:
    """One of our commands in a process of its own, which ends when this process does.

    `documents` are handed over as JSON files, each with the option that names it.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str] = (),
        *,
        environment: Mapping[str, str],
        directory: Path,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        documents: Mapping[str, Any] | None = None,
        on_line: LineHandler | None = None,
        reword: Reword = str,
    ) -> None:
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.last_error: str | None = None
        self._logger = logging.getLogger(name)
        self._on_line = on_line
        self._reword = reword
        lifeline, self._lifeline = os.pipe()
        try:
            with ExitStack() as files:
                passed = [lifeline]
                extra: list[str] = []
                for option, document in (documents or {}).items():
                    file = files.enter_context(tempfile.TemporaryFile())
                    file.write(json.dumps(document).encode())
                    file.flush()
                    file.seek(0)
                    # A file without a name: secrets are neither in the arguments, which everybody
                    # may list, nor in a place that a kill -9 would leave behind.
                    passed.append(file.fileno())
                    extra += [option, f"/dev/fd/{file.fileno()}"]
                self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                    [
                        *(sys.executable, "-P", "-m", "hubspot_calls.child"),
                        *(str(lifeline), name, module, *extra, *arguments),
                    ],
                    stdin=stdin,
                    stdout=stdout,
                    stderr=subprocess.PIPE,
                    env=dict(environment),
                    cwd=directory,
                    pass_fds=passed,
                    # Ctrl-C reaches the whole foreground group; children are told by us, in order.
                    start_new_session=True,
                )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(lifeline)
        self._relay = threading.Thread(target=self._relay_stderr, name=f"{name}-log", daemon=True)
        self._relay.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def stdout(self) -> IO[bytes]:
        """The child's stdout, where it was asked for."""
        assert self._process.stdout is not None  # noqa: S101 - a mistake of the caller's
        return self._process.stdout

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """The exit code, or None if it still runs after `timeout_s` seconds."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._relay.join(timeout=2)
        return code

    def terminate(self) -> None:
        """Ask the child to finish what it is at and end."""
        if self.exit_code is None:
            self._process.terminate()

    def kill(self) -> int:
        """End the child by force if it still runs; return its exit code."""
        if self.exit_code is None:
            self._logger.warning("did not end in time and was killed")
            self._process.kill()
        code = self.wait()
        return code if code is not None else -1

    def close(self, grace_s: float = 10.0) -> int:
        """End the child, by force once `grace_s` seconds have passed; return its exit code."""
        self.terminate()
        self.wait(grace_s)
        code = self.kill()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def _relay_stderr(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - set when it was started
        with self._process.stderr as stderr:
            for raw in stderr:
                self._hear(raw.decode("utf-8", "replace").rstrip())

    def _hear(self, text: str) -> None:
        if not text or _OF_NANOBIND.fullmatch(text):
            return
        line = _parse_line(text)
        message, level = self._reword(str(line["message"])), str(line["level"])
        self.last_lines.append(message)
        if level in ("error", "critical"):
            self.last_error = message
        if self._on_line is not None:
            self._on_line(line)
        self._logger.log(logging.getLevelName(level.upper()), "%s", message)


def _parse_line(text: str) -> Mapping[str, Any]:
    """A log line of a child as level, message and extra; a bare line counts as INFO."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or "message" not in found:
        return {"level": "info", "message": text, "extra": {}}
    level = str(found.get("level", "info"))
    if level not in ("debug", "info", "warning", "error", "critical"):
        level = "info"
    message = str(found["message"])
    exception = found.get("exception")
    if isinstance(exception, dict):
        message = f"{message} ({exception.get('type')}: {exception.get('message')})"
    return {"level": level, "message": message, "extra": found.get("extra") or {}}
