"""What was answered 200 is in the stream, whatever happens to the process and to its disk."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from call_stream.disk import Disk
from call_stream.excerpt import record_from_excerpt
from call_stream.file_writer import open_file_writer
from call_stream.stream import open_reader, open_writer
from receiver.settings import ReceiverSettings

# Serves in a process of its own for each line it reads; most of a fresh start is imports.
_RECEIVERS = """
import json, os, sys
from receiver.app import create_app
from receiver.server import build_server
from receiver.settings import ReceiverSettings
from call_stream.stream import StreamError, open_writer
from target_hubspot_calls.store.webhooks import Webhooks
from target_hubspot_calls.store.database import open_database

directory = sys.argv[1]

def serve():
    try:
        stream = open_writer(f"file:{directory}/stream", segment_bytes=500_000)
    except StreamError as err:
        sys.exit(f"hubspot-calls: {err}")
    store = Webhooks(open_database(f"sqlite:///{directory}/store.db"))
    if not store.list():
        webhook, secret = store.create("ada", "analytics")
        with open(f"{directory}/secret.json", "w") as file:
            json.dump([webhook.id, secret], file)
    app = create_app(ReceiverSettings(), stream=stream, webhooks=store)
    say = lambda url: print(url, os.getpid(), flush=True)
    build_server(app, "127.0.0.1", 0, on_listening=say).run()
    sys.exit()

status = 0
for line in sys.stdin:
    child = os.fork()
    if not child:
        serve()
    _, status = os.waitpid(child, 0)
    print("ended", flush=True)
