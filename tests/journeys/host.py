"""One command of ours in a process of its own, as on a host of its own: started, paused, killed.

Knows processes and their log; what is done to them when is the tests' business.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_OURS = ("HUBSPOT_", "VAPI_", "TAP_", "TARGET_")
_START_S = 60.0


class Host:
    """One command of ours and its children: a receiver or a worker, on a host of its own."""

    def __init__(
        self, name: str, folder: Path, command: Sequence[str], variables: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        self.data_dir = folder / name
        self._folder = folder
        self._command = command
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
        self._environment = {
            **inherited,
            **variables,
            "HUBSPOT_CALLS_DATA_DIR": str(self.data_dir),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, without waiting for anything."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hubspot_calls", *self._command],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def is_up(self) -> bool:
        """Whether it was started and not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the command itself; 0 before it was started."""
        return self._process.pid if self._process is not None else 0

    def wait_until_it_says(self, pattern: str) -> str:
        """The last match in its log, once there is one."""
        give_up_at = time.monotonic() + _START_S
        while True:
            found = re.findall(pattern, self.log())
            if found:
                return str(found[-1])
            assert self.is_up, self.log()[-3000:]
            assert time.monotonic() < give_up_at, self.log()[-3000:]
            time.sleep(0.05)

    def kill(self) -> None:
        """Ends it with all its children, as a host ends that loses power."""
        self._signal_all(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(_START_S)

    def pause(self) -> None:
        """Stops it with all its children, for as long as nobody resumes it."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self._signal_all(signal.SIGCONT)

    def stop(self) -> float:
        """Seconds it took to end in order."""
        assert self._process is not None
        begun = time.monotonic()
        self._process.terminate()
        self._process.wait(_START_S)
        return time.monotonic() - begun

    def end(self) -> None:
        """Ends whatever is left of it."""
        if self.is_up:
            self.kill()

    def log(self) -> str:
        """All that it said."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def _signal_all(self, number: int) -> None:
        assert self._process is not None
        # Children first: they end by themselves when their parent does.
        for pid in (*_children(self._process.pid), self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found
