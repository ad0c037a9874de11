"""The history in a real browser: filters, paging, live rows, the chart, CSV, retrying."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import update

from hubspot_calls.rooms import open_sync_log
from target_hubspot_calls.call import Workspace, parse_call
from target_hubspot_calls.errors import Reason, Status
from target_hubspot_calls.outcome import Outcome
from target_hubspot_calls.store.database import writing
from target_hubspot_calls.store.schema import sessions
from target_hubspot_calls.sync_log.log import drain
from tests.browser.stage import Installation, a_row

MISSED: dict[str, Any] = {"status": "skipped", "reason": "contact_not_found", "contact_id": None}
REFUSED: dict[str, Any] = {"status": "error", "reason": "rejected", "error_message": "No owner."}
LIVE_MS = 15_000


def entries(page: Page) -> Any:
    return page.locator("#entries tbody tr")


def calls_on(page: Page) -> list[str]:
    links = page.locator("#entries tbody td.open a").all()
    return [str(link.get_attribute("href")).removeprefix("/calls/") for link in links]


@pytest.fixture
def history(place: Installation, page: Page, workspace: Workspace) -> Page:
    """The history of two days, open in a browser."""
    place.write_history(
        workspace,
        [
            *(a_row(number) for number in range(1, 5)),
            a_row(5, **MISSED, phone_number="+12025550199"),
            a_row(6, **REFUSED),
            a_row(60 * 24 * 40, call_id="long-ago"),
        ],
    )
    place.sign_in(page, workspace, "/history")
    expect(page.locator("[data-loaded]")).to_be_visible()
    return page


def test_filters_are_chosen_and_taken_away_by_mouse(history: Page) -> None:
    page = history
    page.locator("#tally").get_by_role("link", name=re.compile("Skipped 1")).click()
    expect(entries(page)).to_have_count(1)

    page.get_by_role("link", name=re.compile("Result: Skipped")).click()
    page.get_by_role("link", name="30 days").click()
    expect(entries(page)).to_have_count(6)
    page.get_by_text("More filters").click()
    page.get_by_label("Reason").select_option(label="Refused by HubSpot")
    page.get_by_role("button", name="Show").click()

    expect(entries(page)).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/history\?reason=rejected&from=\d{4}-\d\d-\d\d$"))
    page.get_by_role("link", name="Clear filters").click()
    expect(entries(page)).to_have_count(7)


def test_filters_are_chosen_by_keyboard_alone(history: Page) -> None:
    page = history
    page.get_by_role("link", name="All time").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("0199")
    page.keyboard.press("Enter")
    expect(entries(page)).to_have_count(1)

    page.get_by_role("searchbox").focus()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.press("Delete")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Result", exact=True)).to_be_focused()
    page.keyboard.type("Failed")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile(r"/history\?status=error$"))
    expect(entries(page)).to_have_count(1)


def test_a_wrong_value_in_the_address_is_said_beside_its_field(
    history: Page, place: Installation
) -> None:
    history.goto(f"{place.url}/history?from=soon&number=0199")

    expect(history.get_by_text("A part of the filter cannot be used")).to_be_visible()
    expect(history.get_by_label("From")).to_have_attribute("aria-invalid", "true")
    expect(entries(history)).to_have_count(1)


def test_a_page_stays_put_while_rows_arrive_and_says_so(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    place.write_history(workspace, [a_row(number) for number in range(120)])
    place.sign_in(page, workspace, "/history")
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("heading", name="51–100 of 120 entries")).to_be_visible()  # noqa: RUF001
    before = calls_on(page)

    place.write_history(workspace, [a_row(call_id="newer-1"), a_row(call_id="newer-2")])

    newer = page.locator("#arrived").get_by_text("2 newer entries.")
    expect(newer).to_be_visible(timeout=LIVE_MS)
    assert calls_on(page) == before == [f"call-{number:04}" for number in range(50, 100)]
    page.reload()
    assert calls_on(page) == before
    page.get_by_role("link", name="Go to the newest").click()
    expect(entries(page).first).to_contain_text("Written")
    assert set(calls_on(page)[:2]) == {"newer-1", "newer-2"}


def test_a_new_row_appears_by_itself_and_disturbs_nobody(
    history: Page, place: Installation, workspace: Workspace
) -> None:
    page = history
    calls = page.get_by_text("Each call counts once")
    expect(calls).to_contain_text(": 6 calls")
    page.get_by_role("searchbox").fill("half typ")
    page.get_by_role("link", name="Details of call call-0003").focus()

    place.write_history(workspace, [a_row(call_id="just-now")])

    expect(page.get_by_role("heading", name="1–8 of 8 entries")).to_be_visible(timeout=LIVE_MS)  # noqa: RUF001
    expect(page.locator("#tally .success .tally-count")).to_have_text("6")
    assert calls_on(page)[0] == "just-now"
    expect(page.get_by_role("searchbox")).to_have_value("half typ")
    expect(page.get_by_role("link", name="Details of call call-0003")).to_be_focused()
    expect(calls).to_contain_text(": 7 calls", timeout=LIVE_MS)


def test_the_keyboard_keeps_its_place_and_is_told_as_rows_arrive(
    place: Installation, page: Page, workspace: Workspace
) -> None:
    place.write_history(workspace, [a_row(number) for number in range(60)])
    place.sign_in(page, workspace, "/history")
    contact = re.compile("Contact 501")

    page.get_by_role("link", name="Older").focus()
    place.write_history(workspace, [a_row(call_id="new-1")])
    expect(page.locator("#told")).to_have_text("1–50 of 61 entries", timeout=LIVE_MS)  # noqa: RUF001
    expect(page.get_by_role("link", name="Older")).to_be_focused()
    entries(page).nth(5).get_by_role("link", name=contact).focus()
    place.write_history(workspace, [a_row(call_id="new-2")])

    expect(page.locator("#told")).to_have_text("1–50 of 62 entries", timeout=LIVE_MS)  # noqa: RUF001
    expect(entries(page).nth(6).get_by_role("link", name=contact)).to_be_focused()


def test_an_expired_session_is_said_while_the_page_waits_for_rows(
    history: Page, place: Installation, workspace: Workspace
) -> None:
    keys = place.store.keys.list(workspace.user_id, workspace.workspace_id)
    with writing(place.store.engine) as connection:
        ours = sessions.c.access_key_id.in_([key.id for key in keys])
        connection.execute(update(sessions).where(ours).values(expires_at=datetime.now(UTC)))

    expect(history.get_by_text("Your session has ended")).to_be_visible(timeout=LIVE_MS)
    expect(entries(history)).to_have_count(7)
    history.get_by_role("link", name="Sign in again").click()
    expect(history).to_have_url(re.compile(r"/sign-in\?why=expired&return_to=%2Fhistory"))


def test_the_chart_leads_to_a_day_and_has_its_numbers_as_a_table(
    history: Page, workspace: Workspace
) -> None:
    page = history
    newest = page.locator(".plot-bars a").last
    said = newest.locator("title").text_content() or ""
    page.get_by_text("The same as a table").click()
    expect(page.locator(".numbers-of-days tbody tr")).to_have_count(30)
    total = page.locator(".numbers-of-days tbody tr").first.locator("td").last.text_content()

    newest.locator("rect").first.click()

    assert f": {total} call" in said
    expect(page).to_have_url(re.compile(r"/history\?from=(\d{4}-\d\d-\d\d)&to=\1$"))


def test_the_rows_of_the_page_are_downloaded_as_csv(history: Page, tmp_path: Path) -> None:
    history.locator("#tally").get_by_role("link", name=re.compile("Skipped 1")).click()

    with history.expect_download() as started:
        history.get_by_role("link", name="Download CSV").click()
    started.value.save_as(tmp_path / "history.csv")

    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert started.value.suggested_filename.endswith(".csv")
    assert [line.split(",")[1] for line in lines] == ['"call_id"', '"call-0005"']


def brought_to(place: Installation, workspace: Workspace, call_id: str, outcome: Outcome) -> None:
    """A call in ledger and history."""
    now = datetime.now(UTC) - timedelta(minutes=5)
    ledger = place.store.ledger
    ledger.accept(
        [parse_call({"id": call_id, "customer_number": "+12025550142"}, workspace)], now=now
    )
    (claim,) = ledger.claim(workspace, holder="r/1", limit=1, for_s=9, now=now)
    ledger.settle([(claim, outcome)], holder="r/1", kind="note", run_id="", now=now)


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_all_that_match_are_retried_after_their_number_was_said(
    place: Installation,
    new_context: Callable[..., BrowserContext],
    workspace: Workspace,
    script: bool,
) -> None:
    missed = Outcome(Status.SKIPPED, Reason.CONTACT_NOT_FOUND, message="No contact.")
    for number in range(3):
        brought_to(place, workspace, f"missed-{number}", missed)
    brought_to(place, workspace, "refused", Outcome(Status.ERROR, Reason.REJECTED))
    drain(place.store.outbox, open_sync_log(place.store.settings, wait_s=20))
    page = new_context(java_script_enabled=script).new_page()
    place.sign_in(page, workspace, "/history")
    page.locator("#tally").get_by_role("link", name=re.compile("Skipped 3")).click()

    page.get_by_role("link", name="Retry calls").click()
    expect(page.get_by_role("heading", name="Retry 3 calls?")).to_be_visible()
    page.get_by_role("button", name="Retry 3 calls").click()

    expect(page.locator("#notices")).to_have_text(re.compile("3 calls are back in line."))
    expect(entries(page)).to_have_count(3)
    page.get_by_role("link", name="Retry calls").click()
    expect(page.get_by_role("definition").last).to_have_text("3 calls")
    expect(page.get_by_role("button", name=re.compile("Retry"))).to_have_count(0)


def test_everything_works_without_script(
    place: Installation, new_context: Callable[..., BrowserContext], workspace: Workspace
) -> None:
    place.write_history(workspace, [*(a_row(n) for n in range(60)), a_row(60, **REFUSED)])
    page = new_context(java_script_enabled=False).new_page()
    place.sign_in(page, workspace, "/history")

    page.get_by_role("link", name="Show the calls per day").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Calls per day")
    page.get_by_role("link", name="Back to the history").click()
    page.get_by_role("link", name="Older").click()
    expect(entries(page)).to_have_count(11)
    page.get_by_text("More filters").click()
    page.get_by_label("Result", exact=True).select_option("error")
    page.get_by_role("button", name="Show").click()

    expect(page).to_have_url(f"{place.url}/history?status=error")
    expect(entries(page)).to_have_count(1)


OPEN_ALL = "document.querySelectorAll('details').forEach((it) => { it.open = true; })"
PAGES = ["/history", "/history?status=error&from=soon&q=x", "/history/retry", "/history?offset=999"]


def test_nothing_stands_out_of_a_narrow_screen(
    place: Installation, new_context: Callable[..., BrowserContext], workspace: Workspace
) -> None:
    long = {"call_id": "c" * 60, "error_message": "x" * 300, "phone_number": "+1202555" * 6}
    place.write_history(workspace, [a_row(n, **REFUSED | long) for n in range(60)])
    page = new_context(viewport={"width": 390, "height": 844}, has_touch=True).new_page()
    place.sign_in(page, workspace, "/history")

    for path in PAGES:
        page.goto(place.url + path)
        if page.locator("[data-load]").count():
            expect(page.locator("[data-loaded]")).to_be_visible()
        page.evaluate(OPEN_ALL)
        assert page.evaluate("document.documentElement.scrollWidth") == 390, path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_accessible(
    place: Installation,
    new_context: Callable[..., BrowserContext],
    workspace: Workspace,
    scheme: str,
) -> None:
    rows = [a_row(1), a_row(2, **MISSED), *(a_row(n, **REFUSED) for n in range(3, 60))]
    place.write_history(workspace, rows)
    page = new_context(color_scheme=scheme).new_page()
    place.sign_in(page, workspace, "/history")

    for path in PAGES if scheme == "light" else PAGES[:1]:
        page.goto(place.url + path)
        if page.locator("[data-load]").count():
            expect(page.locator("[data-loaded]")).to_be_visible()
        page.evaluate(OPEN_ALL)
        found = Axe().run(page)
        assert found.violations_count == 0, f"{path}: {found.generate_report()}"


def test_two_workspaces_see_their_own_rows_arrive(
    history: Page,
    place: Installation,
    new_context: Callable[..., BrowserContext],
    workspace: Workspace,
) -> None:
    other = Workspace("lee", f"{workspace.workspace_id}-other")
    theirs = new_context().new_page()
    place.sign_in(theirs, other, "/history")
    expect(theirs.get_by_role("heading", name="No entries yet")).to_be_visible()

    place.write_history(other, [a_row(call_id="theirs")])

    expect(entries(theirs)).to_have_count(1, timeout=LIVE_MS)
    assert calls_on(theirs) == ["theirs"]
    expect(entries(history)).to_have_count(7)
    assert "theirs" not in calls_on(history)
