"""What runs in a process of its own: delivery, or the whole Singer target, on a warped clock.

Changes nothing of what the code does: it hands it another time, and ends the process at one chosen
point as SIGKILL would. Also runs by itself: `python -m tests.campaign.worker SPEC_FILE`.
"""

from __future__ import annotations

import functools
import inspect
import io
import json
import os
import pickle
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.clock import Clock
from target_hubspot_calls.delivery import portals, run
from target_hubspot_calls.hubspot import api, transport
from target_hubspot_calls.hubspot.client import HubSpotClient
from target_hubspot_calls.phone import parse_number
from target_hubspot_calls.settings import TargetSettings
from target_hubspot_calls.store.ledger import Ledger
from target_hubspot_calls.store.outbox import Outbox
from target_hubspot_calls.store.stored_tokens import StoredTokens
from target_hubspot_calls.sync_log.log import SyncLog
from target_hubspot_calls.target import TargetHubspotCalls
from tests.campaign.mishaps import Mishap
from tests.campaign.warp import Warp

KILLED = 137
SHORTEST_DEADLINE_S = 1.0
SCHEMA = {
    "type": "SCHEMA",
    "stream": "calls",
    "key_properties": ["id"],
    "schema": {"type": "object", "properties": {"id": {"type": "string"}}},
}
_STEPS: dict[str, tuple[type, str]] = {
    "accept": (Ledger, "accept"),
    "claim": (Ledger, "claim"),
    "announce": (Ledger, "announce"),
    "create": (HubSpotClient, "create_engagements"),
    "settle": (Ledger, "settle"),
    "append": (SyncLog, "append"),
    "delete": (Outbox, "delete"),
    "save_tokens": (StoredTokens, "_save"),
    "free": (Ledger, "free"),
    "release": (Ledger, "release"),
    "save_file": (Ledger, "save_file"),
    "settle_recordings": (Ledger, "settle_recordings"),
}


@dataclass(frozen=True)
class WorkerSpec:
    """All a worker is told. `batches` are numbered records; acknowledgements name the numbers."""

    mode: str
    settings: dict[str, Any]
    batches: dict[int, tuple[dict[str, Any], ...]]
    warp: Warp
    mishap: Mishap | None
    seed: int
    folder: Path

    @property
    def acknowledged(self) -> set[int]:
        """The batches the worker has taken responsibility for, read when it is dead."""
        path = self.folder / "stdout"
        lines = path.read_text().splitlines() if path.exists() else []
        return {number for line in lines for number in _numbers(line)}

    def input(self) -> str:
        """The batches as Singer messages, a STATE after each."""
        messages: list[dict[str, Any]] = [SCHEMA]
        done: list[int] = []
        for number, records in self.batches.items():
            messages += [{"type": "RECORD", "stream": "calls", "record": r} for r in records]
            done.append(number)
            messages.append({"type": "STATE", "value": {"done": list(done)}})
        return "".join(json.dumps(message) + "\n" for message in messages)


def work(spec: WorkerSpec, go: Pipe | None = None) -> None:
    """Does what the spec says, as the whole life of this process."""
    if go is not None:
        go.recv()
    _redirect(spec.folder)
    random.seed(spec.seed)
    _warp_time(spec.warp)
    if spec.mishap is not None and spec.mishap.kind == "point":
        _plant(spec.mishap)
    if spec.mode == "target":
        TargetHubspotCalls(config=spec.settings).listen(io.StringIO(spec.input()))
    else:
        _deliver(spec)


def _deliver(spec: WorkerSpec) -> None:
    settings = TargetSettings.model_validate(spec.settings)
    delivery = run.Run(settings)
    for number, records in spec.batches.items():
        delivery.accept([parse_call(r, Workspace("nobody", "nowhere")) for r in records], [])
        sys.stdout.write(json.dumps({"done": [number]}) + "\n")
        sys.stdout.flush()
        time.sleep(random.choice((0.0, 0.02, 0.1)))
    delivery.finish(until=lambda: False)
    delivery.close()


def _redirect(folder: Path) -> None:
    for name, number in (("stdout", 1), ("stderr", 2)):
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115


def _warp_time(warp: Warp) -> None:
    """Hands the warped time to whatever takes a clock, and shortens deadlines alike."""
    clock = Clock(now=warp.now, monotonic=warp.time, random=random.random, sleep=warp.sleep)
    changes: list[tuple[Any, str, Any]] = [
        (run, "Clock", lambda: clock),
        (run, "Connections", functools.partial(run.Connections, clock=warp.now)),
        (run, "Leases", functools.partial(run.Leases, sleep=warp.sleep)),
        (run, "SyncLog", functools.partial(SyncLog, wait_s=0.3)),
        (portals, "Pace", functools.partial(portals.Pace, clock=warp.time, sleep=warp.sleep)),
        (portals, "PortalAuth", functools.partial(portals.PortalAuth, sleep=warp.sleep)),
        (portals, "OAuthApp", functools.partial(portals.OAuthApp, now=warp.now)),
    ]
    for module, name, replacement in changes:
        setattr(module, name, replacement)
    for kind in (api.TOKEN, api.READ, api.SEARCH, api.UPDATE, api.CREATE, api.UPLOAD):
        short_s = max(SHORTEST_DEADLINE_S, warp.real_s(kind.deadline_s))
        object.__setattr__(kind, "deadline_s", short_s)


def _plant(mishap: Mishap) -> None:
    """Lets the process end at the step, as if it were killed there."""
    owner, name = _STEPS[mishap.point]
    step = getattr(owner, name)
    count = 0

    def reached() -> bool:
        nonlocal count
        count += 1
        return count == mishap.nth

    setattr(owner, name, _ending(step, reached, after=mishap.after))


def _ending(
    step: Callable[..., Any], reached: Callable[[], bool], *, after: bool
) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(step):

        @functools.wraps(step)
        async def ending_later(*args: Any, **options: Any) -> Any:
            last = reached()
            if last and not after:
                os._exit(KILLED)
            result = await step(*args, **options)
            if last:
                os._exit(KILLED)
            return result

        return ending_later

    @functools.wraps(step)
    def ending(*args: Any, **options: Any) -> Any:
        last = reached()
        if last and not after:
            os._exit(KILLED)
        result = step(*args, **options)
        if last:
            os._exit(KILLED)
        return result

    return ending


def _numbers(line: str) -> list[int]:
    try:
        done = json.loads(line)["done"]
    except (ValueError, KeyError, TypeError):
        return []
    return [int(number) for number in done]


def _warm() -> None:
    """Does once, in the server all workers are forked from, what each would do again."""
    transport.open_http("http://127.0.0.1")
    parse_number("+14155550123", "US")


_warm()

if __name__ == "__main__":
    # Started by another worker's parent, which wrote the file itself.
    work(pickle.loads(Path(sys.argv[1]).read_bytes()))
