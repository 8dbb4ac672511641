"""The study: its page in Chromium, its answers, and what follows from them."""

import base64
import copy
import itertools
import json
import re
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence
from scipy import stats

from _scripts import user_study
from _train.frame_interpolation.evaluation.pages import answers, clips, preferences
from _train.frame_interpolation.evaluation.pages.study import study_name
from _util.preview import write_preview
from tests.browser import open_page

ITEMS = ["shot_1", 'käfer <b>&amp; "quoted"', "shot_10"]
METHODS = ["secretalpha", "secretbeta"]


def write_frames(folder: Path, colour: int, count: int = 4, size: tuple[int, int] = (24, 36)) -> None:
    """A light bar that moves over a ground of one colour."""
    folder.mkdir(parents=True)
    for i in range(count):
        frame = np.full((*size, 3), colour, np.uint8)
        frame[:, 4 * i : 4 * i + 6] = (250, 220, 40)
        Image.fromarray(frame).save(folder / f"{i}.png")


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    """A folder to run in, with clips of two methods and the truth."""
    monkeypatch.chdir(tmp_path)
    for colour, method in enumerate([*METHODS, "truth"]):
        for item in ITEMS:
            write_frames(tmp_path / method / item, 60 * colour)
    return tmp_path


@pytest.fixture
def build(study, call):
    """Runs `build` over all methods."""
    return lambda *options, methods=METHODS: call(user_study.main, "build", *methods, "out", *options)


def written() -> dict:
    return json.loads(Path("out/data.js").read_text().removeprefix("const DATA = ").removesuffix(";\n"))


def key_of(data: dict) -> dict:
    return json.loads(base64.b64decode(data["sealed"]))


def fill(data: dict, participant: str, prefers, attentive: bool = True) -> dict:
    """Answers to all comparisons: `prefers(item, pair of methods) -> method`."""
    key = key_of(data)
    given = []
    for left, right in itertools.chain(*data["comparisons"]):
        methods = key["clips"][left][0], key["clips"][right][0]
        chosen = prefers(key["clips"][left][1], methods)
        given.append({"left": left, "right": right, "choice": "left" if chosen == methods[0] else "right"})
    for left, right in data["checks"]:
        is_good = (right in key["broken"]) == attentive
        given.append({"left": left, "right": right, "choice": "left" if is_good else "right"})
    for answer in given:
        answer["milliseconds"] = 900
    return {"study": data["study"], "participant": participant, "answers": given, "sealed": data["sealed"]}


def save(name: str, content: object) -> str:
    Path(name).write_text(json.dumps(content))
    return name


# ---- Clips -----------------------------------------------------------------------------------------------------------


def test_clips_play_there_and_back_or_loop(tmp_path):
    write_frames(tmp_path / "a", 90, count=5)
    clip = clips.read(tmp_path / "a")
    for loop, count, length in ((False, 8, 2.0), (True, 5, 1.0)):
        clips.write(tmp_path / "a.webp", clip, 1.0, loop)
        again = clips.read(tmp_path / "a.webp")
        assert len(again.frames) == count
        assert again.seconds == pytest.approx(length)
        with Image.open(tmp_path / "a.webp") as file:
            assert file.info["loop"] == 0
        expected = clip.frames if loop else clip.frames + clip.frames[-2:0:-1]
        for drawn, original in zip(again.frames, expected, strict=True):
            assert np.abs(drawn.astype(int) - original).mean() < 8


@pytest.mark.parametrize("suffix", ["webp", "gif", "mp4"])
def test_animations_are_items_too(tmp_path, suffix):
    frames = [np.full((32, 48, 3), 20 * i, np.uint8) for i in range(1, 6)]
    write_preview(tmp_path / f"shot.{suffix}", frames, fps=10)
    (path,) = clips.items(tmp_path).values()
    clip = clips.read(path)
    assert len(clip.frames) == 8
    assert clip.seconds == pytest.approx(0.8)
    assert [round(frame.mean() / 20) for frame in clip.frames] == [1, 2, 3, 4, 5, 4, 3, 2]


HOLDS = [1000, 100, 100, 100, 100, 600]  # milliseconds


