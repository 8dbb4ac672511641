"""The command line that judges, and the scores it shows."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from _databacks.toons import atlas
from _databacks.toons.scenes import Scenes
from _scripts import evaluate
from _train.frame_interpolation import evaluation
from _util import metrics
from _util.errors import InputError
from _util.image import to_tensor

ROOT = Path(__file__).parents[1]
SIMPLE = ("--flow", "dis", "--synthesis", "splat", "--device", "cpu")


def picture(shift: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A smooth pattern, moved to the left."""
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    large = Image.fromarray(noise).resize((size[0] + 40, size[1]), Image.Resampling.BICUBIC)
    return large.crop((shift, 0, shift + size[0], size[1]))


@pytest.fixture
def keys(tmp_path, monkeypatch) -> Path:
    """Four keyframes whose order by letters is not that of their numbers, and a note."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "keys"
    folder.mkdir()
    for number in (1, 2, 10, 11):
        picture(2 * number).save(folder / f"key{number}.png")
    (folder / "note.txt").write_text("not an image")
    return folder


@pytest.fixture
def run(call):
    """Runs the command line; returns its exit code, what it wrote and what it said."""

    def run(*arguments) -> tuple[int, str, str]:
        code, said, written = call(evaluate.main, *arguments)
        return code, written, said

    return run


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_keyframes_are_triplets_in_the_order_of_their_numbers(keys):
    given = []

    def interpolate(frame0, frame1):
        given.append((frame0, frame1))
        return frame0

    scores = evaluation.score_keyframes(interpolate, evaluation.keyframes(keys))
    assert [score.name for score in scores] == ["key2.png", "key10.png"]
    for (frame0, frame1), (first, last) in zip(given, [(1, 10), (2, 11)], strict=True):
        np.testing.assert_array_equal(frame0, picture(2 * first))
        np.testing.assert_array_equal(frame1, picture(2 * last))


def test_scores_are_those_of_the_metrics(keys):
    (score, _) = evaluation.score_keyframes(lambda frame0, frame1: frame0, evaluation.keyframes(keys))
    drawn, true = (to_tensor(np.asarray(picture(shift)))[None] for shift in (2, 4))
    assert score == evaluation.Score(
        "key2.png",
        lpips=metrics.LPIPS("paper")(drawn, true).item(),
        lpips_standard=metrics.LPIPS("standard")(drawn, true).item(),
        chamfer=metrics.Chamfer()(drawn, true).item(),
        psnr=metrics.PSNR()(drawn, true).item(),
        ssim=metrics.SSIM("paper")(drawn, true).item(),
    )
    assert score.lpips != score.lpips_standard


def test_the_true_frames_score_best(keys):
    truths = iter([picture(4), picture(20)])
    figures = evaluation.evaluate_keyframes(lambda *_: np.asarray(next(truths)), keys)
    assert figures == {"lpips": 0, "lpips_standard": 0, "chamfer": 0, "psnr": 100, "ssim": pytest.approx(1)}


def test_means(keys):
    paths = evaluation.keyframes(keys)
    scores = evaluation.score_keyframes(evaluation.mean_of_frames, paths)
    figures = evaluation.evaluate_keyframes(evaluation.mean_of_frames, keys)
    for name, value in figures.items():
        assert value == pytest.approx(sum(getattr(score, name) for score in scores) / 2)
    assert set(figures) == set(evaluation.Score._fields) - {"name"}


def test_mean_of_frames_rounds():
    a, b = np.uint8([[[0, 255, 10]]]), np.uint8([[[1, 255, 20]]])
    np.testing.assert_array_equal(evaluation.mean_of_frames(a, b), [[[1, 255, 15]]])


def test_images_of_any_kind(tmp_path):
    """Grey, 16 bits and transparency become 8-bit RGB, over white."""
    grey = np.full((40, 40), 100, np.uint8)
    transparent = np.zeros((40, 40, 4), np.uint8)
    transparent[..., 3] = 51
    Image.fromarray(grey).save(tmp_path / "1.png")
    Image.fromarray(transparent).save(tmp_path / "2.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "3.png")
    Image.fromarray(grey).save(tmp_path / "4.PNG")
    given = []
    evaluation.evaluate_keyframes(lambda *frames: given.append(frames) or frames[0], tmp_path)
    assert {frame.shape for pair in given for frame in pair} == {(40, 40, 3)}
    assert {frame.dtype for pair in given for frame in pair} == {np.dtype(np.uint8)}
    assert [int(frame.mean()) for pair in given for frame in pair] == [100, 100, 204, 100]


def test_table_and_csv(run, keys):
    code, table, _ = run("--data", keys, "--out", "scores.csv", *SIMPLE)
    assert code == 0
    rows = cells(table)
    assert rows[0] == ["", "LPIPS", "LPIPS std.", "chamfer ×1e-4", "PSNR", "SSIM %"]
    assert [row[0] for row in rows[2:]] == ["key2.png", "key10.png", "mean"]
    assert len({len(line) for line in table.splitlines()}) == 1
    with Path("scores.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [row["name"] for row in written] == ["key2.png", "key10.png", "mean"]
    for shown, row in zip(rows[2:], written, strict=True):
        assert shown[1] == f"{float(row['lpips']):.4f}"
        assert shown[2] == f"{float(row['lpips_standard']):.4f}"
        assert shown[3] == f"{1e4 * float(row['chamfer']):.3f}"
        assert shown[4] == f"{float(row['psnr']):.2f}"
        assert shown[5] == f"{100 * float(row['ssim']):.2f}"
    assert sorted(path.name for path in Path().iterdir()) == ["keys", "scores.csv"]


def test_interpolation_beats_the_mean_of_frames(run, keys):
    picture(6).save(keys / "key3.png")
    for number in (10, 11):
        (keys / f"key{number}.png").unlink()
    means = {}
    for name, arguments in {"mean": ("--baseline", "mean"), "dis": SIMPLE}.items():
        code, table, _ = run("--data", keys, *arguments)
        assert code == 0
        means[name] = float(cells(table)[-1][1])
    assert means["dis"] < means["mean"]


def spoil(kind: str, keys: Path) -> Path:
    if kind == "missing":
        return keys / "none"
    if kind == "file":
        return keys / "key1.png"
    if kind == "two":
        for number in (10, 11):
            (keys / f"key{number}.png").unlink()
    elif kind == "size":
        picture(0, (64, 49)).save(keys / "key12.png")
    elif kind == "cut":
        (keys / "key11.png").write_bytes((keys / "key11.png").read_bytes()[:-100])
    elif kind == "text":
        (keys / "key11.png").write_text("text")
    elif kind == "dangling":
        (keys / "key12.png").symlink_to("gone.png")
    elif kind == "small":
        for path in keys.glob("*.png"):
            picture(0, (64, 30)).save(path)
    return keys


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "none is not a folder"),
        ("file", "key1.png is not a folder"),
        ("two", "holds 2 images"),
        ("size", "key12.png is 64×49 pixels and key1.png 64×48"),
        ("cut", "key11.png is damaged or cut short"),
        ("text", "key11.png is not an image"),
        ("dangling", "no image"),
        ("small", "key1.png is 64×30 pixels; each side needs at least 31"),
    ],
)
def test_bad_keyframes_are_one_sentence(run, keys, kind, says):
    code, table, said = run("--data", spoil(kind, keys), "--out", "scores.csv", *SIMPLE)
    assert code == 2
    assert says in said
    assert said.count("\n") == 1
    assert said.endswith(".\n")
    assert table == ""
    assert not Path("scores.csv").exists()


def test_no_interpolation_starts_before_all_keyframes_are_checked(keys):
    spoil("size", keys)
    with pytest.raises(InputError, match="bring all keyframes to one size"):
        evaluation.evaluate_keyframes(lambda *_: pytest.fail("it interpolates"), keys)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--data"),
        (("--data", "keys", "--out", "none/scores.csv"), "no folder none"),
        (("--data", "keys", "--baseline", "median"), "invalid choice"),
        (("--data", "keys", "--flow", "raft"), "no flow 'raft'"),
        (("--data", "keys", "--device", "abacus"), "device 'abacus'"),
    ],
)
def test_bad_options_are_one_sentence(run, keys, arguments, says):
    code, table, said = run(*arguments)
    assert code == 2
    assert says in said
    assert said.count("\n") == 1
    assert table == ""


def test_a_place_that_cannot_be_written_does_not_cost_the_table(run, keys):
    code, table, said = run("--data", keys, "--out", keys, "--baseline", "mean")
    assert code == 2
    assert "cannot be written" in said
    assert cells(table)[-1][0] == "mean"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(("--baseline", "mean"), (0.0974, 2.592, 21.20)), (SIMPLE, (0.0467, 1.193, 24.22))],
    ids=["mean", "dis+splat"],
)
def test_real_keyframes(run, shared, arguments, expected):
    code, table, _ = run("--data", shared / "data/anime_keys", *arguments)
    assert code == 0
    rows = cells(table)
    assert len(rows) == 2 + 17 + 1
    _, lpips, _, chamfer, psnr, _ = rows[-1]
    np.testing.assert_allclose([float(lpips), float(chamfer), float(psnr)], expected, rtol=0.01)


def scene(flow01: Tensor, flow10: Tensor) -> Scenes:
    b, _, h, w = flow01.shape
    occlusion = torch.zeros(b, 1, h, w)
    occlusion[..., w // 2 :] = 1
    return Scenes(torch.rand(b, 3, 3, h, w), torch.full((b,), 0.5), (flow01, flow10), (occlusion, occlusion))


def test_flow_is_judged_both_ways():
    right, left = torch.zeros(2, 2, 40, 60), torch.zeros(2, 2, 40, 60)
    right[:, 0], left[:, 0] = 3, -1

    def exact(frame0, frame1):
        return right[:1], left[:1]

    def still(frame0, frame1):
        return torch.zeros(1, 2, 40, 60), torch.zeros(1, 2, 40, 60)

    assert set(evaluation.score_flow(exact, [scene(right, left)]).values()) == {0}
    assert evaluation.score_flow(still, [scene(right, left)] * 2)["epe"] == pytest.approx(2)  # of 3 and 1


def test_toons_judge_flow(run, monkeypatch):
    pytest.importorskip("resvg_py", reason="toons are drawn by resvg (make/setup train)")
    flat = {kind: torch.full((2, 4, 64, 64), 255, dtype=torch.uint8) for kind in ("drawing", "background", "caption")}
    monkeypatch.setattr(atlas, "load", lambda: flat)
    monkeypatch.setattr(evaluate, "BATCHES", 1)
    code, table, _ = run("--data", "toons", *SIMPLE)
    assert code == 0
    name, *errors = cells(table)[-1]
    assert name == "dis"
    assert len(errors) == 3
    assert all(float(error) >= 0 for error in errors)
