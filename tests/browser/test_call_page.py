"""The page of one call in a real browser: it goes on by itself, and serves everybody."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from receiver.pages.call_address import call_page
from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome
from tests.browser.stage import Installation, a_row

REPORT = Path(__file__).parents[2] / "sample_data" / "reports" / "01-inbound-with-recording.json"
NOT_FOUND = Outcome(
    Status.SKIPPED, Reason.CONTACT_NOT_FOUND, message="No contact in HubSpot has this number."
)
REJECTED = Outcome(
    Status.ERROR,
    Reason.REJECTED,
    message="HubSpot refused: Property values were not valid.",
    correlation_id="aeb5f871-7f07-4993-9211-075dc63e7cbf",
    portal_id=4_000_000_000,
)


def report(place: Installation, workspace: Workspace, *, number: str) -> str:
    """Posts a report of a call with the number; gives back the call's id."""
    call_id = str(uuid4())
    body = json.loads(REPORT.read_text())
    call = body["message"]["call"]
    text = REPORT.read_text().replace(call["id"], call_id)
    text = text.replace(call["customer"]["number"], number)
    webhook, secret = place.store.webhooks.create(
        workspace.user_id, workspace.workspace_id, label="Front desk"
    )
    answer = httpx.post(
        f"{place.url}/api/webhooks/{webhook.id}",
        content=text,
        headers={"Content-Type": "application/json", "X-Vapi-Secret": secret},
    )
    assert answer.status_code == 200
    return call_id


def stands(
    place: Installation, workspace: Workspace, became: Outcome, call_id: str = "call-1"
) -> str:
    """A call of the workspace that came to an outcome; gives back its path."""
    now = datetime.now(UTC)
    record = {"id": call_id, "customer_number": "+12025550142", "summary": "All went well."}
    call = parse_call({**record, "received_at": now.isoformat()}, workspace)
    ledger = place.store.ledger
    ledger.accept([call], now=now)
    (claim,) = ledger.claim(workspace, holder="r/1", limit=9, for_s=9, now=now)
    ledger.settle([(claim, became)], holder="r/1", kind="note", run_id="r", now=now)
    return call_page(call_id)


def fail_often(place: Installation, workspace: Workspace, call_id: str, times: int) -> None:
    """Gives the call many tries in the history."""
    rows: list[dict[str, Any]] = [
        a_row(
            600 - number,
            call_id=call_id,
            status="error",
            reason="unavailable",
            error_message=f"HubSpot answered 503 to try {number}.",
            engagement_id=None,
            contact_id=None,
            contact_match=None,
            correlation_id=str(uuid4()),
            attempt=number,
        )
        for number in range(1, times + 1)
    ]
    place.write_history(workspace, rows)


