"""/keys: the access keys of the workspace, made and revoked by people who are signed in.

Prints; what a key opens is decided where it is shown.
"""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.routing import Route

from receiver.access import Way
from receiver.answers import Refusal
from receiver.pages.page import SIGN_IN_PATH, PageDesk, Visit, back_to, page_route
from target_hubspot_calls.store.keys import AccessKey, AccessKeys

KEYS_PATH = "/keys"


def key_routes(desk: PageDesk, keys: AccessKeys) -> list[Route]:
    """The page and its forms."""

    async def load(visit: Visit) -> tuple[AccessKey, ...]:
        owner = visit.workspace
        return await asyncio.to_thread(keys.list, owner.user_id, owner.workspace_id)

    async def show(visit: Visit) -> Response:
        found = await load(visit)
        return visit.render(
            "keys.html",
            active=[key for key in reversed(found) if key.revoked_at is None],
            revoked=[key for key in reversed(found) if key.revoked_at is not None],
            own_id=_own_key_id(visit),
        )

    async def make(visit: Visit) -> Response:
        _check_may_last(visit)
        owner = visit.workspace
        key, text = await asyncio.to_thread(keys.create, owner.user_id, owner.workspace_id)
        return visit.render("key_made.html", key=key, text=text, address=KEYS_PATH)

    async def revoke(visit: Visit) -> Response:
        _check_may_last(visit)
        key_id = visit.request.path_params["key_id"]
        if key_id not in {key.id for key in await load(visit)}:
            raise Refusal(404, "not_found", "There is no such access key.")
        await asyncio.to_thread(keys.revoke, key_id)
        if key_id == _own_key_id(visit):
            return back_to(SIGN_IN_PATH, why="key-revoked")
        return back_to(KEYS_PATH, notice="key-revoked")

    return [
        page_route(desk, KEYS_PATH, show),
        page_route(desk, KEYS_PATH, make, method="POST"),
        page_route(desk, f"{KEYS_PATH}/{{key_id}}/revoke", revoke, method="POST"),
    ]


def _check_may_last(visit: Visit) -> None:
    """Raises Refusal (403) where what lets somebody in ends soon, as a key would outlive it."""
    if visit.caller.way is Way.TOKEN:
        sentence = "Sign in with an access key to make or revoke keys."
        raise Refusal(403, "sign_in_required", sentence)


def _own_key_id(visit: Visit) -> str | None:
    """The key that the session began with, which ends with it."""
    session = visit.caller.session
    return session.access_key_id if session is not None else None
