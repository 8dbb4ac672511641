"""The page of one pair draws in a browser."""

import shutil

import cv2
import numpy as np
import pytest

from _scripts.demo_page import create_page, draw_files
from _train.frame_interpolation.interpolator import Interpolator
from tests.browser import NAMES
from tests.util.test_duplicates import picture


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 4), (np.uint16, 1), (np.uint16, 3)])
def test_transparency_and_depth_are_seen(tmp_path, dtype, channels):
    first = np.zeros((32, 48, channels), dtype)
    first[8:24, 8:24] = np.iinfo(dtype).max // 2
    paths = tmp_path / "0.png", tmp_path / "1.png"
    for path, frame in zip(paths, (first, np.roll(first, 4, 1)), strict=True):
        cv2.imwrite(str(path), frame)
    frames = draw_files(Interpolator(flow="dis", synthesis="splat", device="cpu"), paths, 3)
    assert len(frames) == 5
    for frame in frames:
        assert frame.dtype == np.uint8
        assert frame.shape == ((32, 48, channels) if channels > 1 else (32, 48))
        np.testing.assert_allclose(frame[16, 16], 127.5, atol=1)
        np.testing.assert_allclose(frame[2, 2], 0, atol=1)


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
