"""The command line that judges, and the scores it shows."""

import csv
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import lpips
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from _databacks.atd12k import ATD12K, COUNTS
from _databacks.keyframes import Keyframes
from _databacks.toons import atlas
from _databacks.toons.rigs import RIGS
from _scripts import evaluate
from _train.frame_interpolation.benchmarks import stages
from _train.frame_interpolation.evaluation import candidates
from _train.frame_interpolation.evaluation.measures import quantised
from _train.frame_interpolation.evaluation.pages import report
from _train.frame_interpolation.evaluation.scores import Gathered
from _train.frame_interpolation.methods import PUBLISHED
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _util import checkpoints, metrics, runs
from _util.errors import InputError
from _util.locks import holding
from tests import miniature

ROOT = Path(__file__).parents[2]
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


def test_tables_of_other_data_and_settings_have_places_of_their_own(run, keys):
    shutil.copytree(keys, "other/keys")
    quick = ("--compare", "blend", "--metrics", "psnr")
    calls = [
        ("keys",),
        ("other/keys",),
        ("keys", "--protocol", "standard"),
        ("keys", "--checkpoints", "other"),
        ("keys",),
    ]
    for data, *options in calls:
        code, _, said = run("--data", data, *quick, *options)
        assert code == 0, said
    tables = list(Path("_data/evaluation").iterdir())
    assert len(tables) == 4
    assert all(re.fullmatch(r"keys-blend-[0-9a-f]{6}\.csv", table.name) for table in tables)


def test_data_without_end_is_refused(run, keys, monkeypatch):
    monkeypatch.setattr(Keyframes, "is_unlimited", True)
    code, _, said = run("--data", keys, "--compare", "blend")
    assert code == 2
    assert said == f"Triplets are composed of {keys} practically without end; give data that has one.\n"


def test_frames_of_another_program_in_another_unicode_form(run, keys):
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    for i, name in enumerate("abc"):
        Path(f"shots/{composed}").mkdir(parents=True, exist_ok=True)
        picture(i).save(f"shots/{composed}/{name}.png")
    Path("film").mkdir()
    picture(1).save(f"film/{apart}.png")
    code, _, said = run("--data", "shots", "--compare", "film", "--metrics", "psnr", "--out", "scores.csv")
    assert code == 0, said
    assert float(read_scores("scores.csv")["film/", composed]["psnr"]) == 100


def test_table_and_csv(run, keys):
    code, table, _ = run("--data", keys, "--out", "scores.csv", *SIMPLE)
    assert code == 0
    each, summary = table.split("\n\n")
    header, *rows = [line.split() for line in each.splitlines()]
    assert header == ["item", *PUBLISHED]
    assert [row[0] for row in rows] == ["key2.png", "key10.png"]
    written = list(read_scores("scores.csv").values())
    assert [(row["method"], row["name"]) for row in written] == [("dis+splat", row[0]) for row in rows]
    for shown, row in zip(rows, written, strict=True):
        assert [float(x) for x in shown[1:3]] == pytest.approx(
            [float(row[name]) for name in ("lpips", "chamfer")], 1e-4
        )
        assert shown[3:] == [f"{float(row['psnr']):.2f}", f"{100 * float(row['ssim']):.2f}"]
    assert [line.split()[:2] for line in summary.splitlines()[1:]] == [["all", name] for name in PUBLISHED]
    for name, mean in means(table).items():
        percent = 100 if name == "ssim" else 1
        assert mean == pytest.approx(percent * np.mean([float(row[name]) for row in written]), rel=1e-3)
    assert sorted(path.name for path in Path().iterdir()) == ["keys", "scores.csv"]


def means(table: str) -> dict[str, float]:
    """Of all items, by metric, from the summary of one method."""
    lines = [line.split() for line in table.split("\n\n")[1].splitlines()]
    return {metric: float(score) for subset, metric, score in lines[1:] if subset == "all"}


