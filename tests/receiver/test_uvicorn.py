"""What receiver/protocol.py counts on inside uvicorn, so that a new version fails here first."""

from __future__ import annotations

import hashlib
import inspect
import socket
import threading

import httptools
import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server

from receiver.connections import ConnectionBounds
from receiver.server import build_server

# Methods that ours replaces or leans on, as they were when it was written.
KNOWN = {
    HttpToolsProtocol.connection_made: "6efb565ff3d36b91",
    HttpToolsProtocol.connection_lost: "c91a4c9bf2e29c55",
    HttpToolsProtocol.data_received: "010a7ae59a5d3b1a",
    HttpToolsProtocol.on_headers_complete: "1ea8589acfad92d8",
    HttpToolsProtocol.on_body: "dba9c32aeba35b6a",
    HttpToolsProtocol.on_message_complete: "1fbad42dc31fc01f",
    HttpToolsProtocol.on_response_complete: "64e254f28e389e76",
    HttpToolsProtocol.shutdown: "d7351fa33f00d430",
    HttpToolsProtocol._unset_keepalive_if_required: "00a6a4e47214e68e",
    RequestResponseCycle.run_asgi: "0f33f2449a444bc2",
    RequestResponseCycle.send: "abdd8601b326a8da",
    RequestResponseCycle.receive: "8124ae006be71184",
    Server.shutdown: "9b33c50562992b1e",
}


@pytest.mark.parametrize("method", KNOWN, ids=lambda method: method.__qualname__)
def test_uvicorns_own_code_is_what_ours_was_written_for(method):
    digest = hashlib.sha256(inspect.getsource(method).encode()).hexdigest()[:16]

    assert digest == KNOWN[method], (
        f"uvicorn has changed {method.__qualname__}: compare it with receiver/protocol.py, mend"
        f" what no longer fits, then write {digest} here"
    )


def test_a_connection_has_the_attributes_that_ours_reads():
    seen = {}

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            for part in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{part}.complete"})
            return
        (connection,) = server.server_state.connections
        seen["under way"] = look_at(connection)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        seen["answered"] = look_at(connection)

    def look_at(connection):
        return {
            "protocol": isinstance(connection, HttpToolsProtocol),
            "cycle": isinstance(connection.cycle, RequestResponseCycle),
            "more_body": connection.cycle.more_body,
            "response_started": connection.cycle.response_started,
            "response_complete": connection.cycle.response_complete,
            "disconnected": connection.cycle.disconnected,
            "keep_alive": connection.cycle.keep_alive,
            "wakes": callable(connection.cycle.message_event.set),
            "waiting requests": len(connection.pipeline),
            "ends idling": callable(connection.timeout_keep_alive_handler),
            "idle seconds": connection.timeout_keep_alive,
            "idle timer": connection.timeout_keep_alive_task is not None,
            "write_paused": connection.flow.write_paused,
            "closing": connection.transport.is_closing(),
            "headers": connection.headers,
            "client": connection.client[0],
            "clock": connection.loop.time() > 0,
            "date": [name for name, _ in connection.server_state.default_headers],
        }

    listening = threading.Event()
    server = build_server(
        app,
        "127.0.0.1",
        0,
        on_listening=lambda _: listening.set(),
        bounds=ConnectionBounds(head_timeout_s=5),
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    assert listening.wait(10)

    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as sender:
        sender.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = sender.recv(65536)
    server.should_exit = True
    thread.join(10)

    always = {
        "protocol": True,
        "cycle": True,
        "more_body": False,
        "disconnected": False,
        "keep_alive": True,
        "wakes": True,
        "waiting requests": 0,
        "ends idling": True,
        "idle seconds": 75,
        "write_paused": False,
        "closing": False,
        "headers": [(b"host", b"x")],
        "client": "127.0.0.1",
        "clock": True,
        "date": [b"date"],
    }
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert seen == {
        "under way": {
            **always,
            "response_started": False,
            "response_complete": False,
            "idle timer": False,
        },
        "answered": {
            **always,
            "response_started": True,
            "response_complete": True,
            "idle timer": True,
        },
    }


def test_the_parser_stops_at_a_callback_that_raises_and_hands_its_reason_on():
    class Sender:
        def on_headers_complete(self):
            raise KeyError("reason")

    parser = httptools.HttpRequestParser(Sender())

    with pytest.raises(httptools.HttpParserError) as caught:
        parser.feed_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert isinstance(caught.value.__context__, KeyError)
