"""The page in a browser, from opening a folder to an export."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from _util import image
from tests.browser import open_page
from tests.train.studio.drawings import SIMPLE, key, until, write_keys

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from _train.frame_interpolation.studio import server

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PATIENCE = 60_000  # milliseconds; the machine may be busy


class Served(NamedTuple):
    """A page that is served."""

    keys: Path
    out: Path
    address: str


@contextlib.contextmanager
def serving(keys: Path, out: Path, between: str) -> Iterator[Served]:
    with server.serving(keys, {"between": between}, out, **SIMPLE) as address:
        yield Served(keys, out, address)


@pytest.fixture
def studio(tmp_path) -> Iterator[Served]:
    with serving(write_keys(tmp_path / "keys"), tmp_path / "out", "3") as served:
        yield served


@pytest.fixture
def command(tmp_path) -> Iterator[tuple[subprocess.Popen, Served]]:
    """`python -m _scripts.studio`, running."""
    keys, out = write_keys(tmp_path / "keys"), tmp_path / "out"
    simple = [part for name, value in SIMPLE.items() for part in (f"--{name.replace('_', '-')}", value)]
    arguments = (keys, "--out", out, "--between", "3", "--no-browser", *simple)
    with subprocess.Popen(
        (sys.executable, "-m", "_scripts.studio", *arguments), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        address = re.search(r"http://127\.0\.0\.1:\d+/[\w-]+/", process.stdout.readline())
        assert address
        yield process, Served(keys, out, address[0])
        process.kill()


def wait_until_drawn(page) -> None:
    page.set_default_timeout(PATIENCE)
    page.get_by_text("All in-betweens are drawn").wait_for(timeout=PATIENCE)


def shown(page) -> np.ndarray:
    """The pixels of the large picture."""
    values = page.evaluate(
        "() => { const c = document.getElementById('canvas');"
        " return [c.width, c.height, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; }"
    )
    return np.array(values[2:], np.uint8).reshape(values[1], values[0], 4)[:, :, :3]


def settled(page) -> np.ndarray:
    """The large picture, once it no longer changes: while a tick is dragged, it follows."""
    pictures = [shown(page)]

    def is_settled() -> bool:
        page.wait_for_timeout(500)
        pictures.append(shown(page))
        return np.array_equal(*pictures[-2:])

    until(is_settled)
    return pictures[-1]


def wait_until_shown(page, expected: np.ndarray) -> None:
    until(lambda: np.array_equal(shown(page), expected))


def disc(page) -> float:
    """Where the disc of the picture has its middle, in pixels from the left."""
    return float(np.nonzero(shown(page)[24, :, 1] < 100)[0].mean())


def place(page, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the picture is on the page."""
    box = page.locator("#canvas").bounding_box()
    return box["x"] + (x + 0.5) * box["width"] / 64, box["y"] + (y + 0.5) * box["height"] / 48


