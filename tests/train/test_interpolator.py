"""The frames between two frames: of every kind and size, where motion puts them."""

import importlib.util
import pickle
import shutil
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from _train.frame_interpolation.benchmarks import reference
from _train.frame_interpolation.benchmarks.stages import write_checkpoints
from _train.frame_interpolation.frames import check_times
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.ifnet import IFNet
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.sharp_ifnet import SharpIFNet
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _train.frame_interpolation.pipeline import Pipeline
from _util import checkpoints, features, image, runs
from _util.errors import InputError
from tests.feigned_gpu import feigned_gpu

COLOUR = (200, 60, 30)


def texture(h: int, w: int, channels: int = 3) -> np.ndarray:
    """Smooth random blobs, (h, w, channels) uint8."""
    noise = np.random.default_rng(0).random((h, w, channels))
    blurred = cv2.GaussianBlur(noise, (0, 0), 2).reshape(noise.shape)
    return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).reshape(noise.shape).astype(np.uint8)


def disc(x: int, hidden=(0, 0, 0), colour=COLOUR, side: int = 96) -> np.ndarray:
    """A disc with a soft edge on transparent ground, `hidden` being the colour under zero alpha."""
    columns, rows = np.meshgrid(np.arange(side), np.arange(side))
    alpha = np.clip(18.5 - np.hypot(columns - x, rows - side / 2), 0, 1)
    picture = np.empty((side, side, 4), np.uint8)
    picture[:, :, :3] = np.where(alpha[:, :, None] > 0, colour, hidden)
    picture[:, :, 3] = (255 * alpha).round()
    return picture


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(float) - b.astype(float))


def nearly(frame: np.ndarray) -> np.ndarray:
    """The frame but for one level of its last pixel."""
    other = frame.copy()
    other[-1, -1] = other[-1, -1] ^ 1 if np.issubdtype(frame.dtype, np.integer) else 0.99 * other[-1, -1] + 0.004
    return other


@pytest.fixture(scope="module")
def simple() -> Interpolator:
    return Interpolator("dis", "splat", "cpu")


