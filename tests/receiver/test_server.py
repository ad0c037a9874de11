import socket
import subprocess
import sys

import pytest

from receiver.server import CannotListen, build_server

REQUESTS = {
    "both lengths": b"POST PATH HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST PATH HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    b"Content-Length: 6\r\n\r\nabcdef",
    "a negative length": b"POST PATH HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a length in words": b"POST PATH HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
    "a bare line feed": b"POST PATH HTTP/1.1\nHost: x\n\n",
    "a NUL in a header": b"POST PATH HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "a bad chunk": b"POST PATH HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: SECRET\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "an unknown transfer coding": b"POST PATH HTTP/1.1\r\nHost: x\r\n"
    b"Transfer-Encoding: gzip\r\n\r\n",
    "bytes above 127 in the secret": b"POST PATH HTTP/1.1\r\nHost: x\r\n"
    b"X-Vapi-Secret: \xff\xfe\r\nContent-Length: 2\r\n\r\n{}",
    "bytes above 127 in the path": b"POST /api/webhooks/\xff HTTP/1.1\r\nHost: x\r\n"
    b"Content-Length: 0\r\n\r\n",
    "a broken percent sign": b"POST /api/webhooks/%zz HTTP/1.1\r\nHost: x\r\n"
    b"Content-Length: 0\r\n\r\n",
    "a lone surrogate in the path": b"GET /%ed%a0%80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no secret": b"POST PATH HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    "no body at all": b"POST PATH HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: SECRET\r\n\r\n",
    "an upgrade": b"GET PATH HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_bad_request_is_the_senders_fault(receiver, name):
    request = REQUESTS[name].replace(b"PATH", receiver.path.encode())
    request = request.replace(b"SECRET", receiver.secret.encode())

    answer = receiver.send_raw(request)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    assert receiver.stored() == []
    assert receiver.client.get("/healthz").status_code == 200


def test_a_websocket_is_turned_away(receiver):
    request = (
        f"GET {receiver.path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )

    answer = receiver.send_raw(request.encode())

    assert answer.startswith(b"HTTP/1.1 4")


def test_a_connection_goes_on_unless_a_large_body_was_refused(receiver):
    good = (
        f"POST {receiver.path} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {receiver.secret}\r\n"
        "Content-Length: 2\r\n\r\n{}"
    ).encode()
    bad = good.replace(receiver.secret.encode(), b"wrong")

    large = bad.replace(b"Content-Length: 2", b"Content-Length: 100000") + bytes(100_000)
    answers = [
        receiver.send_raw(good * 3, answers=3),
        receiver.send_raw(bad * 3, answers=3),
        receiver.send_raw(large * 3),
    ]

    assert [answer.count(b"HTTP/1.1 ") for answer in answers] == [3, 3, 1]
    assert [b"connection: close" in answer for answer in answers] == [False, False, True]


def test_a_port_in_use_is_a_clear_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(CannotListen, match=rf"127\.0\.0\.1:{port}: Address already in use"):
            build_server(None, "127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 99999), ("no.such.host.invalid", 0)])
def test_an_address_that_is_none_is_a_clear_error(host, port):
    with pytest.raises(CannotListen, match="cannot listen on"):
        build_server(None, host, port)


_PROCESS = """
import sys
from call_stream.stream import open_writer
from receiver.app import create_app
from receiver.server import serve
from receiver.settings import ReceiverSettings

class NoWebhooks:
    def get(self, webhook_id):
        return None

app = create_app(ReceiverSettings(), stream=open_writer(sys.argv[1]), webhooks=NoWebhooks())
serve(app, "127.0.0.1", 0, on_listening=lambda url: print(url, flush=True))
"""


def test_a_terminated_receiver_closes_its_stream(tmp_path):
    url = f"file:{tmp_path}/stream"
    process = subprocess.Popen(
        [sys.executable, "-c", _PROCESS, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    listening = process.stdout.readline()

    process.terminate()
    _, errors = process.communicate(timeout=15)

    assert listening.startswith("http://127.0.0.1:")
    assert "Traceback" not in errors
    assert process.returncode in (0, -15)
