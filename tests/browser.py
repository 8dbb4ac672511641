"""A headless Chromium for tests of pages; they skip where there is none."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextlib.contextmanager
def open_page(place: Path | str, folder: Path, **options) -> Iterator:
    """A Playwright page, which fails the test at the end if anything went wrong on it.

    Args:
        place: an address, or a file, opened by `file://`.
        folder: keeps the browser's profile, and so its localStorage, from one opening to the next.
        options: of Playwright's `launch_persistent_context`, such as `viewport` and `color_scheme`.
    """
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install playwright"
    )
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    complaints = []
    with playwright.sync_playwright() as session:
        context = session.chromium.launch_persistent_context(
            folder, executable_path=executable, args=["--no-sandbox"], **{"accept_downloads": True, **options}
        )
        page = context.pages[0]
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("requestfailed", lambda request: complaints.append(f"{request.url}: {request.failure}"))
        page.goto(place if isinstance(place, str) else place.resolve().as_uri())
        try:
            yield page
        finally:
            context.close()
    given_up = "net::ERR_ABORTED"  # a picture that was scrolled or flipped away while it loaded
    assert [complaint for complaint in complaints if given_up not in complaint] == []
