"""Signing in, out, and being sent to do so, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from target_hubspot_calls.call import Workspace
from tests.browser.stage import Installation


def test_a_key_opens_the_page_that_was_wanted(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    page.goto(f"{place.url}/sign-in?return_to=/nothing-here%3Fa%3D1")

    page.get_by_label("Access key").fill(place.new_key(workspace))
    page.keyboard.press("Enter")

    expect(page).to_have_url(f"{place.url}/nothing-here?a=1")


def test_a_key_opens_the_page_at_whatever_address_it_is_reached(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    elsewhere = place.url.replace("127.0.0.1", "localhost")
    page.goto(f"{elsewhere}/sign-in?return_to=/keys")

    page.get_by_label("Access key").fill(place.new_key(workspace))
    page.get_by_role("button", name="Sign in").click()

    expect(page).to_have_url(f"{elsewhere}/keys")
    expect(page.get_by_role("heading", level=1)).to_have_text("Access keys")


def test_a_wrong_key_is_said_and_the_field_is_ready_for_another(
    place: Installation, page: Page
) -> None:
    page.goto(f"{place.url}/sign-in")

    page.get_by_label("Access key").fill("hck_wrong")
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("alert")).to_have_text("This access key is not known here.")
    expect(page.get_by_label("Access key")).to_be_focused()
    expect(page.get_by_label("Access key")).to_have_value("")


def test_signing_in_works_without_script(
    place: Installation, new_context: Callable[..., BrowserContext], workspace: Workspace
) -> None:
    page = new_context(java_script_enabled=False).new_page()

    place.sign_in(page, workspace)

    assert any(cookie["name"] == "hubspot_calls_session" for cookie in page.context.cookies())


def test_the_sign_in_page_is_accessible(place: Installation, page: Page) -> None:
    page.goto(f"{place.url}/sign-in?why=expired")

    found = Axe().run(page)

    assert found.violations_count == 0, found.generate_report()
