"""A receiver on a real port with a real store and a real stream, and raw sockets to torment it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from call_stream.stream import CallStreamWriter, StreamEntry, open_reader, open_writer
from receiver.app import create_app
from receiver.connections import ConnectionBounds
from receiver.lookups import WebhookDirectory
from receiver.server import ReceiverServer, build_server
from receiver.settings import ReceiverSettings
from target_hubspot_calls.store.database import open_database
from target_hubspot_calls.store.webhooks import Webhooks


class RunningReceiver:
    """A served receiver, one webhook to send to, and what is on disk since it was made."""

    def __init__(
        self, server: ReceiverServer, thread: threading.Thread, stream_url: str, webhooks: Webhooks
    ) -> None:
        self.server = server
        self.thread = thread
        self.url = server.url
        self.stream_url = stream_url
        self.webhooks = webhooks
        self.webhook, self.secret = webhooks.create("ada", "analytics")
        self.path = f"/api/webhooks/{self.webhook.id}"
        self.client = httpx.Client(base_url=self.url, timeout=20, trust_env=False)
        self._start = open_reader(stream_url).end()

    def again(self) -> RunningReceiver:
        """The same receiver with a webhook of its own, as if nothing had been stored."""
        return RunningReceiver(self.server, self.thread, self.stream_url, self.webhooks)

    def stop(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join(15)
        assert not self.thread.is_alive()

    def post(self, body: Any, **options: Any) -> httpx.Response:
        """The answer to a body, sent with the webhook's secret unless headers say otherwise."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"X-Vapi-Secret": self.secret, **options.pop("headers", {})}
        path = options.pop("path", self.path)
        return self.client.post(path, content=content, headers=headers, **options)

    def stored(self) -> list[StreamEntry]:
        return list(open_reader(self.stream_url).read(self._start))

    def connect(self) -> socket.socket:
        host, port = self.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=20)

    def send_raw(self, request: bytes, *, answers: int = 1) -> bytes:
        """Everything that comes back until the connection closes, or falls silent.

        Silence counts only when that many answers have come and none of them says it closes.
        """
        with self.connect() as connection:
            answer = b""
            try:
                connection.sendall(request)
                while chunk := connection.recv(65536):
                    answer += chunk
                    come = answer.count(b"HTTP/1.1 ") >= answers
                    closes = b"connection: close" in answer.lower()
                    connection.settimeout(0.5 if come and not closes else 20)
            except (TimeoutError, ConnectionResetError, BrokenPipeError):
                return answer
            return answer


def a_report(call_id: str = "call-1", **fields: Any) -> dict[str, Any]:
    """An end-of-call report as VAPI sends it."""
    message = {
        "type": "end-of-call-report",
        "endedReason": "customer-ended-call",
        "startedAt": "2026-03-01T10:00:00.000Z",
        "endedAt": "2026-03-01T10:01:00.000Z",
        "call": {"id": call_id, "type": "inboundPhoneCall"},
        "customer": {"number": "+12025550143"},
        "artifact": {"transcript": "AI: Hello.\nUser: Hello.\n"},
        "analysis": {"summary": "Ada asked for the opening hours."},
        **fields,
    }
    return {"message": message}


@pytest.fixture
def report() -> Callable[..., dict[str, Any]]:
    return a_report


def start_receiver(
    directory: Path,
    settings: ReceiverSettings | None = None,
    *,
    stream: CallStreamWriter | None = None,
    webhooks: Callable[[Webhooks], WebhookDirectory] = lambda store: store,
    bounds: ConnectionBounds | None = None,
) -> RunningReceiver:
    """A receiver listening on a free port, with store and stream in `directory`."""
    store = Webhooks(open_database(f"sqlite:///{directory}/store.db"))
    stream_url = f"file:{directory}/stream"
    app = create_app(
        settings or ReceiverSettings(),
        stream=stream or open_writer(stream_url),
        webhooks=webhooks(store),
    )
    listening = threading.Event()
    server = build_server(
        app, "127.0.0.1", 0, on_listening=lambda url: listening.set(), bounds=bounds
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    assert listening.wait(10)
    return RunningReceiver(server, thread, stream_url, store)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., RunningReceiver]]:
    """Starts a receiver in the test's own directory and stops it in good order."""
    running: list[RunningReceiver] = []

    def start(*arguments: Any, **options: Any) -> RunningReceiver:
        running.append(start_receiver(tmp_path, *arguments, **options))
        return running[-1]

    yield start
    for receiver in running:
        receiver.stop()


@pytest.fixture(scope="session")
def shared_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReceiver]:
    receiver = start_receiver(tmp_path_factory.mktemp("receiver"))
    yield receiver
    receiver.stop()


@pytest.fixture
def receiver(shared_receiver: RunningReceiver) -> Iterator[RunningReceiver]:
    """A receiver that other tests use too, with a webhook that they do not."""
    receiver = shared_receiver.again()
    yield receiver
    receiver.client.close()
