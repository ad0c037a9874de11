"""Webhooks from making one to a note in HubSpot, in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Locator, Page, expect

from target_hubspot_calls.call import Workspace
from tests.browser.stage import Installation

NARROW = {"width": 390, "height": 800}
REPORT = {"message": {"type": "end-of-call-report", "call": {"id": "a-call"}}}


def make_webhook(page: Page, name: str, way: str = "Secret header") -> None:
    """Makes a webhook; its secret is on the page now."""
    if not page.get_by_label("Name").is_visible():
        opener(page, "Make a webhook").click()
    form = page.locator('form[action="/webhooks"]')
    form.get_by_label("Name").fill(name)
    form.get_by_label(way).check()
    form.get_by_role("button", name="Make the webhook").click()
    expect(page.get_by_role("heading", name=f"Your new webhook: {name}")).to_be_visible()


def webhook(page: Page, name: str) -> Locator:
    return page.get_by_role("article", name=name)


def opener(page: Page | Locator, text: str) -> Locator:
    """What opens a form of a webhook."""
    return page.locator("summary", has_text=text)


def report_to(url: str, secret: str) -> int:
    headers = {"X-Vapi-Secret": secret}
    return httpx.post(url, json=REPORT, headers=headers, trust_env=False).status_code


def test_a_webhook_is_made_and_what_it_shows_opens_it(
    place: Installation, new_context: Callable[..., BrowserContext], workspace: Workspace
) -> None:
    context = new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    place.sign_in(page, workspace)
    make_webhook(page, "Front desk")
    secret, url = (page.get_by_label(name, exact=True).input_value() for name in ("Secret", "URL"))

    copied = []
    for button in page.locator("[data-copy]").all():
        button.click()
        expect(button).to_have_text("Copied")
        copied.append(page.evaluate("navigator.clipboard.readText()"))

    assert copied[:2] == [url, secret]
    assert json.loads(copied[2])["server"]["headers"] == {"X-Vapi-Secret": secret}
    assert report_to(url, secret) == 200
    page.reload()
    expect(webhook(page, "Front desk")).to_be_visible()
    assert len(place.store.webhooks.list(workspace.user_id, workspace.workspace_id)) == 1
    assert secret not in page.content()


def test_a_button_that_is_pressed_twice_says_again_what_it_does(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    place.store.webhooks.create(workspace.user_id, workspace.workspace_id, label="Front desk")
    place.sign_in(page, workspace)
    button = webhook(page, "Front desk").locator("[data-copy]").first

    button.click()
    expect(button).to_have_text("Copied")
    button.click()

    page.wait_for_timeout(2_300)
    expect(button).to_have_text("Copy")


def test_what_vapi_sends_is_counted_without_loading_again(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    made, secret = place.store.webhooks.create(
        workspace.user_id, workspace.workspace_id, label="Front desk"
    )
    place.sign_in(page, workspace)
    expect(webhook(page, "Front desk")).to_contain_text("Nothing yet")

    report_to(f"{place.url}/api/webhooks/{made.id}", secret)
    report_to(f"{place.url}/api/webhooks/{made.id}", "wrong")

    expect(webhook(page, "Front desk")).to_contain_text("1 with a wrong secret", timeout=15_000)
    expect(webhook(page, "Front desk")).to_contain_text("1 report")


def test_a_secret_is_made_anew_and_the_webhook_changed_and_switched(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    made, old = place.store.webhooks.create(
        workspace.user_id, workspace.workspace_id, label="Front desk"
    )
    url = f"{place.url}/api/webhooks/{made.id}"
    place.sign_in(page, workspace)

    card = webhook(page, "Front desk")
    opener(card, "New secret").click()
    card.get_by_label("Stop the old secret at once").check()
    card.get_by_role("button", name="Make a new secret").click()
    new = page.get_by_label("Secret", exact=True).input_value()
    assert [report_to(url, secret) for secret in (old, new)] == [401, 200]
    page.get_by_role("link", name="Done").click()

    opener(card, "Change").click()
    card.get_by_label("Name").fill("Outbound")
    card.get_by_role("button", name="Save").click()
    expect(page.locator("#notices")).to_contain_text("The webhook is changed.")

    card = webhook(page, "Outbound")
    opener(card, "Turn off").click()
    card.get_by_role("button", name="Turn off Outbound").click()
    expect(page.locator("#notices")).to_contain_text("The webhook is off.")
    assert report_to(url, new) == 404
    card.get_by_role("button", name="Turn on").click()
    expect(page.locator("#notices")).to_contain_text("The webhook is on again.")
    assert report_to(url, new) == 200


def test_a_test_call_becomes_a_note_on_the_contact_that_was_named(
    live_place: Installation, page: Page, workspace: Workspace
) -> None:
    live_place.portal.add_portal()
    live_place.portal.add_contact(firstname="Dana", phone="+12025550142")
    live_place.sign_in(page, workspace)
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Connect HubSpot").click()
    popup.value.get_by_role("button", name="Connect app").click()
    expect(page.locator("#notices")).to_contain_text("HubSpot is connected.")
    make_webhook(page, "Front desk", "Signature (HMAC)")
    page.get_by_role("link", name="Done").click()

    card = webhook(page, "Front desk")
    opener(card, "Send a test call").click()
    card.get_by_label("Phone number").fill("+12025550142")
    card.get_by_role("button", name="Send the test call").click()

    expect(page).to_have_url(re.compile("/calls/test-"))
    expect(page.locator("main")).to_contain_text("In HubSpot", timeout=30_000)
    (note,) = live_place.portal.notes()
    assert "Nobody was on the phone" in json.dumps(note)


def test_a_test_of_a_webhook_that_is_off_says_so(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    made, _ = place.store.webhooks.create(
        workspace.user_id, workspace.workspace_id, label="Front desk"
    )
    place.store.webhooks.disable(made.id)
    place.sign_in(page, workspace)

    card = webhook(page, "Front desk")
    opener(card, "Send a test call").click()
    card.get_by_role("button", name="Send the test call").click()

    expect(page.get_by_role("heading", name="The webhook is off")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Integration")).to_be_visible()


def test_everything_is_done_with_the_keyboard_and_without_script(
    place: Installation, new_context: Callable[..., BrowserContext], workspace: Workspace
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    place.sign_in(page, workspace)

    page.get_by_label("Name").focus()
    page.keyboard.type("Front desk")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your new webhook")).to_be_visible()
    page.get_by_role("link", name="Done").focus()
    page.keyboard.press("Enter")
    opener(page, "Send a test call").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("+12025550142")
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile("/calls/test-"))


@pytest.mark.parametrize("way", ["Secret header", "Signature (HMAC)"])
def test_the_secret_is_shown_on_a_page_that_is_accessible_and_fits_a_phone(
    place: Installation,
    new_context: Callable[..., BrowserContext],
    workspace: Workspace,
    way: str,
) -> None:
    page = new_context(viewport=NARROW, reduced_motion="reduce").new_page()
    place.sign_in(page, workspace)
    make_webhook(page, "Front desk", way)

    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    page.emulate_media(color_scheme="light")
    light = Axe().run(page)
    page.emulate_media(color_scheme="dark")
    dark = Axe().run(page)
    assert light.violations_count == 0, light.generate_report()
    assert dark.violations_count == 0, dark.generate_report()