def test_one_method_and_several_are_judged_alike(run, keys):
    options = ("--data", "keyframes", keys, "--device", "cpu", "--align", "--register", "--out")
    code, table, _ = run(*options, "one.csv", *SIMPLE)
    assert code == 0
    code, compared, _ = run(*options, "two.csv", "--compare", "dis+splat", "blend")
    assert code == 0
    one, two = read_scores("one.csv"), read_scores("two.csv")
    assert one.items() <= two.items()
    assert {"aligned_lpips", "aligned_time", "registered_lpips", "registered_chamfer"} < one[
        "dis+splat", "key2.png"
    ].keys()
    alone, both = means(table), columns(compared)
    assert {("all", name) for name in alone} == set(both)
    assert all(float(both["all", name][0]) == alone[name] for name in alone)


def test_a_folder_of_cuts(run, keys):
    for i in range(2):
        shutil.copytree(keys, f"film/cut {i}")
    code, table, _ = run("--data", "keyframes", "film", "--baseline", "mean", "--metrics", "psnr", "--out", "out.csv")
    assert code == 0
    names = [f"cut {i}/{name}" for i in range(2) for name in ("key2.png", "key10.png")]
    assert [name for _, name in read_scores("out.csv")] == names
    assert {line.split()[0] for line in table.split("\n\n")[1].splitlines()[1:]} == {"all", "cut_0", "cut_1"}


def test_interpolation_beats_the_mean_of_frames(run, keys):
    picture(6).save(keys / "key3.png")
    for number in (10, 11):
        (keys / f"key{number}.png").unlink()
    lpips = {}
    for name, arguments in {"mean": ("--baseline", "mean"), "dis": SIMPLE}.items():
        code, table, _ = run("--data", keys, *arguments)
        assert code == 0
        lpips[name] = means(table)["lpips"]
    assert lpips["dis"] < lpips["mean"]


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
        ("missing", "There is no folder"),
        ("file", "There is no folder"),
        ("two", "holds no triplets"),
        ("size", "key12.png is 64×49 pixels and key1.png 64×48"),
        ("cut", "key11.png is damaged or truncated"),
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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "_data/atd12k/raw/test_2k_540p holds 0 of 2000 triplets; ATD-12K is at https://"),
        (("--data", "a", "b"), "no kind of data 'a'"),
        (("--data", "keys", "more"), "keys and more are two data sets; give one at a time."),
        (("--data", "rrld", "b", "c"), "DATA is one folder"),
        (("--data", "keys", "--compare", "dis+splat", "paint"), "no method 'paint'"),
        (("--data", "keys", "--compare", "precomputed+splat"), "needs flows that come with the data"),
        (("--data", "keys", "--compare", "dis+rife"), "rife finds motion itself and does not use dis"),
        (("--data", "keys", "--compare", "blend", "mean"), "mean is blend, which is given already"),
        (("--data", "keys", "--annotations"), "keys has no annotations"),
        (("--data", "keys", "--split", "train"), "keys has no split 'train'"),
        (("--data", "keys", "--metrics", "psnr", "--register"), "--register is of lpips and chamfer, which"),
        (("--data", "keys", "--table", "none/table.md"), "no folder none"),
        (("--data", "keys", "--out", "none/scores.csv"), "no folder none"),
        (("--data", "keys", "--out", "a.csv", "--table", "./a.csv"), "--out and --table are the same file"),
        (("--data", "keys", "--baseline", "median"), "invalid choice"),
        (("--data", "keys", "--flow", "raft"), "no flow 'raft'"),
        (("--data", "keys", "--device", "abacus"), "device 'abacus'"),
        (("--data", "keys", "--compare", "blend", "--flow", "sgm"), "--flow is not allowed with --compare"),
        (("--data", "keys", "--baseline", "mean", "--synthesis", "rife"), "--synthesis is not allowed with --b"),
        (("--data", "toons", "--flow", "dis", "--table", "t.md"), "--table is not of toons, which take --flow, "),
    ],
)
def test_bad_options_are_one_sentence(run, keys, arguments, says):
    code, table, said = run(*arguments)
    assert code == 2
    assert says in said
    assert said.count("\n") == 1
    assert table == ""


