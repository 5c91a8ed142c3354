"""One Chromium for all; every page is watched: a word in the console, or a request, fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests_browser.reports import quick_start

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = os.environ.get("AIT_CMP_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        # Root may start it only without a sandbox; it sees no page but ours.
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens a page and waits until it is ready; in the end nothing may have complained."""
    contexts, complaints, asked = [], list[str](), list[str]()

    def opened(path: Path, *, address: str = "", width: int = 1440, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            permissions=["clipboard-read", "clipboard-write"],
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{path.as_uri()}{address}")
        expect(page.locator("html[data-ready]")).to_have_count(1, timeout=60_000)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints
    assert not [url for url in asked if not url.startswith("file:")]


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a real run with a planted fault."""
    return quick_start(tmp_path_factory.mktemp("quick"))
