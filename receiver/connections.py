"""All connections together: how many there may be, how long each may dawdle, who goes first.

Knows phases, times and counts; what a phase looks like in HTTP is protocol.py's business.
"""

from __future__ import annotations

import asyncio
import enum
import heapq
import logging
import math
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

logger = logging.getLogger("receiver.connections")

_REPORT_EVERY_S = 10.0
_LONGEST_SWEEP_S = 1.0
_SHARE_SHED_AT_ONCE = 64
_SLOW_BODY = 5


class Phase(enum.Enum):
    """What a connection is waiting for."""

    HEAD = "head"
    """The sender, for the head of its first request or the rest of a later one."""
    BODY = "body"
    """The sender, for the rest of a body."""
    ANSWER = "answer"
    """Us."""
    READING = "reading"
    """The sender, to read the answer it asked for."""
    IDLE = "idle"
    """The sender, for a next request that need not come."""
    LEAVING = "leaving"
    """The sender, to go away after a refusal."""


class TurnedAway(enum.Enum):
    """Why a connection was ended by us, for the log and for metrics."""

    SLOW_HEAD = "slow_head"
    SLOW_BODY = "slow_body"
    UNREAD_ANSWER = "unread_answer"
    SHED = "shed"
    TOO_MANY = "too_many_connections"
    MALFORMED = "malformed"
    HEAD_TOO_LARGE = "head_too_large"


_NO_LIMIT = (math.inf, TurnedAway.UNREAD_ANSWER)