def write_held(path: Path) -> None:
    """An animation, or a video of variable rate, of frames that are shown for `HOLDS`."""
    frames = [np.full((32, 48, 3), 40 * i, np.uint8) for i in range(len(HOLDS))]
    if path.suffix != ".mkv":
        first, *others = map(Image.fromarray, frames)
        first.save(path, save_all=True, append_images=others, duration=HOLDS, loop=0)
        return
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for pixels, time in zip(frames, np.cumsum([0, *HOLDS[:-1]]), strict=True):
            frame = av.VideoFrame.from_ndarray(pixels)
            frame.pts, frame.time_base, frame.duration = int(time), Fraction(1, 1000), 100
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("suffix", ["webp", "gif", "mkv"])
def test_frames_keep_their_own_durations(tmp_path, suffix):
    """But for the last frame of the video, of which its file says nothing."""
    write_held(tmp_path / f"held.{suffix}")
    clip = clips.read(tmp_path / f"held.{suffix}")
    assert clip.seconds is not None
    known = len(HOLDS) - (suffix == "mkv")
    assert clip.durations[:known] == pytest.approx([ms / 1000 for ms in HOLDS[:known]], abs=0.002)
    clips.write(tmp_path / "own.webp", clip, clip.seconds, loop=True)
    assert clips.read(tmp_path / "own.webp").durations == pytest.approx(clip.durations, abs=0.002)
    clips.write(tmp_path / "faster.webp", clip, clip.seconds / 2, loop=True)
    assert clips.read(tmp_path / "faster.webp").durations == pytest.approx([s / 2 for s in clip.durations], abs=0.002)
    clips.write(tmp_path / "back.webp", clip, clip.seconds, loop=False)
    assert clips.read(tmp_path / "back.webp").seconds == pytest.approx(2 * clip.seconds, abs=0.002)


def test_frames_too_short_for_browsers_are_left_out_and_holds_stay(tmp_path):
    frames = [np.full((16, 16, 3), 9 * i, np.uint8) for i in range(22)]
    clips.write(tmp_path / "a.webp", clips.Clip(frames, [0.5, *20 * [0.005], 0.4]), 1.0, loop=True)
    again = clips.read(tmp_path / "a.webp")
    assert again.seconds == pytest.approx(1)
    assert min(again.durations) > 0.01
    assert again.durations[0] == pytest.approx(0.5, abs=0.02)
    assert again.durations[-1] == pytest.approx(0.4, abs=0.02)
    assert 6 <= len(again.frames) <= 9


def test_frames_without_a_duration_last_as_browsers_show_them(tmp_path):
    first, *others = (Image.new("RGB", (16, 16), (90 * i, 0, 0)) for i in range(3))
    first.save(tmp_path / "a.gif", save_all=True, append_images=others, duration=[0, 10, 50])
    assert clips.read(tmp_path / "a.gif").durations == [0.1, 0.1, 0.05]


def test_clips_of_one_item_that_last_differently_are_refused(build, study):
    shutil.rmtree(f"{METHODS[0]}/shot_1")
    write_held(study / METHODS[0] / "shot_1.gif")
    shutil.rmtree(f"{METHODS[1]}/shot_1")
    write_frames(study / METHODS[1] / "shot_1", 60, size=(32, 48))
    code, said, _ = build()
    assert code == 2
    assert f"{METHODS[1]}/shot_1 lasts 1.00 s and {METHODS[0]}/shot_1.gif 2.00 s" in said.splitlines()[-1]
    assert "--seconds" in said
    assert not Path("out/data.js").exists()
    assert build("--seconds", 3)[0] == 0
    lengths = [clips.read(path).seconds for path in Path("out/clips").iterdir()]
    assert lengths == pytest.approx([6] * len(lengths))


def test_many_frames_become_as_many_as_browsers_show(tmp_path):
    frames = [np.full((16, 16, 3), i, np.uint8) for i in range(0, 240, 2)]
    clips.write(tmp_path / "a.webp", clips.Clip(frames, None), 0.5, loop=True)
    again = clips.read(tmp_path / "a.webp")
    assert len(again.frames) == 30
    assert again.seconds == pytest.approx(0.5)
    assert again.frames[0].max() < 4
    assert again.frames[-1].min() > 234


