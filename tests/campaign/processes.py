"""Starts workers, kills them and waits for their end; only ever touches what it started itself.

Knows nothing of what they do. Forked workers come from a warm server without threads, so a start
costs milliseconds.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.context import ForkServerContext
from pathlib import Path

from tests.campaign.worker import WorkerSpec, work

ROOT = Path(__file__).parents[2]


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.campaign.worker"])
    return context


class Worker:
    """One running worker; a signal reaches this process and never another with its old number."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        spec.folder.mkdir(parents=True)
        self._process: subprocess.Popen[bytes] | None = None
        if spec.mode in ("binary", "process"):
            self._process = self._command()
            self._handle = os.pidfd_open(self._process.pid)
            return
        context = _context()
        inside, outside = context.Pipe(duplex=False)
        forked = context.Process(target=work, args=(spec, inside), daemon=True)
        forked.start()
        inside.close()
        self._forked = forked
        # It waits for the word, so its number is surely its own.
        self._handle = os.pidfd_open(forked.pid or 0)
        outside.send("go")
        outside.close()

    def signal(self, signum: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal; harmless when the process has ended."""
        with suppress(ProcessLookupError, OSError):
            signal.pidfd_send_signal(self._handle, signum)

    def wait(self, timeout_s: float) -> int | None:
        """The exit status, None when it has not ended in time."""
        deadline = time.monotonic() + timeout_s
        ended, _, _ = select.select([self._handle], [], [], timeout_s)
        if not ended:
            return None
        left_s = max(1.0, deadline - time.monotonic())
        if self._process is not None:
            return self._process.wait(left_s)
        self._forked.join(left_s)
        return self._forked.exitcode

    def close(self) -> None:
        """Forgets the process, which has ended."""
        # A late timer must not find another worker's handle under the old number.
        handle, self._handle = self._handle, -1
        os.close(handle)

    def _command(self) -> subprocess.Popen[bytes]:
        """The real command, or a worker with an interpreter of its own."""
        spec = self.spec
        (spec.folder / "input").write_text(spec.input())
        (spec.folder / "spec").write_bytes(pickle.dumps(spec))
        config = spec.folder / "config.json"
        config.write_text(json.dumps(spec.settings))
        # By its module and not its script, so that it is the code beside these tests.
        command = [sys.executable, "-m", "target_hubspot_calls.target", "--config", str(config)]
        if spec.mode == "process":
            command = [sys.executable, "-m", "tests.campaign.worker", str(spec.folder / "spec")]
        with (
            (spec.folder / "input").open() as stdin,
            (spec.folder / "stdout").open("w") as stdout,
            (spec.folder / "stderr").open("w") as stderr,
        ):
            return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, cwd=ROOT)
