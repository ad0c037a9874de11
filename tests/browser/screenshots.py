"""Makes the pictures of the pages in docs/images: `python -m tests.browser.screenshots`.

Starts an installation of its own with the simulator and an invented workspace, and looks at each
page at two widths, light and dark. What a page shows is not its business.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from playwright.sync_api import (
    Browser,
    BrowserContext,
    FloatRect,
    Page,
    Route,
    expect,
    sync_playwright,
)

from target_hubspot_calls.call import Workspace
from tests.browser.believable import SHOWN_CALL, fill
from tests.browser.small_png import shrink
from tests.browser.stage import Installation, install

FOLDER = Path(__file__).parents[2] / "docs" / "images"
WORKSPACE = Workspace("dana", "harbor-dental")
PUBLIC_URL = "https://calls.example.com"
SIGN_IN = "sign-in"
PAGES = {
    "integration": "/",
    "history": "/history",
    "call": f"/calls/{SHOWN_CALL}",
    "numbers": "/numbers",
    "keys": "/keys",
}
# Width, height of the window, and how much of a longer page is shown.
SIZES = ((1280, 800, 1280), (390, 844, 1600))
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_WAIT_MS = 15_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the pictures that are asked for, all by default."""
    parser = argparse.ArgumentParser(prog="screenshots", description=__doc__)
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder of the pictures")
    parser.add_argument("--page", action="append", choices=[SIGN_IN, *PAGES], help="only these")
    asked = parser.parse_args(arguments)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("no chromium on this machine: apt-get install chromium", file=sys.stderr)  # noqa: T201
        return 1
    asked.to.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        install(Path(folder), "--no-sync", HUBSPOT_CALLS_PUBLIC_URL=PUBLIC_URL) as place,
    ):
        place.connect(WORKSPACE)
        key = fill(place.store, WORKSPACE)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            total = 0
            for name, picture in pictures(browser, place, key, asked.page or [SIGN_IN, *PAGES]):
                (asked.to / name).write_bytes(picture)
                total += len(picture)
                print(f"{name}: {len(picture) // 1000} kB")  # noqa: T201
            browser.close()
    print(f"{total // 1000} kB in all, in {asked.to}")  # noqa: T201
    return 0


def pictures(
    browser: Browser, place: Installation, key: str, names: Sequence[str]
) -> Iterator[tuple[str, bytes]]:
    """File name and picture of each page, at each size, in each scheme."""
    for width, height, longest in SIZES:
        for scheme in SCHEMES:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                timezone_id="America/New_York",
                reduced_motion="reduce",
            )
            context.set_default_timeout(_WAIT_MS)
            context.route(f"{PUBLIC_URL}/**", partial(_answer, context, place))
            yield from _of_context(context, key, names, f"{width}-{scheme}", longest)
            context.close()


def _of_context(
    context: BrowserContext, key: str, names: Sequence[str], which: str, longest: int
) -> Iterator[tuple[str, bytes]]:
    page = context.new_page()
    if SIGN_IN in names:
        page.goto(f"{PUBLIC_URL}/sign-in")
        # The caret blinks and the first visit notes the zone; neither belongs in a picture.
        page.locator("h1").click()
        yield f"{SIGN_IN}-{which}.png", _picture(page, longest)
    page.goto(f"{PUBLIC_URL}/sign-in?return_to=/keys")
    page.get_by_label("Access key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{PUBLIC_URL}/keys")
    for name, path in PAGES.items():
        if name not in names:
            continue
        answer = page.goto(f"{PUBLIC_URL}{path}")
        if answer is None or not answer.ok:
            raise SystemExit(f"{path} could not be shown")
        # Parts that come after their page.
        expect(page.locator("[data-load]:not(:has([data-loaded]))")).to_have_count(0)
        yield f"{name}-{which}.png", _picture(page, longest)


def _answer(context: BrowserContext, place: Installation, route: Route) -> None:
    """Answers for the address that the pages say they have: nothing leaves this machine."""
    address = route.request.url.replace(PUBLIC_URL, place.url, 1)
    host = {"host": PUBLIC_URL.partition("//")[2]}
    route.fulfill(
        response=context.request.fetch(
            address,
            method=route.request.method,
            headers={**route.request.all_headers(), **host},
            data=route.request.post_data_buffer,
            max_redirects=0,
        )
    )


def _picture(page: Page, longest: int) -> bytes:
    size = page.evaluate("[innerWidth, document.documentElement.scrollHeight]")
    clip: FloatRect = {"x": 0, "y": 0, "width": size[0], "height": min(size[1], longest)}
    return shrink(page.screenshot(full_page=True, clip=clip, animations="disabled"))


if __name__ == "__main__":
    sys.exit(main())