sys.exit(status != 0)
"""


class Process:
    """A receiver that can be ended, and started again, in a process of its own."""

    def __init__(
        self, directory: Path, *, wrapper: tuple[str, ...] = (), program: str = _RECEIVERS
    ) -> None:
        self.directory = directory
        self.popen = subprocess.Popen(
            [*wrapper, sys.executable, "-c", program, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = 0

    def listen(self) -> None:
        """Starts a receiver on what the last one has left, and returns once it listens."""
        self.tell("")
        self.note_listening(self.line())

    def tell(self, words: str) -> None:
        """Starts a receiver that may end before it listens."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(f"{words}\n")
        self.popen.stdin.flush()

    def note_listening(self, said: str) -> None:
        """Takes note of where it listens."""
        url, _, pid = said.partition(" ")
        self.port, self.pid = int(url.rpartition(":")[2]), int(pid)
        webhook_id, self.secret = json.loads((self.directory / "secret.json").read_text())
        self.path = f"/api/webhooks/{webhook_id}"

    def end(self, signum: int) -> None:
        """Ends the receiver, and returns when it is gone."""
        os.kill(self.pid, signum)
        assert self.line() == "ended"
        self.pid = 0

    def line(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def close(self) -> str:
        """All that was written to stderr, once everything has ended."""
        if self.pid:
            self.end(signal.SIGKILL)
        return self.popen.communicate(timeout=20)[1]

    def request(self, body: bytes) -> bytes:
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {self.secret}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Starts receivers that a failing test does not leave behind."""
    started: list[Process] = []

    def start(directory: Path, **options: Any) -> Process:
        started.append(Process(directory, **options))
        started[-1].listen()
        return started[-1]

    yield start
    for process in started:
        if process.popen.poll() is None:
            process.close()


class Sender(threading.Thread):
    """One kept-alive connection that posts calls until the receiver is gone."""

    def __init__(self, process: Process, report: Any, name: str, size: int) -> None:
        super().__init__()
        self.process = process
        self.ids = (f"{name}-{number}" for number in itertools.count())
        self.build = lambda call_id: json.dumps(
            report(call_id, artifact={"transcript": "a" * size})
        ).encode()
        self.acknowledged: list[str] = []
        self.unanswered: str | None = None
        """The call whose request was sent whole and had no answer."""
        self.stop_after: int | None = None

    def run(self) -> None:
        try:
            with socket.create_connection(("127.0.0.1", self.process.port), 10) as connection:
                closing = False
                while not closing:
                    call_id = next(self.ids)
                    connection.sendall(self.process.request(self.build(call_id)))
                    self.unanswered = call_id
                    answer = b""
                    while not answer.endswith(b"{}"):
                        chunk = connection.recv(65536)
                        if not chunk:
                            return
                        answer += chunk
                        assert b"HTTP/1.1 200 ".startswith(answer[:13]), answer
                    self.unanswered = None
                    self.acknowledged.append(call_id)
                    closing = b"connection: close" in answer
        except OSError:
            return


def all_senders(process: Process, report: Any, names: str, size: int) -> list[Sender]:
    senders = [Sender(process, report, f"{names}-{lane}", size) for lane in range(6)]
    for sender in senders:
        sender.start()
    return senders


def stored_ids(directory: Path) -> list[str]:
    entries = open_reader(f"file:{directory}/stream").read()
    return [record_from_excerpt(entry.payload).id for entry in entries]


def wait_for(check: Any, timeout_s: float = 20) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < give_up_at
        time.sleep(0.005)


def test_no_answered_call_is_lost_when_the_receiver_is_killed_under_load(start, tmp_path, report):
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    rounds = int(os.environ.get("TEST_KILLS", "20"))
    acknowledged: list[str] = []
    process = start(tmp_path)

    for number in range(rounds):
        senders = all_senders(process, report, str(number), chance.choice([100, 10_000, 300_000]))
        moment = chance.randint(1, 60)
        wait_for(
            lambda senders=senders, moment=moment: (
                sum(len(sender.acknowledged) for sender in senders) >= moment
            )
        )
        process.end(signal.SIGKILL)
        for sender in senders:
            sender.join(15)
            acknowledged += sender.acknowledged
        process.listen()
    process.close()
    open_writer(f"file:{tmp_path}/stream").close()
    kept = stored_ids(tmp_path)

    assert len(acknowledged) >= rounds
    assert set(acknowledged) <= set(kept), f"seed {seed}"
    assert len(kept) == len(set(kept)), f"seed {seed}"


def test_a_terminated_receiver_answers_what_it_has_taken_and_ends_soon(start, tmp_path, report):
    process = start(tmp_path)
    senders = all_senders(process, report, "a", 20_000)
    with socket.create_connection(("127.0.0.1", process.port)) as silent:
        with socket.create_connection(("127.0.0.1", process.port)) as slow:
            slow.sendall(process.request(b"{}")[:-1])
            wait_for(lambda: sum(len(sender.acknowledged) for sender in senders) >= 50)

            started = time.monotonic()
            process.end(signal.SIGTERM)
            took_s = time.monotonic() - started
            told = slow.recv(65536)
        silent.close()
    for sender in senders:
        sender.join(15)

    acknowledged = {call_id for sender in senders for call_id in sender.acknowledged}
    assert acknowledged == set(stored_ids(tmp_path))
    assert [sender.unanswered for sender in senders] == [None] * len(senders)
    assert told.startswith(b"HTTP/1.1 503 ")
    assert took_s < 10
    assert "Traceback" not in process.close()


class Recorder(Disk):
    """The real disk, whose flush of a batch waits to be let go."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.flushing = threading.Event()
        self.go_on = threading.Event()

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self.events.append("write")
        return super().write(fd, data)

    def fdatasync(self, fd: int) -> None:
        if self.events.count("write") > 1:  # the first is a segment's header
            self.flushing.set()
            assert self.go_on.wait(20)
        super().fdatasync(fd)
        self.events.append("flushed")


def test_no_answer_leaves_before_its_call_is_flushed(serve, report, tmp_path):
    disk = Recorder()
    receiver = serve(stream=open_file_writer(tmp_path / "stream", disk=disk))

    def post(number):
        answer = receiver.post(report(str(number)))
        disk.events.append("answer")
        return answer.status_code

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(post, number) for number in range(8)]
        assert disk.flushing.wait(20)
        time.sleep(0.3)
        answered_early = disk.events.count("answer")
        disk.go_on.set()
        statuses = [answer.result(20) for answer in answers]

    assert answered_early == 0
    assert statuses == [200] * 8
    flushed_before = disk.events[: disk.events.index("answer")].count("flushed")
    assert flushed_before >= 2  # the segment's header, and the first calls
    assert disk.events.count("flushed") == disk.events.count("write")


def can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", "/dev/null", "true"], check=False).returncode == 0