@dataclass(frozen=True)
class ConnectionBounds:
    """What connections may take. Raises ValueError with every fault when one cannot work."""

    max_connections: int = 1024
    """Served at once; beyond, those that dawdle most are closed, or newcomers told to come back."""
    max_per_address: int | None = None
    """Of one client address; None where a proxy stands in front, which is everybody's address."""
    max_head_bytes: int = 32 * 1024
    max_headers: int = 100
    head_timeout_s: float = 10.0
    """From the connection's or the request's first byte to the end of the head."""
    body_timeout_s: float = 30.0
    """For any route; the webhooks' own limit is shorter."""
    read_timeout_s: float = 30.0
    """Longest a sender may take over reading an answer that does not fit its buffers."""
    keep_alive_s: int = 75
    """More than proxies keep an idle connection, so that they close it and never race with us."""
    fresh_s: float = 1.0
    """A connection that has waited no longer than this is not dawdling yet."""

    def __post_init__(self) -> None:
        faults = [
            f"{name} must be more than 0"
            for name, value in vars(self).items()
            if value is not None and value <= 0
        ]
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def surplus(self) -> int:
        """Connections beyond the limit that are heard before they are told to come back."""
        return max(1, self.max_connections // 8)


class Connection(Protocol):
    """What the door must see of a connection, and do to it."""

    @property
    def address(self) -> str | None:
        """The client's, as far as the network knows it."""

    def phase(self) -> tuple[Phase, object]:
        """What it is waiting for, and the request that this is about."""

    def end(self, why: TurnedAway) -> None:
        """Close it, with a word to the sender where one can be heard."""


class Admission(enum.Enum):
    """What becomes of a new connection."""

    WELCOME = "welcome"
    SURPLUS = "surplus"
    """Hear its request, then tell it to come back."""
    REFUSED = "refused"


@dataclass(slots=True)
class _Sighting:
    """What a connection was seen doing last, and since when."""

    entered: float
    since: float
    phase: Phase = Phase.HEAD
    about: object = None


class Door:
    """Counts connections, ends those that dawdle, and makes room when there are too many.

    Costs a served request nothing: it looks around once a second, and when a connection comes.
    """

    def __init__(
        self, bounds: ConnectionBounds, turned_away: Counter[TurnedAway] | None = None
    ) -> None:
        self.bounds = bounds
        self.turned_away = Counter() if turned_away is None else turned_away
        """How many connections were ended, by reason; whoever hands one in may read it."""
        self._seen: dict[Connection, _Sighting] = {}  # in the order they came
        self._by_address: Counter[str | None] = Counter()
        self._limits = {
            Phase.HEAD: (bounds.head_timeout_s, TurnedAway.SLOW_HEAD),
            Phase.BODY: (bounds.body_timeout_s, TurnedAway.SLOW_BODY),
            Phase.READING: (bounds.read_timeout_s, TurnedAway.UNREAD_ANSWER),
        }
        shortest_s = min(limit_s for limit_s, _ in self._limits.values())
        self._sweep_every_s = min(_LONGEST_SWEEP_S, shortest_s / 4)
        self._watching = False
        self._reported: Counter[TurnedAway] = Counter()
        self._report_at = 0.0

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def is_full(self) -> bool:
        """Whether there are more connections than are served at once."""
        return len(self._seen) > self.bounds.max_connections

    def enter(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> Admission:
        """Counts a new connection, and says what becomes of it."""
        now = loop.time()
        if not self._watching:
            self._watching = True
            loop.call_later(self._sweep_every_s, self._watch, loop)
        self._seen[connection] = _Sighting(entered=now, since=now)
        if self.is_full:
            self._make_room(connection, now)
        if self._is_one_too_many_of(connection.address):
            return self._refuse()
        if len(self._seen) > self.bounds.max_connections + self.bounds.surplus:
            return self._refuse()
        return Admission.SURPLUS if self.is_full else Admission.WELCOME

    def leave(self, connection: Connection) -> None:
        """Counts a connection no more. May be called twice."""
        if self._seen.pop(connection, None) is None or self.bounds.max_per_address is None:
            return
        self._by_address[connection.address] -= 1
        if not self._by_address[connection.address]:
            del self._by_address[connection.address]

    def sweep(self, now: float) -> None:
        """Ends every connection that has dawdled for too long."""
        for connection in list(self._seen):
            sighting = self._look_at(connection, now)
            limit_s, why = self._limits.get(sighting.phase, _NO_LIMIT)
            if now - sighting.since > limit_s:
                self.turned_away[why] += 1
                connection.end(why)
        self._report(now)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self.sweep(loop.time())
        self._watching = bool(self._seen) or self.turned_away != self._reported
        if self._watching:
            loop.call_later(self._sweep_every_s, self._watch, loop)

    def _look_at(self, connection: Connection, now: float) -> _Sighting:
        sighting = self._seen[connection]
        phase, about = connection.phase()
        if phase is not sighting.phase or about is not sighting.about:
            sighting.phase, sighting.about, sighting.since = phase, about, now
        return sighting

    def _is_one_too_many_of(self, address: str | None) -> bool:
        if self.bounds.max_per_address is None:
            return False
        self._by_address[address] += 1
        return self._by_address[address] > self.bounds.max_per_address

    def _make_room(self, newcomer: Connection, now: float) -> None:
        for connection in self._spare(newcomer, now):
            self.turned_away[TurnedAway.SHED] += 1
            connection.end(TurnedAway.SHED)
            self.leave(connection)  # now, not when the network has noticed

    def _spare(self, newcomer: Connection, now: float) -> list[Connection]:
        """The connections that can best be spared; several, where none of them will be missed.

        Those that dawdle over a head, else idle ones, else the oldest that has just come, else the
        slowest body: it may be a call's.
        """
        several = max(1, self.bounds.max_connections // _SHARE_SHED_AT_ONCE)
        dawdling: list[Connection] = []
        idle: list[tuple[float, int, Connection]] = []
        bodies: list[tuple[float, int, Connection]] = []
        for number, connection in enumerate(self._seen):
            sighting = self._look_at(connection, now)
            age_s = now - sighting.since
            is_new = now - sighting.entered <= self.bounds.fresh_s
            if is_new and (dawdling or idle or connection is newcomer):
                break  # all behind it have come later still
            if sighting.phase is Phase.HEAD and is_new:
                return [connection]
            if sighting.phase is Phase.HEAD and age_s > self.bounds.fresh_s:
                dawdling.append(connection)
                if len(dawdling) == several:
                    break
            elif sighting.phase is Phase.IDLE and age_s > self.bounds.fresh_s:
                idle.append((sighting.since, number, connection))
            elif sighting.phase is Phase.BODY and age_s > _SLOW_BODY * self.bounds.fresh_s:
                bodies.append((sighting.since, number, connection))
        if dawdling:
            return dawdling
        if idle:
            return [connection for _, _, connection in heapq.nsmallest(several, idle)]
        return [connection for _, _, connection in heapq.nsmallest(1, bodies)]

    def _refuse(self) -> Admission:
        self.turned_away[TurnedAway.TOO_MANY] += 1
        return Admission.REFUSED

    def _report(self, now: float) -> None:
        """Says now and then how many were turned away: a line each would help who floods us."""
        if self.turned_away == self._reported or now < self._report_at:
            return
        new = self.turned_away - self._reported
        self._reported, self._report_at = self.turned_away.copy(), now + _REPORT_EVERY_S
        counts = {why.value: number for why, number in new.items()}
        full = {TurnedAway.SHED, TurnedAway.TOO_MANY} & new.keys()
        logger.log(
            logging.WARNING if full else logging.INFO,
            "connections turned away: %s",
            ", ".join(f"{number} {why}" for why, number in counts.items()),
            extra={"fields": {"event": "connections_turned_away", **counts}},
        )
