"""The weights that the project ships: they are there, they are taken, and they are worth it."""

import json
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

from _databacks.toons import atlas
from _databacks.toons.scenes import Toons
from _train.frame_interpolation.evaluation.measures import Measures
from _train.frame_interpolation.evaluation.validation import validate
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.video.interpolate import Options, interpolate_video
from _util import checkpoints
from _util.image import read as read_picture
from _util.image import to_array, to_tensor
from _util.image import write as write_picture
from _util.losses import LPIPSLoss

SHIPPED = checkpoints.FOLDER / "default"


def test_they_are_small_and_say_where_they_come_from():
    files = list(SHIPPED.glob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) < 40e6
    for name, data in (("ifnet", "toons lottie"), ("fusion", "toons")):
        with safe_open(SHIPPED / f"{name}.safetensors", "pt") as file:
            facts = file.metadata()
            assert all(file.get_tensor(key).dtype == torch.float16 for key in file.keys())  # noqa: SIM118
        assert set(facts) >= {"data", "steps", "hours", "hardware", "commit", "seed", "command"}
        assert facts["data"] == data
        assert json.loads(facts["steps"]) > 0


def test_the_interpolator_takes_them_by_itself():
    interpolator = Interpolator(device="cpu")
    assert (interpolator.flow, interpolator.synthesis) == (None, "ifnet")


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_stay_what_they_are(level):
    frame = np.full((48, 64, 3), level, np.uint8)
    other = frame.copy()
    other[:8] = 255 - level  # far from what is judged; equal frames are not drawn
    (middle,) = Interpolator("dis", "fusion", device="cpu", precision="fp32")(frame, other)
    assert (middle[24:] == level).all()


@pytest.mark.slow
def test_they_draw_unseen_toons_better_than_splatting(tmp_path):
    pytest.importorskip("resvg_py", reason="toons are drawn by resvg (make/setup train)")
    atlas.build(tmp_path / "atlas.zip", drawings=8, icons=0, rigs=2, backgrounds=3, captions=1, seed=99)
    toons = Toons((192, 256), 4, seed=99, times=(0.5, 0.5), pictures=atlas.load(tmp_path / "atlas.zip"))
    lpips = LPIPSLoss()
    interpolators = [Interpolator("dis", name, "cpu") for name in ("splat", "fusion")]
    distances = np.zeros(2)
    for index in range(2):
        for frame0, truth, frame1 in toons.batch(index).frames:
            ends = [to_array(frame, np.uint8) for frame in (frame0, frame1)]
            for i, interpolator in enumerate(interpolators):
                drawn = to_tensor(interpolator(*ends)[0])
                distances[i] += lpips(drawn[None], truth[None]).item()
    splat, fusion = distances
    assert fusion < 0.85 * splat


def test_a_ball_over_a_still_ground_at_twice_the_rate(tmp_path):
    """Nothing flickers where nothing moves, and the ball moves evenly."""
    source, out = tmp_path / "drawings", tmp_path / "out"
    source.mkdir()
    noise = np.random.default_rng(0).integers(0, 200, (34, 60, 3), np.uint8)
    ground = cv2.resize(noise, (240, 136), interpolation=cv2.INTER_CUBIC)
    ground[:, :, 0] //= 4  # no red but the ball's
    for i in range(5):
        drawing = ground.copy()
        cv2.circle(drawing, (60 + 9 * i, 50), 22, (230, 60, 40), -1, cv2.LINE_AA)
        cv2.circle(drawing, (60 + 9 * i, 50), 22, (20, 20, 20), 2, cv2.LINE_AA)
        write_picture(source / f"{i}.png", drawing)
    options = Options(in_fps=Fraction(12), fps=Fraction(24))
    interpolate_video(source, out, options, lambda: (Interpolator(device="cpu"), {}))
    frames = [read_picture(path) for path in sorted(out.iterdir())][:9]  # the last drawing is held
    still = slice(100, None)
    assert all(np.abs(frame[still].astype(int) - ground[still]).max() <= 1 for frame in frames)
    x = [np.nonzero((frame[:, :, 0] > 150) & (frame[:, :, 1] < 110))[1].mean() for frame in frames]
    np.testing.assert_allclose(np.diff(x), 4.5, atol=0.7)


def test_a_ball_proceeds_evenly_from_frame_to_frame():
    y, x = np.indices((180, 320))
    ground, red = np.array((120, 140, 160)), np.array((230, 40, 40))

    def drawn(middle):
        cover = np.clip(20.5 - np.hypot(x - middle, y - 90), 0, 1)[..., None]
        return (ground + (red - ground) * cover).round().astype(np.uint8)

    times = np.array([0.01, 0.04, 0.08, 0.12, 0.16, 0.5, 0.84, 0.88, 0.92, 0.96, 0.99])
    for name, error in (("ifnet", 0.4), ("ifnet-fast", 1.2)):
        frames = Interpolator(synthesis=name, device="cpu", precision="fp32")(drawn(120), drawn(180), times)
        reds = [(frame[..., 0].astype(float) - frame[..., 1]).clip(0) for frame in frames]
        middles = np.array([(x * red).sum() / red.sum() for red in reds])
        np.testing.assert_allclose(middles, 120 + 60 * times, atol=error)


@pytest.mark.slow
def test_they_draw_real_keyframes_better_than_rife(shared):
    pipeline = Interpolator(device="cpu").pipeline

    def draw(frame0: torch.Tensor, frame1: torch.Tensor, t: float) -> torch.Tensor:
        return pipeline.frames(pipeline.prepare(frame0, frame1), t)

    figures = validate(draw, [shared / "data/anime_keys"], Measures(["lpips", "chamfer"]))
    assert figures["lpips"] < 0.0359  # RIFE 4.6: 0.0366
    assert figures["chamfer"] < 0.977e-4
