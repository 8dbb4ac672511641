"""Timing from four drawings: closed forms of constant acceleration, and what is drawn by it, kept and refused."""

import csv
import itertools
import re
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from _scripts import evaluate, interpolate, interpolate_video, studio
from _train.frame_interpolation import easing
from _train.frame_interpolation.easing import GapMotion
from _train.frame_interpolation.evaluation import candidates
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.keys import key_drawings, key_motion, layered_keys, timing
from _train.frame_interpolation.keys.timing import Gap
from _train.frame_interpolation.video import eased
from _train.frame_interpolation.video.timeline import Drawing, stretches
from _util import image, video
from _util.errors import InputError
from _util.video import Encoding, Frame, Writer

H, W = 96, 160
PLACES = (40, 44, 54, 70, 92, 120)  # of a ball; it moves by 4, 10, 16, 22 and 28 pixels, 6 more each time


def picture(x: float) -> np.ndarray:
    """A ball at x, on white paper with a line."""
    drawn = np.full((H, W, 3), 255, np.uint8)
    cv2.line(drawn, (0, 84), (W, 84), (60, 60, 60), 2)
    cv2.circle(drawn, (round(16 * x), 16 * 48), 16 * 14, (200, 40, 40), -1, cv2.LINE_AA, 4)
    return drawn


def place_of(drawn: np.ndarray) -> float:
    """The x of the ball."""
    return float(np.nonzero(drawn[:, :, 0].astype(int) - drawn[:, :, 1] > 80)[1].mean())


def accelerated(t: float, i: int) -> float:
    """Where the ball is at time t between places i and i + 1."""
    return PLACES[i] + t * (PLACES[i + 1] - PLACES[i]) - 6 * t * (1 - t) / 2


@pytest.fixture(scope="module")
def ifnet() -> Interpolator:
    return Interpolator(device="cpu", precision="fp32")


def moving(x: float, y: float, duration: float = 1.0) -> GapMotion:
    return GapMotion(torch.tensor([x, y], dtype=torch.float32).reshape(1, 2, 1, 1).expand(1, 2, 90, 160), duration)


