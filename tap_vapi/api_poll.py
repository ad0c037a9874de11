"""Asks VAPI for calls now and then, beside a run that follows the call stream.

A thread of its own, so that a slow answer of VAPI's holds no webhook's call back; it must not know
Singer or where a bookmark is kept.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from tap_vapi.api_door import LOOK_BACK, ApiDoor, Record, Span
from tap_vapi.vapi import VapiError
from tap_vapi.windows import WindowRead

EVERY_S = 300.0
"""Seconds between two looks: webhooks bring most calls at once, this finds those that got lost."""

_MOST_WAITING = 100
_NOTICE_STOP_S = 0.2
_END_S = 2.0

logger = logging.getLogger("tap-vapi")


class ApiPoll:
    """Reads the span, then again and again what changed since; `take` gives out what was found."""

    def __init__(self, door: ApiDoor, span: Span, *, every_s: float = EVERY_S) -> None:
        self._door = door
        self._span = span
        self._every_s = every_s
        self._found: queue.Queue[Record | WindowRead | Exception] = queue.Queue(_MOST_WAITING)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="vapi-api", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A request under way is not waited for: nothing of it has been given out yet.
        self._stopped.set()
        self._thread.join(_END_S)

    def take(self) -> Iterator[Record | WindowRead]:
        """What has been found so far, without waiting for more."""
        for _ in range(_MOST_WAITING):
            try:
                found = self._found.get_nowait()
            except queue.Empty:
                return
            if isinstance(found, Exception):
                raise found
            yield found

    def _poll(self) -> None:
        while not self._stopped.is_set():
            try:
                for found in self._door.read(self._span):
                    if not self._put(found):
                        return
                    if isinstance(found, WindowRead):
                        self._span = Span(found.until - LOOK_BACK, self._span.until)
            except VapiError as err:
                logger.warning("%s Calls that only VAPI's API knows come later.", err)
            except Exception as err:  # noqa: BLE001  whoever takes raises it
                self._put(err)
                return
            self._stopped.wait(self._every_s)

    def _put(self, found: Record | WindowRead | Exception) -> bool:
        """False if the run has ended meanwhile."""
        while not self._stopped.is_set():
            try:
                self._found.put(found, timeout=_NOTICE_STOP_S)
            except queue.Full:
                continue
            return True
        return False
