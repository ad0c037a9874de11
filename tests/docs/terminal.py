"""A terminal in a scratch directory, in which the commands of a page are typed one after the other.

Knows a shell and which of our commands go on until they are stopped; it must not know any page. A
`hubspot-calls` that ends by itself runs in this process, as starting Python takes most of its time.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from unittest.mock import patch

from hubspot_calls.cli import run as run_here
from hubspot_calls.processes import clean_environment
from tests.documents import ROOT, Step

# Pages name these ports; here each becomes a free one, as others may use this machine too.
RECEIVER_PORT, SIMULATOR_PORT = 8000, 8900
_GOES_ON = re.compile(r"^hubspot-calls (serve|simulator|work)\b")
_PLAIN = re.compile(r"hubspot-calls (?P<arguments>[^|<>&;$\n]*?)(?: < (?P<stdin>\S+))?")
_LISTENS_WITHIN_S = 40.0
_SAYS_WITHIN_S = 20.0
_PLACEHOLDER = re.compile(r"<([A-Za-z ]+)>")
# A history is asked for again until the call has arrived; people do the same.
_ASKED_AGAIN = ("hubspot-calls history", "hubspot-calls connections list")


class WrongPage(AssertionError):
    """A command of a page failed, or did not print what the page says."""


class Terminal:
    """Where commands are typed; what they start is stopped when it is left."""

    def __init__(self, directory: Path, variables: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.ports = {port: _free_port() for port in (RECEIVER_PORT, SIMULATOR_PORT)}
        self._environment = clean_environment(
            {
                "HOME": str(directory),
                "COLUMNS": "160",
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "HUBSPOT_CALLS_PUBLIC_URL": f"http://127.0.0.1:{self.ports[RECEIVER_PORT]}",
                **(variables or {}),
            }
        )
        self._started: list[subprocess.Popen[bytes]] = []
        self._printed = ""
        for name in ("sample_data", "examples"):
            (directory / name).symlink_to(ROOT / name)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def follow(self, step: Step) -> str:
        """What the command of the step printed. Raises WrongPage."""
        command = self._as_typed(step.command)
        if _GOES_ON.match(command):
            self._start(command)
            return ""
        give_up_at = time.monotonic() + _SAYS_WITHIN_S
        while True:
            printed = self._run(command, step)
            if says(printed, self._with_ports(step.printed)):
                self._printed += printed
                return printed
            if not command.startswith(_ASKED_AGAIN) or time.monotonic() > give_up_at:
                raise WrongPage(
                    f"line {step.line}: `{step.command}` must print\n{step.printed}\n"
                    f"and prints\n{printed}"
                )
            time.sleep(0.2)

    def run(self, command: str) -> str:
        """What a command prints that stands on no page. Raises WrongPage."""
        return self.follow(Step(command, "", 0))

    def stop(self, *, hard: bool = False) -> None:
        """Ends what goes on, as Ctrl-C does, or as a power cut would."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL if hard else signal.SIGINT)
        for process in self._started:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._started.clear()

    def _run(self, command: str, step: Step) -> str:
        plain = _PLAIN.fullmatch(command)
        code, printed = self._here(plain) if plain else self._by_shell(command)
        if code != 0:
            raise WrongPage(f"line {step.line}: `{command}` failed:\n{printed}")
        return printed

    def _here(self, plain: re.Match[str]) -> tuple[int, str]:
        printed = io.StringIO()
        stdin = Path(self.directory, plain["stdin"]).read_text() if plain["stdin"] else ""
        with (
            patch.dict(os.environ, self._environment, clear=True),
            patch("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))),
            contextlib.chdir(self.directory),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            code = run_here(shlex.split(plain["arguments"]))
        return code, printed.getvalue()

    def _by_shell(self, command: str) -> tuple[int, str]:
        kept = self.directory / ".kept-variables"
        # Variables that a page sets are there for its next command, as in a shell.
        script = f"[ -f {kept} ] && . {kept}\n{command}\nended=$?\ndeclare -p > {kept}.new\n"
        script += f"grep -E '^declare -- [A-Z_]+=' {kept}.new > {kept}\nexit $ended\n"
        ended = subprocess.run(
            ["bash", "-c", script],
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=50,
            check=False,
        )
        return ended.returncode, ended.stdout

    def _start(self, command: str) -> None:
        words = command.split()
        port = int(words[words.index("--port") + 1]) if "--port" in words else None
        if port is None:
            port = self.ports[RECEIVER_PORT]
            command = command.replace(words[1], f"{words[1]} --port {port}", 1)
        with (self.directory / f".{words[1]}.log").open("ab") as log:
            self._started.append(
                subprocess.Popen(
                    ["bash", "-c", f"exec {command}"],
                    cwd=self.directory,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
        give_up_at = time.monotonic() + _LISTENS_WITHIN_S
        while not _listens(port):
            if self._started[-1].poll() is not None or time.monotonic() > give_up_at:
                said = (self.directory / f".{words[1]}.log").read_text()
                raise WrongPage(f"`{command}` does not listen on {port}:\n{said}")
            time.sleep(0.05)

    def _as_typed(self, command: str) -> str:
        """The command with what an earlier one printed put in, `<secret>` and the like."""

        def printed(found: re.Match[str]) -> str:
            label = re.escape(found[1])
            said = re.findall(rf"^{label} +(\S+)$", self._printed, re.MULTILINE)
            if not said:
                raise WrongPage(f"no command before `{command}` printed a line {found[1]!r}")
            return str(said[-1])

        return _PLACEHOLDER.sub(printed, self._with_ports(command))

    def _with_ports(self, text: str) -> str:
        for port, free in self.ports.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}")
            text = text.replace(f"--port {port}", f"--port {free}")
        return text


def says(printed: str, expected: str) -> bool:
    """Whether all that is expected was printed, in order; `...` stands for anything, or nothing."""
    parts = [re.escape(part) for part in expected.split()]
    pattern = r"\s+".join(parts).replace(re.escape("..."), r"[\s\S]*?")
    # Around one that stands alone there need be nothing at all.
    pattern = pattern.replace(r"\s+[\s\S]*?", r"[\s\S]*?").replace(r"[\s\S]*?\s+", r"[\s\S]*?")
    return re.search(pattern, printed) is not None


def _listens(port: int) -> bool:
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