def test_large_clips_are_reduced_and_transparency_is_white(tmp_path):
    (tmp_path / "a").mkdir()
    for i in range(2):
        Image.new("RGBA", (1920, 480), (9, 9, 9, 255 * i)).save(tmp_path / f"a/{i}.png")
    clips.write(tmp_path / "a.webp", clips.read(tmp_path / "a"), 1, loop=True)
    white, dark = clips.read(tmp_path / "a.webp").frames
    assert white.shape == (240, 960, 3)
    assert white.min() > 250
    assert dark.max() < 15


def test_a_broken_clip_has_the_same_pixels_elsewhere(tmp_path):
    generator = np.random.default_rng(0)
    frames = [generator.integers(0, 256, (40, 62, 3), np.uint8) for _ in range(2)]
    broken = clips.scramble(clips.Clip(frames, None), generator)
    for frame, original in zip(broken.frames, frames, strict=True):
        np.testing.assert_array_equal(np.sort(frame[:36, :60], axis=None), np.sort(original[:36, :60], axis=None))
        assert (frame != original).mean() > 0.8


# ---- Building --------------------------------------------------------------------------------------------------------


def test_every_pair_on_every_item(build):
    write_frames(Path("third/shot_1"), 200)
    for item in ITEMS[1:]:
        write_frames(Path("third") / item, 200)
    code, _, said = build("--truth", "truth", "--checks", 2, "--question", "Smoother?", methods=[*METHODS, "third"])
    assert code == 0
    assert "3 items, 9 comparisons and 2 checks" in said
    data = written()
    key = key_of(data)
    assert data["question"] == "Smoother?"
    assert [len(group) for group in data["comparisons"]] == [3, 3, 3]
    for group, pair in zip(data["comparisons"], ({0, 1}, {0, 2}, {1, 2}), strict=True):
        assert [{key["clips"][clip][0] for clip in two} for two in group] == [pair] * 3
        assert all(len({key["clips"][clip][1] for clip in two}) == 1 for two in group)
    assert [len({*key["whole"]} & {*two}) for two in data["checks"]] == [1, 1]
    assert [len({*key["broken"]} & {*two}) for two in data["checks"]] == [1, 1]
    for clip in key["whole"]:
        assert abs(int(clips.read(Path(f"out/clips/{clip}.webp")).frames[0][-1, -1, 0]) - 120) < 4  # the truth's ground
    names = {path.stem for path in Path("out/clips").iterdir()}
    assert names == {*key["clips"], *key["whole"], *key["broken"]}


def test_nothing_in_sight_tells_a_method_or_an_item(build):
    build()
    for path in Path("out").rglob("*"):
        assert not re.search("secret|shot|truth", path.name)
        if path.suffix != ".webp" and path.is_file():
            assert not re.search("secret|shot_", path.read_text())


def test_a_second_run_keeps_clips_and_a_seed_decides(build):
    build("--seed", 1, "--checks", 1)
    first, before = written(), {path: path.stat().st_mtime_ns for path in Path("out/clips").iterdir()}
    next(iter(before)).unlink()
    build("--seed", 1, "--checks", 1)
    assert written() == first
    after = {path: path.stat().st_mtime_ns for path in Path("out/clips").iterdir()}
    assert after.keys() == before.keys()
    assert len(after.items() - before.items()) == 1
    build("--seed", 2, "--checks", 1)
    assert written()["checks"] != first["checks"]


def test_clips_of_an_earlier_page_are_removed(build):
    build()
    build(methods=(METHODS[0], "truth"))
    key = key_of(written())
    assert {path.stem for path in Path("out/clips").iterdir()} == {*key["clips"], *key["whole"], *key["broken"]}


def test_a_changed_clip_is_written_anew(build):
    build()
    before = key_of(written())["clips"]
    Image.new("RGB", (36, 24), "red").save(f"{METHODS[0]}/shot_1/2.png")
    build()
    after = key_of(written())["clips"]
    assert {tuple(after[clip]) for clip in after.keys() - before.keys()} == {(0, "shot_1")}


