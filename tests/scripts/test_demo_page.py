"""The page of one pair draws in a browser."""

import shutil

import cv2
import pytest

from _scripts.demo_page import create_page
from _train.frame_interpolation.interpolator import Interpolator
from tests.browser import NAMES
from tests.util.test_duplicates import picture


@pytest.mark.slow
def test_a_pair_in_a_browser(tmp_path):
    pytest.importorskip("gradio", reason="Gradio is not installed: pip install '.[demo]'")
    playwright = pytest.importorskip("playwright.sync_api")
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture(i, (64, 96)))
    page_server = create_page(Interpolator(flow="dis", synthesis="splat", device="cpu"))
    _, address, _ = page_server.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, share=False)
    try:
        with playwright.sync_playwright() as session:
            browser = session.chromium.launch(executable_path=executable, args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(address)
            files = page.locator("input[type=file]")
            files.nth(0).set_input_files(tmp_path / "0.png")
            page.locator("[data-testid=image] img, .image-frame img").nth(0).wait_for()
            page.locator("input[type=file]").last.set_input_files(tmp_path / "1.png")
            page.locator("[data-testid=image] img, .image-frame img").nth(1).wait_for()
            page.get_by_role("button", name="Draw", exact=True).click()
            thumbnails = page.locator(".grid-wrap img, .thumbnail-item img")
            thumbnails.nth(4).wait_for(timeout=60_000)
            assert thumbnails.count() == 5
            browser.close()
    finally:
        page_server.close()
