"""What people do with webhooks on the integration page: make, change, rotate, switch, try out.

Every change is of a webhook of the caller's own and acts at once; what a webhook may be is for the
store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from urllib.parse import quote

from starlette.responses import Response
from starlette.routing import Route

from receiver.answers import Refusal
from receiver.pages.home import HOME_PATH, HomeDesk, show_home
from receiver.pages.page import Visit, back_to, page_route
from receiver.pages.webhook_cards import webhook_card
from receiver.pages.webhook_forms import NEW, FormFault, read_number, read_way, read_webhook_form
from receiver.pages.webhook_words import advice_of
from receiver.small_bodies import read_fields
from receiver.trials import Door, Trials
from target_hubspot_calls.store.webhook_auth import WebhookAuth
from target_hubspot_calls.store.webhooks import Webhook

WEBHOOKS_PATH = "/webhooks"
KEEP_OLD_FOR = timedelta(hours=24)

Act = Callable[[Visit, Webhook, dict[str, str]], Awaitable[Response]]


def webhook_routes(desk: HomeDesk, door: Door) -> list[Route]:
    """All forms of the webhooks card; `door` is where webhooks really arrive."""
    trials = Trials(door, desk.webhooks, public_url=desk.public_url, now=desk.pages.now)

    async def make(visit: Visit) -> Response:
        typed = await read_fields(visit.request)
        try:
            form, way = read_webhook_form(NEW, typed), read_way(typed)
        except FormFault as fault:
            return await show_home(desk, visit, fault)
        webhook, secret = await asyncio.to_thread(
            desk.webhooks.create,
            visit.workspace.user_id,
            visit.workspace.workspace_id,
            way,
            assistant_ids=form.assistant_ids,
            label=form.label,
        )
        # Somebody may have asked for this very address before.
        door.forget(webhook.id)
        return _with_secret(desk, visit, webhook, secret, is_new=True)

    async def rotate(visit: Visit, webhook: Webhook, typed: dict[str, str]) -> Response:
        if webhook.auth is WebhookAuth.NONE:
            raise Refusal(409, "no_secret", "This webhook has no secret that could be made anew.")
        keep_old_for = timedelta() if typed.get("stop_old") else KEEP_OLD_FOR
        secret = await asyncio.to_thread(
            desk.webhooks.rotate, webhook.id, keep_old_for.total_seconds()
        )
        door.forget(webhook.id)
        return _with_secret(desk, visit, webhook, secret, old_until=visit.viewer.now + keep_old_for)

    async def turn_off(visit: Visit, webhook: Webhook, typed: dict[str, str]) -> Response:
        await asyncio.to_thread(desk.webhooks.disable, webhook.id)
        door.forget(webhook.id)
        return back_to(HOME_PATH, notice="webhook-disabled")

    async def turn_on(visit: Visit, webhook: Webhook, typed: dict[str, str]) -> Response:
        await asyncio.to_thread(desk.webhooks.enable, webhook.id)
        door.forget(webhook.id)
        return back_to(HOME_PATH, notice="webhook-enabled")

    async def change(visit: Visit, webhook: Webhook, typed: dict[str, str]) -> Response:
        form = read_webhook_form(webhook.id, typed)
        await asyncio.to_thread(desk.webhooks.set_label, webhook.id, form.label)
        await asyncio.to_thread(desk.webhooks.limit_to, webhook.id, form.assistant_ids)
        door.forget(webhook.id)
        return back_to(HOME_PATH, notice="webhook-changed")

    async def test(visit: Visit, webhook: Webhook, typed: dict[str, str]) -> Response:
        trial = await trials.send(
            webhook, number=read_number(webhook.id, typed, desk.default_region)
        )
        if trial.is_taken:
            return back_to(f"/calls/{quote(trial.call_id)}", notice="test-sent")
        card = webhook_card(webhook, {}, public_url=desk.public_url)
        return visit.render(
            "webhook_trial.html", trial=trial, card=card, advice=advice_of(trial.code)
        )

    def route(path: str, act: Act) -> Route:
        async def handler(visit: Visit) -> Response:
            webhook = await _own(desk, visit)
            try:
                return await act(visit, webhook, await read_fields(visit.request))
            except FormFault as fault:
                return await show_home(desk, visit, fault)

        address = f"{WEBHOOKS_PATH}/{{webhook_id}}/{path}"
        return page_route(desk.pages, address, handler, method="POST")

    return [
        page_route(desk.pages, WEBHOOKS_PATH, make, method="POST"),
        route("rotate", rotate),
        route("off", turn_off),
        route("on", turn_on),
        route("change", change),
        route("test", test),
    ]


async def _own(desk: HomeDesk, visit: Visit) -> Webhook:
    """The webhook of the address, if it is the caller's. Raises Refusal."""
    webhook = await asyncio.to_thread(desk.webhooks.get, visit.request.path_params["webhook_id"])
    owner = visit.workspace
    if webhook is None or (webhook.user_id, webhook.workspace_id) != (
        owner.user_id,
        owner.workspace_id,
    ):
        raise Refusal(404, "not_found", "There is no such webhook.")
    return webhook


def _with_secret(
    desk: HomeDesk,
    visit: Visit,
    webhook: Webhook,
    secret: str,
    *,
    is_new: bool = False,
    old_until: datetime | None = None,
) -> Response:
    """The page that shows the secret, this once."""
    return visit.render(
        "webhook_secret.html",
        card=webhook_card(webhook, {}, public_url=desk.public_url, secret=secret),
        secret=secret,
        is_new=is_new,
        old_until=old_until,
        is_old_stopped=old_until is not None and old_until <= visit.viewer.now,
        address=HOME_PATH,
    )
