"""VAPI's REST API over real HTTP, as far as the facts describe it, and as strict."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

KEY = "vapi-private-key-of-nobody"
ORG = "0a9f1d0e-2f55-4c07-8a63-1c2f5a4e9b10"
LINE_ID = "c1a2b3c4-1111-4222-8333-444455556666"
LINE = "+12025550110"
_PARAMETERS = {
    "id", "assistantId", "phoneNumberId", "limit", "createdAtGt", "createdAtLt", "createdAtGe",
    "createdAtLe", "updatedAtGt", "updatedAtLt", "updatedAtGe", "updatedAtLe",
}  # fmt: skip

Call = dict[str, Any]


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def a_call(number: int, updated: datetime, **fields: Any) -> Call:
    """An ended call as a list shows it: our line by id, no signed link."""
    call_id = f"01a1f97c-7300-7aa2-9c10-{number:012d}"
    started = updated - timedelta(seconds=90)
    return {
        "id": call_id,
        "orgId": ORG,
        "type": "inboundPhoneCall",
        "status": "ended",
        "createdAt": iso(started - timedelta(seconds=1)),
        "updatedAt": iso(updated),
        "startedAt": iso(started),
        "endedAt": iso(updated - timedelta(seconds=6)),
        "endedReason": "customer-ended-call",
        "cost": 0.104,
        "assistantId": "7be1b7a4-0c52-4d0b-9f0c-2f6f4f3d1a22",
        "phoneNumberId": LINE_ID,
        "customer": {"number": f"+1415555{number % 10_000:04d}"},
        "analysis": {"summary": f"Call {number}.", "successEvaluation": "true"},
        "artifact": {
            "transcript": "AI: Harbor Dental.\nUser: Friday.\n",
            "recordingUrl": f"https://account.r2.cloudflarestorage.com/{call_id}-mono.wav",
        },
        # What must never leave the tap.
        "monitor": {"controlUrl": "https://secret.example/control", "listenUrl": "wss://secret"},
        **fields,
    }


class VapiStandIn:
    """Serves calls; `before_answer` may change them between two requests."""

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {}
        self.lines = {LINE_ID: LINE}
        self.asked: list[dict[str, str]] = []
        self.user_agents: set[str] = set()
        self.kept_days: int | None = None
        self.names_days = True
        self.refusals: list[Response] = []
        self.before_answer: Callable[[int], None] = lambda _: None
        self.newest_first = True
        self._sorted: list[tuple[str, str]] | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    @property
    def lists(self) -> list[dict[str, str]]:
        """The lists of calls that were asked for."""
        return [asked for asked in self.asked if "limit" in asked]

    def put(self, *calls: Call) -> None:
        self.calls.update((call["id"], call) for call in calls)
        self._sorted = None

    def refuse(self, status: int, *, times: int = 1, **headers: str) -> None:
        body = {"message": "no", "error": "no", "statusCode": status}
        self.refusals += [JSONResponse(body, status, headers=headers) for _ in range(times)]

    def __enter__(self) -> Self:
        app = Starlette(
            routes=[
                Route("/call", self._list),
                Route("/phone-number/{id}", self._line),
            ]
        )
        config = uvicorn.Config(app, port=0, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.should_exit = True
        self._thread.join(10)

    def _refusal(self, request: Request) -> Response | None:
        self.asked.append(dict(request.query_params))
        self.user_agents.add(request.headers["user-agent"])
        self.before_answer(len(self.asked))
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"message": "Invalid Key.", "statusCode": 401}, 401)
        return self.refusals.pop(0) if self.refusals else None

    async def _list(self, request: Request) -> Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        asked = request.query_params
        assert set(asked) <= _PARAMETERS, f"VAPI has no {set(asked) - _PARAMETERS}"
        limit = int(asked.get("limit", "100"))
        assert 0 <= limit <= 1000
        if self.kept_days is not None:
            oldest = iso(datetime.now(UTC) - timedelta(days=self.kept_days))
            if asked["updatedAtGe"] < oldest:
                days = f"the last {self.kept_days} days" if self.names_days else "recent days"
                sentence = (
                    f"Your subscription plan only covers {days} of call history. This call exceeds"
                    " your retention window."
                )
                return JSONResponse({"message": sentence, "statusCode": 400}, 400)
        found = [
            call
            for call in self._changed(asked["updatedAtGe"], asked["updatedAtLe"])
            if call["createdAt"] <= asked.get("createdAtLe", "9")
        ]
        if self.newest_first:
            found.sort(key=lambda call: call["createdAt"], reverse=True)
        return JSONResponse(found[:limit])

    def _changed(self, since: str, until: str) -> list[Call]:
        if self._sorted is None:
            self._sorted = sorted((call["updatedAt"], call["id"]) for call in self.calls.values())
        first = bisect_left(self._sorted, (since, ""))
        last = bisect_right(self._sorted, (until, "~"))
        return [self.calls[call_id] for _, call_id in self._sorted[first:last]]

    async def _line(self, request: Request) -> Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        number = self.lines.get(request.path_params["id"])
        if number is None:
            return JSONResponse({"message": "not found", "statusCode": 404}, 404)
        return JSONResponse({"id": request.path_params["id"], "orgId": ORG, "number": number})
