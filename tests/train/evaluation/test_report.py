"""The report: its files, and its page in Chromium."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from _train.frame_interpolation.evaluation.pages import site
from _train.frame_interpolation.evaluation.pages.report import Report, ReportItem
from _util.errors import InputError
from tests.browser import open_page

METRICS = {"LPIPS": False, "PSNR": True}
ODD = 'käfer <b>&amp; "quoted" \'</script>'
LABELS = ["frame 0", "truth", "frame 1", "blend", "blend − truth", "flow"]


def item(number: int, name: str | None = None, size: tuple[int, int] = (18, 32)) -> ReportItem:
    """A picture of one colour per label, which tests can tell apart; `blend` is better on even items."""
    pictures = {label: np.full((*size, 3), (number % 256, 40 * i, 200), np.uint8) for i, label in enumerate(LABELS)}
    scores = {
        "blend": {"LPIPS": 0.1 + (number * 37 % 101) / 1000, "PSNR": 20 + (number * 53 % 89) / 10},
        "dis+splat": {"LPIPS": 0.15, "PSNR": float("inf") if number == 1 else 25.0},
    }
    facts = {"subset": "east" if number % 3 else "west", "level": str(number % 2)}
    return ReportItem(name or f"shot_{number}", facts, scores, pictures, "stamp")


def open_report(folder, title="A title & more", metrics=METRICS, methods=("blend", "dis+splat"), run="run") -> Report:
    return Report(folder, title, metrics, list(methods), run)


def finish(report: Report, summary=()):
    """With all items."""
    records = (json.loads(path.read_text()) for path in report.folder.glob("items/*/item.json"))
    return report.finish(list(summary), {record["name"] for record in records})


def written(folder) -> dict:
    return json.loads((folder / "data.js").read_text().removeprefix("const DATA = ").removesuffix(";\n"))


def picture(folder, place: int, label: str) -> np.ndarray:
    path = folder / "items" / written(folder)["folders"][place] / f"{LABELS.index(label)}.webp"
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture
def report(tmp_path) -> Report:
    return open_report(tmp_path / "report")


def test_pictures_are_stored_without_loss(report):
    noise = np.random.default_rng(0).integers(0, 256, (45, 81, 3), np.uint8)
    report.add(item(3)._replace(pictures={"frame 0": noise, "truth": noise[::-1]}))
    finish(report)
    np.testing.assert_array_equal(picture(report.folder, 0, "frame 0"), noise)
    np.testing.assert_array_equal(picture(report.folder, 0, "truth"), noise[::-1])


def test_data_are_by_columns_in_natural_order(report):
    for number in (10, 2, 1):
        report.add(item(number))
    assert finish(report, [{"method": "blend", "PSNR": "20"}, {"method": "x", "SSIM": "1"}]).name == "index.html"
    data = written(report.folder)
    assert data["names"] == ["shot_1", "shot_2", "shot_10"]
    assert data["summary"] == {"columns": ["method", "PSNR", "SSIM"], "rows": [["blend", "20", ""], ["x", "", "1"]]}
    assert data["metadata"][0] == {"name": "subset", "values": ["east"], "column": [0, 0, 0]}
    assert data["metadata"][1] == {"name": "level", "values": ["0", "1"], "column": [1, 0, 0]}
    blend, splat = data["scores"]
    assert blend["columns"][0] == pytest.approx([0.1 + (n * 37 % 101) / 1000 for n in (1, 2, 10)])
    assert splat["columns"][1] == [float("inf"), 25, 25]


def test_whole_items_are_not_encoded_again(report):
    report.add(item(1))
    files = sorted((report.folder / "items").glob("*/*.webp"))
    before = [file.stat().st_mtime_ns for file in files]
    again = open_report(report.folder)
    assert again.has("shot_1", "stamp")
    assert not again.has("shot_2", "stamp")
    again.add(item(1))
    assert [file.stat().st_mtime_ns for file in files] == before
    assert len(files) == len(LABELS) + 1


def test_what_changed_is_encoded_again(report):
    report.add(item(1))
    changed = item(1)
    changed.pictures["blend"][:] = 7
    report.add(changed)
    finish(report)
    assert (picture(report.folder, 0, "blend") == 7).all()
    assert (picture(report.folder, 0, "truth") == (1, 40, 200)).all()


@pytest.mark.parametrize("damage", ["cut", "gone", "record"])
def test_a_damaged_item_is_noticed_and_mended(report, damage):
    report.add(item(1))
    (record,) = (report.folder / "items").glob("*/item.json")
    if damage == "cut":
        (record.parent / "2.webp").write_bytes((record.parent / "2.webp").read_bytes()[:-9])
    elif damage == "gone":
        (record.parent / "thumbnails.webp").unlink()
    else:
        record.write_text(record.read_text()[:-20])
    assert not report.has("shot_1", "stamp")
    report.add(item(1))
    assert report.has("shot_1", "stamp")
    finish(report)
    assert (picture(report.folder, 0, "frame 1") == (1, 80, 200)).all()


def test_processes_share_a_folder(report):
    report.add(item(1))
    open_report(report.folder).add(item(2))
    finish(report)
    assert written(report.folder)["names"] == ["shot_1", "shot_2"]


def test_items_of_another_report_do_not_count(report):
    report.add(item(1))
    for title, metrics, methods, counts in (
        (report.title, METRICS, ["dis+splat", "blend"], True),
        (report.title, METRICS, ["blend"], False),
        (report.title, {"PSNR": True, "LPIPS": False}, ["blend", "dis+splat"], False),
        ("Another", METRICS, ["blend", "dis+splat"], False),
    ):
        other = open_report(report.folder, title, metrics, methods)
        assert other.has("shot_1", "stamp") == counts
        finish(other)
        assert written(report.folder)["names"] == ["shot_1"] * counts
        assert [entry["method"] for entry in written(report.folder)["scores"]] == methods


def test_items_of_another_run_or_of_other_files_do_not_count(report):
    report.add(item(1)._replace(stamp="a"))
    report.add(item(2))
    assert report.has("shot_1", "a")
    assert not report.has("shot_1", "b")
    report.finish([], {"shot_1"})
    assert written(report.folder)["names"] == ["shot_1"]
    other = open_report(report.folder, run="of other data")
    assert not other.has("shot_1", "a")
    finish(other)
    assert written(report.folder)["names"] == []


def test_another_page_is_left_alone(tmp_path):
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(InputError, match=r"holds an index\.html"):
        open_report(tmp_path)
    with pytest.raises(InputError, match="cannot be created"):
        open_report(tmp_path / "index.html")
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


@pytest.mark.parametrize("name", ["a/b", "../..", ODD, "", "x" * 300, "CON", ".hidden", "日本", "\ud800"])
def test_any_name_becomes_a_safe_file_name(name):
    assert re.fullmatch(r"\w[\w-]{0,59}", "x" + site.safe_name(name)[1:], re.ASCII)
    assert site.safe_name(name) != site.safe_name(name + " ")


def build(folder, count: int):
    report = open_report(folder / "report")
    for number in range(count - 1):
        report.add(item(number))
    report.add(item(count - 1, ODD))
    return finish(report, [{"method": "blend", "PSNR": "24.00"}, {"method": "<i>", "PSNR": "25.00"}])


def names(page) -> list[str]:
    return page.locator("#items-table tbody button").all_inner_texts()


def shown(page) -> str:
    return page.locator("#frame img.shown").get_attribute("alt").split(" of ")[0]


@pytest.mark.slow
def test_two_hundred_items_in_chromium(tmp_path):
    page_file = build(tmp_path, 200)
    with open_page(page_file, tmp_path / "profile", viewport={"width": 1280, "height": 900}) as page:
        assert page.title() == "A title & more"
        assert page.locator("#summary-table td").all_inner_texts() == ["blend", "24.00", "<i>", "25.00"]
        assert page.locator("#distributions figure").count() == 2
        assert page.locator("#distributions svg").count() == 4
        assert names(page)[0] == ODD
        assert len(names(page)) < 60  # rows out of view do not exist

        # Sort by each metric: the best first, then the worst.
        for metric in METRICS:
            scores = {f"shot_{n}" if n < 199 else ODD: item(n).scores["blend"][metric] for n in range(200)}
            best = (max if METRICS[metric] else min)(scores.values())
            worst = (min if METRICS[metric] else max)(scores.values())
            head = page.get_by_role("button", name=f"{metric} of blend")
            head.click()
            assert scores[names(page)[0]] == best
            assert head.locator("..").get_attribute("aria-sort") == ("descending" if METRICS[metric] else "ascending")
            head.click()
            assert scores[names(page)[0]] == worst
        page.get_by_role("button", name="PSNR of dis+splat").click()
        assert names(page)[0] == "shot_1"
        assert page.locator("#items-table tbody tr").nth(1).locator("td").last.inner_text() == "∞"

        # Scroll, filter, search.
        page.get_by_role("button", name="Name").click()
        page.locator("#items").evaluate("box => box.scrollTop = box.scrollHeight")
        page.get_by_role("button", name="shot_198", exact=True).wait_for()
        assert "shot_1" not in names(page)
        page.get_by_label("subset").select_option(label="west")
        assert page.locator("#count").inner_text() == "67 of 200 items"
        assert "shot_3" in names(page)
        assert "shot_4" not in names(page)
        page.get_by_label("Name", exact=True).fill("_33")
        assert names(page) == ["shot_33"]
        page.get_by_label("Name", exact=True).fill("")
        page.get_by_label("subset").select_option(label="all")

        # Flip by keys.
        page.get_by_role("button", name="shot_2", exact=True).click()
        page.locator("#frame img.shown").wait_for()
        assert shown(page) == "frame 0"
        for key, label in (("4", "blend"), ("2", "truth"), (" ", "blend"), (" ", "truth"), ("ArrowRight", "frame 1")):
            page.keyboard.press(key)
            assert shown(page) == label
            assert page.locator("#label-left").inner_text() == label
            assert page.locator("#strip [aria-pressed=true]").inner_text().endswith(label)
        page.keyboard.press("ArrowDown")
        assert page.locator("#viewer-name").inner_text() == "shot_3"
        page.locator("#frame img.shown[alt$=shot_3]").wait_for()
        assert shown(page) == "frame 1"
        page.keyboard.press("ArrowUp")
        page.locator("#frame img.shown[alt$=shot_2]").wait_for()
        assert page.locator("#viewer-metadata dd").all_inner_texts() == ["east", "0"]

        # The pixel on screen is the picture's.
        page.keyboard.press("4")
        assert colour_at_centre(page, tmp_path) == (2, 120, 200)

        # Wipe by dragging: the left part of the stage is one picture, the right part the other.
        page.keyboard.press("w")
        box = page.locator("#stage").bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 0.5 * box["width"], middle)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.25 * box["width"], middle)
        page.mouse.up()
        assert page.locator("#divider").get_attribute("aria-valuenow") == "25"
        assert page.locator("#label-right").inner_text() == "frame 1"
        assert colour_at_centre(page, tmp_path) == (2, 80, 200)
        page.locator("#divider").press("ArrowRight")
        assert page.locator("#divider").get_attribute("aria-valuenow") == "27"
        page.keyboard.press("w")

        # Zoom: whole pixels, and back.
        before = page.locator("#zoom").inner_text()
        page.keyboard.press("-")
        assert page.locator("#zoom").inner_text() != before
        assert (
            page.locator("#frame").evaluate("frame => getComputedStyle(frame.firstChild).imageRendering") == "pixelated"
        )
        page.keyboard.press("0")
        assert page.locator("#zoom").inner_text() == before

        page.keyboard.press("Escape")
        assert not page.locator("#viewer").is_visible()
        assert page.evaluate("document.activeElement.textContent") == "shot_2"

        # An address leads to an item and a picture, also one given before the viewer has reported that it closed.
        for number, name in enumerate((ODD, "shot_7")):
            page.evaluate(
                """([name, closes]) => {
                    if (closes) document.getElementById("viewer").close();
                    location.hash = new URLSearchParams({item: name, picture: "truth"});
                }""",
                [name, bool(number)],
            )
            page.locator("#frame img.shown").and_(page.get_by_alt_text(f"truth of {name}", exact=True)).wait_for()
            assert page.locator("#viewer-name").inner_text() == name


def colour_at_centre(page, folder) -> tuple[int, ...]:
    page.locator("#stage").screenshot(path=folder / "stage.png")
    with Image.open(folder / "stage.png") as shot:
        return shot.convert("RGB").getpixel((shot.width // 2 + 3, shot.height // 2 + 30))


@pytest.mark.alone
@pytest.mark.slow
def test_two_thousand_items_stay_quick(tmp_path):
    """The page alone: without pictures, which load when they are in view."""
    report = open_report(tmp_path / "report")
    report.add(item(0))
    (first,) = (report.folder / "items").glob("*/item.json")
    record = json.loads(first.read_text())
    for number in range(1, 2000):
        folder = report.folder / "items" / site.safe_name(f"shot_{number}")
        folder.mkdir()
        for file in first.parent.glob("*.webp"):
            (folder / file.name).hardlink_to(file)
        content = {**record, "name": f"shot_{number}", "scores": item(number, size=(1, 1)).scores}
        (folder / "item.json").write_text(json.dumps(content))
    with open_page(finish(report), tmp_path / "profile") as page:
        loads = []
        for _ in range(3):
            page.reload()
            loads.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
        assert min(loads) < 2000
        assert page.locator("#items-table tbody tr").count() < 60
        milliseconds = page.evaluate("""() => {
            const start = performance.now();
            document.querySelectorAll("#items-table thead button")[4].click();
            document.getElementById("items").getBoundingClientRect();
            return performance.now() - start;
        }""")
        assert milliseconds < 300
