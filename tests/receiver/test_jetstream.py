"""The webhook's door before a call stream that JetStream keeps."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from call_stream.excerpt import record_from_excerpt
from call_stream.jetstream_writer import open_jetstream_writer
from call_stream.stream import open_reader
from receiver.settings import ReceiverSettings
from tests.call_stream.nats_server import NatsServer, nats_server
from tests.needed_servers import or_skip


@pytest.fixture
def server() -> Iterator[NatsServer]:
    """A server of the test's own, to be stopped."""
    with or_skip(), nats_server() as server:
        yield server


def test_a_report_is_answered_200_when_servers_have_it_and_503_while_none_answers(
    serve, report, server
):
    url = server.url("CALLS")
    receiver = serve(
        ReceiverSettings(retry_after_s=7), stream=open_jetstream_writer(url, patience_s=0.5)
    )

    before = receiver.post(report("call-1"))
    server.kill()
    while_away = [receiver.post(report("call-2")), receiver.post(report("call-3"))]
    ready_while_away = receiver.client.get("/readyz")
    server.start()
    afterwards = _post_until_taken(receiver, report("call-4"))

    assert (before.status_code, afterwards.status_code) == (200, 200)
    assert [answer.status_code for answer in while_away] == [503, 503]
    assert {answer.headers["retry-after"] for answer in while_away} == {"7"}
    assert {answer.json()["code"] for answer in while_away} == {"stream_unavailable"}
    assert ready_while_away.json() == {"store": "ok", "stream": "unavailable"}
    stored = [record_from_excerpt(entry.payload).id for entry in open_reader(url).read()]
    assert stored == ["call-1", "call-4"]


def _post_until_taken(receiver, body):
    give_up_at = time.monotonic() + 20
    while True:
        answer = receiver.post(body)
        if answer.status_code != 503 or time.monotonic() > give_up_at:
            return answer
        time.sleep(0.1)
