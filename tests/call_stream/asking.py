"""What tests of JetStream streams do beside the stream: wait, append under load, ask the server."""

import asyncio
import threading
import time

import nats

from call_stream.stream import EntryKind, StreamUnavailable


def wait_until(condition, within_s=20):
    give_up_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(0.02)


def takes_entries(writer):
    try:
        writer.check()
    except StreamUnavailable:
        return False
    return True


class Appending:
    """A thread that appends numbers, keeping those that were acknowledged; a pause at refusal."""

    def __init__(self, writer, *, pause_s=0.0):
        self.acknowledged = []
        self.refused = 0
        self._writer = writer
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        number = 0
        while not self._stop.is_set():
            futures = []
            time.sleep(self._pause_s)
            try:
                for _ in range(20):
                    number += 1
                    futures.append((number, self._writer.append(EntryKind.CALL, b"%d" % number)))
                for told, future in futures:
                    future.result(30)
                    self.acknowledged.append(told)
            except StreamUnavailable:
                self.refused += 1
                time.sleep(0.05)

    def stop(self):
        self._stop.set()
        self._thread.join()
        return {b"%d" % number for number in self.acknowledged}


def ask_server(url, question):
    """What an asynchronous question to JetStream gives, asked beside the call stream."""

    async def ask():
        client = await nats.connect(url.partition("/" + url.rpartition("/")[2])[0])
        try:
            return await question(client.jetstream())
        finally:
            await client.close()

    return asyncio.run(ask())


def server_version(url):
    """Major and minor."""

    async def ask(js):
        version = js._nc.connected_server_version
        return version.major, version.minor

    return ask_server(url, ask)


def name_of(url):
    return url.rpartition("/")[2].partition("?")[0]
