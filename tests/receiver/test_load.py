"""More senders and more bytes than the receiver serves at once."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from call_stream.excerpt import record_from_excerpt
from receiver.connections import ConnectionBounds
from receiver.settings import ReceiverSettings


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def a_post(receiver, body):
    head = (
        f"POST {receiver.path} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {receiver.secret}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def test_a_flood_of_senders_is_served_or_told_to_come_back(serve, report):
    receiver = serve(bounds=ConnectionBounds(max_connections=256))
    port = int(receiver.url.rpartition(":")[2])
    acknowledged = []
    outcomes = Counter()

    async def send(lane):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            outcomes["refused"] += 1
            return
        try:
            for number in range(3):
                call_id = f"{lane}-{number}"
                body = json.dumps(report(call_id, artifact={"transcript": "a" * 4000})).encode()
                writer.write(a_post(receiver, body))
                status = (await reader.readuntil(b"\r\n"))[9:12]
                outcomes[status.decode()] += 1
                if status == b"200":
                    acknowledged.append(call_id)
                await reader.readuntil(b"}")
        except (OSError, asyncio.IncompleteReadError):
            outcomes["closed"] += 1
        finally:
            writer.close()

    async def flood():
        await asyncio.gather(*[send(lane) for lane in range(1000)])

    before = resident_bytes()
    asyncio.run(asyncio.wait_for(flood(), 50))
    grown = resident_bytes() - before
    started = time.monotonic()
    afterwards = [receiver.post(report(f"after-{number}")).status_code for number in range(50)]
    took_s = time.monotonic() - started

    stored = {record_from_excerpt(entry.payload).id for entry in receiver.stored()}
    assert set(acknowledged) <= stored
    assert outcomes["200"] > 256
    assert set(outcomes) <= {"200", "503", "closed", "refused"}
    assert grown < 150_000_000
    assert afterwards == [200] * 50
    assert took_s < 5


@pytest.mark.long
def test_a_flood_that_lasts_is_weathered_and_forgotten(serve, report):
    receiver = serve(bounds=ConnectionBounds(max_connections=256))
    port = int(receiver.url.rpartition(":")[2])
    lasts_s = float(os.environ.get("TEST_FLOOD_S", "6"))
    acknowledged = []
    outcomes = Counter()

    async def keep_sending(lane, until):
        sent = 0
        while time.monotonic() < until:
            writer = None
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                while time.monotonic() < until:
                    sent += 1
                    call_id = f"{lane}-{sent}"
                    writer.write(a_post(receiver, json.dumps(report(call_id)).encode()))
                    status = (await reader.readuntil(b"\r\n"))[9:12].decode()
                    outcomes[status] += 1
                    if status == "200":
                        acknowledged.append(call_id)
                    await reader.readuntil(b"}")
            except (OSError, asyncio.IncompleteReadError):
                outcomes["closed"] += 1
                await asyncio.sleep(0.05)
            finally:
                if writer is not None:
                    writer.close()

    async def flood():
        until = time.monotonic() + lasts_s
        await asyncio.gather(*[keep_sending(lane, until) for lane in range(1000)])

    asyncio.run(flood())
    before = resident_bytes()
    asyncio.run(flood())
    grown = resident_bytes() - before
    latencies_s = []
    for number in range(100):
        started = time.monotonic()
        assert receiver.post(report(f"after-{number}")).status_code == 200
        latencies_s.append(time.monotonic() - started)

    stored = {record_from_excerpt(entry.payload).id for entry in receiver.stored()}
    assert set(acknowledged) <= stored
    assert len(acknowledged) == outcomes["200"] > 1000
    assert set(outcomes) <= {"200", "503", "closed"}
    assert grown < 100_000_000
    assert sorted(latencies_s)[98] < 0.5


def test_bodies_in_hand_are_bounded_over_all_connections(serve, report):
    receiver = serve(ReceiverSettings(max_body_bytes=400_000, max_in_flight_bytes=1_000_000))
    body = json.dumps(report()).encode().ljust(400_000)
    slow = [receiver.connect() for _ in range(4)]

    for connection in slow:
        connection.sendall(a_post(receiver, body)[:300_000])
        time.sleep(0.1)
    small = receiver.post(report("small"))
    large = receiver.post(body)
    refused = [connection.recv(65536) for connection in slow[2:]]
    for connection in slow[:2]:
        connection.sendall(a_post(receiver, body)[300_000:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    again = receiver.post(body)
    for connection in slow:
        connection.close()

    assert [answer[:12] for answer in refused] == [b"HTTP/1.1 503"] * 2
    assert all(b"retry-after: " in answer for answer in refused)
    assert (small.status_code, large.status_code, large.json()["code"]) == (200, 503, "busy")
    assert again.status_code == 200
    assert len(receiver.stored()) == 4
