"""The parts of making a data set from shows: which videos, which triplets, which numbers."""

import csv
import errno
import functools
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from _databacks import extraction
from _databacks.dataset import making, near_duplicates, planning, workers
from _databacks.dataset.near_duplicates import Selection, disagreement, thumbnails
from _databacks.dataset.preparing import Settings
from _databacks.extraction.options import ExtractionOptions
from _databacks.extraction.triplets import ExtractedTriplet
from _databacks.sources import open_source
from _util import image, locks
from _util.errors import InputError

SIZE = 64, 96
THRESHOLD = 0.25  # of make_dataset


def shot(seed: int, drawings: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Drawings of a painted disc that moves evenly before a painted ground, each (h, w, 3) uint8."""
    h, w = size
    rng = np.random.default_rng(seed)
    ground = cv2.resize(rng.integers(40, 216, (4, 6, 3), np.uint8), (w, h), interpolation=cv2.INTER_CUBIC)
    paint = cv2.resize(rng.integers(0, 256, (4, 4, 3), np.uint8), (h // 2, h // 2), interpolation=cv2.INTER_CUBIC)
    y, x = np.ogrid[: h // 2, : h // 2]
    disc = np.hypot(y - h / 4, x - h / 4) < h / 4
    start, step = rng.uniform([0.1, 0.1], [0.3, 0.3]) * (w, h), rng.uniform([0.02, 0], [0.03, 0.02]) * (w, h)
    frames = [ground.copy() for _ in range(drawings)]
    for i, frame in enumerate(frames):
        left, top = (start + i * step).round().astype(int)
        frame[top : top + h // 2, left : left + h // 2][disc] = paint[disc]
    return frames


def encode(path: Path, frames: list[np.ndarray], crf: int = 18) -> None:
    """Write frames on twos, 24 a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": str(crf)}
        for frame in (frame for frame in frames for _ in range(2)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def shows(tmp_path_factory) -> Path:
    """Ten episodes of two shots each; 03 and 07 begin with the same opening, encoded differently."""
    folder = tmp_path_factory.mktemp("shows")
    opening = shot(99, 6)
    for i in range(10):
        frames = (opening if i in (3, 7) else []) + shot(i, 5) + shot(50 + i, 5)
        encode(folder / f"show {i % 2}" / "season" / f"{i:02d}.mp4", frames, crf=30 if i == 7 else 18)
    return folder


def every_three_drawings(video, out, flow, options, report):
    """Stands in for `extraction.extract`: no cuts, no thresholds."""
    try:
        frames = decode(video)[::2]
    except av.FFmpegError as error:
        raise InputError(f"{video} is not a video.") from error
    found = []
    for i in range(len(frames) - 2):
        numbers = 2 * i, 2 * i + 2, 2 * i + 4
        triplet = ExtractedTriplet("-".join(f"{n:06d}" for n in numbers), numbers, 0.1, 0.02, 0)
        (out / "images" / triplet.name).mkdir(parents=True, exist_ok=True)
        for number, frame in zip(numbers, frames[i : i + 3], strict=True):
            image.write(out / "images" / triplet.name / f"{number:06d}.png", frame)
        found.append(triplet)
    with report.bar(frames, unit="frame", desc="drawings") as bar:
        assert len(list(bar)) == len(frames)
    return found


def no_flow():
    return None


SETTINGS = Settings(ExtractionOptions(), no_flow)


def in_order(work, jobs, tick):
    for job in jobs:
        yield job, work(job, functools.partial(tick, job))


def in_reverse(work, jobs, tick):
    return in_order(work, jobs[::-1], tick)


def make(shows, out, execute=in_order, settings=SETTINGS, extract=every_three_drawings, **options) -> list[str]:
    """Make a data set; returns what was said."""
    said, options = [], {"layout": "folders", "threshold": THRESHOLD} | options
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(extraction, "extract", extract)
        making.make(shows if isinstance(shows, list) else [shows], out, settings, execute, say=said.append, **options)
    return said


def index(out: Path) -> list[dict[str, str]]:
    with (out / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def contents(out: Path) -> dict[str, bytes]:
    """All that is in a data set but its working folder."""
    files = (path for path in out.rglob("*") if path.is_file())
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in files
        if path.relative_to(out).parts[0] != making.WORK
    }


@pytest.fixture(scope="module")
def made(shows, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("made") / "out"
    make(shows, out)
    return out


def test_the_index_tells_of_each_triplet(made):
    rows = index(made)
    assert [row["name"] for row in rows] == [f"{i + 1:06d}" for i in range(len(rows))]
    assert {row["show"] for row in rows} == {"show 0/season", "show 1/season"}
    sources = [row["source"] for row in rows]
    assert list(dict.fromkeys(sources)) == [f"show {k}/season/{i:02d}.mp4" for k in (0, 1) for i in range(k, 10, 2)]
    second = rows[1]
    assert second["frames"] == "000002-000004-000006"
    assert float(second["seconds"]) == pytest.approx(2 / 24, abs=1e-3)
    assert (second["rrld"], second["coverage"], second["cut"]) == ("0.1", "0.02", "0")
    assert (second["width"], second["height"]) == ("96", "64")


def test_the_trainer_reads_it(made, shows):
    source = open_source(made)
    assert source.names == [row["name"] for row in index(made)]
    row = index(made)[5]
    frames = decode(shows / row["source"])
    expected = np.stack([frames[int(number)] for number in row["frames"].split("-")])
    np.testing.assert_array_equal((source[5].frames.permute(0, 2, 3, 1).numpy() * 255).round(), expected)
    assert sorted(path.name for path in (made / "000001").iterdir()) == ["im1.png", "im2.png", "im3.png"]


def test_an_opening_is_taken_once(made):
    per_video = {i: sum(f"/{i:02d}.mp4" in row["source"] for row in index(made)) for i in range(10)}
    assert per_video[3] == 14
    # the four triplets of the opening alone; the two that reach into the next shot are of this episode
    assert per_video[7] == 10
    assert all(per_video[i] == 8 for i in set(range(10)) - {3, 7})


def test_a_second_run_does_nothing(made, shows):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file() and path.name != "lock"}
    assert make(shows, made) == [f"{made} holds 88 triplets already; nothing to do."]
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_the_order_of_work_does_not_matter(made, shows, tmp_path):
    make(shows, tmp_path / "out", in_reverse)
    assert contents(tmp_path / "out") == contents(made)


def test_nothing_is_left_behind(made):
    kept = {path.name for path in made.glob(f"{making.WORK}/*/*")}
    assert kept == {"thumbnails.npy", "triplets.json"}


class Killed(BaseException):
    """What no handler of errors expects."""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["replace", "rename", "mkdir", "unlink"])
def test_killed_anywhere_it_gives_the_same(shows, tmp_path, monkeypatch, method):
    episodes = sorted(shows.rglob("*.mp4"))[3:5]
    make(episodes, tmp_path / "whole", layout="rrld")
    expected = contents(tmp_path / "whole")
    original = getattr(Path, method)
    for last in itertools.count(0, 7):
        calls = itertools.count()

        def die(*arguments, calls=calls, last=last, **options):
            if next(calls) >= last:
                raise Killed
            return original(*arguments, **options)

        out = tmp_path / f"{method}{last}"
        with monkeypatch.context() as patched:
            patched.setattr(Path, method, die)
            try:
                make(episodes, out, layout="rrld")
            except Killed:
                completed = False
            else:
                completed = True
        if not completed:
            make(episodes, out, layout="rrld")
        assert contents(out) == expected
        if completed:
            break


def test_new_episodes_are_appended(made, shows, tmp_path):
    episodes = sorted(shows.rglob("*.mp4"), key=lambda path: path.name)
    out = tmp_path / "out"
    make(episodes[2:], out)
    before = contents(out)
    rows = index(out)
    make(episodes, out)
    assert index(out)[: len(rows)] == rows
    assert {row["source"] for row in index(out)[len(rows) :]} == {"00.mp4", "01.mp4"}
    after = contents(out)
    pictures = [name for name in before if name.endswith(".png")]
    assert all(after[name] == before[name] for name in pictures)
    assert len(index(out)) == len(index(made))
    assert make(episodes[:1], out) == [f"{out} holds 88 triplets already; nothing to do."]


def test_a_video_that_moved_is_the_same(shows, tmp_path):
    episode = next(shows.rglob("00.mp4"))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.mp4").write_bytes(episode.read_bytes())
    make(tmp_path / "a", tmp_path / "out")
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "b" / "again.mp4").write_bytes(episode.read_bytes())
    assert make(tmp_path / "b", tmp_path / "out")[-1].endswith("nothing to do.")
    assert len(planning.find_videos([tmp_path / "b"], tmp_path / "out")) == 1