def test_a_place_that_cannot_be_written_costs_no_work(run, keys, monkeypatch):
    monkeypatch.setattr(candidates.Blend, "draw", lambda *_: pytest.fail("it draws"))
    code, _, said = run("--data", keys, "--out", keys, "--baseline", "mean")
    assert code == 2
    assert "is a folder" in said
    assert said.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(("--baseline", "mean"), (0.0974, 2.592, 21.20)), (SIMPLE, (0.0467, 1.193, 24.22))],
    ids=["mean", "dis+splat"],
)
def test_real_keyframes(run, shared, tmp_path, arguments, expected):
    code, table, _ = run("--data", shared / "data/anime_keys", *arguments, "--out", tmp_path / "scores.csv")
    assert code == 0
    assert len(table.split("\n\n")[0].splitlines()) == 1 + 17
    found = means(table)
    np.testing.assert_allclose([found["lpips"], 1e4 * found["chamfer"], found["psnr"]], expected, rtol=0.01)


def test_toons_judge_flow(run, monkeypatch):
    pytest.importorskip("resvg_py", reason="toons are drawn by resvg (make/setup train)")
    flat = {kind: torch.full((2, 4, 64, 64), 255, dtype=torch.uint8) for kind in atlas.KINDS}
    flat |= {kind: torch.full((2, len(rig.parts), 4, 64, 64), 255, dtype=torch.uint8) for kind, rig in RIGS.items()}
    monkeypatch.setattr(atlas, "load", lambda: flat)
    monkeypatch.setattr(evaluate, "BATCHES", 1)
    code, table, _ = run("--data", "toons", "--flow", "dis", "--device", "cpu")
    assert code == 0
    name, *errors = [cell.strip() for cell in table.splitlines()[-1].strip("|").split("|")]
    assert name == "dis"
    assert len(errors) == 3
    assert all(float(error) >= 0 for error in errors)


