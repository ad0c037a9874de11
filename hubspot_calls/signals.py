"""SIGINT and SIGTERM as a request to end in order.

Knows signals; what ending means is the caller's business.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class CtrlC:
    """Whether somebody has pressed it: libraries make errors of their own of KeyboardInterrupt."""

    def __init__(self) -> None:
        self.pressed = False

    def watch(self) -> None:
        """Notes it from now on, wherever nobody else handles SIGINT, and raises as Python does."""

        def handle(signum: int, frame: FrameType | None) -> NoReturn:
            self.pressed = True
            signal.default_int_handler(signum, frame)

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, handle)


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """Lets SIGINT end the process at once, without a word, while nothing needs to be tidied up.

    For imports: some are in C and abort with a traceback when an exception meets them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def on_signals(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Call `stop` on SIGINT and SIGTERM; lends the list of the signals that came.

    Outside the main thread nothing is installed: signals go to the main thread anyway.
    """
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return

    def handle(signum: int, _frame: FrameType | None) -> None:
        seen.append(signum)
        stop()

    earlier = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