def test_the_rrld_layout(made, shows, tmp_path):
    make(shows, tmp_path / "out", layout="rrld")
    names = [row["name"] for row in index(tmp_path / "out")]
    assert names[:2] == ["000000-000001-000002", "000003-000004-000005"]
    source = open_source(tmp_path / "out")
    assert source.names == names
    expected = open_source(made)
    for k in (0, 40, 87):
        assert source[k].frames.equal(expected[k].frames)
    assert (tmp_path / "out/rrld.txt").read_text().splitlines()[:2] == [
        "frames,linearity,coverage",
        "000000-000001-000002,0.1,0.02",
    ]
    assert (tmp_path / "out/report.html").read_text().count("<img ") == 36


def test_a_bad_video_is_named_and_skipped(shows, tmp_path):
    folder = tmp_path / "shows"
    folder.mkdir()
    (folder / "a.mkv").write_text("text & <nonsense>")
    (folder / "b.mp4").write_bytes(next(shows.rglob("00.mp4")).read_bytes())
    said = make(folder, tmp_path / "out")
    assert said[0] == f"{folder / 'a.mkv'} is not a video. It is skipped."
    assert len(index(tmp_path / "out")) == 8
    assert f"<li>{folder}/a.mkv is not a video.</li>" in (tmp_path / "out/report.html").read_text()
    assert make(folder, tmp_path / "out")[-1].endswith("nothing to do.")
    with pytest.raises(InputError, match="None of 1 video can be used"):
        make(folder / "a.mkv", tmp_path / "none")


