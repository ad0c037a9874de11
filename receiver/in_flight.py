"""How many bytes of request bodies may lie in memory at once, over all connections.

Counts only; must not know what a body holds, nor where it comes from. One event loop uses it.
"""

from __future__ import annotations

from types import TracebackType

from receiver.answers import Refusal


class InFlight:
    """Room for so many bytes of bodies; who finds none is asked to come back later."""

    def __init__(self, max_bytes: int, *, retry_after_s: int = 10) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._retry_after_s = retry_after_s

    def reserve(self, size: int = 0) -> Reservation:
        """Room for `size` bytes until it is released. Raises Refusal 503 when there is none.

        Reserve what a known sender announces; of a stranger's body only a first piece, and let it
        grow by `cover`, because announcing costs a sender nothing.
        """
        reservation = Reservation(self)
        reservation.cover(size)
        return reservation

    def take(self, size: int) -> None:
        """Counts `size` bytes more. Raises Refusal 503 when they do not fit."""
        if self.used_bytes + size > self.max_bytes:
            raise Refusal(
                503,
                "busy",
                "The receiver has too many bodies in hand; come back later.",
                {"Retry-After": str(self._retry_after_s)},
            )
        self.used_bytes += size

    def give_back(self, size: int) -> None:
        """Counts `size` bytes less."""
        self.used_bytes -= size


class Reservation:
    """One body's room; leaving its `with` block gives it back."""

    __slots__ = ("_in_flight", "_size")

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._size = 0

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def cover(self, size: int) -> None:
        """Returns once `size` bytes in all are reserved. Raises Refusal 503 if there is no room."""
        if size > self._size:
            self._in_flight.take(size - self._size)
            self._size = size

    def release(self) -> None:
        """Gives the room back. May be called twice."""
        self._in_flight.give_back(self._size)
        self._size = 0
