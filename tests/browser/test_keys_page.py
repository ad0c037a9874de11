"""Access keys in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from target_hubspot_calls.call import Workspace
from tests.browser.stage import Installation

NARROW = {"width": 390, "height": 800}


def test_a_key_made_here_signs_somebody_else_in(
    place: Installation, new_context: Callable[..., BrowserContext], workspace: Workspace
) -> None:
    page, other = new_context().new_page(), new_context().new_page()
    place.sign_in(page, workspace, "/keys")
    page.get_by_role("button", name="Make an access key").click()
    text = page.get_by_label("Access key").input_value()
    page.reload()

    other.goto(f"{place.url}/sign-in?return_to=/keys")
    other.get_by_label("Access key").fill(text)
    other.keyboard.press("Enter")

    expect(other.get_by_role("row", name=text[-4:])).to_contain_text("You are signed in with it")
    expect(page.get_by_role("row", name=text[-4:])).to_be_visible()
    expect(page.get_by_role("row", name=text[-4:])).not_to_contain_text("You are signed in")
    assert len(place.store.keys.list(workspace.user_id, workspace.workspace_id)) == 2


def test_a_key_is_shown_and_made_once_though_the_time_zone_is_new(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    place.sign_in(page, workspace, "/keys")
    page.evaluate("sessionStorage.clear()")
    page.context.clear_cookies(name="hubspot_calls_zone")

    page.get_by_role("button", name="Make an access key").click()

    expect(page.get_by_label("Access key")).to_have_value(re.compile("^hck_"))
    expect(page).to_have_url(f"{place.url}/keys")
    assert len(place.store.keys.list(workspace.user_id, workspace.workspace_id)) == 2


def test_revoking_ones_own_key_is_asked_and_ends_the_session(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    place.sign_in(page, workspace, "/keys")
    page.get_by_text("Revoke", exact=True).last.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("You are signed in with this key: your session ends")).to_be_visible()

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(page.get_by_text("You have revoked the key")).to_be_visible()
    page.goto(f"{place.url}/keys")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_page_is_accessible_and_fits_a_phone(
    place: Installation, new_context: Callable[..., BrowserContext], workspace: Workspace
) -> None:
    revoked, _ = place.store.keys.create(workspace.user_id, workspace.workspace_id)
    place.store.keys.revoke(revoked.id)
    page = new_context(viewport=NARROW, reduced_motion="reduce").new_page()
    place.sign_in(page, workspace, "/keys")
    page.get_by_text("Revoke", exact=True).last.click()

    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