@pytest.fixture(scope="module")
def shipped() -> Interpolator:
    return Interpolator(device="cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    write_checkpoints(folder)
    return folder


@pytest.fixture(scope="module")
def networks(weights) -> Interpolator:
    return Interpolator("rfr", "ssldtm", "cpu", folder=weights)


@pytest.fixture(scope="module", params=["rife", "ifnet"])
def by_itself(request, tmp_path_factory) -> tuple[str, Path]:
    """A synthesis that finds motion by itself, and a folder with seeded weights for it."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "default").mkdir()
    torch.save(checkpoints.seeded(IFNet().state_dict()), folder / "rife.pkl")
    save_file(checkpoints.seeded(SharpIFNet().state_dict()), folder / "default/ifnet.safetensors")
    return request.param, folder


@pytest.mark.parametrize("channels", [None, 4])
def test_motion_that_is_found_at_the_time(by_itself, channels):
    name, folder = by_itself
    interpolator = Interpolator(synthesis=name, device="cpu", precision="fp32", folder=folder)
    assert (interpolator.flow, interpolator.method) == (None, name)
    frame = texture(20, 33, channels or 1)
    frame = frame if channels else frame[:, :, 0]
    pair = interpolator.prepare(frame, np.roll(frame, 3, 1))
    assert [flow.shape for flow in interpolator.flow_of(pair)] == 2 * [(1, 2, 20, 33)]
    expected = [interpolator.at(pair, t) for t in (0.25, 0.5, 0.875)]
    assert {(drawn.shape, drawn.dtype) for drawn in expected} == {(frame.shape, frame.dtype)}
    assert difference(expected[0], expected[2]).mean() > 0.2
    with feigned_gpu() as device:
        there = Interpolator(synthesis=name, device=str(device), precision="fp32", folder=folder)
        found = [there(frame, np.roll(frame, 3, 1), [0.25, 0.5, 0.875]) for _ in range(3)]  # captured and replayed
    for ours, theirs in zip(found[0] + found[2], 2 * expected, strict=True):
        assert difference(ours, theirs).mean() < 0.2


def test_hidden_colours_play_no_part_in_motion_at_the_time(by_itself):
    interpolator = Interpolator(synthesis=by_itself[0], device="cpu", precision="fp32", folder=by_itself[1])
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3))
    noisy, plain = (interpolator(disc(35, a), disc(51, b)) for a, b in ((noise, noise[::-1]), (0, 0)))
    np.testing.assert_array_equal(noisy, plain)


@pytest.mark.parametrize("channels", [None, 1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_frames_keep_their_kind(simple, channels, dtype):
    frame = texture(20, 33, channels or 1) / 255
    frame = frame.astype(dtype) if np.issubdtype(dtype, np.floating) else (frame * np.iinfo(dtype).max).astype(dtype)
    frame = frame if channels else frame[:, :, 0]
    (middle,) = simple(frame, nearly(frame))
    assert (middle.shape, middle.dtype) == (frame.shape, frame.dtype)
    level = 1 if np.issubdtype(dtype, np.integer) else 1 / 255
    visible = frame[:-4, :-4, 3] > 0 if channels == 4 else ...
    assert difference(middle, frame)[:-4, :-4][visible].max() <= level


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (31, 16), (16, 600), (601, 16), (127, 65)])
def test_any_size_without_networks(simple, size):
    frame = texture(*size)
    assert difference(simple(frame, nearly(frame))[0], frame)[:-4, :-4].max() <= 1


@pytest.mark.parametrize(
    "size",
    [(16, 16), (17, 33), (31, 16), pytest.param((16, 600), marks=pytest.mark.slow)],
)
def test_any_size_with_networks(networks, size):
    frame = texture(*size)
    (middle,) = networks(frame, np.roll(frame, 2, 1))
    assert middle.shape == frame.shape
    assert middle.std() > 0


@pytest.mark.parametrize("picture", ["noise", "flat"])
def test_what_stands_still_stays(simple, picture):
    noise = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    frame = noise if picture == "noise" else np.full_like(noise, 77)
    for between in simple(frame, nearly(frame), [0.1, 0.5, 0.77]):
        assert difference(between, frame)[:-4, :-4].max() <= 1


@pytest.mark.parametrize("of", ["simple", "networks"])
@pytest.mark.parametrize("channels", [None, 1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_between_equal_frames_is_that_frame_bit_by_bit(request, of, channels, dtype):
    noise = np.random.default_rng(0).random((20, 33, channels or 1))
    if np.issubdtype(dtype, np.integer):
        noise = noise * np.iinfo(dtype).max
    elif channels != 4:
        noise = 7 * noise - 3
    frame = noise.astype(dtype) if channels else noise[:, :, 0].astype(dtype)
    interpolator = request.getfixturevalue(of)
    first, second = interpolator(frame, frame.copy(), [0.3, 0.5])
    for between in (first, second, interpolator.at(interpolator.prepare(frame, frame), 0.01)):
        assert (between.shape, between.dtype) == (frame.shape, frame.dtype)
        assert between.tobytes() == frame.tobytes()
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(first, frame)
    assert all(flow.abs().max() == 0 for flow in interpolator.flow_of(interpolator.prepare(frame, frame)))


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize(("factor", "offset"), [(255, 0), (6, -2)])
def test_floating_values_of_any_range(simple, factor, offset, channels):
    """They are drawn as the same picture in [0, 1] is."""
    frames = np.float32(texture(40, 48) / 255), np.float32(np.roll(texture(40, 48), 4, 1) / 255)
    frames = [frame[:, :, :channels] if channels else frame[:, :, 0] for frame in frames]
    frames = [(frame - frame.min()) / (frame.max() - frame.min()) for frame in frames]
    expected = simple(*frames)[0]
    (drawn,) = simple(*(frame * np.float32(factor) + np.float32(offset) for frame in frames))
    assert np.abs((drawn - offset) / factor - expected).mean() < 1e-4  # rounding may move a pixel's flow
    assert drawn.max() > 0.8 * factor + offset


def test_dark_tones_of_half_floats_stay_beside_highlights(simple):
    frames = np.full((2, 32, 32), 0.18, np.float16)
    frames[:, 0, 0] = 60000
    frames[1, 5, 5] = 0.6
    (drawn,) = simple(*frames)
    assert drawn.dtype == np.float16
    assert drawn[20, 20] == pytest.approx(0.18, abs=5e-4)


def test_alpha_is_no_colour_that_is_scaled(simple):
    frames = [np.float32(disc(x)) / 255 for x in (40, 44)]
    for frame in frames:
        frame[:, :, :3] *= 5
    (drawn,) = simple(*frames)
    assert drawn[:, :, 3].max() <= 1
    assert drawn[48, 42, :3] == pytest.approx(5 / 255 * np.array(COLOUR), abs=0.05)


@pytest.mark.parametrize(
    "kind", ["bfloat16", "float16", "float64", "gradient", "negative strides", "read-only", "swapped"]
)
def test_arrays_and_tensors_of_any_make(simple, kind):
    bytes_ = texture(20, 33), np.roll(texture(20, 33), 3, 1)
    make = {
        "bfloat16": lambda a: (torch.from_numpy(a) / 255).bfloat16(),
        "float16": lambda a: (torch.from_numpy(a) / 255).half(),
        "float64": lambda a: torch.from_numpy(a).double() / 255,
        "gradient": lambda a: (torch.from_numpy(a) / 255).requires_grad_(),
        "negative strides": lambda a: (np.ascontiguousarray(a[::-1, ::-1]) / np.float32(255))[::-1, ::-1],
        "read-only": lambda a: np.frombuffer(np.float32(a).tobytes(), np.float32).reshape(a.shape) / np.float32(255),
        "swapped": lambda a: (a / 255).astype(">f4"),
    }[kind]
    (drawn,) = simple(*map(make, bytes_))
    (expected,) = simple(*(np.float32(frame) / 255 for frame in bytes_))
    assert np.abs(drawn - expected).mean() < (2e-3 if "16" in kind else 1e-6)
    assert drawn.dtype == {"float16": "f2", "float64": "f8", "swapped": ">f4"}.get(kind, "f4")


def test_integers_of_another_byte_order_are_drawn_alike(simple):
    frames = [frame.astype(np.uint16) * 257 for frame in (texture(20, 33), np.roll(texture(20, 33), 3, 1))]
    (drawn,) = simple(*(frame.astype(">u2") for frame in frames))
    assert drawn.dtype == ">u2"
    np.testing.assert_array_equal(drawn, simple(*frames)[0])


def test_another_process_gets_one_that_draws_alike(simple):
    frames = texture(20, 33), np.roll(texture(20, 33), 3, 1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(simple))(*frames), simple(*frames))


def test_autocast_of_the_caller_changes_no_pixel():
    frames = texture(32, 48), np.roll(texture(32, 48), 3, 1)
    interpolator = Interpolator(synthesis="ifnet", device="cpu", precision="fp32")
    expected = interpolator(*frames)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(interpolator(*frames), expected)


def test_one_time_is_a_list_of_one_and_none_of_none(simple):
    frames = texture(20, 33), np.roll(texture(20, 33), 3, 1)
    expected = simple(*frames, [0.5])[0]
    for times in (0.5, np.float32(0.5), np.array(0.5), torch.tensor(0.5), Fraction(1, 2), iter([0.5])):
        np.testing.assert_array_equal(simple(*frames, times), [expected])
    assert simple(*frames, []) == simple(*frames, np.array([])) == []


def test_a_device_of_torch():
    assert Interpolator("dis", "splat", torch.device("cpu")).device == torch.device("cpu")


@pytest.mark.parametrize("shift", [4, 10])
@pytest.mark.parametrize("axis", [0, 1])
def test_what_moves_is_half_way_in_the_middle(simple, shift, axis):
    scene = texture(200, 200)
    start, middle, end = (np.roll(scene, -offset, axis)[:160, :160] for offset in (0, shift // 2, shift))
    (between,) = simple(start, end)
    inner = slice(20, -20), slice(20, -20)
    assert difference(between, middle)[inner].mean() < 1
    assert difference(start, middle)[inner].mean() > 5


def test_time_runs_both_ways(simple):
    scene = texture(100, 140)
    frame0, frame1 = scene[:, :120], scene[:, 7:127]
    forth, back = simple(frame0, frame1, [0.3])[0], simple(frame1, frame0, [0.7])[0]
    assert difference(forth, back).mean() < 0.5
    assert difference(forth, simple(frame0, frame1, [0.7])[0]).mean() > 2


def test_times_share_the_flow(simple, monkeypatch):
    calls = []
    estimator = simple.pipeline.estimator
    monkeypatch.setattr(simple.pipeline, "estimator", lambda *frames: calls.append(1) or estimator(*frames))
    frames = texture(40, 48), np.roll(texture(40, 48), 3, 1)
    several = simple(*frames, [0.75, 0.25, 0.5])
    assert len(calls) == 1
    for t, frame in zip([0.75, 0.25, 0.5], several, strict=True):
        np.testing.assert_array_equal(frame, simple(*frames, [t])[0])
    assert simple(*frames, []) == []


def test_frames_are_drawn_when_it_is_their_turn(simple, monkeypatch):
    asked = []
    synthesiser = simple.pipeline.synthesiser
    synthesise = synthesiser.synthesise
    monkeypatch.setattr(synthesiser, "synthesise", lambda pair, t, *more: asked.append(t) or synthesise(pair, t, *more))
    pair = simple.prepare(texture(20, 33), nearly(texture(20, 33)))
    for i, frame in enumerate(simple.draw(pair, iter([0.25, 0.5, 0.75])), start=1):
        assert len(asked) == i
        np.testing.assert_array_equal(frame(), simple.at(pair, asked.pop()))


@pytest.mark.parametrize(
    ("channels", "dtype"), [(None, np.uint8), (1, np.uint16), (3, np.uint8), (3, np.uint16), (4, np.uint8)]
)
def test_a_gpu_draws_what_the_cpu_draws(simple, capsys, channels, dtype):
    frame = texture(20, 33, channels or 1).astype(dtype) * (np.iinfo(dtype).max // 255)
    frame = frame if channels else frame[:, :, 0]
    frames, times = (frame, np.roll(frame, 2, 1)), [0.25, 0.5, 0.875]
    expected = simple(*frames, times)
    with feigned_gpu() as device:
        interpolator = Interpolator("dis", "splat", str(device))
        found = [interpolator(*frames, times) for _ in range(3)]  # as it is, captured and replayed
    for ours, theirs in zip(found[0] + found[2], 2 * expected, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        assert difference(ours, theirs).mean() < 1e-3 * np.iinfo(dtype).max
    assert "no CUDA graph" not in capsys.readouterr().err


def test_a_gpu_draws_as_many_at_once_as_there_is_room_for(monkeypatch):
    together = []
    with feigned_gpu() as device:
        interpolator = Interpolator("dis", "splat", str(device))
        synthesiser = interpolator.pipeline.synthesiser
        synthesise = synthesiser.synthesise
        monkeypatch.setattr(
            synthesiser, "synthesise", lambda pair, t, *more: together.append(len(t)) or synthesise(pair, t, *more)
        )
        monkeypatch.setattr("_train.frame_interpolation.interpolator._PIXELS_TOGETHER", 5 * 20 * 33 + 1)
        interpolator(texture(20, 33), nearly(texture(20, 33)), [i / 13 for i in range(1, 13)])
        interpolator(texture(100, 133), nearly(texture(100, 133)), [0.3, 0.6])
    assert together == [5, 5, 2, 1, 1]


@pytest.mark.parametrize(
    ("capability", "name", "synthesis"),
    [
        ((9, 0), "H100", torch.bfloat16),
        ((8, 6), "RTX 3060", torch.bfloat16),
        ((7, 5), "RTX 2080", torch.float16),
        ((7, 5), "GTX 1660", torch.float32),
        ((7, 0), "V100", torch.float16),
        ((6, 1), "GTX 1080", torch.float32),
    ],
)
def test_precision_is_what_the_card_is_fast_in(monkeypatch, capability, name, synthesis):
    with feigned_gpu() as device:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: f"NVIDIA GeForce {name}")
        context = Interpolator("dis", "splat", str(device)).context
        assert (context.flow_dtype, context.dtype) == (torch.float32, synthesis)


@pytest.mark.parametrize(("precision", "allowed"), [("auto", True), ("fp32", False), ("bf16", False)])
def test_products_of_fp32_are_rounded_only_in_convolutions_and_by_auto(precision, allowed):
    with (
        torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=not allowed),
        feigned_gpu() as device,
    ):
        torch.set_float32_matmul_precision("high")
        Interpolator("dis", "splat", str(device), precision)
        assert torch.backends.cudnn.allow_tf32 == allowed
        assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(("precision", "allowed"), [("auto", True), ("fp32", False)])
def test_each_interpolator_works_in_its_own_precision(monkeypatch, precision, allowed):
    seen = []

    def spied(work):
        def remember(*arguments):
            seen.append((torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()))
            torch.backends.cudnn.allow_tf32 = not allowed
            torch.set_float32_matmul_precision("high")
            return work(*arguments)

        return remember

    for name in ("prepare", "carry", "flow"):
        monkeypatch.setattr(Pipeline, name, spied(getattr(Pipeline, name)))
    with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled), feigned_gpu() as device:
        interpolator = Interpolator("dis", "splat", str(device), precision)
        Interpolator("dis", "splat", str(device), "fp32" if allowed else "auto")
        pair = interpolator.prepare(texture(20, 33), nearly(texture(20, 33)))
        interpolator.at(pair, 0.5)
        interpolator.flow_of(pair)
        torch.set_float32_matmul_precision("highest")
    assert seen == 3 * [(allowed, "highest")]


@pytest.mark.parametrize("t", [0.25, 0.5])
@pytest.mark.parametrize("hidden", [(0, 0, 0), (255, 255, 255), (0, 255, 0)])
def test_hidden_colours_do_not_bleed(simple, hidden, t):
    (between,) = simple(disc(35, hidden), disc(51, hidden), [t])
    visible = between[between[:, :, 3] > 0]
    assert len(visible) > 900
    assert difference(visible[:, :3], np.array(COLOUR)).max() <= 2


def test_hidden_colours_play_no_part(simple, networks):
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3))
    for interpolator in (simple, networks):
        noisy = interpolator(disc(35, noise), disc(51, noise[::-1]))
        plain = interpolator(disc(35), disc(51))
        np.testing.assert_array_equal(noisy, plain)


@pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
def test_alpha_travels_with_the_motion(simple, t):
    (between,) = simple(disc(35), disc(51), [t])
    solid = between[:, :, 3] > 127
    assert abs(np.nonzero(solid)[1].mean() - (35 + 16 * t)) < 1
    assert abs(solid.sum() / (disc(35)[:, :, 3] > 127).sum() - 1) < 0.05


@pytest.mark.parametrize("by", ["simple", "shipped"])
def test_what_one_frame_alone_shows_has_its_colour_there(request, by):
    """An outlined disc on clear ground, then on white."""
    interpolator = request.getfixturevalue(by)
    columns, rows = np.meshgrid(np.arange(96), np.arange(96))
    distance = np.hypot(columns - 48, rows - 48)
    white = np.full((96, 96, 4), 255, np.uint8)
    white[distance < 20, :3] = 0
    white[distance < 16, :3] = COLOUR
    clear = white.copy()
    clear[distance >= 20, 3] = 0
    for pair in ((clear, white), (white, clear)):
        (between,) = interpolator(*pair)
        visible = between[(distance > 24) & (between[..., 3] > 0)]
        assert len(visible) > 3000
        assert difference(visible[:, :3], np.array(255)).max() <= 1


def test_black_on_clear_ground_moves(shipped):
    (between,) = shipped(disc(40, colour=(0, 0, 0)), disc(50, colour=(0, 0, 0)))
    assert difference(between[..., 3], disc(45)[..., 3]).mean() < 1


def test_empty_frames_stay_empty(simple):
    empty = np.zeros((32, 32, 4), np.uint8)
    hidden = empty + np.uint8([9, 9, 9, 0])
    assert not simple(empty, hidden)[0].any()


def test_networks_agree_with_the_literal_computation(networks, weights):
    scene = texture(144, 216)
    frames = scene[:128, :192], scene[6:134, 9:201]
    nets = {"rfr": RFR().eval(), "ssl": SoftsplatLite().eval(), "dtm": DTM().eval()}
    for name, network in nets.items():
        checkpoints.load(network, name, weights)
    tensors = [image.to_tensor(frame)[None] for frame in frames]
    with torch.inference_mode():
        flows = [reference.estimate_flow(nets["rfr"], *pair) for pair in (tensors, tensors[::-1])]
        synthesis = reference.synthesise(nets["ssl"], *tensors, *flows, 0.5)
        expected = image.to_array(reference.correct(nets["dtm"], synthesis)[0][0], np.float32)
    (between,) = networks(*[frame.astype(np.float32) / 255 for frame in frames])
    assert 255 * difference(between, expected).mean() <= 0.3


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ((np.zeros((40, 48, 3), np.uint8), np.zeros((48, 40, 3), np.uint8)), "differ in size, 48×40 and 40×48"),
        ((np.zeros((40, 48, 3), np.uint8), np.zeros((40, 48, 4), np.uint8)), "differ in kind"),
        ((np.zeros((40, 48, 3), np.uint8), np.zeros((40, 48, 3), np.uint16)), "differ in kind"),
        ((np.zeros((40, 48, 2), np.uint8),) * 2, r"is \(h, w\)"),
        ((np.zeros(40, np.uint8),) * 2, r"is \(h, w\)"),
        ((np.zeros((40, 15, 3), np.uint8),) * 2, "at least 16"),
        ((np.zeros((1, 40, 3), np.uint8),) * 2, "at least 16"),
        ((np.zeros((40, 48, 3), int),) * 2, "not int64"),
        ((np.zeros((40, 48, 3), bool),) * 2, "not bool"),
        ((np.zeros((40, 48, 3), complex),) * 2, "not complex128"),
        ((np.zeros((40, 48, 3), np.longdouble),) * 2, "floating values of up to 64 bits"),
        ((np.zeros((0, 0, 3)),) * 2, "at least 16"),
        ((np.full((40, 48), np.nan),) * 2, "first frame holds 1920 values that are not finite, one at x 0, y 0"),
        ((np.zeros((40, 48)), np.full((40, 48), np.inf)), "second frame holds"),
        (
            (np.full((40, 48), 1.7e308), np.full((40, 48), -1e308)),
            r"values from -1e\+308 to 1\.7e\+308, which is too wide",
        ),
        ((np.full((40, 48, 4), 1.5),) * 2, r"alpha from 1\.5 to 1\.5"),
        (("a.png", "b.png"), "not the path 'a.png'"),
        ((None, None), r"is \(h, w\)"),
        (([[1, 2], [3]],) * 2, "cannot be made an array"),
        ((torch.zeros(40, 48, 3, device="meta"),) * 2, "cannot be made an array"),
        ((torch.zeros(40, 48).to_sparse(),) * 2, "cannot be made an array"),
        ((Image.new("P", (48, 40)),) * 2, "mode P is not understood; convert it to RGB"),
        ((Image.new("CMYK", (48, 40)),) * 2, "mode CMYK"),
        ((np.ma.masked_less(np.zeros((40, 48)), 1),) * 2, "masked pixels"),
    ],
)
def test_frames_that_do_not_fit(simple, frames, says):
    with pytest.raises(InputError, match=says):
        simple(*frames)


@pytest.mark.parametrize("t", [0, 1, -0.5, 1.5, float("nan"), float("inf")])
def test_times_lie_between(simple, t):
    frame = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(InputError, match="not between the frames"):
        simple(frame, frame, [0.5, t])


@pytest.mark.parametrize(
    "times",
    [
        *("0.5", b"0.5", ["0.5"], np.array("0.5"), None, [None], object(), [[0.5, 0.6]], 1j, 10**400),
        torch.empty((), device="meta"),
    ],
)
def test_times_are_numbers(simple, times):
    with pytest.raises(InputError, match="Times are numbers above 0 and below 1"):
        simple(*[np.zeros((16, 16), np.uint8)] * 2, times)


def test_errors_of_the_iterator_of_times_are_its_own(simple):
    def times():
        yield 0.5
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        simple(*[np.zeros((16, 16), np.uint8)] * 2, times())


@pytest.mark.parametrize(
    ("t", "says"),
    [
        (float("nan"), r"lie in \[0, 1\]"),
        (torch.tensor([0.5, 1.5]), r"lie in \[0, 1\]"),
        (torch.full((1, 1, 16, 24), float("nan")), r"lie in \[0, 1\]"),
        (torch.full((1, 1, 8, 8), 0.5), r"maps \(n, 1, 16, 24\), not of shape \(1, 1, 8, 8\)"),
        (torch.full((2, 2), 0.5), r"not of shape \(2, 2\)"),
        (torch.zeros(0), r"not of shape \(0,\)"),
    ],
)
def test_times_of_the_pipeline(simple, t, says):
    pipeline = simple.pipeline
    prepared = pipeline.prepare(*torch.zeros(2, 1, 3, 16, 24))
    with pytest.raises(InputError, match=says):
        pipeline.frames(prepared, t)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
@pytest.mark.parametrize("channels", [3, 4])
def test_times_of_another_type_change_no_frame(simple, kind, channels):
    pipeline, times = simple.pipeline, [0.25, 0.5]
    prepared = pipeline.prepare(*torch.rand(2, 1, channels, 16, 24))
    drawn = pipeline.frames(prepared, torch.tensor(times, dtype=kind))
    torch.testing.assert_close(drawn, pipeline.frames(prepared, torch.tensor(times)), rtol=0, atol=0)


def test_times_are_any_numbers():
    assert check_times(np.float32([0.25, 0.5])) == [0.25, 0.5]
    assert check_times(Decimal("0.5")) == check_times(Fraction(1, 2)) == check_times(torch.tensor(0.5)) == [0.5]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"flow": "raft"}, r"no flow 'raft'; it is auto, rfr, sgm\+dis, multidis, dis"),
        (
            {"synthesis": "film"},
            "no synthesis 'film'; it is auto, ifnet, ifnet-fast, rife, ssldtm, fusion, .*ssl, splat, animeinterp",
        ),
        ({"precision": "int8"}, "no precision 'int8'; it is auto, fp32, bf16, fp16"),
        ({"precision": ["fp32"], "flow": "dis", "synthesis": "splat"}, r"no precision \['fp32'\]"),
        ({"flow": ["dis"]}, r"no flow \['dis'\]"),
        ({"synthesis": ["splat"]}, r"no synthesis \['splat'\]"),
        ({"backend": ["pytorch"], "flow": "dis", "synthesis": "splat"}, r"no backend \['pytorch'\]"),
        ({"device": "abacus"}, "no device 'abacus'"),
        ({"flow": "rfr"}, "put anime_interp_full.ckpt into"),
        ({"synthesis": "ifnet"}, "put default/ifnet.safetensors into"),
        ({"synthesis": "rife"}, "put rife.pkl into"),
        (
            {"flow": "dis", "synthesis": "rife"},
            "does not use the flow dis; leave --flow out",
        ),
        ({"synthesis": "ssl"}, "put ssl.pt into"),
        ({"synthesis": "ssldtm"}, "put ssl.pt into"),
        ({"synthesis": "fusion"}, "put default/fusion.safetensors into"),
        ({"synthesis": "resunet"}, "put default/resunet.safetensors into"),
        ({"synthesis": "animeinterp"}, "put anime_interp_full.ckpt into"),
        ({"synthesis": "animeinterp-gma-paper"}, "put anime_interp_gma.ckpt into"),
    ],
)
def test_options_that_do_not_exist(tmp_path, capsys, options, says):
    with pytest.raises(InputError, match=says):
        Interpolator(folder=tmp_path, **options)
    assert not capsys.readouterr().err


def test_a_folder_is_a_path():
    with pytest.raises(InputError, match="folder of checkpoints is a path, not None"):
        Interpolator(folder=None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="try cpu"):
        Interpolator(device="cuda", folder=tmp_path)


def test_auto_says_once_what_it_took_and_what_would_come_first(tmp_path, capsys):
    for _ in range(2):
        interpolator = Interpolator(folder=tmp_path)
    assert (interpolator.flow, interpolator.synthesis) == ("sgm+dis", "splat")
    assert capsys.readouterr().err.splitlines() == [
        f"flow: sgm+dis (for rfr, put anime_interp_full.ckpt into {tmp_path})",
        f"synthesis: splat (for ifnet, put default/ifnet.safetensors into {tmp_path})",
    ]


def test_auto_asks_only_for_what_is_missing(tmp_path, capsys):
    torch.save(checkpoints.seeded(SoftsplatLite().state_dict()), tmp_path / "ssl.pt")
    assert Interpolator("dis", folder=tmp_path).synthesis == "ssl"
    assert capsys.readouterr().err == f"synthesis: ssl (for ssldtm, put dtm.pt into {tmp_path})\n"


def test_auto_takes_what_is_shipped(tmp_path, capsys):
    (tmp_path / "default").mkdir()
    networks = {"ssl": SoftsplatLite(), "dtm": DTM(), "rfr": RFR(), "ifnet": SharpIFNet()}
    for name, network in networks.items():
        state = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
        save_file(state, tmp_path / "default" / f"{name}.safetensors")
    interpolator = Interpolator(folder=tmp_path)
    assert (interpolator.flow, interpolator.synthesis, interpolator.method) == (None, "ifnet", "ifnet")
    interpolator = Interpolator("rfr", folder=tmp_path)  # a flow that is asked for is used
    assert (interpolator.flow, interpolator.synthesis, interpolator.method) == ("rfr", "ssldtm", "rfr+ssldtm")
    assert "put" not in capsys.readouterr().err


def test_defaults_and_random_numbers_of_the_caller_stay(networks, weights):
    before = torch.get_rng_state()
    pair = texture(32, 48), np.roll(texture(32, 48), 3, 1)
    with torch.device("meta"):
        (frame,) = Interpolator("rfr", "ssldtm", "cpu", folder=weights)(*pair)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(frame, networks(*pair)[0])


@pytest.mark.parametrize("chosen", [("sgm+dis", "splat"), ("auto", "ifnet")])
def test_settings_tell_weights_of_matching_apart(tmp_path, chosen):
    (tmp_path / "default").mkdir()
    for path in (features.find("alexnet"), checkpoints.find("ifnet")):
        shutil.copy(path, tmp_path / path.relative_to(checkpoints.FOLDER))
    found = []
    for change in (0, 1):
        path = features.find("alexnet", tmp_path)
        save_file({name: tensor + change for name, tensor in load_file(path).items()}, path)
        found.append(Interpolator(*chosen, "cpu", folder=tmp_path, matching="auto").settings())
    assert runs.changed(*found) == ["weights"]


def test_damaged_weights_of_matching_are_reported_at_once(tmp_path):
    (tmp_path / "default").mkdir()
    shutil.copy(checkpoints.find("ifnet"), tmp_path / "default")
    path = tmp_path / features.SHIPPED
    path.write_bytes(b"damaged")
    with pytest.raises(InputError, match=rf"{path.name} is damaged"):
        Interpolator(device="cpu", folder=tmp_path, matching="auto")
    Interpolator(device="cpu", folder=tmp_path)  # needs none


def test_matching_is_as_the_default_device_of_the_caller_is_not():
    """It is loaded when the first flat drawing is drawn."""
    frames = [np.full((48, 64, 3), 240, np.uint8) for _ in range(2)]
    for frame, column in zip(frames, (12, 24), strict=True):
        frame[10:30, column : column + 20] = COLOUR
    expected = Interpolator(device="cpu", matching="auto")(*frames)[0]
    chosen = Interpolator(device="cpu", matching="auto")
    with torch.device("meta"):
        (drawn,) = chosen(*frames)
    np.testing.assert_array_equal(drawn, expected)


def test_settings_tell_whether_matching_is_possible(monkeypatch):
    chosen = Interpolator(device="cpu", matching="auto")
    assert chosen.settings()["matching"] == "auto"
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "numba" else found(name))
    assert "matching" not in chosen.settings()


def test_settings_are_those_before_weights_that_are_not_used(weights, tmp_path):
    folder = shutil.copytree(weights, tmp_path / "checkpoints")
    chosen = Interpolator("dis", "ssldtm", "cpu", folder=folder)
    before = chosen.settings()
    shutil.copy(checkpoints.find("ifnet"), folder / "ifnet.safetensors")
    assert list(before["weights"]) == ["ssl", "dtm"]
    assert runs.changed(before, chosen.settings()) == []


def test_a_choice_is_not_commented(tmp_path, capsys):
    Interpolator("dis", "splat", folder=tmp_path)
    assert not capsys.readouterr().err


def test_a_hidden_frame_takes_the_colours_of_the_other():
    hidden = np.zeros((96, 96, 4), np.uint8)
    shown = hidden.copy()
    shown[30:60, 30:60] = 200, 60, 30, 255
    (middle,) = Interpolator("dis", "splat", "cpu")(hidden, shown, [0.5])
    visible = middle[middle[..., 3] > 0][:, :3].astype(int)
    assert len(visible)
    assert np.abs(visible - [200, 60, 30]).max() <= 1


@pytest.mark.parametrize("device", ["meta", "cpu:3", "mps:1", "gpu"])
def test_other_devices_are_refused(device):
    with pytest.raises(InputError, match="no device"):
        Interpolator("dis", "splat", device)


def apart(frames, others) -> float:
    """The mean difference of the frames that differ most, in levels."""
    return max(difference(ours, theirs).mean() for ours, theirs in zip(frames, others, strict=True))


def allowed_on_a_card(flow, synthesis, precision, expected, frames, times, **where) -> float:
    """How far a card's frames may be from the CPU's in fp32: half precision as far as the CPU's, about."""
    if precision == "fp32":
        return 0.05
    return 0.1 + 1.5 * apart(Interpolator(flow, synthesis, "cpu", "bf16", **where)(*frames, times), expected)


@pytest.mark.cuda
@pytest.mark.parametrize("synthesis", ["splat", "ssldtm"])
@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_a_card_draws_what_the_cpu_draws(weights, synthesis, precision):
    scene = texture(144, 216)
    frames, times = (scene[:128, :192], scene[6:134, 9:201]), [0.2, 0.4, 0.5, 0.6, 0.8]
    expected = Interpolator("rfr", synthesis, "cpu", "fp32", weights)(*frames, times)
    allowed = allowed_on_a_card("rfr", synthesis, precision, expected, frames, times, folder=weights)
    interpolator = Interpolator("rfr", synthesis, "cuda", precision, weights)
    for _ in range(3):
        found = interpolator(*frames, times)
        pair = interpolator.prepare(*frames)
        assert apart(found, expected) < allowed
        assert apart([interpolator.at(pair, t) for t in times], found) < 0.5 + allowed


@pytest.mark.cuda
@pytest.mark.parametrize("synthesis", ["ifnet", "ifnet-fast"])
@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_a_card_draws_by_shipped_weights_what_the_cpu_draws(synthesis, precision):
    demo, times = Path("supplementary/demo"), [0.25, 0.5]
    frames = [image.read(demo / f"frame{i}.png")[100:301, 200:533].copy() for i in range(2)]
    expected = Interpolator("auto", synthesis, "cpu", "fp32")(*frames, times)
    allowed = allowed_on_a_card("auto", synthesis, precision, expected, frames, times)
    interpolator = Interpolator("auto", synthesis, "cuda", precision)
    for _ in range(4):  # from the third pair of a size on, graphs are replayed
        assert apart(interpolator(*frames, times), expected) < allowed
