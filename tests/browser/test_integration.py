"""Connecting HubSpot by popup and without one, and the card that tells of it, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import escape

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect
from sqlalchemy import update

from target_hubspot_calls.call import Workspace
from target_hubspot_calls.store.database import writing
from target_hubspot_calls.store.schema import oauth_states
from tests.browser.stage import Installation

NARROW = {"width": 390, "height": 800}


@pytest.fixture(scope="module", autouse=True)
def account(place: Installation) -> int:
    """The HubSpot account that people can choose."""
    return place.portal.add_portal().id


def open_popup(page: Page, button: str = "Connect HubSpot") -> Page:
    """The consent page of the simulator, in a window of its own."""
    with page.expect_popup() as popup:
        page.get_by_role("link", name=button).click()
    expect(popup.value.get_by_role("button", name="Connect app")).to_be_visible()
    return popup.value


def card(page: Page) -> Locator:
    return page.get_by_role("region", name="HubSpot")


def notice(page: Page) -> Locator:
    return page.locator("#notices")


def check_by_axe(page: Page) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_consent_in_a_popup_connects_and_the_page_says_so(
    place: Installation, page: Page, workspace: Workspace, account: int
) -> None:
    place.sign_in(page, workspace)
    popup = open_popup(page)
    expect(notice(page)).to_have_text("Go on in the HubSpot window.")

    with popup.expect_event("close"):
        popup.get_by_role("button", name="Connect app").click()

    expect(notice(page)).to_contain_text("HubSpot is connected. New calls appear")
    expect(card(page)).to_contain_text("Connected")
    expect(card(page)).to_contain_text(str(account))
    expect(page).to_have_url(f"{place.url}/")
    page.reload()
    expect(notice(page)).to_be_empty()


def test_where_hubspot_cuts_the_tie_between_the_windows_the_page_hears_all_the_same(
    place: Installation, new_context: Callable[..., BrowserContext], workspace: Workspace
) -> None:
    context = new_context()

    def lead_on(route: Route) -> None:
        # The browser shows nobody where a redirect leads, so that it could be changed.
        to = route.fetch(max_redirects=0).headers["location"]
        content = f'<meta http-equiv="refresh" content="0;url={escape(to)}">'
        route.fulfill(content_type="text/html", body=content)

    def cut(route: Route) -> None:
        answer = route.fetch()
        headers = {**answer.headers, "Cross-Origin-Opener-Policy": "same-origin"}
        route.fulfill(response=answer, headers=headers)

    context.route("**/connect?popup=1", lead_on)
    context.route("**/oauth/authorize**", cut)
    page = context.new_page()
    place.sign_in(page, workspace)
    popup = open_popup(page)
    expect(notice(page)).to_contain_text("The HubSpot window is closed.")

    popup.get_by_role("button", name="Connect app").click()

    expect(notice(page)).to_contain_text("HubSpot is connected.")
    expect(card(page)).to_contain_text("Disconnect")


def test_consent_that_is_denied_changes_nothing_and_is_said(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    place.sign_in(page, workspace)
    popup = open_popup(page)

    popup.get_by_role("button", name="Cancel").click()

    expect(notice(page)).to_contain_text("Access was not granted in HubSpot")
    expect(card(page)).to_contain_text("Not connected")
    expect(page.get_by_role("link", name="Connect HubSpot")).to_be_visible()


def test_a_popup_that_is_closed_is_said_and_can_be_opened_again(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    place.sign_in(page, workspace)
    open_popup(page).close()
    expect(notice(page)).to_contain_text("The HubSpot window is closed.")

    open_popup(page).get_by_role("button", name="Connect app").click()

    expect(card(page)).to_contain_text("Disconnect")


def test_consent_that_took_too_long_is_said(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    place.sign_in(page, workspace)
    popup = open_popup(page)
    with writing(place.store.engine) as connection:
        past = datetime.now(UTC) - timedelta(seconds=1)
        ours = oauth_states.c.workspace_id == workspace.workspace_id
        connection.execute(update(oauth_states).where(ours).values(expires_at=past))

    popup.get_by_role("button", name="Connect app").click()

    expect(notice(page)).to_contain_text("Connecting took more than ten minutes.")
    expect(card(page)).to_contain_text("Not connected")


def test_where_popups_are_blocked_the_same_page_goes_to_hubspot_and_back(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    page.add_init_script("window.open = () => null")
    place.sign_in(page, workspace)

    page.get_by_role("link", name="Connect HubSpot").click()
    page.get_by_role("button", name="Connect app").click()

    expect(notice(page)).to_contain_text("HubSpot is connected.")
    expect(card(page)).to_contain_text("Disconnect")
    expect(page).to_have_url(f"{place.url}/")


def test_another_account_takes_the_place_of_the_first_only_when_that_is_said(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    place.connect(workspace)
    other = place.portal.add_portal(48_000_002).id
    place.sign_in(page, workspace)
    popup = open_popup(page, "Reconnect")
    popup.get_by_label("Account").select_option(str(other))
    popup.get_by_role("button", name="Connect app").click()
    expect(notice(page)).to_contain_text("That was another HubSpot account")
    expect(card(page)).not_to_contain_text(str(other))

    popup = open_popup(page, "Connect the other account instead")
    popup.get_by_label("Account").select_option(str(other))
    popup.get_by_role("button", name="Connect app").click()

    expect(notice(page)).to_contain_text("HubSpot is connected.")
    expect(card(page)).to_contain_text(str(other))


def test_disconnecting_asks_first_by_keyboard_alone(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    place.connect(workspace)
    place.sign_in(page, workspace)
    page.get_by_text("Disconnect", exact=True).focus()

    page.keyboard.press("Enter")
    expect(card(page)).to_contain_text("Disconnect HubSpot? No call is written from then on")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Disconnect HubSpot")).to_be_focused()
    page.keyboard.press("Enter")

    expect(notice(page)).to_contain_text("HubSpot is disconnected.")
    expect(card(page)).to_contain_text("Not connected")


def test_connecting_needs_nothing_but_the_keyboard(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    place.sign_in(page, workspace)
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.get_by_role("link", name="Connect HubSpot").evaluate(
            "link => link === document.activeElement"
        ):
            break

    with page.expect_popup() as popup:
        page.keyboard.press("Enter")
    popup.value.get_by_role("button", name="Connect app").focus()
    popup.value.keyboard.press("Enter")

    expect(notice(page)).to_contain_text("HubSpot is connected.")


def test_connecting_and_disconnecting_need_no_script(
    place: Installation, new_context: Callable[..., BrowserContext], workspace: Workspace
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    place.sign_in(page, workspace)

    page.get_by_role("link", name="Connect HubSpot").click()
    page.get_by_role("button", name="Connect app").click()
    expect(notice(page)).to_contain_text("HubSpot is connected.")
    page.get_by_text("Disconnect", exact=True).click()
    page.get_by_role("button", name="Disconnect HubSpot").click()

    expect(notice(page)).to_contain_text("HubSpot is disconnected.")


def test_the_card_follows_what_happens_elsewhere(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    place.sign_in(page, workspace)
    page.get_by_label("Name").fill("half typed")

    place.connect(workspace)

    expect(card(page)).to_contain_text("Disconnect")
    expect(page.get_by_label("Name")).to_have_value("half typed")


def test_a_question_stays_while_it_is_answered_and_the_card_is_renewed_after_it(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    place.connect(workspace)
    place.sign_in(page, workspace)
    page.get_by_text("Disconnect", exact=True).click()
    answer = page.get_by_role("button", name="Disconnect HubSpot")
    answer.focus()

    with page.expect_response(f"{place.url}/"):
        connection = place.store.connections.get(workspace.user_id, workspace.workspace_id)
        assert connection is not None
        place.store.connections.require_reconnect(connection.id, "The grant was revoked.")
    expect(answer).to_be_focused()
    expect(page.locator("#connect.primary")).to_have_count(0)
    page.get_by_label("Name").focus()

    expect(page.locator("#told")).not_to_be_empty()
    expect(page.locator("#connect.primary")).to_be_visible()
    expect(answer).to_be_visible()


def test_another_tab_keeps_what_is_typed_while_its_card_is_renewed(
    place: Installation, new_context: Callable[..., BrowserContext], workspace: Workspace
) -> None:
    context = new_context()
    page, other = context.new_page(), context.new_page()
    place.sign_in(page, workspace)
    other.goto(place.url)
    other.get_by_label("Name").fill("half typed")

    open_popup(page).get_by_role("button", name="Connect app").click()
    expect(notice(page)).to_contain_text("HubSpot is connected.")

    expect(card(other)).to_contain_text("Disconnect")
    expect(other.get_by_label("Name")).to_have_value("half typed")


def test_two_workspaces_see_each_their_own_connection(
    place: Installation, new_context: Callable[..., BrowserContext], workspace: Workspace
) -> None:
    other = Workspace("grace", f"{workspace.workspace_id}-other")
    place.connect(workspace)
    place.store.webhooks.create(workspace.user_id, workspace.workspace_id, label="Front desk")
    first, second = new_context().new_page(), new_context().new_page()

    place.sign_in(first, workspace)
    place.sign_in(second, other)

    expect(card(first)).to_contain_text("by dana")
    expect(first.get_by_role("heading", name="Front desk")).to_be_visible()
    expect(card(second)).to_contain_text("Not connected")
    expect(second.get_by_role("heading", name="No webhook yet")).to_be_visible()


@pytest.mark.parametrize("state", ["new", "connected", "dead"])
def test_the_page_is_accessible_and_fits_a_phone(
    place: Installation,
    new_context: Callable[..., BrowserContext],
    workspace: Workspace,
    state: str,
) -> None:
    if state != "new":
        place.connect(workspace)
        place.store.webhooks.create(workspace.user_id, workspace.workspace_id, "hmac")
    if state == "dead":
        connection = place.store.connections.get(workspace.user_id, workspace.workspace_id)
        assert connection is not None
        place.store.connections.require_reconnect(connection.id, "x")
    page = new_context(viewport=NARROW, reduced_motion="reduce").new_page()
    place.sign_in(page, workspace)

    for summary in page.locator("summary").all():
        if summary.locator("..").get_attribute("open") is None:
            summary.click()

    check_by_axe(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