@pytest.mark.skipif(not can_trace(), reason="needs strace")
def test_the_kernel_sees_write_then_flush_then_answer(start, tmp_path, report):
    trace = tmp_path / "trace"
    calls = "trace=write,writev,fdatasync,fsync,sendto,sendmsg"
    strace = ("strace", "-f", "--seccomp-bpf", "-y", "-e", calls, "-o", str(trace))
    process = start(tmp_path, wrapper=strace)
    url = f"http://127.0.0.1:{process.port}"
    with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
        for number in range(10):
            body = json.dumps(report(str(number))).encode()
            answer = client.post(
                process.path, content=body, headers={"X-Vapi-Secret": process.secret}
            )
            assert answer.status_code == 200

    process.end(signal.SIGTERM)
    process.close()
    steps = "".join(step for line in trace.read_text().splitlines() if (step := a_step(line)))

    # A segment's header is written and flushed, then each call, and only then its answer leaves.
    assert re.fullmatch(r"(WF)?(WFA){10}", steps), steps


def a_step(line: str) -> str | None:
    """W for a write to a segment, F for its flush that succeeded, A for an answer of 200."""
    if re.search(r"writev?\(\d+<[^>]*\.calls(\.tmp)?>", line):
        return "W"
    if re.search(r"(fdatasync|fsync)\(\d+<[^>]*\.calls(\.tmp)?>\s*\) += 0", line):
        return "F"
    if re.search(r"fdatasync resumed>\) += 0", line):
        return "F"
    return "A" if "HTTP/1.1 200 OK" in line else None


class SmallDisk(Disk):
    """A disk that takes so many bytes and is full then, in the middle of a write."""

    def __init__(self, size: int) -> None:
        self.left = size

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if self.left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = super().write(fd, data[: self.left])
        self.left -= taken
        return taken

    def ftruncate(self, fd: int, size: int) -> None:
        self.left += max(0, os.fstat(fd).st_size - size)
        super().ftruncate(fd, size)


def test_a_disk_full_in_the_middle_of_a_call_costs_no_other(serve, report, tmp_path):
    disk = SmallDisk(40_000)
    receiver = serve(
        ReceiverSettings(retry_after_s=7), stream=open_file_writer(tmp_path / "stream", disk=disk)
    )

    answers = {}
    for number in itertools.count():
        answers[str(number)] = receiver.post(
            report(str(number), artifact={"transcript": "a" * 7000})
        )
        if sum(answer.status_code == 503 for answer in answers.values()) == 3:
            break
    disk.left = 10**9
    for number in range(100, 110):
        answers[str(number)] = receiver.post(report(str(number)))

    acknowledged = [call_id for call_id, answer in answers.items() if answer.status_code == 200]
    refused = [answer for answer in answers.values() if answer.status_code == 503]
    assert len(acknowledged) > 12
    assert [answer.headers["retry-after"] for answer in refused] == ["7"] * 3
    assert {answer.json()["code"] for answer in refused} == {"stream_unavailable"}
    assert [record_from_excerpt(entry.payload).id for entry in receiver.stored()] == acknowledged