def spoil(kind: str) -> tuple[str, ...]:
    """What makes a study impossible; the arguments after `build`."""
    if kind == "missing item":
        for file in Path(METHODS[1], "shot_10").iterdir():
            file.unlink()
        Path(METHODS[1], "shot_10").rmdir()
    elif kind == "no clips":
        Path("none").mkdir()
        return METHODS[0], "none", "out"
    elif kind == "one method":
        return METHODS[0], "out"
    elif kind == "same name":
        return METHODS[0], METHODS[0], "out"
    elif kind == "one frame":
        for i in range(1, 4):
            Path(METHODS[0], "shot_1", f"{i}.png").unlink()
    elif kind == "damaged frame":
        Path(METHODS[0], "shot_1", "2.png").write_bytes(Path(METHODS[0], "shot_1", "2.png").read_bytes()[:60])
    elif kind == "damaged animation":
        for method in METHODS:
            Path(method, "wave.webp").write_bytes(b"RIFF nothing")
    elif kind == "sizes within":
        Image.new("RGB", (30, 24)).save(f"{METHODS[0]}/shot_1/2.png")
    elif kind == "sizes between":
        for i in range(4):
            Image.new("RGB", (30, 24), (i, 0, 0)).save(f"{METHODS[0]}/shot_1/{i}.png")
    elif kind == "twice":
        Path(METHODS[0], "shot_1.webp").write_bytes(b"")
    elif kind == "another page":
        Path("out").mkdir()
        Path("out/index.html").write_text("mine")
    elif kind == "truth":
        return (*METHODS, "out", "--truth", "nowhere")
    return (*METHODS, "out")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing item", "secretbeta lacks 1 of the 3 clips that secretalpha has, such as shot_10"),
        ("no clips", "none holds no clips"),
        ("one method", "two methods or more"),
        ("same name", "2 folders of methods are named secretalpha"),
        ("one frame", "holds 1 picture;"),
        ("damaged frame", "damaged or truncated"),
        ("damaged animation", "wave.webp is damaged or no animation"),
        ("sizes within", "not as large as"),
        ("sizes between", "30×24"),
        ("twice", "holds both"),
        ("another page", "index.html"),
        ("truth", "nowhere cannot be read"),
    ],
)
def test_bad_clips_are_one_sentence(study, call, kind, says):
    code, said, _ = call(user_study.main, "build", *spoil(kind))
    last = said.splitlines()[-1]  # after the progress bar
    assert code == 2
    assert says in last
    assert last.endswith(".")
    assert not Path("out/data.js").exists()


@pytest.mark.parametrize(
    "options",
    [["--seconds", "0"], ["--seconds", "nan"], ["--trials", "0"], ["--checks", "-1"], ["--seed", "-1"], ["--fps", "3"]],
)
def test_bad_options_are_one_sentence(build, options):
    code, said, _ = build(*options)
    assert code == 2
    assert options[0] in said
    assert said.count("\n") == 1
    assert not Path("out").exists()


# ---- Statistics ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "n"), [(0, 5), (5, 5), (7, 20), (60, 100)])
def test_shares_have_clopper_pearson_intervals(k, n):
    value, low, high = preferences.share(k, n)
    assert value == k / n
    assert low == pytest.approx(stats.beta.ppf(0.025, k, n - k + 1) if k else 0)
    assert high == pytest.approx(stats.beta.ppf(0.975, k + 1, n - k) if k < n else 1)


def test_two_methods_have_the_log_odds():
    (first, second), has_prior = preferences.bradley_terry(np.array([[0, 30], [10, 0]]))
    assert not has_prior
    assert first.value == pytest.approx(np.log(3) / 2)
    assert second.value == pytest.approx(-np.log(3) / 2)
    error = np.sqrt(1 / 30 + 1 / 10) / 2  # of half the log-odds
    assert first.high - first.value == pytest.approx(1.959964 * error)


def test_strengths_are_where_wins_equal_expected_wins():
    wins = np.random.default_rng(0).integers(1, 30, (5, 5)) * (1 - np.eye(5, dtype=int))
    intervals, _ = preferences.bradley_terry(wins)
    s = np.array([interval.value for interval in intervals])
    expected = (wins + wins.T) / (1 + np.exp(s[None] - s[:, None]))
    np.testing.assert_allclose(expected.sum(1) - np.diag(expected), wins.sum(1), rtol=1e-6)
    assert s.mean() == pytest.approx(0)


def test_intervals_hold_the_truth_nineteen_times_in_twenty():
    generator, true = np.random.default_rng(0), np.array([0.8, 0.1, -0.9])
    chances = 1 / (1 + np.exp(true[None] - true[:, None]))
    held = []
    for _ in range(200):
        wins = np.triu(generator.binomial(60, chances), 1)
        wins = wins + np.tril(60 - wins.T, -1)
        held += [low <= s <= high for s, (_, low, high) in zip(true, preferences.bradley_terry(wins)[0], strict=True)]
    assert 0.92 < np.mean(held) < 0.98