def press_tab_until(page: Page, selector: str) -> None:
    """Goes on by keyboard until what the selector names has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


def test_the_story_goes_on_by_itself_as_the_call_is_delivered(
    live_place: Installation, page: Page, workspace: Workspace
) -> None:
    live_place.connect(workspace)
    live_place.portal.add_contact(phone="+12025550151", firstname="Maria")
    live_place.sign_in(page, workspace)
    call_id = report(live_place, workspace, number="+12025550151")

    page.goto(f"{live_place.url}/calls/{call_id}?just=received")
    page.evaluate("window.isSamePage = true")

    expect(page.get_by_role("heading", level=1)).to_contain_text("+12025550151", timeout=20_000)
    expect(page.get_by_role("heading", name="Note written")).to_be_visible(timeout=20_000)
    expect(page.locator("#call-head")).to_contain_text("In HubSpot")
    expect(page.get_by_text("to the webhook “Front desk”")).to_be_visible()
    expect(page.get_by_role("heading", name="The note as it was written")).to_be_visible()
    assert page.evaluate("window.isSamePage") is True


def test_a_call_without_contact_is_retried_once_there_is_one(
    live_place: Installation, page: Page, workspace: Workspace
) -> None:
    live_place.connect(workspace)
    live_place.sign_in(page, workspace)
    call_id = report(live_place, workspace, number="+12025550152")
    page.goto(f"{live_place.url}/calls/{call_id}?just=received")
    expect(page.locator("#call-head")).to_contain_text("Skipped", timeout=20_000)
    live_place.portal.add_contact(phone="+12025550152", firstname="Owen")

    page.get_by_role("button", name="Retry").click()

    expect(page.locator("#notices")).to_have_text("The call is back in line.")
    expect(page.locator("#call-head")).to_contain_text("In HubSpot", timeout=20_000)
    expect(page.get_by_role("heading", name="Skipped: no contact")).to_be_visible()
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)


def test_everything_is_reached_by_keyboard_alone(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    path = stands(place, workspace, REJECTED)
    fail_often(place, workspace, "call-1", 30)
    place.sign_in(page, workspace, path)

    press_tab_until(page, "#call-story summary")
    page.keyboard.press("Enter")
    expect(page.get_by_text("503 to try 15.")).to_be_visible()
    page.reload()
    press_tab_until(page, "#call-stand button")
    page.keyboard.press("Enter")

    expect(page.locator("#notices")).to_have_text("The call is back in line.")


def test_hubspot_s_reference_can_be_copied(
    place: Installation, new_context: Callable[..., BrowserContext], workspace: Workspace
) -> None:
    context = new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    path = stands(place, workspace, REJECTED)
    place.sign_in(page, workspace, path)

    page.locator(".reference").get_by_role("button", name="Copy").click()

    expect(page.locator(".reference button")).to_have_text("Copied")
    expect(page.locator("#told")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == REJECTED.correlation_id


def test_without_script_the_page_says_and_does_the_same(
    place: Installation, new_context: Callable[..., BrowserContext], workspace: Workspace
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    path = stands(place, workspace, NOT_FOUND)
    place.sign_in(page, workspace, path)
    expect(page.get_by_text("All went well.")).to_be_visible()
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)

    page.get_by_role("button", name="Retry").click()

    expect(page.locator("#notices")).to_have_text("The call is back in line.")
    expect(page.locator("#call-head")).to_contain_text("Waiting")


@pytest.mark.parametrize("name", ["a/../b%2F100%", "..", "%2e%2e", "?#&", "<b>☎ \u0430"])
def test_a_call_may_be_named_anything_and_still_be_retried(
    place: Installation, page: Page, workspace: Workspace, name: str
) -> None:
    path = stands(place, workspace, NOT_FOUND, name)
    place.sign_in(page, workspace)
    page.goto(f"{place.url}{path}")
    expect(page.get_by_label("Call id")).to_have_value(name)

    page.get_by_role("button", name="Retry").click()

    expect(page.locator("#notices")).to_have_text("The call is back in line.")
    expect(page.get_by_label("Call id")).to_have_value(name)


def test_a_page_that_was_late_is_renewed_until_it_is_not_and_closes_nothing(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    path = stands(place, workspace, REJECTED)
    fail_often(place, workspace, "call-1", 30)
    place.sign_in(page, workspace, path)
    page.locator("#call-story summary").focus()
    page.keyboard.press("Enter")

    for _ in range(2):
        with page.expect_response(f"{place.url}{path}"):
            pass

    expect(page.get_by_text("503 to try 15.")).to_be_visible()
    expect(page.locator("#call-story summary")).to_be_focused()


@pytest.mark.parametrize("width", [320, 390])
def test_nothing_sticks_out_of_a_narrow_screen(
    place: Installation,
    new_context: Callable[..., BrowserContext],
    workspace: Workspace,
    width: int,
) -> None:
    page = new_context(viewport={"width": width, "height": 700}).new_page()
    call_id = "W" * 200
    path = stands(place, workspace, REJECTED, call_id)
    fail_often(place, workspace, call_id, 3)
    place.sign_in(page, workspace)

    page.goto(f"{place.url}{path}")

    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(
    place: Installation,
    new_context: Callable[..., BrowserContext],
    workspace: Workspace,
    scheme: str,
) -> None:
    page = new_context(color_scheme=scheme).new_page()
    path = stands(place, workspace, REJECTED)
    fail_often(place, workspace, "call-1", 30)
    place.sign_in(page, workspace, path)
    page.locator("#call-story summary").click()

    found = [Axe().run(page)]
    for other in ("/calls/test-1", "/calls/nobody"):
        page.goto(f"{place.url}{other}")
        found.append(Axe().run(page))

    assert [each.generate_report() for each in found if each.violations_count] == []


def test_another_workspace_finds_no_such_call(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    path = stands(place, workspace, NOT_FOUND)
    place.sign_in(page, Workspace("erin", f"other-than-{workspace.workspace_id}"))

    answer = page.goto(f"{place.url}{path}")

    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "There is no such call in your workspace."
    )


def test_a_later_moment_of_the_next_try_is_said_in_the_viewer_s_time(
    place: Installation, new_context: Callable[..., BrowserContext], workspace: Workspace
) -> None:
    next_at = datetime.now(UTC) + timedelta(hours=2)
    busy = Outcome(
        Status.ERROR, Reason.RATE_LIMITED, retryable=True, message="Wait.", retry_at=next_at
    )
    path = stands(place, workspace, busy)
    page = new_context(timezone_id="Asia/Kolkata").new_page()

    place.sign_in(page, workspace, path)

    shown = (next_at + timedelta(hours=5, minutes=30)).strftime("%H:%M")
    expect(page.locator("#call-stand time")).to_contain_text(shown)
    expect(page.get_by_role("button", name="Try now")).to_be_visible()
