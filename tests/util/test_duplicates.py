"""Repeated drawings: what is measured, and what is found after compression."""

import io
import itertools

import av
import cv2
import kornia
import numpy as np
import pytest
import torch

from _util import duplicates
from _util.duplicates import Difference
from _util.metrics import SSIM
from tests.conftest import require_shared

H, W = duplicates.SIZE


def flat(*colour: int) -> np.ndarray:
    return np.full((H, W, 3), colour, np.uint8)


def picture(seed: int, size: tuple[int, int] = (H, W)) -> np.ndarray:
    """A scene of outlined shapes in flat colours on a shaded background."""
    random, (h, w) = np.random.default_rng(seed), size
    image = np.linspace(*random.uniform(60, 220, (2, 3)), w)[None].repeat(h, 0).astype(np.uint8)
    for _ in range(30):
        centre, axes = random.uniform(size=2) * (w, h), random.uniform(0.02, 0.15, 2) * w
        ellipse = (*centre.astype(int).tolist(),), (*axes.astype(int).tolist(),), random.uniform(0, 180), 0, 360
        cv2.ellipse(image, *ellipse, random.uniform(20, 250, 3).tolist(), -1, cv2.LINE_AA)
        cv2.ellipse(image, *ellipse, (25, 20, 30), 2, cv2.LINE_AA)
    return image