@pytest.fixture
def atd12k(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return miniature.build(tmp_path / "mini")


def read_scores(path: Path | str) -> dict[tuple[str, str], dict[str, str]]:
    with Path(path).open() as file:
        return {(row["method"], row["name"]): row for row in csv.DictReader(file)}


def columns(table: str) -> dict[tuple[str, str], list[str]]:
    """Cells by subset and metric."""
    return {tuple(line.split()[:2]): line.split()[2:] for line in table.split("\n\n")[0].splitlines()[1:]}


class Reference:
    """The published protocol, calculated again with other libraries."""

    def __init__(self):
        self.lpips = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
        weights = checkpoints.read(checkpoints.FOLDER / "default/alexnet_features.safetensors")
        layers = [layer for i in range(1, 6) for layer in getattr(self.lpips.net, f"slice{i}")]
        for i, layer in enumerate(layers):
            if hasattr(layer, "weight"):
                layer.weight.data = weights[f"{i}.weight"].float()
                layer.bias.data = weights[f"{i}.bias"].float()

    @torch.no_grad()
    def __call__(self, drawn: np.ndarray, true: np.ndarray) -> dict[str, float]:
        """(h, w, 3) float64 in [0, 1], twice."""
        tensors = [torch.from_numpy(frame).float().permute(2, 0, 1)[None] for frame in (drawn, true)]
        return {
            "lpips": self.lpips(*tensors).item(),
            "chamfer": self.chamfer(drawn, true),
            "psnr": -10 * np.log10(((drawn - true) ** 2).mean()),
            "ssim": np.mean([self.ssim(drawn[..., c], true[..., c]) for c in range(3)]),
            "ie": np.sqrt(((255 * (drawn - true)) ** 2).sum(2)).mean(),
        }

    def lines(self, frame: np.ndarray) -> np.ndarray:
        grey = frame @ [0.299, 0.587, 0.114]
        narrow, wide = (ndimage.gaussian_filter(grey, s, mode="nearest", radius=r) for s, r in ((1, 4), (1.6, 6)))
        return 0.5 + 2 * (wide - narrow) - 0.01 > 0.5

    def chamfer(self, drawn: np.ndarray, true: np.ndarray) -> float:
        a, b = self.lines(drawn), self.lines(true)
        to_a, to_b = ndimage.distance_transform_edt(~a), ndimage.distance_transform_edt(~b)
        return ((b * to_a).mean() + (a * to_b).mean()) / 2 / np.hypot(*a.shape)

    def ssim(self, x: np.ndarray, y: np.ndarray) -> float:
        """As scikit-image: 7×7 pixels of equal weight, unbiased, a data range of 2, borders left out."""
        c1, c2, n = 0.02**2, 0.06**2, 49

        def mean(image):
            return ndimage.uniform_filter(image, 7)

        mx, my = mean(x), mean(y)
        vx, vy, vxy = (n / (n - 1) * (mean(p * q) - mean(p) * mean(q)) for p, q in ((x, x), (y, y), (x, y)))
        scores = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
        return scores[3:-3, 3:-3].mean()


@pytest.mark.slow
def test_published_protocol_on_a_miniature(run, atd12k):
    """Names, flows and weights as published; scores as another calculation has them, of all, by subset and region."""
    weights = atd12k.parent / "weights"
    weights.mkdir()
    stages.write_checkpoints(weights)
    code, table, _ = run("--data", atd12k, "--checkpoints", weights, "--annotations", "--out", "out.csv")
    assert code == 0
    ssl, dtm = SoftsplatLite().eval(), DTM().eval()
    checkpoints.load(ssl, "ssl", weights)
    checkpoints.load(dtm, "dtm", weights)
    reference, data, expected = Reference(), ATD12K(atd12k), {}
    written = read_scores("out.csv")
    assert [name for _, name in written] == data.names
    for index, name in enumerate(data.names):
        frames, flows = data[index].frames[:, None], [flow[None] for flow in data[index].flows]
        with torch.no_grad():
            drawn = dtm(ssl(frames[0], frames[2], *flows, 0.5))[0][:, :3]
        drawn, true = (frame[0].permute(1, 2, 0).double().numpy() for frame in (quantised(drawn), frames[1]))
        number = miniature.NAMES.index(name)
        left, top, right, bottom = 10 + 2 * number, 5, 60 + 2 * number, 45 + number
        roi = reference(drawn[top:bottom, left:right], true[top:bottom, left:right])
        expected[name] = reference(drawn, true) | {f"roi_{key}": roi[key] for key in ("psnr", "ssim", "ie")}
        row = written["precomputed+ssldtm", name]
        assert {key: float(row[key]) for key in expected[name]} == pytest.approx(expected[name], rel=1e-4)
        assert (row["level"], row["subset"]) == (
            ["easy", "medium", "hard"][number % 3],
            "west" if name.startswith("Disney") else "east",
        )
    shown = columns(table)
    for subset, names in {"all": data.names, "west": data.names[:2], "east": data.names[2:]}.items():
        for metric, digits in {"lpips": 5, "chamfer": 5, "psnr": 4, "ssim": 4, "roi_psnr": 4}.items():
            mean = np.mean([expected[name][metric] for name in names]) * (100 if metric == "ssim" else 1)
            assert float(shown[subset, metric][0]) == pytest.approx(mean, rel=2 * 10 ** (1 - digits))
    medium = [miniature.NAMES[1], miniature.NAMES[4]]
    mean = np.mean([expected[name]["psnr"] for name in medium])
    assert float(shown["medium", "psnr"][0]) == pytest.approx(mean, abs=0.01)
    assert ("motion:rotation", "ie") in shown


def test_no_arguments_mean_atd12k(run, atd12k):
    Path("_data").mkdir()
    atd12k.rename("_data/atd12k")
    code, table, said = run("--synthesis", "splat")
    assert code == 1  # of the data set, most is missing
    assert [line.split()[:2] for line in table.splitlines()] == [
        ["subset", "metric"],
        *([subset, metric] for subset in ("all", "east", "west") for metric in ("lpips", "chamfer", "psnr", "ssim")),
    ]
    assert "_data/atd12k/raw/test_2k_540p holds 5 of 2000 triplets" in said
    assert "https://github.com/lisiyao21/AnimeInterp" in said
    (scores,) = Path("_data/evaluation").glob("atd12k-test-precomputed+splat-??????.csv")
    assert len(read_scores(scores)) == 5
    assert run("--synthesis", "splat", "--strict")[0] == 2


def test_atd12k_needs_its_flows_only_where_they_are_used(run, atd12k, monkeypatch):
    Path("_data").mkdir()
    atd12k.rename("_data/atd12k")
    shutil.rmtree("_data/atd12k/preprocessed")
    monkeypatch.setitem(COUNTS, "test", 5)
    assert run(*SIMPLE, "--metrics", "psnr")[0] == 0
    code, _, said = run("--flow", "precomputed", "--synthesis", "splat")
    assert code == 2
    assert "needs flows that come with the data, and there are none" in said


def test_protocols_differ_in_lpips_and_ssim(run, atd12k):
    tables = {}
    for protocol in ("paper", "standard"):
        code, table, _ = run("--data", atd12k, "--baseline", "mean", "--protocol", protocol, "--out", f"{protocol}.csv")
        assert code == 0
        tables[protocol] = columns(table)
    for metric in ("lpips", "chamfer", "psnr", "ssim"):
        differs = tables["paper"]["all", metric] != tables["standard"]["all", metric]
        assert differs == (metric in ("lpips", "ssim"))
    triplet = ATD12K(atd12k)[0]
    drawn, true = quantised((triplet.frames[0] + triplet.frames[2])[None] / 2), triplet.frames[1][None]
    row = read_scores("standard.csv")["blend", triplet.name]
    assert float(row["lpips"]) == pytest.approx(metrics.LPIPS("standard")(drawn, true).item(), rel=1e-5)
    assert float(row["ssim"]) == pytest.approx(metrics.SSIM("standard")(drawn, true).item(), rel=1e-5)


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(run, atd12k, monkeypatch):
    options = ("--data", atd12k, "--compare", "blend", "dis+splat", "--device", "cpu")
    code, table, _ = run(*options, "--out", "whole.csv")
    assert code == 0
    drawn = []
    draw = candidates.Blend.draw

    def dies(self, triplet, times):
        drawn.append(triplet.name)
        if len(drawn) == 4:
            raise KeyboardInterrupt
        return draw(self, triplet, times)

    monkeypatch.setattr(candidates.Blend, "draw", dies)
    assert run(*options, "--out", "killed.csv")[0] == 130
    assert not Path("killed.csv").exists()
    monkeypatch.setattr(
        candidates.Blend, "draw", lambda self, triplet, times: drawn.append(triplet.name) or draw(self, triplet, times)
    )
    drawn.clear()
    code, resumed, _ = run(*options, "--out", "killed.csv")
    assert code == 0
    assert 0 < len(drawn) < 5
    assert resumed == table
    assert Path("killed.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert sorted(path.name for path in Path().iterdir()) == ["killed.csv", "mini", "whole.csv"]


def test_scores_of_a_run_that_lacks_items_are_not_those_of_other_code(run, atd12k, monkeypatch):
    options = ("--data", atd12k, "--baseline", "mean", "--out", "out.csv")
    miniature.frame_path(atd12k, miniature.NAMES[1], 2).unlink()
    assert run(*options)[0] == 1
    monkeypatch.setattr(candidates.Blend, "draw", lambda _, triplet, times: [triplet.frames[1]])
    monkeypatch.setattr(runs, "digest_of_code", lambda: "edited")
    assert run(*options)[0] == 1
    assert {float(row["psnr"]) for row in read_scores("out.csv").values()} == {100}


@pytest.mark.slow
def test_processes_share_the_work_and_the_table_is_the_same(run, atd12k):
    options = ["--data", str(atd12k), "--compare", "blend", "dis+splat", "--device", "cpu", "--out"]
    code, table, _ = run(*options, "one.csv")
    assert code == 0
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program += ["-m", "_scripts.evaluate", *options, "two.csv"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    finished = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == table
    assert Path("two.csv").read_bytes() == Path("one.csv").read_bytes()


def damage(kind: str, atd12k: Path) -> None:
    name = miniature.NAMES[1]
    frame, flow = miniature.frame_path(atd12k, name, 2), miniature.flow_path(atd12k, name)
    if kind == "png":
        frame.write_bytes(frame.read_bytes()[:-200])
    elif kind == "missing png":
        frame.unlink()
    elif kind == "pickle":
        flow.write_bytes(flow.read_bytes()[:-200])
    elif kind == "missing pickle":
        flow.unlink()
    elif kind == "malicious":
        flow.write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    elif kind == "nan":
        flow.write_bytes(np.full((2, 2, *miniature.SIZE), np.nan, np.float32).dumps())
    elif kind == "region":
        path = miniature.annotation_path(atd12k, name)
        path.write_text(json.dumps(json.loads(path.read_text()) | {"image_size": {"width": 80, "height": 60}}))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("png", "frame2.png is damaged or truncated"),
        ("missing png", "holds 2 pictures; a triplet is three"),
        ("pickle", "is damaged or is not a pickle"),
        ("missing pickle", ".pkl cannot be read"),
        ("malicious", "holds more than numbers (os.system), which could run code"),
        ("nan", "not finite"),
        ("region", "does not lie in its image"),
    ],
)
def test_damaged_items_are_named_and_the_rest_is_judged(run, atd12k, kind, says):
    options = ("--data", atd12k, "--synthesis", "splat", "--annotations", "--out", "out.csv")
    damage(kind, atd12k)
    code, table, said = run(*options)
    assert code == 1
    assert "1 of 5 items are left out:\nDisney_b_2_frame: " in said
    assert says in said
    written = read_scores("out.csv")
    assert len(written) == 4
    scores = [float(row["psnr"]) for row in written.values()]
    assert columns(table)["all", "psnr"] == [f"{np.mean(scores):.2f}"]
    assert not Path("ran").exists()
    code, table, said = run(*options, "--strict")
    assert code == 2
    assert table == ""
    assert says in said


def test_triplets_that_are_listed_and_gone_are_left_out(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["000000-000001-000002", "000004-000005-000006"]
    (tmp_path / "rrld/images" / names[0]).mkdir(parents=True)
    for number in names[0].split("-"):
        picture(int(number)).save(tmp_path / f"rrld/images/{names[0]}/{number}.png")
    (tmp_path / "rrld/rrld.txt").write_text("\n".join(["frames,linearity,coverage", *(f"{x},0,1" for x in names), ""]))
    for _ in range(2):  # the second time, out.csv exists
        code, _, said = run("--data", "rrld", "--baseline", "mean", "--metrics", "psnr", "--out", "out.csv")
        assert code == 1
        assert f"1 of 2 items are left out:\n{names[1]}: rrld/images/{names[1]} cannot be read" in said
        assert [name for _, name in read_scores("out.csv")] == names[:1]


def test_a_mended_item_is_all_that_is_computed_again(run, atd12k, monkeypatch):
    options = ("--data", atd12k, "--synthesis", "splat", "--out", "out.csv")
    path = miniature.flow_path(atd12k, miniature.NAMES[1])
    whole = path.read_bytes()
    path.write_bytes(b"")
    assert run(*options)[0] == 1
    path.write_bytes(whole)
    drawn, draw = [], candidates.JudgedInterpolation.draw
    monkeypatch.setattr(
        candidates.JudgedInterpolation,
        "draw",
        lambda self, triplet, times: drawn.append(triplet.name) or draw(self, triplet, times),
    )
    assert run(*options)[0] == 0
    assert drawn == [miniature.NAMES[1]]
    assert len(read_scores("out.csv")) == 5


def test_frames_that_are_no_numbers_are_reported(run, atd12k, monkeypatch):
    monkeypatch.setattr(candidates.Blend, "draw", lambda *_: [torch.full((3, *miniature.SIZE), np.nan)])
    code, table, said = run("--data", atd12k, "--compare", "blend")
    assert code == 2  # nothing is left
    assert "None of 5 items can be judged" in said
    assert "blend draws Disney_a_1_frame with values that are not finite" in said
    assert table == ""


def frames_with_noise(atd12k: Path, folder: str, seed: int) -> str:
    Path(folder).mkdir()
    random = np.random.default_rng(seed)
    for name in miniature.NAMES:
        true = np.asarray(Image.open(miniature.frame_path(atd12k, name, 2)), float)
        noisy = (true + random.normal(0, 4, true.shape)).clip(0, 255).round().astype(np.uint8)
        Image.fromarray(noisy).save(f"{folder}/{name}.png")
    return folder


def interval(table: str, metric: str) -> list[float]:
    (line,) = (line for line in table.split("\n\n")[1].splitlines() if line.startswith("all ") and metric in line)
    return [float(bound) for bound in line[line.index("[") + 1 : line.index("]")].split(",")]


def test_methods_that_differ_in_noise_alone_do_not_differ(run, atd12k):
    code, table, _ = run("--data", atd12k, "--compare", *(frames_with_noise(atd12k, f"f{i}", i) for i in range(2)))
    assert code == 0
    for metric in ("psnr", "ssim"):
        low, high = interval(table, metric)
        assert low < 0 < high


def test_splatting_differs_from_blending(run, atd12k):
    code, table, _ = run("--data", atd12k, "--compare", "blend", "precomputed+splat", "--table", "table.md")
    assert code == 0
    low, high = interval(table, "psnr")
    assert low <= high < 0
    assert "| all | psnr | blend − precomputed+splat |" in Path("table.md").read_text()


def test_folders_of_frames_lack_some(run, atd12k):
    folder = Path(frames_with_noise(atd12k, "film", 0))
    (folder / f"{miniature.NAMES[0]}.png").unlink()
    Image.new("RGB", (40, 40)).save(folder / f"{miniature.NAMES[2]}.png")
    code, _, said = run("--data", atd12k, "--compare", "film", "blend", "--out", "out.csv")
    assert code == 1
    assert "2 of 5 items are left out" in said
    assert f"There is no frame film/{miniature.NAMES[0]}.png" in said
    assert f"film/{miniature.NAMES[2]}.png is 40×40 pixels, but the frames of {miniature.NAMES[2]} are 96×72" in said
    assert len(read_scores("out.csv")) == 2 * 3
    Path("empty").mkdir()
    code, _, said = run("--data", atd12k, "--compare", "empty")
    assert code == 2
    assert f"empty holds 0 of 5 frames; they are named by item, such as empty/{miniature.NAMES[0]}.png" in said


def test_a_folder_may_have_the_name_of_a_method(run, atd12k):
    frames_with_noise(atd12k, "blend", 0)
    code, table, said = run("--data", atd12k, "--compare", "blend", "blend/", "--metrics", "psnr", "--out", "out.csv")
    assert code == 0, said
    assert {method for method, _ in read_scores("out.csv")} == {"blend", "blend/"}
    assert "blend − blend/" in table


def test_frames_are_found_by_suffixes_in_capitals_too(run, keys):
    Path("frames").mkdir()
    shutil.copy(keys / "key2.png", "frames/key2.PNG")
    (keys / "key10.png").rename(keys / "key10.PNG")
    shutil.copy(keys / "key10.PNG", "frames/key10.png")
    code, table, said = run("--data", "keyframes", keys, "--compare", "blend", "frames", "--metrics", "psnr")
    assert code == 0, said
    assert columns(table)["all", "psnr"][1] == "100.00"  # the drawings themselves


@pytest.mark.parametrize("option", ["--align", "--sequence"])
def test_folders_of_frames_have_one_time(run, keys, option):
    code, table, said = run("--data", "keyframes", keys, "--compare", "blend", keys, option)
    assert (code, table) == (2, "")
    assert said == f"{option} needs frames at several times; {keys}/ has one of each item, leave it out.\n"


def test_keyframes_can_be_compared(run, keys):
    code, table, _ = run("--data", keys, "--compare", "blend", "dis+splat", "--metrics", "psnr", "--out", "out.csv")
    assert code == 0
    assert list(columns(table)) == [("all", "psnr")]
    written = read_scores("out.csv")
    assert [name for _, name in written] == ["key2.png", "key10.png"] * 2
    frame0, true, frame1 = (np.asarray(picture(shift), float) / 255 for shift in (2, 4, 20))
    blend = (255 * (frame0 + frame1) / 2).round() / 255
    assert float(written["blend", "key2.png"]["psnr"]) == pytest.approx(
        -10 * np.log10(((blend - true) ** 2).mean()), abs=0.01
    )


def test_report_shows_every_item(run, atd12k):
    code, _, said = run("--data", atd12k, "--compare", "blend", "precomputed+splat", "--report", "report")
    assert code == 0
    assert "Report: report/index.html" in said
    records = [json.loads(path.read_text()) for path in Path("report/items").glob("*/item.json")]
    assert sorted(record["name"] for record in records) == sorted(miniature.NAMES)
    assert records[0]["labels"][:4] == ["frame 0", "truth", "frame 1", "blend"]
    assert {"precomputed+splat − truth", "precomputed+splat lines", "flow"} < set(records[0]["labels"])
    assert set(records[0]["scores"]) == {"blend", "precomputed+splat"}


def test_where_an_item_of_the_report_cannot_be_written_the_table_is_not_either(run, atd12k, monkeypatch):
    real, count = report.Report.add, itertools.count()

    def add(self, item):
        if next(count) == 1:
            raise InputError("There is no room.")
        real(self, item)

    options = ("--data", atd12k, "--baseline", "mean", "--metrics", "psnr", "--out", "a.csv", "--report", "report")
    with monkeypatch.context() as patched:
        patched.setattr(report.Report, "add", add)
        code, _, said = run(*options)
    assert (code, Path("a.csv").exists()) == (2, False)
    assert said.endswith("There is no room.\n")
    assert run(*options)[0] == 0
    assert Path("a.csv").exists()


@pytest.mark.parametrize("option", ["--out", "--table"])
def test_what_is_read_is_not_overwritten(run, keys, option):
    read = sorted(keys.iterdir())[1]
    before = read.read_bytes()
    code, _, said = run("--data", keys, "--baseline", "mean", "--metrics", "psnr", option, read)
    assert code == 2
    assert "is read here, and would be overwritten" in said
    assert read.read_bytes() == before
    frames = Path("frames")
    frames.mkdir()
    drawn = frames / read.name
    shutil.copy(read, drawn)
    code, _, said = run("--data", keys, "--compare", "blend", "frames", "--metrics", "psnr", option, drawn)
    assert "is read here, and would be overwritten" in said
    assert drawn.read_bytes() == before


@pytest.mark.parametrize("option", ["--out", "--table"])
@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\xff", b"# Notes\n\nof items\n", b"name,shot\na,b\n"])
def test_files_of_others_are_not_overwritten(run, keys, option, content):
    other = Path("other")
    other.write_bytes(content)
    code, _, said = run("--data", keys, "--baseline", "mean", "--metrics", "psnr", option, other)
    assert (code, other.read_bytes()) == (2, content)
    assert said == "other is not a table written by this command, and would be overwritten; move it away.\n"
    assert sorted(Path().iterdir()) == [keys.relative_to(Path.cwd()), other]


def test_tables_of_earlier_runs_are_overwritten(run, keys):
    for name in ("scores.csv", "table.md"):
        Path(name).touch()
    for metric in ("psnr", "ssim"):
        options = ("--metrics", metric, "--out", "scores.csv", "--table", "table.md")
        assert run("--data", keys, "--baseline", "mean", *options)[0] == 0
        assert metric in Path("scores.csv").read_text()
        assert metric in Path("table.md").read_text()


@pytest.mark.parametrize("place", ["", "report"])
def test_a_report_does_not_get_into_the_data(run, atd12k, place):
    before = sorted(atd12k.rglob("*"))
    code, _, said = run("--data", atd12k, "--baseline", "mean", "--metrics", "psnr", "--report", atd12k / place)
    assert code == 2
    assert "would lie in the data" in said
    assert sorted(atd12k.rglob("*")) == before


def test_a_second_run_to_one_table_or_report_is_refused(run, keys):
    options = ("--data", keys, "--baseline", "mean", "--out", "a.csv", "--report", "report", "--metrics", "psnr")
    for held in ("a.csv", "report"):
        with holding(held):
            code, _, said = run(*options)
        assert code == 2
        assert f"{held} is in use by another run" in said
        assert not Path("a.csv").exists()
        assert not Path("report").exists()


def test_names_that_are_long_and_hold_signs_of_patterns(run, keys, monkeypatch):
    out = Path("[a]" * 83 + "x.csv")
    options = ("--data", keys, "--baseline", "mean", "--out", out, "--metrics", "psnr")
    with monkeypatch.context() as patched:
        patched.setattr(Gathered, "write", lambda *_: sys.exit(130))
        run(*options)
    assert len(list(Path().glob(".*.csv"))) == 1
    assert run(*options)[0] == 0
    assert not list(Path().glob(".*"))
    assert out.exists()


def test_the_truth_is_prepared_once_for_all_methods(run, atd12k, monkeypatch):
    prepared, prepare = [], metrics.LPIPS.prepare
    monkeypatch.setattr(metrics.LPIPS, "prepare", lambda self, truth: prepared.append(truth) or prepare(self, truth))
    assert run("--data", atd12k, "--compare", "blend", "precomputed+splat")[0] == 0
    assert len(prepared) == len(miniature.NAMES)


def test_threads_are_given_back(run, atd12k, with_threads):
    with_threads(2)
    assert run("--data", atd12k, "--baseline", "mean")[0] == 0
    assert torch.get_num_threads() == 2
