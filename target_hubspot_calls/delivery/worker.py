"""Runs delivery beside the reading of records, in a thread with an event loop of its own.

The reading side hands records to the ledger and says so here; HubSpot's pace never holds it up.
Knows no Singer.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from target_hubspot_calls.delivery.deliver import Delivery

logger = logging.getLogger(__name__)

# A batch this full is delivered at once; a smaller one waits a moment for more calls.
FULL_BATCH = 100
# How often an idle worker looks for calls whose wait is over, in seconds.
IDLE_LOOK_S = 5.0
# The same where other hosts accept calls, of which nobody tells this one.
SHARED_IDLE_LOOK_S = 1.0


class DeliveryWorker:
    """One thread that delivers what is due until it is told to finish or to stop."""

    def __init__(
        self,
        open_delivery: Callable[[], AbstractAsyncContextManager[Delivery]],
        write_history: Callable[[], Awaitable[None]],
        *,
        batch_wait_s: float,
        history_every_s: float = 1.0,
        is_shared: bool = False,
        on_death: Callable[[], None] | None = None,
    ) -> None:
        """`is_shared` says that other hosts put calls into the same ledger.

        `on_death` is called, in the thread, once it has ended otherwise than it was told to."""
        self._open_delivery = open_delivery
        self._write_history = write_history
        self._batch_wait_s = batch_wait_s
        self._history_every_s = history_every_s
        self._is_shared = is_shared
        self._on_death = on_death
        self._thread = threading.Thread(target=self._main, name="delivery", daemon=True)
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event
        self._full: asyncio.Event
        self._delivery: Delivery | None = None
        self._waiting_calls = 0
        self._finishing = False
        self._stopping = False
        self._error: BaseException | None = None

    def start(self) -> None:
        """Starts the thread; returns when it takes notice of what it is told."""
        self._thread.start()
        self._ready.wait()

    def notify(self, calls: int) -> None:
        """Says that so many calls were accepted. Raises what the thread died of, if it did."""
        self._raise_error()
        self._tell(lambda: self._count(calls))

    def check(self) -> None:
        """Returns if the thread has not died. Raises what it died of."""
        self._raise_error()

    def finish(self, *, until: Callable[[], bool]) -> None:
        """Returns when nothing is due any more, or when `until` says true.

        Raises what the thread died of, StoreUnavailable for one.
        """
        self._tell(self._begin_to_finish)
        while not self._ended.wait(0.1):
            if until():
                return
        self._raise_error()

    def stop(self, within_s: float) -> bool:
        """Asks for an end after the requests in flight; True if it came within the time."""
        self._tell(self._begin_to_stop)
        return self._ended.wait(within_s)

    def _tell(self, message: Callable[[], None]) -> None:
        if self._loop is not None and not self._ended.is_set():
            try:
                self._loop.call_soon_threadsafe(message)
            except RuntimeError:
                # The loop closed in between: the thread has ended, and everybody asks that next.
                self._ended.wait()

    def _count(self, calls: int) -> None:
        self._waiting_calls += calls
        if self._waiting_calls >= FULL_BATCH:
            self._full.set()
        self._wake.set()

    def _begin_to_finish(self) -> None:
        self._finishing = True
        self._full.set()
        self._wake.set()

    def _begin_to_stop(self) -> None:
        self._stopping = True
        if self._delivery is not None:
            self._delivery.stop()
        self._full.set()
        self._wake.set()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as err:  # noqa: BLE001  handed to the thread that asks next
            self._error = err
        finally:
            self._ready.set()
            self._ended.set()
            if self._error is not None and self._on_death is not None:
                self._on_death()

    async def _run(self) -> None:
        self._wake, self._full = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        async with self._open_delivery() as delivery:
            self._delivery = delivery
            history = asyncio.create_task(self._write_history_regularly())
            try:
                await self._deliver_until_told(delivery)
            finally:
                history.cancel()
                await asyncio.gather(history, return_exceptions=True)
                await self._write_history()

    async def _deliver_until_told(self, delivery: Delivery) -> None:
        while not self._stopping:
            last_round = self._finishing
            self._wake.clear()
            self._full.clear()
            self._waiting_calls = 0
            await delivery.deliver_due()
            if last_round:
                return
            await self._wait_for_calls()

    async def _wait_for_calls(self) -> None:
        await _wait(self._wake, SHARED_IDLE_LOOK_S if self._is_shared else IDLE_LOOK_S)
        if self._wake.is_set():
            await _wait(self._full, self._batch_wait_s)

    async def _write_history_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._history_every_s)
            await self._write_history()


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
