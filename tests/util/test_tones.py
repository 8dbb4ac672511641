"""Drawings of lines alone: lines of one strength and one ink on an even ground, and others."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from _util.tones import find_tones, is_even

WHITE, CREAM, BLACK, RED, BLUE = (1, 1, 1), (0.97, 0.95, 0.9), (0.08,) * 3, (0.84, 0.24, 0.2), (0.24, 0.43, 0.78)
FINER = 3


def drawing(sketch=1.0, shade=0.0):
    picture = np.ones((120, 160, 3), np.float32)
    cv2.circle(picture, (100, 60), 40, [sketch] * 3, 2, cv2.LINE_AA)
    cv2.circle(picture, (60, 60), 30, [0] * 3, 2, cv2.LINE_AA)
    return picture * (1 - shade * np.linspace(1, 0, 160, dtype=np.float32)[None, :, None])


def face(height=540, ink=BLACK, ground=WHITE, width=2.5, mouth=None, guide=None, cheek=None, fill=None, mark=None):
    """(h, w, 4): lines in colours in [0, 1], opaque where drawn; sizes are for 540 pixels of height."""
    scale = height / 540
    canvas = np.full((height * FINER, height * 16 // 9 * FINER, 4), (*ground, 0), np.float32)

    def place(*at):
        return [round(value * scale * FINER) for value in at]

    def ellipse(x, y, rx, ry, colour, line):
        thickness = round(line * FINER) or -1
        cv2.ellipse(canvas, place(x, y), place(rx, ry), 0, 0, 360, (*colour, 1), thickness)

    def line(colour, *points):
        curve = np.array([place(*point) for point in points])
        cv2.polylines(canvas, [curve], False, (*colour, 1), round(width * FINER))

    if fill:
        ellipse(480, 270, 160, 190, fill, 0)
    if mark:
        ellipse(480, 330, 60, 40, mark, 8 * scale)
    for side in (-1, 1):
        if cheek:
            ellipse(480 + side * 90, 320, 12, 9, cheek, 0)
        ellipse(480 + side * 60, 230, 16, 22, ink, width)
    ellipse(480, 270, 160, 190, ink, width)
    line(mouth or ink, (440, 380), (480, 392), (520, 380))
    for x in range(100, 900, 100):
        line(ink, (x, 40), (x + 30, 75))
    if guide:
        line(guide, (310, 270), (650, 270))
    return cv2.resize(canvas, None, fx=1 / FINER, fy=1 / FINER, interpolation=cv2.INTER_AREA)


def on_paper(picture: np.ndarray) -> np.ndarray:
    return picture[:, :, :3]


def on_transparency(picture: np.ndarray) -> np.ndarray:
    """Of a drawing on black."""
    alpha = picture[:, :, 3:]
    return np.dstack([picture[:, :, :3] / np.maximum(alpha, 1e-6), alpha])


def jpeg(picture: np.ndarray, quality: int = 75) -> np.ndarray:
    """With chroma at half the resolution."""
    levels = (picture[:, :, 2::-1] * 255).round().clip(0, 255).astype(np.uint8)
    data = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1].astype(np.float32) / 255


def pencil(picture: np.ndarray) -> np.ndarray:
    """Lines with the tooth of paper."""
    tooth = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, picture.shape[:2]).astype(np.float32), (0, 0), 0.8)
    paper = picture[0, 0, :3]
    return paper + (picture[:, :, :3] - paper) * (1 - 0.35 * abs(tooth / tooth.std())).clip(0, 1)[:, :, None]


def scan(picture: np.ndarray, noise: float = 0.02, corners: float = 0.04) -> np.ndarray:
    """Pencil with coloured noise and darker corners."""
    h, w = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    shaded = pencil(picture) * (1 - corners * ((x**2 + y**2) / 2) ** 3)[:, :, None]
    return (shaded + np.random.default_rng(1).normal(0, noise, shaded.shape)).clip(0, 1).astype(np.float32)


def scanned_jpeg(picture: np.ndarray) -> np.ndarray:
    return jpeg(scan(picture))


def of_16_bits(picture: np.ndarray) -> np.ndarray:
    return (picture[:, :, :3] * 65535).round() / np.float32(65535)


@pytest.mark.parametrize(("picture", "even"), [(drawing(), 1), (drawing(sketch=0.65), 0), (drawing(shade=0.15), 0)])
def test_faint_lines_and_shaded_paper_are_not_even(picture, even):
    assert is_even(picture, find_tones(picture)) == bool(even)


def test_shades_between_ink_and_paper_are_no_lines():
    assert find_tones(drawing()) is not None
    filled = drawing()
    cv2.circle(filled, (60, 60), 29, [0.65] * 3, -1, cv2.LINE_AA)
    assert find_tones(filled) is None


def test_two_colours_on_half_of_the_picture_each_are_no_ink():
    """Their median lies midway, where neither is nearer than the other."""
    halves = np.zeros((40, 60, 3), np.float32)
    halves[:, 30:] = 1
    assert find_tones(halves) is None
    assert find_tones(halves, is_forced=True) is None


@pytest.mark.parametrize(
    ("seen", "look"),
    [
        (on_paper, {}),
        (on_paper, {"height": 360, "width": 1.2}),
        (on_paper, {"height": 1080, "width": 8}),
        (of_16_bits, {"ground": CREAM}),
        (jpeg, {}),
        (jpeg, {"ink": (0.95,) * 3, "ground": (0.03, 0.03, 0.08)}),
        (jpeg, {"ink": BLUE, "width": 2}),
        (jpeg, {"ink": RED, "ground": CREAM, "width": 1.5}),
        (pencil, {"ink": BLUE}),
        (scan, {"ink": (0.28, 0.28, 0.3), "ground": CREAM}),
        (scanned_jpeg, {"ink": (0.28, 0.28, 0.3), "ground": CREAM}),
        (scanned_jpeg, {"ink": BLUE, "ground": CREAM, "height": 720}),
        (scanned_jpeg, {"ink": (0.35, 0.24, 0.16), "ground": CREAM}),
        (on_transparency, {"ground": (0, 0, 0)}),
        (on_transparency, {"ground": (0, 0, 0), "ink": BLUE, "height": 1080, "width": 3}),
    ],
)
def test_lines_of_one_ink(seen: Callable, look: dict):
    picture = seen(face(**look))
    tones = find_tones(picture)
    assert tones is not None
    assert is_even(picture, tones)


@pytest.mark.parametrize(
    ("seen", "look"),
    [
        (on_paper, {"mouth": RED}),
        (on_paper, {"mouth": RED, "height": 270, "width": 1.5}),
        (on_paper, {"mouth": (0.47, 0.08, 0.08), "height": 1080}),
        (on_paper, {"mouth": (1, 0.78, 0.24), "ink": WHITE, "ground": (0, 0, 0)}),
        (on_paper, {"mouth": WHITE, "ground": (0.5,) * 3}),
        (on_paper, {"guide": (1, 0.7, 0.7)}),
        (jpeg, {"mouth": RED, "height": 1080}),
        (jpeg, {"guide": BLUE}),
        (scanned_jpeg, {"mouth": RED, "ink": (0.28, 0.28, 0.3), "ground": CREAM}),
        (on_transparency, {"mouth": RED, "ground": (0, 0, 0)}),
        (on_transparency, {"cheek": (1, 0.8, 0.8), "ground": (0, 0, 0)}),
    ],
)
def test_a_stroke_of_another_colour_is_another_ink(seen: Callable, look: dict):
    assert find_tones(seen(face(**look))) is None


def test_marks_of_several_colours_are_several_inks():
    """Each of them is smaller than a stroke."""
    picture = on_paper(face(270, WHITE, (0, 0, 0)))
    for x, y in np.random.default_rng(0).integers((20, 20), (460, 250), (80, 2)):
        picture[y : y + 3, x : x + 3] = (1, 0.6, 0.3)
    assert find_tones(picture) is None


@pytest.mark.parametrize(
    ("seen", "look"),
    [
        (on_paper, {"fill": (1, 0.992, 0.92)}),
        (on_paper, {"fill": (0.94, 0.98, 1), "height": 270}),
        (jpeg, {"fill": (1, 0.992, 0.92), "height": 1080}),
        (on_paper, {"cheek": (1, 0.88, 0.88)}),
        (on_paper, {"cheek": (1, 0.88, 0.88), "height": 1080}),
        (jpeg, {"cheek": (1, 0.88, 0.88), "height": 360}),
        (on_paper, {"cheek": (0.9,) * 3}),
        (on_paper, {"mark": (0.93,) * 3}),
        (scan, {"cheek": (0.97, 0.82, 0.8), "ink": (0.28, 0.28, 0.3), "ground": CREAM}),
    ],
)
def test_pale_fills_are_not_even(seen: Callable, look: dict):
    picture = seen(face(**look))
    tones = find_tones(picture)
    assert tones is None or not is_even(picture, tones)


def test_a_pale_fill_that_is_cut_off_by_the_border_is_not_even():
    picture = on_paper(face(fill=(1, 0.992, 0.92)))[150:]
    assert not is_even(picture, find_tones(picture))
    cut = picture[:300, 480:]
    assert not is_even(cut, find_tones(cut))


def test_a_faint_spot_on_transparency_is_not_even():
    picture = on_transparency(face(ground=(0, 0, 0)))
    picture[300:320, 380:410] = (1, 0.5, 0.5, 0.12)
    assert not is_even(picture, find_tones(picture))