def drag(page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def test_load_drag_a_tick_drag_a_hint_export_reload(command, tmp_path):
    process, studio = command
    with open_page(studio.address, tmp_path / "profile", viewport={"width": 1280, "height": 800}) as page:
        wait_until_drawn(page)
        assert page.locator("#strip li").count() == 9
        wait_until_shown(page, key(0))

        # By the keyboard to the in-between in the middle, whose disc is halfway.
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.get_by_text("k1 + 2 of 3, at 1/2").wait_for()
        until(lambda: abs(disc(page) - 16) < 1)

        # Its tick is dragged; the disc follows it.
        line = page.locator("#chart .line").bounding_box()
        tick = page.get_by_role("slider", name="In-between 2").bounding_box()
        middle = tick["x"] + 10, tick["y"] + tick["height"] / 2
        drag(page, middle, (middle[0], line["y"] + 0.3 * line["height"]))
        until(lambda: "studio.json" in os.listdir(studio.keys))  # noqa: PTH208
        ticks = json.loads((studio.keys / "studio.json").read_text())["gaps"]["k1"]["ticks"]
        assert [ticks[0], ticks[2]] == ["1/4", "3/4"]
        moved = float(Fraction(ticks[1]))
        assert 0.26 < moved < 0.34
        wait_until_drawn(page)
        until(lambda: abs(disc(page) - 12 - 8 * moved) < 1.2)
        before = settled(page)

        # A hint is dragged that says otherwise; the frame changes.
        page.keyboard.press("h")
        page.locator("body.hinting").wait_for()
        drag(page, place(page, 12, 24), place(page, 36, 24))
        page.locator("#hint-list li").wait_for()
        (hint,) = json.loads((studio.keys / "hints.json").read_text())["hints"]
        assert hint["key"] == "k1"
        assert np.abs(np.subtract([*hint["from"], *hint["to"]], [12, 24, 36, 24])).max() < 0.6
        page.keyboard.press("h")
        wait_until_drawn(page)
        until(lambda: not np.array_equal(shown(page), before))
        hinted = settled(page)

        # Undo brings the picture back, redo the hint.
        page.keyboard.press("Control+z")
        wait_until_shown(page, before)
        page.keyboard.press("Control+Shift+z")
        wait_until_shown(page, hinted)

        page.keyboard.press("x")
        page.get_by_label("PNG sequence").check()
        page.locator("#export-start").click()
        page.get_by_text("Written to").wait_for(timeout=PATIENCE)
        page.get_by_role("button", name="Close").click()
        frames = sorted((studio.out / "keys").iterdir())
        assert len(frames) == 9
        np.testing.assert_array_equal(image.read(frames[0]), key(0))
        np.testing.assert_array_equal(image.read(frames[2]), hinted)

        page.reload()
        wait_until_drawn(page)
        page.get_by_role("option", name="in-between 2 of k1").click()
        wait_until_shown(page, hinted)
    for i in range(3):
        np.testing.assert_array_equal(image.read(studio.keys / f"k{i + 1}.png"), key(8 * i))
    process.send_signal(signal.SIGINT)
    written, _ = process.communicate(timeout=60)
    assert (process.returncode, "Closed." in written) == (0, True)


def test_a_drag_that_is_cancelled_changes_nothing_nor_does_the_release_after_it(studio, tmp_path):
    with open_page(studio.address, tmp_path / "profile", viewport={"width": 1280, "height": 800}) as page:
        wait_until_drawn(page)

        def drag_and_cancel(selector: str, start: tuple[float, float], end: tuple[float, float]) -> None:
            page.mouse.move(*start)
            page.mouse.down()
            page.mouse.move(*end, steps=4)
            page.locator(selector).dispatch_event("pointercancel")
            page.mouse.up()

        line = page.locator("#chart .line").bounding_box()
        tick = page.get_by_role("slider", name="In-between 2").bounding_box()
        middle = tick["x"] + 10, tick["y"] + tick["height"] / 2
        drag_and_cancel(".tick >> nth=1", middle, (middle[0], line["y"] + 0.3 * line["height"]))
        page.keyboard.press("h")
        page.locator("body.hinting").wait_for()
        drag_and_cancel("#arrows", place(page, 12, 24), place(page, 36, 24))
        page.wait_for_timeout(500)
        assert {path.name for path in studio.keys.glob("*.json")} == set()


def test_keyboard_alone(studio, tmp_path):
    with open_page(studio.address, tmp_path / "profile", viewport={"width": 1280, "height": 800}) as page:
        wait_until_drawn(page)
        page.keyboard.press("1")
        page.keyboard.press("Alt+2")  # at once
        page.locator("#on [data-on='2'][aria-pressed=true]").wait_for()
        page.get_by_text("frame 1 of 9").wait_for()
        assert page.locator("#strip li").count() == 7
        page.keyboard.press("t")
        page.keyboard.press("Shift+ArrowUp")
        page.get_by_role("slider", name="In-between 1").and_(page.locator("[aria-valuetext='5/12']")).wait_for()
        page.keyboard.press("Delete")
        page.get_by_text("frame 1 of 7").wait_for()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("l")
        page.locator("#loop:checked").wait_for()
        assert page.locator("#strip li").count() == 9

        # A hint by the cross in the middle of the picture.
        page.keyboard.press("h")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Enter")
        page.locator("#hint-list li").wait_for()
        (hint,) = json.loads((studio.keys / "hints.json").read_text())["hints"]
        assert hint == {"key": "k2", "from": [32, 24], "to": [52, 24]}
        page.keyboard.press("Delete")
        page.locator("#hint-list li").wait_for(state="detached")
        page.keyboard.press("Escape")
        wait_until_drawn(page)

        # Flipping shows a neighbour as long as a key is held.
        wait_until_shown(page, key(8))
        page.keyboard.press("ArrowUp")
        wait_until_shown(page, key(0))
        page.keyboard.down("d")
        wait_until_shown(page, key(8))
        page.keyboard.up("d")
        wait_until_shown(page, key(0))
        page.keyboard.press("?")
        page.get_by_text("onion skin: off, neighbours, keys").wait_for()


def test_playing_is_at_the_rate(studio, tmp_path):
    with open_page(studio.address, tmp_path / "profile") as page:
        wait_until_drawn(page)
        page.locator("#rate").fill("10")
        page.keyboard.press("Enter")
        page.get_by_text("frame 1 of 9 · 0.00 s").wait_for()
        page.keyboard.press("Space")
        page.get_by_text(re.compile("frame [5-9] of 9")).wait_for()
        count = page.evaluate(
            """async () => {
                const clock = document.getElementById("clock"), end = performance.now() + 1900;
                let last = "", count = 0;
                while (performance.now() < end) {
                    await new Promise(requestAnimationFrame);
                    if (clock.textContent !== last) count++;
                    last = clock.textContent;
                }
                return count;
            }"""
        )
        assert 15 <= count <= 21
        page.keyboard.press("Space")
        page.locator("body:not(.playing)").wait_for()


@contextlib.contextmanager
def answering_late(page) -> Iterator[None]:
    """The server answers the first edit made in the block only after the block."""
    held = []
    page.route("**/api/edit", lambda route: held.append(route))
    yield
    until(lambda: page.wait_for_timeout(20) or held)
    held[0].continue_()
    page.unroute("**/api/edit")


def test_edits_made_while_the_server_is_slow_are_all_done(studio, tmp_path):
    with open_page(studio.address, tmp_path / "profile", viewport={"width": 1280, "height": 800}) as page:
        wait_until_drawn(page)
        page.keyboard.press("h")
        page.locator("body.hinting").wait_for()
        places = [((12, 20), (20, 20)), ((12, 30), (20, 30))]
        with answering_late(page):
            for ends in places:
                drag(page, *(place(page, *at) for at in ends))
        page.locator("#hint-list li").nth(1).wait_for()
        assert len(json.loads((studio.keys / "hints.json").read_text())["hints"]) == 2

        page.keyboard.press("h")
        ticks = [page.get_by_role("slider", name=f"In-between {i}") for i in (1, 3)]
        with answering_late(page):
            for tick in ticks:
                tick.press("Delete")
        page.get_by_text("frame 1 of 7").wait_for()
        with answering_late(page):
            for _ in range(2):
                page.locator("#more").click()
        page.get_by_text("frame 1 of 9").wait_for()
        assert ticks_of(studio, "k1") == ["1/4", "1/2", "3/4"]


def ticks_of(studio: Served, key: str) -> list[str]:
    return json.loads((studio.keys / "studio.json").read_text())["gaps"][key]["ticks"]


def test_every_press_on_the_chart_counts(studio, tmp_path):
    def press(name: str, tick: int, times: int) -> None:
        page.get_by_role("slider", name=f"In-between {tick}").focus()
        for _ in range(times):
            page.keyboard.press(name)

    with open_page(studio.address, tmp_path / "profile", viewport={"width": 1280, "height": 800}) as page:
        wait_until_drawn(page)
        with answering_late(page):
            press("ArrowDown", 1, 5)
        page.locator("[aria-valuetext='29/96']").wait_for()
        with answering_late(page):
            press("ArrowUp", 2, 30)
        page.locator("[aria-valuetext='5/16']").wait_for()  # beside the first
        assert ticks_of(studio, "k1") == ["29/96", "5/16", "3/4"]

        page.keyboard.press("6")
        page.get_by_text("of 12 ·").wait_for()
        with answering_late(page):
            press("Delete", 2, 3)
        page.get_by_text("of 9 ·").wait_for()
        assert ticks_of(studio, "k1") == ["1/7", "5/7", "6/7"]
        press("Delete", 3, 1)
        page.get_by_text("of 8 ·").wait_for()
        page.keyboard.press("Delete")
        page.get_by_text("of 7 ·").wait_for()
        assert ticks_of(studio, "k1") == ["1/7"]


def test_a_second_tab_and_an_end_are_reported(studio, tmp_path):
    with open_page(studio.address, tmp_path / "profile") as page:
        wait_until_drawn(page)
        second = page.context.new_page()
        second.goto(studio.address)
        wait_until_drawn(second)
        page.get_by_text("open in 2 tabs").wait_for()
        second.keyboard.press("2")
        page.get_by_text("frame 1 of 8").wait_for()
        second.close()
        page.get_by_text("open in 2 tabs").wait_for(state="detached")

        (studio.keys / "k2.png").rename(tmp_path / "k2.png")
        page.get_by_text("k2 is gone from the folder").wait_for()
        (tmp_path / "k2.png").rename(studio.keys / "k2.png")
        page.get_by_text("k2 is new among the keys").wait_for()
        page.get_by_text("frame 1 of 8").wait_for()


def test_in_betweens_that_cannot_be_drawn_are_counted(studio, tmp_path):
    path = studio.keys / "k3.png"
    whole = path.read_bytes()
    path.write_bytes(b"no picture")
    with open_page(studio.address, tmp_path / "profile") as page:
        page.set_default_timeout(PATIENCE)
        page.get_by_text("3 in-betweens cannot be drawn.").wait_for()
        path.write_bytes(whole)
        wait_until_drawn(page)


def set_hidden(page, is_hidden: bool) -> None:
    """A headless browser shows all tabs at once."""
    page.evaluate(
        "(is) => { Object.defineProperty(document, 'hidden', { value: is, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        is_hidden,
    )


def test_many_tabs_do_not_use_up_the_connections_of_the_browser(studio, tmp_path):
    with open_page(studio.address, tmp_path / "profile") as page:
        wait_until_drawn(page)
        tabs = [page]
        for _ in range(7):
            set_hidden(tabs[-1], True)
            tabs.append(page.context.new_page())
            tabs[-1].goto(studio.address)
            wait_until_drawn(tabs[-1])
        tabs[-1].keyboard.press("2")
        tabs[-1].get_by_text("frame 1 of 8").wait_for()
        set_hidden(page, False)
        page.get_by_text("frame 1 of 8").wait_for()


def test_of_a_hundred_keys_only_small_pictures_of_those_in_sight_are_fetched(tmp_path):
    keys = tmp_path / "keys"
    keys.mkdir()
    for i in range(100):
        frame = np.full((270, 480, 3), 255, np.uint8)
        frame[50:220, 2 * i : 2 * i + 170] = (200, 60, 2 * i)
        image.write(keys / f"k{i:03}.png", frame)
    with (
        serving(keys, tmp_path / "out", "0") as studio,
        open_page(studio.address, tmp_path / "profile") as page,
    ):
        wait_until_drawn(page)
        page.locator("#strip li:first-child img[src]").wait_for()
        fetched = page.locator("#strip img[src]").count()
        assert 10 <= fetched <= 45
        page.keyboard.press("End")
        page.locator("#strip li:last-child img[src]").wait_for(timeout=PATIENCE)
        last = page.locator("#strip li:last-child img")
        assert last.evaluate("async (picture) => { await picture.decode(); return picture.naturalWidth; }") == 192
        assert page.locator("#strip img[src]").count() <= 2 * fetched + 5