def full_disk(*arguments, **options):
    try:
        raise OSError(28, "No space left on device")
    except OSError as error:
        raise InputError("x.png cannot be written (No space left on device).") from error


def test_a_full_disk_stops_everything(shows, tmp_path):
    with pytest.raises(InputError, match="No space left"):
        make(shows, tmp_path / "out", extract=full_disk)
    assert len(make(shows, tmp_path / "out")) == 1
    assert len(index(tmp_path / "out")) == 88


def test_other_options_are_refused(made, shows):
    settings = Settings(ExtractionOptions(quality=80), no_flow)
    with pytest.raises(InputError, match="made with quality 95 instead of 80; give the same options"):
        make(shows, made, settings=settings)
    with pytest.raises(InputError, match="layout folders instead of rrld"):
        make(shows, made, layout="rrld")


def test_places_that_are_refused(made, shows, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds something else"):
        make(shows, tmp_path / "mine")
    with pytest.raises(InputError, match="lies in the data set"):
        make(made / "000001", made)
    with pytest.raises(InputError, match="cannot be written"):
        make(shows, tmp_path / "mine" / "letter.txt")
    with pytest.raises(InputError, match="holds no videos"):
        make(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(InputError, match="no video or folder"):
        make(tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with planning.claim(made, made / making.WORK, json.loads((made / making.WORK / "options.json").read_text())):  # noqa: SIM117
        with pytest.raises(InputError, match="another run"):
            make(shows, made)


def test_an_empty_folder_beside_which_nothing_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / ".out.lock").mkdir()
    monkeypatch.setattr(locks, "_NO_PERMISSION", (errno.EISDIR,))  # root has every permission
    with planning.claim(tmp_path / "out", tmp_path / "out" / making.WORK, {"a": 1}):
        assert (tmp_path / "out" / ".lock").exists()


@pytest.mark.parametrize("name", ["triplets.json", "thumbnails.npy"])
def test_damaged_work_can_be_done_again(made, shows, tmp_path, name):
    again, more = shutil.copytree(made, tmp_path / "again"), tmp_path / "more"
    shutil.copytree(shows, more)
    next(more.rglob("*.mp4")).with_name("99.mp4").write_bytes(next(more.rglob("*.mp4")).read_bytes() + b"more")
    damaged = next((again / making.WORK).glob(f"*/{name}"))
    damaged.write_text("text")
    near_duplicates._open.cache_clear()
    with pytest.raises(InputError, match=f"{damaged} is damaged or missing; delete {damaged.parent}, and its video"):
        make(more, again)
    shutil.rmtree(damaged.parent)
    make(shows, again)
    assert contents(again) == contents(made)


def test_a_damaged_journal(made, shows, tmp_path):
    again = shutil.copytree(made, tmp_path / "again")
    (again / making.WORK / "assembly.json").write_text("text")
    with pytest.raises(
        InputError, match=r"assembly\.json is missing or damaged; restore it, or make the data set again"
    ):
        make(shows, again)


def test_a_data_set_among_the_shows_is_passed_over(shows, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.mp4").write_bytes(next(shows.rglob("00.mp4")).read_bytes())
    out = tmp_path / "out"
    make(tmp_path, out)
    (out / "000001" / "y.mp4").write_bytes(next(shows.rglob("01.mp4")).read_bytes())
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "z.mp4").write_bytes(next(shows.rglob("02.mp4")).read_bytes())
    assert [video.source for video in planning.find_videos([tmp_path], out)] == ["a/x.mp4"]


def test_the_report_is_well_formed(made):
    page = (made / "report.html").read_text()
    tree = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    tags = [element.tag.split("}")[1] for element in tree.iter()]
    assert tags.count("svg") == 4
    assert tags.count("img") == 36
    assert "88 triplets from 10 videos; 4 more repeat one of these" in page
    assert "<td>show 1/season</td><td>5</td><td>48</td>" in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def echo(job, tick):
    tick("half")
    if job == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return job * 2, os.environ["OMP_NUM_THREADS"], cv2.getNumThreads()


@pytest.mark.slow
def test_processes_do_all_jobs_and_outlive_a_crash(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    ticks = []
    jobs = ["a", "die", "b", "c"]
    results = dict(workers.processes(echo, jobs, lambda job, text: ticks.append((job, text)), workers=2))
    threads = max(1, os.cpu_count() // 2)
    assert results == {"die": None, **{job: (job * 2, str(threads), threads) for job in "abc"}}
    assert sorted(ticks) == [(job, "half") for job in sorted(jobs)]


def sleep(job, tick):
    tick(str(os.getpid()))
    time.sleep(60)


@pytest.mark.slow
def test_processes_end_when_their_owner_stops():
    pids = []

    def tick(job, text):
        pids.append(int(text))
        raise Killed

    with pytest.raises(Killed):
        next(workers.processes(sleep, [1], tick, workers=1))
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


@pytest.mark.slow
def test_processes_end_when_their_owner_is_killed():
    program = (
        "import tests.databacks.test_dataset as t\n"
        "if __name__ == '__main__': next(t.workers.processes(t.sleep, [1], lambda job, pid: print(pid, flush=True), 1))"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        text=True,
    )
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 20
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _is_alive(pid)


def test_a_process_whose_owner_was_killed_while_it_answers_ends_without_a_traceback():
    code = "from multiprocessing import Pipe; from _databacks.dataset import workers\n"
    code += "mine, theirs = Pipe(); theirs.close(); workers._send(mine, (True, 1)); print('goes on')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "")


def _is_alive(pid: int) -> bool:
    """A process that ended and that nobody has asked for is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def as_thumbnails(frames: list[np.ndarray]) -> np.ndarray:
    """Of each three frames that follow on each other."""
    return np.stack([thumbnails(frames[i : i + 3]) for i in range(len(frames) - 2)])


def with_logo(frames: list[np.ndarray]) -> list[np.ndarray]:
    marked = [frame.copy() for frame in frames]
    for frame in marked:
        cv2.rectangle(frame, (270, 10), (310, 24), (255, 255, 255), -1)
    return marked


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("crf", [20, 34])
@pytest.mark.parametrize("mark", [list, with_logo])
def test_what_was_encoded_again_is_a_near_duplicate(tmp_path, seed, crf, mark):
    frames = shot(seed, 8, (180, 320))
    encode(tmp_path / "again.mp4", mark(frames), crf)
    once, again = as_thumbnails(frames), as_thumbnails(decode(tmp_path / "again.mp4")[::2])
    values = np.stack([disagreement(triplet, again) for triplet in once])
    assert values.diagonal().max() < THRESHOLD
    # neighbours share two frames and the ground, and are other triplets
    assert values[~np.eye(len(once), dtype=bool)].min() > 2 * THRESHOLD
    np.save(tmp_path / "both.npy", np.concatenate([once, again]))
    assert Selection(THRESHOLD).admit(tmp_path / "both.npy") == list(range(len(once)))


def test_deep_and_grey_pictures_have_thumbnails_too():
    frame = shot(0, 1)[0]
    np.testing.assert_allclose(thumbnails([frame.astype(np.uint16) * 257]), thumbnails([frame]), atol=1)
    assert thumbnails([frame[:, :, 0]]).shape == (1, 36, 64, 3)


def test_the_same_motion_before_another_ground_is_another_triplet():
    frames = as_thumbnails(shot(3, 3, (180, 320)))
    brighter = np.uint8(np.clip(frames.astype(int) + 40, 0, 255))
    assert disagreement(frames[0], frames).tolist() == [0]
    assert disagreement(frames[0], brighter).tolist() == [1]


@pytest.mark.parametrize(("threshold", "kept"), [(0.25, 100), (-1, 200)])
def test_selection_over_many_blocks(tmp_path, threshold, kept):
    rng = np.random.default_rng(0)
    grounds = rng.integers(0, 256, (100, 1, 3, 4, 3)).repeat(12, 2).repeat(16, 3)
    drawings = (grounds + rng.integers(-60, 60, (100, 3, 36, 64, 3))).clip(0, 255).astype(np.uint8)
    order = rng.permutation(200)
    np.save(tmp_path / "0.npy", np.concatenate([drawings, drawings])[order])
    np.save(tmp_path / "1.npy", drawings)
    selection = Selection(threshold)
    admitted = selection.admit(tmp_path / "0.npy")
    assert len(admitted) == kept
    if kept == 100:
        first = {which: position for position, which in reversed(list(enumerate(order % 100)))}
        assert admitted == sorted(first.values())
        assert selection.admit(tmp_path / "1.npy") == []
    after = Selection(threshold)
    after.add(tmp_path / "0.npy", admitted)
    assert len(after.admit(tmp_path / "1.npy")) == (0 if kept == 100 else 100)
