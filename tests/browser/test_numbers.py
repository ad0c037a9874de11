"""Unmatched numbers in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from target_hubspot_calls.call import Workspace
from tests.browser.stage import Installation, a_row

MISSED: dict[str, Any] = {"status": "skipped", "reason": "contact_not_found", "contact_id": None}
LIVE_MS = 15_000


@pytest.fixture
def unmatched(place: Installation, workspace: Workspace) -> Workspace:
    """A workspace that is connected and has two numbers nobody knows."""
    place.connect(workspace)
    place.write_history(
        workspace,
        [
            *(a_row(n, **MISSED, phone_number="+12025550199") for n in range(3)),
            a_row(9, **MISSED, phone_number="+12025550101"),
        ],
    )
    return workspace


def numbers_on(page: Page) -> list[str]:
    return page.locator("#numbers tbody bdi.number").all_text_contents()


def test_a_number_is_copied_and_leads_to_its_calls_and_to_hubspot(
    place: Installation, new_context: Callable[..., BrowserContext], unmatched: Workspace
) -> None:
    context = new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    place.sign_in(page, unmatched, "/numbers")
    assert numbers_on(page) == ["+12025550199", "+12025550101"]

    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()

    assert page.evaluate("navigator.clipboard.readText()") == "+12025550199"
    create = page.get_by_role("link", name="Create contact").first
    assert "/objects/0-1/" in str(create.get_attribute("href"))
    page.get_by_role("link", name="3 calls of +12025550199").click()
    expect(page.locator("#entries tbody tr")).to_have_count(3)


def test_a_number_goes_by_itself_once_its_calls_are_written(
    place: Installation, page: Page, unmatched: Workspace
) -> None:
    place.sign_in(page, unmatched, "/numbers")

    page.get_by_role("button", name="Retry the calls of +12025550101").click()
    expect(page.locator("#notices")).to_contain_text("No call was waiting to be retried")
    page.get_by_role("button", name="Retry the calls of +12025550199").focus()
    place.write_history(unmatched, [a_row(9, phone_number="+12025550101")])

    title = page.get_by_role("heading", name="1 of 1 number")
    expect(title).to_be_visible(timeout=LIVE_MS)
    assert numbers_on(page) == ["+12025550199"]
    expect(page.get_by_role("button", name="Retry the calls of +12025550199")).to_be_focused()


def test_numbers_work_without_script(
    place: Installation, new_context: Callable[..., BrowserContext], unmatched: Workspace
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    place.sign_in(page, unmatched, "/numbers")

    expect(page.get_by_role("button", name="Copy")).to_have_count(0)
    page.get_by_role("button", name="Retry the calls of +12025550199").press("Enter")

    expect(page.locator("#notices")).to_contain_text("No call was waiting to be retried")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_are_accessible_and_fit_a_narrow_screen(
    place: Installation,
    new_context: Callable[..., BrowserContext],
    unmatched: Workspace,
    scheme: str,
) -> None:
    rows = [a_row(n, **MISSED, phone_number=f"+1202555{n:04}" * 3) for n in range(60)]
    place.write_history(unmatched, rows)
    page = new_context(color_scheme=scheme, viewport={"width": 390, "height": 844}).new_page()
    place.sign_in(page, unmatched, "/numbers")

    found = Axe().run(page)

    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_nobody_unmatched_is_said_and_another_workspace_sees_nothing(
    place: Installation, page: Page, unmatched: Workspace
) -> None:
    place.sign_in(page, Workspace("lee", f"{unmatched.workspace_id}-other"), "/numbers")

    expect(page.get_by_role("heading", name="No unmatched numbers")).to_be_visible()
    assert Axe().run(page).violations_count == 0