@pytest.mark.parametrize("t", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(("speed", "acceleration"), [(8.0, 0.0), (8.0, 3.0), (-8.0, 2.0), (6.0, -4.0)])
@pytest.mark.parametrize("durations", [(1, 1, 1), (2, 3, 1)])
def test_constant_acceleration_is_told_exactly(t, speed, acceleration, durations):
    ends = np.cumsum([-durations[0], *durations]) / durations[1]  # of the gaps, in durations of the middle one
    way = speed * ends + acceleration * ends**2 / 2
    motions = [moving(d, d / 2, duration) for d, duration in zip(np.diff(way), durations, strict=True)]
    times = easing.estimate(*motions).progress(t, (45, 80))
    expected = (speed * t + acceleration * t**2 / 2) / (way[2] - way[1])
    assert times.shape == (1, 1, 45, 80)
    torch.testing.assert_close(times, torch.full_like(times, expected), atol=2e-3, rtol=0)


def test_the_mean_is_that_of_the_map():
    told = easing.estimate(moving(2, 0), moving(6, 0), moving(10, 0))
    assert told.mean(0.3) == pytest.approx(told.progress(0.3, (9, 16)).mean().item(), abs=1e-6)


def test_parts_of_the_frame_ease_by_themselves():
    before, gap, after = (moving(8, 0)[0].clone() for _ in range(3))
    before[..., :60], after[..., :60] = before[..., :60] * 0.5, after[..., :60] * 1.5
    times = easing.estimate(*(GapMotion(x, 1.0) for x in (before, gap, after))).progress(0.5, (90, 160))[0, 0]
    assert 0.43 < times[:, :20].mean() < 0.46  # 0.4375, mixed with the mean of the frame
    assert times[:, -20:].mean() > 0.485


def test_what_rests_is_even():
    told = easing.estimate(moving(9, 0), moving(0, 0), moving(-30, 4))
    assert told.acceleration.abs().max() < 0.01


@pytest.mark.parametrize("around", [(-900.0, 900.0), (900.0, -900.0), (0.0, 30.0)])
def test_motion_never_turns_back(around):
    told = easing.estimate(moving(around[0], 3), moving(2, 1), moving(around[1], 5))
    times = [told.progress(t, (9, 16)) for t in np.linspace(0, 1, 21).tolist()]
    assert times[0].abs().max() == 0
    assert (times[-1] - 1).abs().max() == 0
    assert all((b - a).min() > -1e-6 for a, b in itertools.pairwise(times))


def test_a_ball_is_drawn_where_it_accelerates_to(ifnet):
    motions = [GapMotion(ifnet.displacement(picture(a), picture(b)), 1.0) for a, b in itertools.pairwise(PLACES[1:5])]
    pair = ifnet.prepare(picture(PLACES[2]), picture(PLACES[3]))
    for t in (0.25, 0.5, 0.75):
        evenly, by_neighbours = (
            place_of(next(ifnet.draw(pair, [t], easing=how))()) for how in (None, easing.estimate(*motions))
        )
        assert abs(by_neighbours - accelerated(t, 2)) < 0.6 * abs(evenly - accelerated(t, 2))


def test_frames_without_maps_are_drawn_at_the_mean(ifnet):
    told = easing.estimate(moving(2, 0), moving(6, 0), moving(10, 0))
    frames = picture(40), picture(52)
    mask = np.zeros((H, W), np.float32)
    mask[30:70, 20:60] = 1
    pair = ifnet.prepare(*frames, masks=[mask])
    (drawn,) = ifnet.draw(pair, [0.5], [[0.8]], told)
    (expected,) = ifnet.draw(pair, [told.mean(0.5)], [[0.8]])
    np.testing.assert_array_equal(drawn(), expected())


def test_lines_take_the_tone_of_how_far_they_have_come():
    lines = Interpolator(device="cpu", precision="fp32", line_art="on")
    frames = [np.full((H, W, 3), 255, np.uint8) for _ in range(2)]
    for frame, tone, x in zip(frames, (0, 140), (60, 70), strict=True):
        cv2.circle(frame, (x, 48), 30, (tone,) * 3, 2, cv2.LINE_AA)
    told = easing.estimate(moving(0, 0.1), moving(6, 0), moving(22, 0))
    (drawn,) = lines.draw(lines.prepare(*frames), [0.5], easing=told)
    assert abs(int(drawn().min()) - 140 * told.mean(0.5)) < 4


@pytest.mark.cuda
def test_a_gpu_eases_alike(ifnet):
    drawn = []
    for interpolator in (ifnet, Interpolator(device="cuda", precision="fp32")):
        for _ in range(3):  # the last is replayed
            gaps = itertools.pairwise(map(picture, PLACES[1:5]))
            told = easing.estimate(*(GapMotion(interpolator.displacement(a, b), 1.0) for a, b in gaps))
            pair = interpolator.prepare(picture(PLACES[2]), picture(PLACES[3]))
            (frame,) = interpolator.draw(pair, [0.5], easing=told)
        drawn.append(frame().astype(int))
    assert np.abs(drawn[0] - drawn[1]).mean() < 0.1


@pytest.mark.parametrize("kind", ["grey", "alpha", "deep", "float"])
def test_frames_of_any_kind_are_eased(ifnet, kind):
    convert = {
        "grey": lambda x: x[:, :, 1],
        "alpha": lambda x: np.dstack([x, 255 - x[:, :, 1]]),
        "deep": lambda x: x.astype(np.uint16) * 257,
        "float": lambda x: x.astype(np.float32) / 255,
    }[kind]
    frames = [convert(picture(x)) for x in PLACES[1:5]]
    told = easing.estimate(*(GapMotion(ifnet.displacement(a, b), 1.0) for a, b in itertools.pairwise(frames)))
    assert 0.4 < told.progress(0.5, (H, W))[0, 0, 48, 60] < 0.475  # 0.453 where the ball is
    (drawn,) = ifnet.draw(ifnet.prepare(frames[1], frames[2]), [0.5], easing=told)
    assert drawn().shape == frames[0].shape
    assert drawn().dtype == frames[0].dtype


def test_methods_that_do_not_find_motion_are_refused():
    with pytest.raises(InputError, match=r"as ifnet; dis\+splat does not"):
        Interpolator("dis", "splat", device="cpu").displacement(picture(20), picture(30))


# Videos


class _Told:
    """An interpolator whose motion is known from pictures that are numbers."""

    def __init__(self):
        self.asked: list[tuple[float, float]] = []

    def displacement(self, frame0: float, frame1: float) -> torch.Tensor:
        self.asked.append((frame0, frame1))
        return moving(frame1 - frame0, 0.0).displacement


def eased_by(starts: list[int], places: list[float], cuts: set[int] = frozenset(), fps: int = 48) -> list[float | None]:
    """The accelerations of the stretches between drawings, which start at 24ths of a second."""
    drawings = [
        Drawing(Fraction(start, 24), Frame(Fraction(start, 24), place), i in cuts)
        for i, (start, place) in enumerate(zip(starts, places, strict=True))
    ]
    told = _Told()
    spread = list(stretches(drawings, lambda: Fraction(starts[-1] + 1, 24), Fraction(fps), rate=Fraction(24)))
    found = [one.easing() for one in eased.with_easing(spread, "auto", told)]
    assert len(told.asked) == len(set(told.asked))  # no gap is measured twice
    return [None if one is None else round(one.acceleration.mean().item(), 2) for one in found]


def test_stretches_are_eased_by_those_around_them():
    assert eased_by([0, 1, 2, 3, 4], [0, 8, 20, 36, 56]) == [None, 0.33, 0.25, None, None]
    assert eased_by([0, 2, 4, 5, 6], [0, 16, 32, 40, 48]) == [None, 0.0, 0.0, None, None]  # twos, then ones


def test_neither_cuts_nor_rests_are_crossed():
    assert eased_by([0, 1, 2, 3, 4, 5], [0, 8, 20, 36, 56, 80], {3}) == [None] * 6
    assert eased_by([0, 1, 2, 20, 21, 22], [0, 8, 20, 36, 56, 80]) == [None, None, None, 0.2, None, None]
    assert eased_by([0, 1, 2, 20, 21], [0, 8, 20, 36, 56]) == [None] * 5


@pytest.mark.parametrize("fps", [16, 20, 25])
def test_gaps_without_frames_continue_motion(fps):
    places = [0, 8, 20, 36, 56, 80]
    expected = [None, 0.33, 0.25, 0.2, None, None]
    found = eased_by([0, 1, 2, 3, 4, 5], places, fps=fps)
    assert found == expected


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "in.mkv"
    with Writer(path, Encoding((H, W), Fraction(24), "ffv1")) as writer:
        for x in PLACES:
            writer.write(picture(x))
    return path


def test_videos_are_eased(call, clip, tmp_path):
    def places(out: str, *options: str) -> list[float]:
        arguments = [clip, tmp_path / out, *options, "--codec", "ffv1", "--precision", "fp32", "--device", "cpu"]
        finished = call(interpolate_video.main, *map(str, arguments))
        assert finished.code == 0, finished.said
        return [place_of(frame.pixels) for frame in video.Reader(tmp_path / out).frames()]

    evenly, by_neighbours = places("even.mkv"), places("auto.mkv", "--ease", "auto")
    truth = [accelerated(0.5, i) for i in range(1, 4)]
    assert by_neighbours[::2] == evenly[::2]
    assert by_neighbours[1] == evenly[1]  # the first and the last gap have one neighbour alone
    assert by_neighbours[9] == evenly[9]
    errors = [np.abs(np.subtract(places[3:9:2], truth)) for places in (by_neighbours, evenly)]
    assert (errors[0] < errors[1]).all()
    assert errors[0].sum() < 0.6 * errors[1].sum()


def test_videos_of_methods_without_motion_of_their_own_are_refused(call, clip, tmp_path):
    method = "--flow", "dis", "--synthesis", "splat"
    finished = call(interpolate_video.main, clip, tmp_path / "out.mkv", "--ease", "auto", *method)
    assert finished.code == 2
    assert "as ifnet; dis+splat does not" in finished.said
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


# Keys


def test_neighbours_of_gaps_and_loops():
    gap, closed, open_end, broken = Gap.on((Fraction(1, 2),), 1), Gap.on((), 1), Gap.on((), 1), Gap((), (1,), blank=1)
    assert [key_motion.neighbours([gap, gap, gap, open_end], i) for i in range(3)] == [None, (0, 2), None]
    assert [key_motion.neighbours([gap, gap, gap], i) for i in range(3)] == [(2, 1), (0, 2), (1, 0)]
    assert [key_motion.neighbours([gap, closed, gap, gap, open_end], i) for i in (1, 2)] == [(0, 2), (1, 3)]
    interrupted = [gap, gap, broken, gap, gap, gap, open_end]
    assert [key_motion.neighbours(interrupted, i) for i in range(6)] == [None, None, None, None, (3, 5), None]
    closing = Gap.on((), 1, is_eased=True)
    assert [key_motion.neighbours([gap, gap, closing], i) for i in range(2)] == [(2, 1), (0, 2)]


@pytest.fixture
def keys(tmp_path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    for i, x in enumerate(PLACES[:5]):
        image.write(folder / f"k{i}.png", picture(x))
    return folder


def drawn_places(folder: Path) -> dict[str, float]:
    return {path.name: place_of(image.read(path)) for path in sorted(folder.glob("*1of1.png"))}


def test_keys_are_eased_and_follow_changes_of_their_neighbours(call, keys, tmp_path):
    def drawn_now(*options: str) -> int:
        finished = call(interpolate.main, str(keys), "--out", str(tmp_path / "out"), "--between", "1", *options)
        assert finished.code == 0, finished.said
        return int(finished.written.rpartition("drawn now: ")[2])

    assert drawn_now("--ease", "auto") == 4
    by_neighbours = drawn_places(tmp_path / "out")
    assert drawn_now("--ease", "auto") == 0
    image.write(keys / "k4.png", picture(PLACES[4] + 12))
    assert drawn_now("--ease", "auto") == 2  # the gap of that key, and the one before, which it eases
    image.write(keys / "k4.png", picture(PLACES[4]))
    assert drawn_now("--ease", "auto") == 2
    assert drawn_places(tmp_path / "out") == by_neighbours
    assert drawn_now("--ease", "auto", "--on", "2") == 0
    assert drawn_now() == 2  # those with two neighbours
    evenly = drawn_places(tmp_path / "out")
    for name, i in (("k1+1of1.png", 1), ("k2+1of1.png", 2)):
        truth = accelerated(0.5, i)
        assert abs(by_neighbours[name] - truth) < 0.6 * abs(evenly[name] - truth)


def test_a_chart_eases_single_gaps(keys, tmp_path):
    chart = tmp_path / "chart.csv"
    chart.write_text("key,ease\nk1,auto\n")
    gaps = timing.plan([f"k{i}" for i in range(5)], chart=chart)
    assert [gap.is_eased for gap in gaps] == [False, True, False, False, False]


@pytest.mark.parametrize("count", [2, 3])
def test_too_few_keys_are_refused(call, keys, tmp_path, count):
    files = [str(keys / f"k{i}.png") for i in range(count)]
    finished = call(interpolate.main, *files, "--ease", "auto", "--out", str(tmp_path / "out"))
    assert finished.code == 2
    assert "give more keys, or choose a curve" in finished.said
    assert not (tmp_path / "out").exists()


def test_parts_have_curves_of_their_own(call, keys, tmp_path):
    files = [str(keys / f"k{i}.png") for i in range(2)]
    mask = tmp_path / "mask.png"
    image.write(mask, np.full((H, W), 255, np.uint8))
    finished = call(interpolate.main, *files, "--part", f"{mask}=auto", "--out", str(tmp_path / "out"))
    assert finished.code == 2
    assert "auto applies to whole gaps only" in finished.said


def test_layers_that_are_missing_in_a_key_interrupt_motion(keys, tmp_path):
    folder = tmp_path / "layers"
    for i in range(6):
        for name in ("ball", "paper") if i != 3 else ("paper",):
            (folder / name).mkdir(parents=True, exist_ok=True)
            alpha = np.full((H, W), 255, np.uint8)
            image.write(folder / name / f"k{i}.png", np.dstack([picture(PLACES[i]), alpha]))
    with layered_keys.opened([folder]) as cut:
        gaps = timing.plan(cut.keys, ease="auto", between="1")
        layered_keys.interpolate(cut, tmp_path / "out", gaps, device="cpu")
    recorded = (tmp_path / "out" / "layers" / "ball" / ".drawn.jsonl").read_text()
    assert '"eased"' not in recorded  # k1 to k2 has no gap after it that continues, nor k4 to k5 one before it
    whole = (tmp_path / "out" / "layers" / "paper" / ".drawn.jsonl").read_text()
    assert whole.count('"eased"') == 3


# Evaluation


def test_keyframes_are_evaluated_by_their_neighbours(call, tmp_path):
    folder = tmp_path / "cut"
    folder.mkdir()
    places = [40 + 2 * i + i * i for i in range(8)]
    for i, x in enumerate(places):
        image.write(folder / f"{i}.png", picture(x))
    out = tmp_path / "scores.csv"
    arguments = ["--data", "keyframes", str(folder), "--compare", "ifnet", "ifnet@ease", "--metrics", "psnr"]
    finished = call(evaluate.main, *arguments, "--device", "cpu", "--out", str(out))
    assert finished.code == 0, finished.said
    with out.open() as file:
        scores = {(row["method"], row["name"]): float(row["psnr"]) for row in csv.DictReader(file)}
    better = [scores["ifnet@ease", f"{i}.png"] - scores["ifnet", f"{i}.png"] for i in range(1, 7)]
    assert better[:2] == better[-2:] == [0, 0]  # without four drawings around them
    assert min(better[2:-2]) > 1


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("foo@ease", "There is no method 'foo@ease'"),
        ("blend@ease", "There is no method 'blend@ease'"),
        ("dis+ifnet@ease", "ifnet finds motion itself and does not use dis"),
        ("precomputed+ifnet@ease", "needs flows that come with the data"),
        (
            "dis+splat@ease",
            "The ease auto needs a synthesis that finds motion itself, such as ifnet; dis+splat does not",
        ),
    ],
)
def test_methods_that_cannot_be_eased_are_refused(tmp_path, method, message):
    neighbours = {"b": (tmp_path / "a.png", tmp_path / "c.png")}
    with pytest.raises(InputError, match=re.escape(message)):
        candidates.create(method, ["b"], False, neighbours, device="cpu")


def test_folders_may_end_like_eased_methods(tmp_path):
    folder = tmp_path / "film@ease"
    folder.mkdir()
    image.write(folder / "b.png", picture(40))
    assert isinstance(candidates.create(str(folder), ["b"], False), candidates.FrameFolder)


def test_other_data_has_no_neighbours(call, tmp_path):
    for name in "abc":
        (tmp_path / "triplets" / name).mkdir(parents=True)
        for i in range(3):
            image.write(tmp_path / "triplets" / name / f"{i}.png", picture(40 + i))
    finished = call(evaluate.main, "--data", "folders", str(tmp_path / "triplets"), "--compare", "ifnet@ease")
    assert finished.code == 2
    assert "ifnet@ease is of keyframes with others before and after them" in finished.said


def test_the_page_takes_curves_alone(call, keys):
    finished = call(studio.main, str(keys), "--ease", "auto", "--no-browser")
    assert finished.code == 2
    assert "The ease auto is not shown on the page" in finished.said
    assert key_drawings.find_keys([keys])