def test_a_method_that_always_wins_has_finite_strength():
    intervals, has_prior = preferences.bradley_terry(np.array([[0, 9, 9], [0, 0, 5], [0, 4, 0]]))
    assert has_prior
    best, second, third = intervals
    assert np.isfinite([*best, *second, *third]).all()
    assert best.value > 1.5 > second.value > third.value
    alone, _ = preferences.bradley_terry(np.array([[0, 9], [0, 0]]))
    assert alone[0].value - alone[1].value == pytest.approx(np.log(9.5 / 0.5))


def test_kappa_of_the_example_of_fleiss():
    ratings = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    assert preferences.fleiss_kappa(np.array(ratings)) == pytest.approx(0.210, abs=5e-4)
    assert preferences.agreement(np.array(ratings)) == pytest.approx(0.378, abs=5e-4)


@pytest.mark.parametrize("turned", [*itertools.product([False, True], repeat=3)])
def test_agreement_of_all_pairs_does_not_depend_on_the_order_of_methods(turned):
    pairs = np.random.default_rng(0).integers(0, 5, (3, 6, 2))
    pairs[0, :, 1] = 0
    found = [np.fliplr(of) if turn else of for of, turn in zip(pairs, turned, strict=True)]
    assert preferences.fleiss_kappa(*found) == pytest.approx(preferences.fleiss_kappa(*pairs))


def test_agreement_above_that_by_chance_within_each_pair():
    clear, even = np.array([[4, 0], [0, 4]]), np.array([[2, 2], [2, 2]])
    kappas = [preferences.fleiss_kappa(of) for of in (clear, even)]
    assert kappas == pytest.approx([1, -1 / 3])
    assert preferences.fleiss_kappa(clear, even) == pytest.approx(np.mean(kappas))  # as chance is ½ in both
    assert preferences.fleiss_kappa(clear, np.array([[4, 0], [4, 0]])) == 1  # chance alone would agree on the second
    assert np.isnan(preferences.fleiss_kappa())


def test_agreement_at_its_ends():
    assert preferences.fleiss_kappa(np.array([[4, 0], [0, 3]])) == 1
    assert preferences.fleiss_kappa(np.array([[1, 1], [1, 1]])) == -1
    assert np.isnan(preferences.fleiss_kappa(np.array([[4, 0], [5, 0]])))  # chance alone would do that
    assert np.isnan(preferences.agreement(np.array([[1, 0], [0, 1]])))
    assert np.isnan(preferences.fleiss_kappa(np.zeros((0, 2), int)))


# ---- Analysing -------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(build) -> dict:
    build("--checks", 2)
    return written()


@pytest.fixture
def analyse(call):
    return lambda *arguments: call(user_study.main, "analyse", *arguments)


def cells(table: str, first: str) -> list[str]:
    (row,) = (line for line in table.splitlines() if line.startswith(f"{first} "))
    return re.split("  +", row)


def test_shares_strengths_and_agreement_in_tables(data, analyse):
    """Four people prefer the first method of three clips but for one who always prefers the second: 9 of 12."""
    files = [save(f"{i}.json", fill(data, f"p{i}", lambda item, pair, i=i: i == 3)) for i in range(4)]
    code, said, table = analyse(*files)
    assert (code, said) == (0, "")
    assert "Participants: 4; answers: 12; participants left out by checks of attention: 0." in table
    pair, first = (re.split("  +", line) for line in table.splitlines() if line.startswith("secretalpha"))
    low, high = stats.binomtest(9, 12).proportion_ci(method="exact")
    assert pair == [*METHODS, "12", "75.0", f"{100 * low:.1f} … {100 * high:.1f}", "50.0", "-0.33"]
    reach = 1.959964 * np.sqrt(1 / 9 + 1 / 3) / 2
    strength = np.log(3) / 2
    assert first[-2:] == [f"{strength:.2f}", f"{strength - reach:.2f} … {strength + reach:.2f}"]
    assert "half a win" not in table
    assert "take answers for independent" in table


