"""Take the pictures of the page in this folder: `python -m supplementary.studio.shoot`.

The keys are drawings of the demo at five times. A headless Chromium is needed, and Playwright.
"""

import argparse
import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from _train.frame_interpolation.studio import server
from _util import image
from supplementary.demo.draw import draw

TIMES = (0, 0.6, 1.2, 1.8, 2.4)
WINDOW = {"width": 1360, "height": 800}
PATIENCE = 600_000  # milliseconds, for all that is to be drawn


def main() -> None:
    parser = argparse.ArgumentParser(description="Take the pictures of the page.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "walk"
        keys.mkdir()
        for i, t in enumerate(TIMES, 1):
            image.write(keys / f"key_{i:03}.png", draw(t))
        with server.serving(keys, {"between": "3", "ease": "in-out"}, Path(folder) / "out") as address:
            with opened(address, "light") as page:
                shoot_timing(page, arguments.out / "timing.webp")
            with opened(address, "dark") as page:
                shoot_hints(page, arguments.out / "hints.webp")


@contextlib.contextmanager
def opened(address: str, scheme: Any) -> Iterator[Page]:
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as session:
        browser = session.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport=WINDOW, color_scheme=scheme)
        page.goto(address)
        wait_until_drawn(page)
        yield page
        browser.close()


def shoot_timing(page: Page, path: Path) -> None:
    """An in-between with its onion skin, and the chart of its gap."""
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "o", "o"):
        page.keyboard.press(key)
    save(page, path)


def shoot_hints(page: Page, path: Path) -> None:
    """Both keys of a gap, and two hints between them."""
    page.keyboard.press("h")
    page.locator("body.hinting").wait_for()
    for start, end in (((596, 100), (605, 108)), ((423, 490), (409, 478))):
        drag(page, start, end)
        wait_until_drawn(page)
    save(page, path)


def drag(page: Page, start: tuple[int, int], end: tuple[int, int]) -> None:
    box = page.locator("#canvas").bounding_box()
    assert box
    scale = box["width"] / 960
    for (x, y), act in ((start, page.mouse.down), (end, page.mouse.up)):
        page.mouse.move(box["x"] + x * scale, box["y"] + y * scale, steps=4)
        act()


def wait_until_drawn(page: Page) -> None:
    page.wait_for_timeout(500)
    page.get_by_text("All in-betweens are drawn").wait_for(timeout=PATIENCE)


def save(page: Page, path: Path) -> None:
    page.wait_for_timeout(1500)
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").save(path, quality=88, method=6)


if __name__ == "__main__":
    main()
