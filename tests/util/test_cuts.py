"""Shots of synthetic videos: cuts are found, and nothing else is."""

import av
import cv2
import numpy as np
import pytest

from _util import cuts
from tests.conftest import require_shared

H, W = 180, 320
WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (230, 40, 30)


def picture(seed: int, w: int = 3 * W) -> np.ndarray:
    """A wide scene of outlined shapes; the palette is the same for all seeds."""
    random = np.random.default_rng(seed)
    palette = [(214, 150, 80), (150, 30, 50), (235, 205, 180), (90, 100, 150), (240, 240, 240), (60, 50, 60)]
    image = np.full((H, w, 3), palette[0], np.uint8)
    for _ in range(80):
        centre, axes = random.uniform(size=2) * (w, H), random.uniform(8, 45, 2)
        shape = (*centre.astype(int).tolist(),), (*axes.astype(int).tolist(),), random.uniform(0, 180), 0, 360
        cv2.ellipse(image, *shape, palette[random.integers(len(palette))], -1, cv2.LINE_AA)
        cv2.ellipse(image, *shape, (25, 20, 30), 2, cv2.LINE_AA)
    return image


def shot(seed: int, length: int = 10, pan: float = 0, zoom: float = 1, hold: int = 1) -> list[np.ndarray]:
    """Frames of one scene under a camera that moves by `pan` pixels and a factor of `zoom` for each drawing."""
    scene, frames = picture(seed), []
    for i in range(length):
        step = i // hold - length / hold / 2
        scale = zoom**step
        matrix = np.array([[scale, 0, W / 2 - scale * (1.5 * W + pan * step)], [0, scale, H / 2 * (1 - scale)]])
        frames.append(cv2.warpAffine(scene, matrix, (W, H), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
    return frames


def colour(rgb: tuple[int, int, int], length: int) -> list[np.ndarray]:
    return [np.full((H, W, 3), rgb, np.uint8)] * length


def mixed(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    return cv2.addWeighted(one, 1 - share, other, share, 0)


def found(frames: list[np.ndarray], **options) -> list[int]:
    return [i for i, is_cut in enumerate(cuts.detect(frames, **options)) if is_cut]


def noisy(frames: list[np.ndarray]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [np.clip(frame + random.normal(0, 3, frame.shape), 0, 255).astype(np.uint8) for frame in frames]


@pytest.mark.parametrize("spoil", [list, noisy])
def test_twelve_cuts(spoil):
    """Between shots of one palette that are still, pan, zoom, and are drawn on threes."""
    cameras = [{}, {"pan": 3}, {"pan": 25}, {"zoom": 1.02}, {"zoom": 0.95}, {"pan": 20, "hold": 3}]
    frames, begin = [], []
    for i in range(13):
        begin.append(len(frames))
        frames += shot(i, 9 + i % 4, **cameras[i % 6])
    assert found(spoil(frames)) == begin


@pytest.mark.parametrize("length", [1, 2, 3, 4])
@pytest.mark.parametrize("rgb", [WHITE, BLACK, RED])
def test_flashes(rgb, length):
    frames = shot(0, 24, pan=2)
    frames[8 : 8 + length] = colour(rgb, length)
    assert found(frames) == [0]
    for i in range(4):  # one that dies away
        frames[8 + length + i] = mixed(frames[8 + length + i], colour(rgb, 1)[0], 0.8 - 0.2 * i)
    assert found(frames) == [0]


def test_lightning_and_negatives():
    frames = shot(1, 20, pan=1)
    for i in (6, 7, 11):
        frames[i] = np.clip(frames[i] * 1.6 + 30, 0, 255).astype(np.uint8)
    frames[14] = 255 - frames[14]
    assert found(frames) == [0]


@pytest.mark.parametrize("period", [1, 2, 3])
def test_strobes(period):
    frames = shot(2, 24)
    for i in range(4, 20):
        if i // period % 2:
            frames[i] = colour(WHITE if i % 4 else BLACK, 1)[0]
    assert found(frames) == [0]


@pytest.mark.parametrize("rgb", [WHITE, BLACK])
@pytest.mark.parametrize("length", [5, 12, 24])
def test_fades(rgb, length):
    ground = colour(rgb, 1)[0]
    one, other = shot(3, 30), shot(4, 30, pan=1)
    for i in range(length):
        one[30 - length + i] = mixed(one[30 - length + i], ground, (i + 1) / length)
        other[i] = mixed(ground, other[i], i / length)
    assert found(one + other) == [0]
    assert found(one + [ground] * 10 + other) == [0]


@pytest.mark.parametrize("length", [6, 12])
def test_dissolves(length):
    one, other = shot(5, 20), shot(6, 20)
    between = [mixed(one[-1], other[0], (i + 1) / (length + 1)) for i in range(length)]
    assert found(one + between + other) == [0]


@pytest.mark.parametrize(
    "camera",
    [{"pan": 40}, {"pan": -30}, {"zoom": 1.06}, {"zoom": 0.94}, {"pan": 40, "hold": 3}, {"pan": 30, "hold": 2}],
)
def test_fast_cameras(camera):
    assert found(shot(7, 15, **camera)) == [0]


def test_fast_gestures():
    frames = []
    for i in range(24):
        frame = shot(8, 1)[0].copy()
        x = 160 + int(110 * np.sin(i // 2))
        cv2.ellipse(frame, (x, 110), (45, 80), 15 * (i // 2), 0, 360, (235, 205, 180), -1, cv2.LINE_AA)
        cv2.ellipse(frame, (x, 110), (45, 80), 15 * (i // 2), 0, 360, (25, 20, 30), 2, cv2.LINE_AA)
        frames.append(frame)
    assert found(frames) == [0]


def waving(x: float) -> list[np.ndarray]:
    """Twelve drawings of a figure of flat colours on plain ground, whose arm swings to and fro."""
    frames = []
    for phase in np.arange(12) / 12:
        frame, middle = np.full((H, W, 3), (230, 220, 190), np.uint8), x + 20 * phase
        body = np.array([(-20, 85), (20, 85), (25, 165), (-25, 165)]) + np.array((middle, 0))
        head = cv2.ellipse2Poly((round(middle), 65), (19, 19), 0, 0, 360, 5)
        angle = np.radians(-50 + 70 * np.sin(2 * np.pi * phase))
        turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        arm = np.array([(0, -6.5), (60, -5.5), (65, 0), (60, 5.5), (0, 6.5)]) @ turned + (middle + 19, 92.5)
        for shape, rgb in ((body, (60, 90, 190)), (head, (250, 210, 170)), (arm, (200, 60, 60))):
            points = np.round(16 * shape).astype(np.int32)
            cv2.fillPoly(frame, [points], rgb, cv2.LINE_AA, 4)
            cv2.polylines(frame, [points], True, (30, 25, 30), 1, cv2.LINE_AA, 4)
        frames.append(frame)
    return frames


def test_figures_on_plain_ground():
    assert found(waving(130)) == [0]
    assert found(waving(110) + waving(190)) == [0, 12]


@pytest.mark.parametrize("length", [1, 3, 5, 6, 7, 12])
@pytest.mark.parametrize("rgb", [WHITE, BLACK])
def test_blank_frames_between_shots_are_cut_on_both_sides(rgb, length):
    frames = shot(9) + colour(rgb, length) + shot(10)
    assert found(frames) == [0, 10, 10 + length]


def test_a_cut_to_a_fade_in():
    other = shot(12, 20)
    faded = [mixed(colour(BLACK, 1)[0], frame, min(1, i / 12)) for i, frame in enumerate(other)]
    assert found(shot(11) + faded) == [0, 10]


def test_a_cut_within_a_scene():
    near = [cv2.resize(frame[60:150, 150:310], (W, H)) for frame in shot(13, 10)]
    assert found(shot(13, 10) + near) == [0, 10]


def test_bars_and_captions_hide_no_cut():
    frames = shot(14) + shot(15) + shot(16)
    for frame in frames:
        frame[:22], frame[-22:], frame[:, :30], frame[:, -30:] = 0, 0, 0, 0
        cv2.putText(frame, "the same words", (60, 150), 0, 0.7, WHITE, 2, cv2.LINE_AA)
    assert found(frames) == [0, 10, 20]


def test_dark_shots():
    frames = [frame // 12 for frame in shot(17) + shot(18)] + shot(19)
    assert found(frames) == [0, 10, 20]


def test_sixteen_bits():
    frames = shot(20, 8, pan=2) + shot(21, 8)
    assert found([frame.astype(np.uint16) * 257 for frame in frames]) == found(frames) == [0, 8]


def test_the_threshold():
    frames = shot(22, 6, pan=20) + shot(23, 6)
    assert found(frames, threshold=0) == [0]
    assert set(found(frames)) <= set(found(frames, threshold=0.99))


def test_look_ahead_is_bounded():
    read = 0

    def frames():
        nonlocal read
        for frame in shot(24, 20) + shot(25, 20):
            read += 1
            yield frame

    for i, _ in enumerate(cuts.detect(frames())):
        assert read <= i + 1 + cuts.LOOKAHEAD


def test_few_frames():
    assert list(cuts.detect([])) == []
    assert list(cuts.detect(colour(BLACK, 1))) == [True]
    assert list(cuts.detect(shot(26, 2))) == [True, False]


def test_a_show():
    with av.open(str(require_shared("data/clip.mp4"))) as container:
        assert found([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]) == [0, 100]