def test_whoever_does_not_look_is_left_out(data, analyse):
    save("a.json", fill(data, "a", lambda item, pair: 0))
    save("b.json", fill(data, "b", lambda item, pair: 1, attentive=False))
    _, _, table = analyse("a.json", "b.json")
    assert "Participants: 1; answers: 3; participants left out by checks of attention: 1." in table
    assert cells(table, "secretbeta")[2] == "0.0"
    assert "half a win" in table
    _, _, table = analyse("a.json", "b.json", "--min-attention", "0")
    assert "Participants: 2; answers: 6;" in table
    assert cells(table, "secretbeta")[2] == "50.0"
    code, said, _ = analyse("b.json")
    assert code == 2
    assert said.startswith("0 of 1 participants passed 80%")


def test_without_checks_everybody_counts(build, analyse):
    build("--checks", 0)
    save("a.json", fill(written(), "a", lambda item, pair: 0))
    assert analyse("a.json").code == 0


def test_one_participant_counts_once(data, analyse):
    whole = fill(data, "a", lambda item, pair: 0)
    save("whole.json", whole)
    part = copy.deepcopy(whole)
    del part["answers"][0]
    save("part.json", part)
    code, said, table = analyse("part.json", "whole.json", "whole.json")
    assert code == 1
    assert "part.json is by the same participant as whole.json" in said
    assert "Participants: 1; answers: 3;" in table


def damage(content: dict, kind: str) -> object:
    content = copy.deepcopy(content)
    answer = content["answers"][0]
    if kind == "list":
        return [content]
    if kind == "number":
        return 3
    if kind.startswith("no "):
        del content[kind[3:]]
    elif kind == "study":
        content["study"] = 7
    elif kind == "other key":
        content["sealed"] = content["sealed"][:-8]
    elif kind in ("key", "key of nothing", "key of one", "key with strays"):
        key = {
            "key": b"\xff{",
            "key of nothing": b"[]",
            "key of one": b'{"methods": ["a"], "clips": {}, "whole": {}, "broken": {}}',
            "key with strays": b'{"methods": ["a", "b"], "clips": {"x": [9, "i"]}, "whole": {}, "broken": {}}',
        }[kind]
        content["sealed"] = base64.b64encode(key).decode()
        content["study"] = study_name(content["sealed"])
    elif kind == "answers":
        content["answers"] = {"0": answer}
    elif kind == "answer":
        content["answers"][0] = "left"
    elif kind == "time":
        answer["milliseconds"] = -1
    elif kind == "time kind":
        answer["milliseconds"] = "soon"
    elif kind == "surrogate":
        content["sealed"] = "\ud800"
    elif kind == "choice":
        answer["choice"] = "both"
    elif kind == "clip":
        answer["left"] = "0" * 16
    elif kind == "clip kind":
        answer["left"] = ["x"]
    elif kind == "itself":
        answer["left"] = answer["right"]
    elif kind == "pair":
        answer["left"] = content["answers"][1]["left"]
    elif kind == "twice":
        content["answers"].append(answer)
    return content


@pytest.mark.parametrize(
    "kind",
    [
        *("list", "number", "no study", "no sealed", "no participant", "no answers", "study", "other key", "key"),
        *("key of nothing", "key of one", "key with strays", "answers", "answer", "choice", "clip", "clip kind"),
        *("itself", "pair", "twice", "time", "time kind", "surrogate"),
    ],
)
def test_foreign_files_are_reported_and_counted(data, analyse, kind):
    good = fill(data, "good", lambda item, pair: 0)
    save("good.json", good)
    save("bad.json", damage({**good, "participant": "bad"}, kind))
    code, said, table = analyse("good.json", "bad.json")
    assert code == 1
    first, last = said.splitlines()
    assert first.startswith("bad.json holds no answers of a study: ")
    assert last == "1 of 2 files were left out; the tables are over the rest."
    assert "Participants: 1; answers: 3;" in table


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100000, b'{"study": NaN}'])
def test_files_that_are_no_json(data, analyse, content):
    Path("bad.json").write_bytes(content)
    code, said, _ = analyse("bad.json", "missing.json", ".")
    assert code == 2
    assert said.startswith("None of 3 files can be used; the first: bad.json")
    assert said.count("\n") == 1


def test_answers_to_another_study_are_left_out(build, data, analyse):
    files = [save(f"{i}.json", fill(data, f"p{i}", lambda item, pair: 0)) for i in range(2)]
    build("--seconds", 2)
    save("other.json", fill(written(), "other", lambda item, pair: 1))
    code, said, table = analyse("other.json", *files)
    assert code == 1
    assert "other.json belongs to another study" in said
    assert "Participants: 2; answers: 6;" in table


