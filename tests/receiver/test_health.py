import threading
import time
from types import SimpleNamespace

import pytest

from call_stream.disk import Disk
from call_stream.file_writer import open_file_writer
from call_stream.stream import StreamUnavailable
from receiver.health import StreamWatch, space_left
from receiver.settings import ReceiverSettings


def wait_for(check, timeout_s=10):
    give_up_at = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


class Stream:
    def __init__(self):
        self.fault = None

    def check(self):
        if self.fault:
            raise StreamUnavailable(self.fault)


def an_event(outcome):
    return SimpleNamespace(outcome=outcome)


def test_a_stream_is_ok_until_it_says_otherwise():
    stream = Stream()
    watch = StreamWatch(stream)

    before = watch.state()
    stream.fault = "The disk of secret-host is full."

    assert (before, watch.state()) == ("ok", "unavailable")


def test_a_stream_that_refuses_calls_is_unavailable_whatever_it_says():
    now = [100.0]
    watch = StreamWatch(Stream(), clock=lambda: now[0])

    watch.on_event(an_event("stream_unavailable"), 0.1)
    refused = watch.state()
    watch.on_event(an_event("unauthorized"), 0.1)
    still = watch.state()
    watch.on_event(an_event("stored"), 0.1)

    assert (refused, still, watch.state()) == ("unavailable", "unavailable", "ok")


def test_a_refusal_is_forgotten_when_nobody_has_called_for_a_while():
    now = [100.0]
    watch = StreamWatch(Stream(), clock=lambda: now[0])

    watch.on_event(an_event("stream_unavailable"), 0.1)
    now[0] += 10

    assert watch.state() == "ok"


def test_a_queue_too_full_for_a_call_makes_the_receiver_not_ready(serve, report, tmp_path):
    class HangingDisk(Disk):
        def fdatasync(self, fd):
            assert go_on.wait(20)
            super().fdatasync(fd)

    go_on = threading.Event()
    writer = open_file_writer(tmp_path / "stream", disk=HangingDisk(), max_queued_bytes=3000)
    receiver = serve(stream=writer)
    waiting = [
        threading.Thread(target=receiver.post, args=(report(str(number)),)) for number in range(8)
    ]
    for each in waiting:
        each.start()
    wait_for(lambda: receiver.client.get("/readyz").status_code == 503)
    while_hanging = receiver.client.get("/readyz")
    alive = receiver.client.get("/healthz")
    go_on.set()
    for each in waiting:
        each.join(20)
    receiver.post(report("after"))
    afterwards = receiver.client.get("/readyz")

    assert while_hanging.status_code == 503
    assert while_hanging.json() == {"store": "ok", "stream": "unavailable"}
    assert (afterwards.status_code, afterwards.json()["stream"]) == (200, "ok")
    assert alive.status_code == 200


def test_a_disk_that_hangs_makes_the_receiver_not_ready(serve, report, tmp_path):
    class HangingDisk(Disk):
        def fdatasync(self, fd):
            hangs.set()
            assert go_on.wait(20)
            super().fdatasync(fd)

    now = [100.0]
    hangs, go_on = threading.Event(), threading.Event()
    writer = open_file_writer(tmp_path / "stream", disk=HangingDisk(), clock_s=lambda: now[0])
    receiver = serve(stream=writer)
    waiting = threading.Thread(target=receiver.post, args=(report(),))
    waiting.start()
    assert hangs.wait(10)
    at_first = receiver.client.get("/readyz")
    now[0] += 6
    later = receiver.client.get("/readyz")
    go_on.set()
    waiting.join(20)

    assert at_first.status_code == 200
    assert (later.status_code, later.json()["stream"]) == (503, "unavailable")
    assert receiver.client.get("/readyz").status_code == 200


@pytest.mark.parametrize(("low_disk_bytes", "state"), [(1, "ok"), (2**62, "low")])
def test_a_disk_that_runs_low_is_told_and_keeps_nobody_out(serve, tmp_path, low_disk_bytes, state):
    receiver = serve(ReceiverSettings(data_dir=tmp_path, low_disk_bytes=low_disk_bytes))

    answer = receiver.client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {"store": "ok", "stream": "ok", "disk": state}


def test_a_disk_that_cannot_be_asked_is_unknown(serve, tmp_path):
    receiver = serve(ReceiverSettings(data_dir=tmp_path / "gone"))

    answer = receiver.client.get("/readyz")

    assert (answer.status_code, answer.json()["disk"]) == (200, "unknown")
    with pytest.raises(OSError, match="gone"):
        space_left(tmp_path / "gone", 1)