def moved(image: np.ndarray, x: float = 0, y: float = 0, zoom: float = 1) -> np.ndarray:
    h, w = image.shape[:2]
    matrix = np.array([[zoom, 0, x + (1 - zoom) * w / 2], [0, zoom, y + (1 - zoom) * h / 2]])
    return cv2.warpAffine(image, matrix, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def compressed(frames: list[np.ndarray], crf: int, keyframes: int = 250) -> list[np.ndarray]:
    """Frames after H.264."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": str(crf), "preset": "veryfast", "g": str(keyframes)}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def with_mouth(image: np.ndarray, is_open: bool) -> np.ndarray:
    image = image.copy()
    cv2.circle(image, (300, 180), 60, (235, 195, 170), -1, cv2.LINE_AA)
    if is_open:
        cv2.ellipse(image, (300, 200), (4, 3), 0, 0, 360, (120, 40, 40), -1, cv2.LINE_AA)
    return image


def difference(one: np.ndarray, other: np.ndarray) -> Difference:
    return next(duplicates.differences([one, other]))


def test_equal_frames():
    assert difference(picture(0), picture(0)) == pytest.approx(Difference(0, 0, 0, 0, 100, 1))


def test_black_and_white():
    found = difference(flat(0, 0, 0), flat(255, 255, 255))
    assert found == pytest.approx(Difference(3**0.5, 3**0.5, 100, 100, 0, 1e-4 / (1 + 1e-4)), abs=1e-2)


def test_one_pixel():
    one, other = flat(51, 51, 51), flat(51, 51, 51)
    other[7, 9] = 102, 51, 51
    found = difference(one, other)
    assert found.rgb_max == pytest.approx(0.2)
    assert found.rgb_mean == pytest.approx(0.2 / (H * W))
    assert found.lab_mean == pytest.approx(found.lab_max / (H * W), rel=1e-3)
    assert found.psnr == pytest.approx(-10 * np.log10(0.04 / (3 * H * W)), abs=1e-3)


def test_lab_is_that_of_kornia():
    frames = picture(1), picture(2)
    tensors = (torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255 for frame in frames)
    one, other = map(kornia.color.rgb_to_lab, tensors)
    lengths = (one - other).norm(dim=1)
    found = difference(*frames)
    assert found.lab_mean == pytest.approx(lengths.mean().item(), rel=0.01)
    assert found.lab_max == pytest.approx(lengths.max().item(), rel=0.01)


def test_ssim_is_the_standard_one_of_luma():
    frames = picture(1), moved(picture(1), 3, 1)
    grey = (cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2GRAY) for frame in frames)
    metric = SSIM("standard")
    metric.update(*(torch.from_numpy(image).expand(1, 3, -1, -1) for image in grey))
    assert difference(*frames).ssim == pytest.approx(metric.compute().item(), abs=1e-4)


@pytest.mark.parametrize("size", [(480, 640), (1080, 1920), (854, 480), (90, 120)])
def test_depth_and_size_do_not_matter(size):
    one, other = picture(3, size), moved(picture(3, size), size[1] / 40)
    found = difference(one, other)
    deep = difference(*(frame.astype(np.uint16) * 257 for frame in (one, other)))
    assert deep == pytest.approx(found, rel=0.02)
    reference = difference(*(cv2.resize(f, (W, H), interpolation=cv2.INTER_AREA) for f in (one, other)))
    assert found.lab_mean == pytest.approx(reference.lab_mean, rel=0.1)


def test_differences_are_those_of_consecutive_frames():
    frames = [picture(seed) for seed in range(3)]
    expected = [difference(*pair) for pair in itertools.pairwise(frames)]
    assert list(duplicates.differences(iter(frames))) == expected
    assert list(duplicates.differences(frames[:1])) == []
    assert list(duplicates.differences([])) == []


def test_the_published_model():
    assert duplicates.is_duplicate(0, 20.05)
    assert not duplicates.is_duplicate(0, 20.06)
    assert duplicates.is_duplicate(1.893, 0)
    assert not duplicates.is_duplicate(1.894, 0)
    assert not duplicates.is_duplicate(1, 10)


def test_nothing_is_read_ahead():
    read = []

    def frames():
        for i in range(4):
            read.append(i)
            yield picture(0)

    for i, _ in enumerate(duplicates.detect(frames())):
        assert read == list(range(i + 1))


def test_few_frames():
    assert list(duplicates.detect([])) == []
    assert list(duplicates.detect([picture(0)])) == [False]


@pytest.mark.parametrize("crf", [18, 23, 28])
def test_holds_after_compression(crf):
    """Twos and threes, of drawings in which one thing moves."""
    drawings = []
    for i in range(10):
        drawing = picture(4)
        cv2.circle(drawing, (200 + 4 * i, 150 + 3 * i), 40, (210, 60, 60), -1, cv2.LINE_AA)
        drawings.append(drawing)
    order = [i for i, hold in zip(range(10), itertools.cycle((2, 3)), strict=False) for _ in range(hold)]
    truth = [i > 0 and order[i] == order[i - 1] for i in range(len(order))]
    assert list(duplicates.detect(compressed([drawings[i] for i in order], crf))) == truth


@pytest.mark.parametrize("crf", [23, 32])
def test_keyframes_are_no_drawings(crf):
    found = list(duplicates.detect(compressed([picture(5)] * 36, crf, keyframes=9)))
    assert found == [False] + [True] * 35


@pytest.mark.parametrize("crf", [18, 28])
def test_a_mouth_is_a_drawing(crf):
    frames = [with_mouth(picture(6), i // 2 % 2 == 1) for i in range(16)]
    assert list(duplicates.detect(compressed(frames, crf))) == [i % 2 == 1 for i in range(16)]


@pytest.mark.parametrize("crf", [18, 23])
@pytest.mark.parametrize("motion", ["pan", "zoom", "fade"])
def test_slow_cameras_hold_nothing(motion, crf):
    change = {
        "pan": lambda i: moved(picture(7), 0.25 * i),
        "zoom": lambda i: moved(picture(7), zoom=1.001**i),
        "fade": lambda i: (picture(7) * (1 - i / 60)).astype(np.uint8),
    }[motion]
    assert not any(duplicates.detect(compressed([change(i) for i in range(20)], crf)))


def test_a_pan_under_a_held_figure():
    frames = [moved(picture(8), 0.75 * i) for i in range(16)]
    for frame in frames:
        cv2.ellipse(frame, (320, 200), (120, 150), 0, 0, 360, (220, 190, 160), -1, cv2.LINE_AA)
    assert not any(duplicates.detect(compressed(frames, 23)))


def test_a_figure_that_drifts_is_no_endless_hold():
    frames = []
    for i in range(48):
        frame = picture(9)
        cv2.circle(frame, (16 * 300 + 4 * i, 16 * 180), 16 * 40, (220, 190, 160), -1, cv2.LINE_AA, shift=4)
        frames.append(frame)
    found = duplicates.detect(compressed(frames, 20))
    longest = max(len(list(run)) for is_repeat, run in itertools.groupby(found) if is_repeat)
    assert longest <= 8


def test_a_show():
    with av.open(str(require_shared("data/clip.mp4"))) as container:
        found = list(duplicates.detect(frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)))
    assert 48 <= found.count(False) <= 60
    assert all(found[167:])  # held to the end
    new = {i for i, is_repeat in enumerate(found) if not is_repeat}
    assert {*range(28, 41, 3), *range(61, 89, 3), 100, 103, *range(130, 161, 3)} <= new  # drawn on threes
