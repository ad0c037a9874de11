"""The servers that webhooks.py compares, each in a process of its own.

Run by webhooks.py: python benchmarks/webhook_servers.py KIND FOLDER
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn
from counting_writer import CountingDisk
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from call_stream.disk import Disk
from call_stream.process_writer import open_process_writer
from call_stream.segment_log import Entry, SegmentLog, open_segment_log
from call_stream.stream import (
    DEFAULT_OWNER,
    SEGMENT_BYTES,
    EntryKind,
    EventLoopWriter,
    Owner,
    open_reader,
)
from hubspot_calls.commands import serve as command
from hubspot_calls.rooms import open_store
from hubspot_calls.settings import load_settings

BARE, DURABLE, EACH, JETSTREAM = "bare Starlette", "durable", "fsync per request", "on JetStream"


def serve(kind: str, folder: Path) -> None:
    """Serves until SIGTERM, then writes down what was stored and flushed."""
    # Uvicorn raises the signal again when it has stopped, and then there is still the count.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    headers = {"Content-Type": "application/json"}
    disk, stored = CountingDisk(), 0
    if kind == BARE:
        BareServer(bare_config(), folder).run()
    else:
        os.environ["HUBSPOT_CALLS_DATA_DIR"] = str(folder / "data")
        (folder / "data").mkdir(mode=0o700)
        settings = load_settings(folder)
        with open_store(settings) as store:
            webhook, headers["X-Vapi-Secret"] = store.webhooks.create("bench", "bench")
        run_command(kind, folder, f"/api/webhooks/{webhook.id}", headers, disk)
        stored = sum(1 for _ in open_reader(settings.stream_url).read())
    elsewhere = folder / "fsyncs"
    fsyncs = int(elsewhere.read_text()) if elsewhere.exists() else disk.fsyncs
    (folder / "counted").write_text(json.dumps({"fsyncs": fsyncs, "stored": stored}))


def run_command(
    kind: str, folder: Path, path: str, headers: dict[str, str], disk: CountingDisk
) -> None:
    """Runs `hubspot-calls serve --no-sync` as it is, but for its stream's disk being counted."""
    build_server = vars(command)["build_server"]
    writer = str(Path(__file__).with_name("counting_writer.py"))

    def open_stream(url: str, **options: float | None) -> EventLoopWriter:
        directory = Path(url.removeprefix("file:"))
        if kind == EACH:
            return OneByOne(directory, disk)
        return open_process_writer(directory, program=[writer, str(folder / "fsyncs")])

    def build(*arguments: Any, on_listening: Callable[[str], None], **options: Any) -> Any:
        def told(url: str) -> None:
            on_listening(url)
            announce(folder, url + path, headers)

        return build_server(*arguments, on_listening=told, **options)

    vars(command).update(build_server=build)
    if kind != JETSTREAM:
        vars(command).update(open_event_loop_writer=open_stream)
    command.serve.main(["--no-sync", "--port", "0"], standalone_mode=False)


def announce(folder: Path, url: str, headers: dict[str, str]) -> None:
    """Tells the other process where to post, in one step."""
    temporary = folder / "address.tmp"
    temporary.write_text(json.dumps({"url": url, "headers": headers}))
    temporary.rename(folder / "address")


def bare() -> Starlette:
    """The least that reads a body and answers 200."""

    async def endpoint(request: Request) -> Response:
        await request.body()
        return Response(b"{}", media_type="application/json")

    return Starlette(routes=[Route("/api/webhooks/{webhook_id}", endpoint, methods=["POST"])])


def bare_config() -> uvicorn.Config:
    """Uvicorn's settings as our server has them, with nothing of ours added."""
    return uvicorn.Config(
        bare(),
        port=0,
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
    )


class BareServer(uvicorn.Server):
    """A uvicorn server as it comes, which says where it listens."""

    def __init__(self, config: uvicorn.Config, folder: Path) -> None:
        super().__init__(config)
        self._folder = folder

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        headers = {"Content-Type": "application/json"}
        announce(self._folder, f"http://127.0.0.1:{port}/api/webhooks/bare", headers)


class OneByOne:
    """The same stream without group commit: each entry written and flushed alone, in a thread."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        self._log: SegmentLog = open_segment_log(
            directory, segment_bytes=SEGMENT_BYTES, retention_days=None, disk=disk
        )
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor()

    def append_async(
        self, kind: EntryKind, payload: bytes, *, owner: Owner = DEFAULT_OWNER
    ) -> asyncio.Future[int]:
        return asyncio.wrap_future(self._threads.submit(self._store, kind, payload))

    def check(self) -> None:
        return

    def close(self) -> None:
        self._threads.shutdown()
        with self._lock:
            if self._log.fault is None:
                self._log.close()
                self._log.fault = "closed"

    def _store(self, kind: EntryKind, payload: bytes) -> int:
        with self._lock:
            return self._log.append([Entry(int(kind), time.time_ns(), payload)])[0]


if __name__ == "__main__":
    logging.captureWarnings(capture=True)
    serve(sys.argv[1], Path(sys.argv[2]))