@pytest.fixture
def small_filesystem(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB of its own."""
    directory = tmp_path / "small"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(directory)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


def test_a_full_file_system_is_answered_503_until_there_is_space(serve, report, small_filesystem):
    filler = small_filesystem / "filler"
    filler.write_bytes(bytes(2_000_000))
    writer = open_file_writer(small_filesystem / "stream", segment_bytes=500_000)
    receiver = serve(stream=writer)
    receiver.stream_url = f"file:{small_filesystem}/stream"
    receiver._start = 0
    acknowledged, refused = [], []

    def post_many(first):
        ids = [str(number) for number in range(first, first + 16)]
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(
                lambda each: receiver.post(report(each, artifact={"transcript": "a" * 40_000})), ids
            )
            for call_id, answer in zip(ids, answers, strict=True):
                (acknowledged if answer.status_code == 200 else refused).append((call_id, answer))

    first = itertools.count(0, 100)
    while len(refused) < 20:
        post_many(next(first))
    while_full = receiver.client.get("/readyz")
    read_while_full = [record_from_excerpt(entry.payload).id for entry in receiver.stored()]
    answered_by_then = {call_id for call_id, _ in acknowledged}
    filler.unlink()
    refused_by_then = len(refused)
    post_many(next(first))
    afterwards = receiver.client.get("/readyz")
    receiver.stop()

    assert (while_full.status_code, while_full.json()["stream"]) == (503, "unavailable")
    assert answered_by_then == set(read_while_full)
    assert {answer.status_code for _, answer in refused} == {503}
    assert {int(answer.headers["retry-after"]) > 0 for _, answer in refused} == {True}
    assert len(refused) == refused_by_then
    assert afterwards.json()["stream"] == "ok"
    kept = [record_from_excerpt(entry.payload).id for entry in receiver.stored()]
    assert sorted(kept) == sorted(call_id for call_id, _ in acknowledged)


class FailingDisk(Disk):
    """A disk whose nth flush fails once, as a broken one does."""

    def __init__(self, nth: int) -> None:
        self.nth = nth
        self.flushes = 0

    def fdatasync(self, fd: int) -> None:
        self.flushes += 1
        if self.flushes == self.nth:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().fdatasync(fd)


@pytest.mark.parametrize("nth", [2, 5, 11])
def test_a_failed_flush_is_not_tried_again_and_a_restart_goes_on(serve, report, tmp_path, nth):
    disk = FailingDisk(nth)
    broken = serve(stream=open_file_writer(tmp_path / "stream", disk=disk))

    statuses = [broken.post(report(f"a{number}")).status_code for number in range(15)]
    ready = broken.client.get("/readyz")
    alive = broken.client.get("/healthz")
    flushes = disk.flushes
    broken.stop()
    mended = serve()
    mended._start = 0
    restarted = mended.post(report("b"))

    stored = [record_from_excerpt(entry.payload).id for entry in mended.stored()]
    assert statuses == [200] * (nth - 2) + [503] * (17 - nth)
    assert flushes == nth
    assert (ready.status_code, ready.json()["stream"]) == (503, "unavailable")
    assert alive.status_code == 200
    assert restarted.status_code == 200
    assert stored == [f"a{number}" for number in range(nth - 2)] + ["b"]


class SlowDisk(Disk):
    """A disk that hangs until it is told to go on."""

    def __init__(self) -> None:
        self.hangs = False
        self.go_on = threading.Event()

    def fdatasync(self, fd: int) -> None:
        if self.hangs:
            assert self.go_on.wait(30)
        super().fdatasync(fd)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_disk_that_hangs_fills_a_bounded_queue_and_then_refuses(serve, report, tmp_path):
    disk = SlowDisk()
    writer = open_file_writer(tmp_path / "stream", disk=disk, max_queued_bytes=2_000_000)
    receiver = serve(stream=writer)
    receiver.post(report("before"))
    disk.hangs = True
    before = resident_bytes()

    def post(number):
        started = time.monotonic()
        answer = receiver.post(report(str(number), artifact={"transcript": "a" * 100_000}))
        return str(number), answer, time.monotonic() - started

    with ThreadPoolExecutor(40) as pool:
        posts = [pool.submit(post, number) for number in range(120)]
        wait_for(lambda: sum(each.done() for each in posts) >= 90)
        refused = [each.result() for each in posts if each.done()]
        grown = resident_bytes() - before
        while_hanging = receiver.client.get("/readyz")
        disk.go_on.set()
        done = [each.result() for each in posts]
    afterwards = receiver.post(report("after"))

    assert {answer.status_code for _, answer, _ in refused} == {503}
    assert max(took_s for _, _, took_s in refused) < 10
    assert all("retry-after" in answer.headers for _, answer, _ in refused)
    assert grown < 60_000_000
    assert while_hanging.status_code == 503
    assert afterwards.status_code == 200
    acknowledged = {call_id for call_id, answer, _ in done if answer.status_code == 200}
    stored = {record_from_excerpt(entry.payload).id for entry in receiver.stored()}
    assert stored == acknowledged | {"before", "after"}
    assert 10 <= len(acknowledged) < 40


@pytest.mark.parametrize("obstacle", ["a file in its place", "a directory nobody may enter"])
def test_a_stream_that_cannot_be_opened_ends_the_start_with_one_line(tmp_path, obstacle):
    place = tmp_path / "data"
    if obstacle == "a file in its place":
        place.write_text("no directory")
    else:
        place.mkdir(mode=0o000)
        if os.access(place, os.W_OK):
            place.rmdir()
            place = Path("/proc/nobody-can-write-here")

    ended = subprocess.run(
        [sys.executable, "-c", _RECEIVERS, str(place)],
        input="\n",
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert ended.returncode == 1
    assert ended.stdout == "ended\n"
    assert re.fullmatch(
        r"hubspot-calls: The call stream's directory .* cannot be used: .*\n", ended.stderr
    )
