"""Chromium of this machine, driven by Playwright; without one, tests are skipped but in CI."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from target_hubspot_calls.call import Workspace
from tests.browser.stage import Installation, install

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WAIT_MS = 15_000
NUMBERS = itertools.count(1)


# Playwright keeps an event loop running in this thread for as long as it is open, and tests of
# other folders begin loops of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser process for the tests of a file."""
    if CHROMIUM is None:
        reason = "no chromium on this machine: pages are not tested in a browser"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def new_context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Opens a browser profile of its own; what its pages complain of fails the test."""
    opened: list[BrowserContext] = []
    complaints: list[str] = []

    def open_one(**options: Any) -> BrowserContext:
        settings = {"viewport": {"width": 1280, "height": 800}, "timezone_id": "Europe/Berlin"}
        context = browser.new_context(**{**settings, **options})
        context.set_default_timeout(WAIT_MS)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if message.type == "error" and "Failed to load resource" not in message.text
                else None
            ),
        )
        opened.append(context)
        return context

    yield open_one
    for context in opened:
        context.close()
    assert complaints == []


@pytest.fixture
def page(new_context: Callable[..., BrowserContext]) -> Page:
    """A page of a browser that has been nowhere yet."""
    return new_context().new_page()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A receiver that delivers nothing, shared by the tests of a file."""
    with install(tmp_path_factory.mktemp("place"), "--no-sync") as installation:
        yield installation


@pytest.fixture(scope="module")
def live_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A receiver with live sync, shared by the tests of a file."""
    with install(tmp_path_factory.mktemp("live")) as installation:
        yield installation


@pytest.fixture
def workspace() -> Workspace:
    """A workspace that no other test has."""
    return Workspace("dana", f"workspace-{os.getpid()}-{next(NUMBERS)}")
