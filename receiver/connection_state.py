"""What a connection knows beside what uvicorn does.

Knows names only; protocol.py reads and writes them.
"""

from __future__ import annotations

from collections.abc import Callable

from receiver.answers import WHOLE_ANSWER


class ConnectionState:
    """What a connection knows beside what uvicorn does.

    One attribute of the protocol, as CPython reads objects with more than 30 of them slowly.
    """

    __slots__ = (
        "body",
        "extensions",
        "head_bytes",
        "heads",
        "ignored_bytes",
        "in_body",
        "leaving",
        "stopping",
        "surplus",
    )

    def __init__(self, send_whole: Callable[[bytes, bytes], bool]) -> None:
        # One for all requests of the connection: tied to each, it would be garbage to be collected.
        self.extensions: dict[str, dict[object, object]] = {WHOLE_ANSWER: {"send": send_whole}}
        self.body: bytes | None = None
        """What came of a body that may come in one piece; None of any other."""
        self.head_bytes = 0
        self.heads = 0
        self.ignored_bytes = 0
        self.in_body = False
        self.leaving = False
        self.stopping = False
        self.surplus = False
