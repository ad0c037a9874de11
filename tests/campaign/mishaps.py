"""What may go wrong in a run: HubSpot's faults, ends of processes, writes that come through late.

Values drawn from dice; carrying them out is the business of `gate.py` and `worker.py`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

CREATE = "*/batch/create"
UPDATE = "*/batch/update"
READ = "*/batch/read"
SEARCH = "*/contacts/search"
TOKEN = "/oauth/*"
FILES = "/files/*"
ANYWHERE = "*"

# Places in a worker at which it may end, before or after the step: the windows of the protocol.
POINTS = (
    "accept",
    "claim",
    "announce",
    "announce",
    "create",
    "settle",
    "settle",
    "settle",
    "append",
    "append",
    "delete",
    "delete",
    "save_tokens",
    "free",
    "release",
    "save_file",
    "save_file",
    "settle_recordings",
)
# Moments of one request at which its sender is killed, seen from HubSpot's side.
MOMENTS = ("arrived", "arrived_late", "written", "answered")


@dataclass(frozen=True)
class Mishap:
    """How a process ends: at a point in itself, at a moment of a request, or after a while."""

    kind: str
    point: str = ""
    after: bool = False
    path: str = ""
    nth: int = 1
    wait_s: float = 0.0


@dataclass(frozen=True)
class Trap:
    """A create whose connection is reset at once and that HubSpot writes so many s later."""

    path: str
    nth: int
    late_s: float


def draw_mishap(dice: random.Random) -> Mishap:
    """A random end of a process."""
    kind = dice.choice(("point", "point", "request", "request", "timer", "term"))
    if kind == "point":
        return Mishap(
            kind, point=dice.choice(POINTS), after=dice.random() < 0.5, nth=dice.choice((1, 1, 2))
        )
    if kind == "request":
        return Mishap(
            f"request_{dice.choice(MOMENTS)}",
            path=dice.choice(
                (CREATE, CREATE, CREATE, UPDATE, SEARCH, READ, TOKEN, FILES, ANYWHERE)
            ),
            nth=dice.choice((1, 1, 1, 2, 3)),
            wait_s=dice.choice((1.0, 10.0, 40.0)),
        )
    return Mishap(kind, wait_s=dice.uniform(0.0, 0.5))


def draw_trap(dice: random.Random) -> Trap:
    """A random late write; HubSpot gives up after 100 s itself."""
    return Trap(CREATE, dice.choice((1, 1, 2)), dice.choice((1.0, 8.0, 30.0, 90.0)))


def draw_fault(dice: random.Random, plain: bool) -> dict[str, Any]:
    """A random fault of the simulator; `plain` where waits take their true time."""
    path = dice.choice(
        (CREATE, CREATE, CREATE, UPDATE, READ, SEARCH, TOKEN, FILES, ANYWHERE, "*/properties/*")
    )
    actions = [
        {"action": "reset_before"},
        {"action": "reset_after"},
        {"action": "reset_after"},
        {"action": "reset_during"},
        {"action": "error", "status": dice.choice((500, 502, 503, 504))},
        {"action": "error", "status": 502, "process": True},
        {"action": "malformed"},
        {"action": "empty"},
        {"action": "html", "status": dice.choice((200, 502))},
        {"action": "html", "status": 200, "process": True},
        {"action": "delay", "delay_s": 0.05},
        {"action": "delay", "delay_s": 0.0, "delay_after_s": 0.1},
        {"action": "drip", "drip_s": 0.0001},
        {"action": "rate_limited", "retry_after_s": 0.2 if plain else 2.0},
    ]
    if path != TOKEN:
        actions += [
            {"action": "locked"},
            {"action": "expired_token"},
            {"action": "invalid_token"},
        ]
        if not plain:
            actions += [
                {"action": "rate_limited"},
                {"action": "rate_limited", "policy": "SECONDLY"},
                {"action": "rate_limited", "policy": "DAILY", "retry_after_s": 120},
                {"action": "migrating", "retry_after_s": 60},
                {"action": "missing_scopes"},
                {"action": "drip", "drip_s": 0.02},
            ]
    if path == TOKEN:
        actions += [{"action": "error", "status": 429}]
    if path in (CREATE, UPDATE):
        actions += [_partial(dice), _partial(dice), _partial(dice)]
    return {
        **dice.choice(actions),
        "path": path,
        "nth": dice.choice((1, 1, 1, 2, 3)),
        "times": dice.choice((1, 1, 1, 2, 6)),
    }


def _partial(dice: random.Random) -> dict[str, Any]:
    return {
        "action": "partial",
        "fail_count": dice.choice((1, 2, 10)),
        "category": dice.choice(("INTERNAL_ERROR", "RATE_LIMITS", "VALIDATION_ERROR")),
        "name_traces": dice.random() < 0.5,
        "extra_results": dice.choice((0, 0, 2)),
    }