# ---- In the browser --------------------------------------------------------------------------------------------------


def sides(page) -> list[str]:
    page.locator("#clips:not(.loading)").wait_for()
    return [
        re.search(r"clips/(\w+)\.webp", page.locator(f"#{side} img").get_attribute("src"))[1]
        for side in ("left", "right")
    ]


def answer(page, key: dict, method: int) -> None:
    """Choose a method's clip, or the one that is not broken, by the keyboard."""
    number = page.locator("#progress").inner_text()
    left, _ = sides(page)
    is_left = key["clips"][left][0] == method if left in key["clips"] else left in key["whole"]
    page.keyboard.press("ArrowLeft" if is_left else "ArrowRight")
    page.wait_for_function("text => document.getElementById('progress').textContent !== text "
                           "|| !document.getElementById('end').hidden", arg=number)  # fmt: skip


@pytest.mark.slow
def test_from_the_first_answer_to_the_tables(build, analyse, tmp_path):
    build("--checks", 2, "--truth", "truth")
    data = written()
    key = key_of(data)
    index, profile = Path("out/index.html"), tmp_path / "profile"
    with open_page(index, profile) as page:
        assert page.locator("h1:visible").inner_text() == "Which animation looks better?"
        assert "5 times" in page.locator("#welcome").inner_text()
        page.keyboard.press("Enter")
        assert page.locator("#progress").inner_text() == "1 of 5"
        assert page.locator("#left img").get_attribute("alt") == "Left animation"
        for _ in range(2):
            answer(page, key, method=1)
        before = sides(page)
        page.reload()
        assert page.locator("#progress").inner_text() == "3 of 5"
        assert sides(page) == before
        assert "secret" not in page.locator("body").inner_html()
        answer(page, key, method=1)
        page.keyboard.press("Backspace")
        assert sides(page) == before
        answer(page, key, method=1)
    with open_page(index, profile) as page:  # the browser was closed in between
        assert page.locator("#progress").inner_text() == "4 of 5"
        for _ in range(2):
            answer(page, key, method=1)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download answers").click()
        first = download.value
        assert re.fullmatch(r"answers-\w{16}-\w{16}\.json", first.suggested_filename)
        first.save_as("first.json")
        page.get_by_role("button", name="Start again").click()
        page.get_by_role("button", name="Start").click()
        page.keyboard.press("ArrowLeft")
    assert "secret" not in Path("first.json").read_text()
    sheet = answers.read(Path("first.json"))
    assert sheet.attention == 1
    assert [(p.winner, p.loser) for p in sheet.preferences] == [(1, 0)] * 3
    code, said, table = analyse("first.json")
    assert (code, said) == (0, "")
    assert cells(table, "secretbeta")[:3] == ["secretbeta", "3", "100.0"]


@pytest.mark.slow
def test_participants_see_other_orders_and_as_many_of_each_pair(build, tmp_path):
    for item in ITEMS:
        write_frames(Path("third") / item, 200)
    build("--trials", 6, "--checks", 2, methods=[*METHODS, "third"])
    data = written()
    pairs = {frozenset(two): g for g, group in enumerate(data["comparisons"]) for two in group}
    with open_page(Path("out/index.html"), tmp_path / "profile") as page:
        sessions = [page.evaluate("drawTrials()") for _ in range(40)]
    for trials in sessions:
        compared = [pairs[frozenset(two)] for two in trials if frozenset(two) in pairs]
        assert sorted(compared) == [0, 0, 1, 1, 2, 2]
        assert len(trials) == 8
        assert frozenset(trials[0]) in pairs  # a check is never the first
        assert len({frozenset(two) for two in trials}) == 8
    assert len({json.dumps(trials) for trials in sessions}) > 35
    lefts = [two[0] == min(two) for trials in sessions for two in trials]
    assert 0.35 < np.mean(lefts) < 0.65


def test_pictures_of_an_animation_differ(build):
    build()
    for path in Path("out/clips").iterdir():
        with Image.open(path) as file:
            frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(file)]
        assert len(frames) == 6
        assert all((a != b).any() for a, b in itertools.pairwise(frames))
