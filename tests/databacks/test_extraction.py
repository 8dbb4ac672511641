"""The stages that extract triplets from a video: what they find, how they go on, and what they say."""

import dataclasses
import functools
import itertools
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from _databacks import extraction
from _databacks.extraction import duplicates, encoding, filtering, images, records
from _databacks.extraction import flows as extracted_flows
from _databacks.extraction.filtering import FlowEstimator
from _databacks.extraction.frames import at_constant_rate, fit
from _databacks.extraction.options import ExtractionOptions, parse_size
from _databacks.extraction.reports import StageReport
from _databacks.extraction.triplets import ExtractedTriplet, read_triplets
from _databacks.sources import open_source
from _scripts import (
    duplicate_frame_features,
    encode_video,
    extract_triplet_flows,
    extract_triplet_images,
    rrld_filter,
)
from _scripts.stages import flow_estimator
from _train.frame_interpolation import flows
from _util import command, image
from _util.errors import InputError
from _util.flow import backwarp
from _util.flow import resize as resize_flow
from _util.prefetch import ahead
from _util.video import Encoding, Frame, Reader, Writer
from tests.conftest import require_shared
from tests.util import test_interlacing

ROOT = Path(__file__).parents[2]
H, W = 180, 320
QUIET = StageReport(lambda sentence: None, functools.partial(tqdm, disable=True))
USUAL = ExtractionOptions()
EVEN = [f"{a:06d}-{a + 2:06d}-{a + 4:06d}" for a in range(0, 12, 2)]  # what `scene` has to find


def test_interlaced_video_is_made_whole_frames(tmp_path):
    with Writer(tmp_path / "in.mkv", Encoding((test_interlacing.H, test_interlacing.W), Fraction(24), crf=8)) as writer:
        for frame in test_interlacing.interlaced(24):
            writer.write(frame)
    said = []
    out = tmp_path / "out"
    encoding.encode_video(tmp_path / "in.mkv", out, USUAL, QUIET._replace(say=said.append))
    assert any("is interlaced (though it is not flagged so): deinterlaced by bwdif" in sentence for sentence in said)
    whole, woven = (
        np.mean(
            [
                test_interlacing.difference(frame.pixels, test_interlacing.moment(i))
                for i, frame in enumerate(Reader(path))
            ]
        )
        for path in (out / "video.mp4", tmp_path / "in.mkv")
    )
    assert whole < 0.7 * woven


def texture(seed: int, size: tuple[int, int], tint: tuple[int, int, int]) -> np.ndarray:
    """Blobs of a colour of their own, (h, w, 3)."""
    noise = np.random.default_rng(seed).integers(0, 90, (size[0] // 6, size[1] // 6, 3)) + np.array(tint)
    return cv2.resize(noise.astype(np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC)


def over(ground: np.ndarray, figure: np.ndarray, x: int, y: int) -> np.ndarray:
    frame = ground.copy()
    frame[y : y + figure.shape[0], x : x + figure.shape[1]] = figure
    return frame


def scene() -> list[np.ndarray]:
    """Three shots: even motion on twos, a pan, motion by fits and starts on twos."""
    figure = texture(1, (60, 60), (160, 60, 20))
    ground = texture(2, (H, W), (20, 80, 120))
    frames = [over(ground, figure, 60 + 4 * (i // 2), 50 + 3 * (i // 2)) for i in range(16)]
    wide = texture(3, (H, W + 60), (120, 130, 40))
    frames += [wide[:, 5 * i : 5 * i + W] for i in range(8)]
    steps = np.cumsum([0, 1, 11, 1, 11])
    ground = texture(4, (H, W), (60, 20, 90))
    return frames + [over(ground, figure, 200 - steps[i // 2], 40 + steps[i // 2]) for i in range(10)]


def write_video(path: Path, frames: list[np.ndarray], rate: Fraction = Fraction(24)) -> Path:
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        stream.options = {"crf": "12"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
        container.mux(stream.encode())
    return path


def quick(frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
    """DIS at a quarter of the pixels."""
    size = tuple(side // 2 for side in frame0.shape[2:])
    reduced = F.interpolate(torch.cat([frame0, frame1]), size, mode="area")
    return tuple(resize_flow(flow, frame0.shape[2:]) for flow in flows.dis(*reduced.split(1)))


def extract(
    video: Path, out: Path, flow: FlowEstimator, options: ExtractionOptions = USUAL, report: StageReport = QUIET
) -> list[ExtractedTriplet]:
    """All five stages."""
    triplets = extraction.extract(video, out, flow, options, report)
    extracted_flows.extract_triplet_flows(out, flow, options, report)
    return triplets


class Said(list):
    """A report that keeps what was said."""

    @property
    def report(self) -> StageReport:
        return StageReport(self.append, QUIET.bar)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "scene.mp4", scene())


@pytest.fixture(scope="module")
def extracted(video, tmp_path_factory) -> Path:
    """All stages done; not to be changed."""
    out = tmp_path_factory.mktemp("extracted") / "out"
    extract(video, out, flows.dis)
    return out


def contents(out: Path) -> dict[str, bytes | list]:
    """All results by name; a table as its rows."""
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    del found["duplicates.db"]
    return {**found, "rows": rows(out)}


def rows(out: Path, columns: str = "*") -> list[tuple]:
    with sqlite3.connect(out / "duplicates.db") as table:
        return table.execute(f"SELECT {columns} FROM duplicates ORDER BY frame").fetchall()


def test_what_is_found(extracted):
    assert (extracted / "rrld.txt").read_text().splitlines()[0] == "frames,linearity,coverage"
    triplets = read_triplets(extracted)
    assert [triplet.name for triplet in triplets] == EVEN
    assert [triplet.frames for triplet in triplets] == [(a, a + 2, a + 4) for a in range(0, 12, 2)]
    assert {triplet.cut for triplet in triplets} == {0}
    assert all(triplet.rrld < 0.2 and 0.04 < triplet.coverage < 0.15 for triplet in triplets)
    assert json.loads((extracted / "rrld.json").read_text())["found"]["cuts"] == [0, 16, 24]


def test_the_table_of_duplicates(extracted):
    columns = "frame, rgb_mean, rgb_max, lab_mean, lab_max, psnr, ssim"
    table = rows(extracted, columns)
    assert [row[0] for row in table] == list(range(1, 34))
    held = [row for row in table if row[0] < 16 and row[0] % 2]
    moved = [row for row in table if row[0] < 16 and not row[0] % 2]
    assert max(row[3] for row in held) < min(row[3] for row in moved)
    assert min(row[6] for row in held) > max(row[6] for row in moved)


def test_the_folder_is_a_source_of_triplets(extracted):
    source = open_source(extracted)
    assert source.names == EVEN
    for triplet in source:
        assert triplet.frames.shape == (3, 3, 540, 960)
        first, _, last = triplet.frames.split(1)
        flow01, flow10 = triplet.flows
        still = (first - last).abs().mean()
        assert (first - backwarp(last, flow01[None], quirk=False)).abs().mean() < still / 2
        assert (last - backwarp(first, flow10[None], quirk=False)).abs().mean() < still / 2
        inside = flow01[:, 240:300, 270:330]  # of the figure, which moves by 8, 6 of 320×180 pixels
        assert inside.mean((1, 2)).tolist() == pytest.approx([24, 18], abs=1.5)


def test_pictures_are_the_frames_of_the_source(extracted):
    for name, number in ((EVEN[0], 0), (EVEN[2], 6), (EVEN[5], 14)):
        picture = image.read(extracted / "images" / name / f"{number:06d}.png")
        truth = cv2.resize(scene()[number], (960, 540), interpolation=cv2.INTER_CUBIC)
        assert np.abs(picture.astype(int) - truth).mean() < 4


def test_a_second_run_has_nothing_to_do(video, extracted):
    before = {path: path.stat().st_mtime_ns for path in extracted.rglob("*")}
    said = Said()

    def never(*frames):
        raise AssertionError("flow is estimated again")

    triplets = extract(video, extracted, never, report=said.report)
    assert [triplet.name for triplet in triplets] == EVEN
    results = ("video.mp4", "duplicates.db", "rrld.txt", "images", "flows")
    assert said == [f"{extracted / result} already exists; nothing to do." for result in results]
    assert {path: path.stat().st_mtime_ns for path in extracted.rglob("*")} == before


class Interrupted(Exception):  # noqa: N818
    pass


class Bar:
    """Progress that breaks off after so many steps in all."""

    def __init__(self, steps: int):
        self.left = steps

    def __call__(self, items=(), **_):
        self.items = items
        return self

    def __iter__(self):
        for item in self.items:
            self.update()
            yield item

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def update(self, steps: int = 1):
        self.left -= steps
        if self.left < 0:
            raise Interrupted


def test_interrupted_runs_end_alike(video, extracted, tmp_path, monkeypatch):
    monkeypatch.setattr("_databacks.extraction.encoding._PART", 10)
    monkeypatch.setattr("_databacks.extraction.duplicates._BATCH", 7)
    out, runs = tmp_path / "out", 0
    while True:
        runs += 1
        try:
            extract(video, out, quick, report=StageReport(lambda _: None, Bar(14 * runs)))
            break
        except Interrupted:
            assert runs < 20
    assert runs > 3
    whole = tmp_path / "whole"
    extract(video, whole, quick)
    assert contents(out) == contents(whole)
    assert [triplet.name for triplet in read_triplets(out)] == EVEN


@pytest.mark.parametrize(("result", "partial"), [("video.mp4", ".video-partial"), ("rrld.txt", ".rrld-partial.txt")])
def test_killed_before_what_was_partial_was_deleted(video, tmp_path, monkeypatch, result, partial):
    out, remove = tmp_path / "out", records.remove

    def killed(path: Path):
        if path.name == partial and (out / result).exists():
            raise Interrupted
        remove(path)

    with monkeypatch.context() as context:
        context.setattr(records, "remove", killed)
        with pytest.raises(Interrupted):
            extract(video, out, quick)
    assert (out / partial).exists()
    found = extract(video, out, quick)
    assert not list(out.glob(".*"))
    assert [triplet.name for triplet in found] == EVEN


def test_judging_goes_on_where_it_was(video, tmp_path):
    out = tmp_path / "out"
    encoding.encode_video(video, out, USUAL, QUIET)
    duplicates.duplicate_frame_features(out, QUIET)
    left = [6]

    def breaking(frame0, frame1):
        left[0] -= 1
        if left[0] < 0:
            raise Interrupted
        return quick(frame0, frame1)

    with pytest.raises(Interrupted):
        filtering.rrld_filter(out, breaking, USUAL, QUIET)
    assert not (out / "rrld.txt").exists()
    with (out / ".rrld-partial.txt").open("a") as journal:
        journal.write("000016-0000")  # what a killed process was writing
    left[0] = 1000
    found = filtering.rrld_filter(out, breaking, USUAL, QUIET)
    resumed, left[0] = 1000 - left[0], 1000
    assert filtering.rrld_filter(out, breaking, ExtractionOptions(sensitivity=1.001), QUIET) == found
    assert [triplet.name for triplet in found] == EVEN
    assert 1000 - left[0] >= resumed + 4


def test_a_full_disk_leaves_the_verdicts_there_are(extracted, tmp_path):
    resource = pytest.importorskip("resource")
    out, journal = tmp_path / "out", tmp_path / "out/.rrld-partial.txt"
    shutil.copytree(extracted, out)
    (out / "rrld.txt").unlink()
    whole = "".join(f"{i:06d}-{i + 2:06d}-{i + 4:06d},0.123456789,0.123456789,1\n" for i in range(100, 30_000))
    journal.write_text(whole + "000016-0000")  # what a killed process was writing
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) // 2, limits[1]))
    try:
        with pytest.raises(InputError, match=r"rrld-partial\.txt cannot be written \(File too large\)"):
            filtering.rrld_filter(out, quick, USUAL, QUIET)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert journal.read_text() == whole


def test_repainted_drawings_are_other_drawings(tmp_path):
    folder, out = tmp_path / "drawings", tmp_path / "out"
    folder.mkdir()
    for i, frame in enumerate(scene()[:3]):
        cv2.imwrite(str(folder / f"{i}.bmp"), frame)  # of one size, whatever is drawn
    encoding.encode_video(folder, out, USUAL, QUIET)
    (folder / "notes.txt").write_text("no drawing")
    said = Said()
    encoding.encode_video(folder, out, USUAL, said.report)
    assert said == [f"{out / 'video.mp4'} already exists; nothing to do."]
    cv2.imwrite(str(folder / "1.bmp"), scene()[8])
    with pytest.raises(InputError, match=r"holds triplets of another video than .*drawings, or of it before"):
        encoding.encode_video(folder, out, USUAL, QUIET)


@pytest.mark.parametrize(
    ("result", "stage"),
    [
        ("images", lambda out: images.extract_triplet_images(out, USUAL, QUIET)),
        ("flows", lambda out: extracted_flows.extract_triplet_flows(out, quick, USUAL, QUIET)),
    ],
)
def test_finished_triplets_are_looked_for_at_once(extracted, tmp_path, monkeypatch, result, stage):
    """A data set has thousands, and so has the folder."""
    out, listings = tmp_path / "out", []
    shutil.copytree(extracted, out)
    record = json.loads((out / f"{result}.json").read_text())
    (out / f"{result}.json").write_text(json.dumps({**record, "finished": False}))
    right = Path.glob if result == "flows" else Path.iterdir

    def listing(folder: Path, *pattern: str):
        listings.extend([folder] if folder == out / result else [])
        return right(folder, *pattern)

    monkeypatch.setattr(Path, right.__name__, listing)
    stage(out)
    assert len(listings) < len(EVEN)


def test_options_that_change_make_anew(video, tmp_path):
    said = Said()
    options = ExtractionOptions(image_size=(90, 160))
    everything = extract(video, tmp_path, quick, options=options, report=said.report)
    said.clear()
    options = dataclasses.replace(options, one_per_cut=True)
    best = extract(video, tmp_path, quick, options=options, report=said.report)
    assert best == [min(everything, key=lambda triplet: triplet.rrld)]
    assert f"{tmp_path / 'rrld.txt'} is made again; changed since: one_per_cut." in said
    assert [path.name for path in (tmp_path / "images").iterdir()] == [best[0].name]
    assert [path.name for path in (tmp_path / "flows").iterdir()] == [f"{best[0].name}.pt"]
    said.clear()
    options = dataclasses.replace(options, format="jpg", quality=100, image_size=None)
    extract(video, tmp_path, quick, options=options, report=said.report)
    assert f"{tmp_path / 'images'} is made again; changed since: size, format, quality." in said
    assert f"{tmp_path / 'flows'} is made again; changed since: images." in said
    (triplet,) = open_source(tmp_path)
    assert triplet.frames.shape == (3, 3, H, W)
    assert sorted(path.suffix for path in (tmp_path / "images" / triplet.name).iterdir()) == [".jpg"] * 3
    deleted = tmp_path / "images" / triplet.name
    for path in deleted.iterdir():
        path.unlink()
    deleted.rmdir()
    extract(video, tmp_path, quick, options=options, report=said.report)
    assert len(list(deleted.iterdir())) == 3


def test_repeats_may_be_detected_instead(video, tmp_path):
    options = ExtractionOptions(repeats="detected")
    found = extraction.extract(video, tmp_path, quick, options, QUIET)
    assert [triplet.name for triplet in found] == EVEN
    with sqlite3.connect(tmp_path / "duplicates.db") as table:
        table.execute("UPDATE duplicates SET lab_mean = 0, lab_max = 0")
    (tmp_path / "rrld.txt").unlink()
    assert filtering.rrld_filter(tmp_path, quick, options, QUIET) == found
    assert filtering.rrld_filter(tmp_path, quick, USUAL, QUIET) == []


def test_a_folder_belongs_to_one_video(extracted, tmp_path):
    other = write_video(tmp_path / "other.mp4", scene()[::-1])
    with pytest.raises(InputError, match="holds triplets of another video than"):
        encoding.encode_video(other, extracted, USUAL, QUIET)


def test_an_original_that_is_gone(video, tmp_path):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(video.read_bytes())
    out = tmp_path / "out"
    extraction.extract(copy, out, quick, USUAL, QUIET)
    assert not (out / "flows").exists()
    copy.unlink()
    with pytest.raises(InputError, match="is gone or has changed"):
        images.extract_triplet_images(out, ExtractionOptions(image_size=100), QUIET)
    images.extract_triplet_images(out, ExtractionOptions(image_size=100, origin="encoded"), QUIET)
    assert open_source(out)[0].frames.shape == (3, 3, 100, 178)
    encoding.encode_video(video, out, USUAL, QUIET)  # the same video at another place
    images.extract_triplet_images(out, ExtractionOptions(image_size=80), QUIET)
    assert open_source(out)[0].frames.shape == (3, 3, 80, 142)


@pytest.mark.parametrize(("codec", "name"), [("h264", "h264"), ("hevc", "hevc")])
def test_the_encoded_video(video, tmp_path, codec, name):
    encoding.encode_video(video, tmp_path, ExtractionOptions(codec=codec, video_size=91, crf=30), QUIET)
    with av.open(tmp_path / "video.mp4") as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.average_rate) == (name, 24)
        assert (stream.codec_context.height, stream.codec_context.width) == (90, 162)
        frames = list(container.decode(stream))
    assert [frame.time for frame in frames] == pytest.approx([i / 24 for i in range(34)])


def test_parts_join_seamlessly(video, tmp_path, monkeypatch):
    monkeypatch.setattr("_databacks.extraction.encoding._PART", 8)
    encoding.encode_video(video, tmp_path, USUAL, QUIET)
    for i, (frame, truth) in enumerate(zip(Reader(tmp_path / "video.mp4"), scene(), strict=True)):
        assert frame.time == Fraction(i, 24)
        assert np.abs(frame.pixels.astype(int) - truth).mean() < 6


class Frames:
    """A reader of frames at given times, each of one value, its number."""

    def __init__(self, times: list[float], rate: int):
        self.times = [Fraction(time) for time in times]
        self.end = self.times[-1] + Fraction(1, rate)

    def frames(self, start: Fraction = Fraction(0)):
        for i, time in enumerate(self.times):
            if time >= start:
                yield Frame(time, np.full((2, 2, 3), i, np.uint8))


def numbers(reader: Frames, first: int = 0) -> list[tuple[int, int]]:
    return [(number, int(pixels[0, 0, 0])) for number, pixels in at_constant_rate(reader, first)]


def test_frames_at_a_constant_rate():
    assert numbers(Frames([Fraction(i, 24) for i in range(50)], 24)) == [(i, i) for i in range(50)]
    halved = numbers(Frames([Fraction(i, 48) for i in range(48)], 48))
    assert len(halved) == 24
    assert all(source - 2 * number in (0, 1) for number, source in halved)
    doubled = numbers(Frames([Fraction(i, 12) for i in range(12)], 12))
    assert doubled == [(i, i // 2) for i in range(24)]
    ntsc = numbers(Frames([Fraction(1001 * i, 24000) for i in range(200)], 24))
    assert ntsc == [(i, i) for i in range(200)]
    assert numbers(Frames([0], 1)) == [(i, 0) for i in range(24)]


@pytest.mark.parametrize("first", [1, 240, 300, 479, 480, 600])
def test_frames_from_a_number_on(first):
    held = Frames([*(Fraction(i, 30) for i in range(60)), *(18 + Fraction(i, 30) for i in range(60))], 30)
    everything = numbers(held)
    assert [number for number, _ in everything] == list(range(480))
    assert numbers(held, first) == everything[first:]


def test_fitting_keeps_proportions():
    circle = np.zeros((240, 320, 3), np.uint8)
    cv2.circle(circle, (160, 120), 60, (255, 255, 255), -1)
    for size, expected in ((None, (240, 320)), (120, (120, 160)), (500, (240, 320)), ((540, 960), (540, 960))):
        fitted = fit(circle, size)
        assert fitted.shape[:2] == expected
        across, down = ((fitted[:, :, 0] > 127).any(axis).sum() for axis in (0, 1))
        assert across == pytest.approx(down, abs=2)
    assert fit(circle, None, Fraction(4, 3)).shape == (240, 427, 3)
    assert fit(circle, 120, Fraction(8, 9)).shape == (120, 142, 3)
    wide = fit(np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (50, 1, 3)), (50, 100))
    assert (wide[0, 0, 0], wide[0, -1, 0]) == (50, 149)


def test_ahead_hands_on_items_and_errors():
    assert list(ahead(iter(range(5)))) == [0, 1, 2, 3, 4]

    def failing():
        yield 1
        raise Interrupted

    items = ahead(failing())
    assert next(items) == 1
    with pytest.raises(Interrupted):
        next(items)


def test_sizes():
    assert parse_size("source") is None
    assert parse_size("1080") == 1080
    assert parse_size("960x540") == parse_size("960×540") == (540, 960)
    for text in ("", "x", "12", "960x", "-100", "1e3", "4x4", "1x2x3"):
        with pytest.raises(InputError, match="is not a size"):
            parse_size(text)


def test_stages_out_of_order(extracted, tmp_path):
    for stage in (
        lambda: duplicates.duplicate_frame_features(tmp_path),
        lambda: filtering.rrld_filter(tmp_path, quick, USUAL),
        lambda: images.extract_triplet_images(tmp_path, USUAL),
        lambda: extracted_flows.extract_triplet_flows(tmp_path, quick, USUAL),
    ):
        with pytest.raises(InputError):
            stage()
    assert list(tmp_path.iterdir()) == []


def test_what_somebody_else_put_there(video, tmp_path):
    (tmp_path / "video.mp4").write_bytes(b"mine")
    with pytest.raises(InputError, match="without a record of its source"):
        encoding.encode_video(video, tmp_path, USUAL, QUIET)
    assert (tmp_path / "video.mp4").read_bytes() == b"mine"


def test_a_single_frame(tmp_path):
    one = write_video(tmp_path / "one.mp4", scene()[:1])
    with pytest.raises(InputError, match="has no rows"):
        extract(one, tmp_path / "out", quick)


def test_no_triplet_is_no_error(tmp_path):
    still = write_video(tmp_path / "still.mp4", scene()[:1] * 12)
    said = Said()
    assert extract(still, tmp_path / "out", quick, report=said.report) == []
    assert any("none of 0 triplets accepted" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("thresholds", "reason"),
    [
        ({"smallest_share": 1.0}, "move too little"),
        ({"smallest_share": 0.0, "largest_rrld": 0.0}, "move unevenly"),
        ({"smallest_share": 0.0, "largest_rrld": 9.0, "largest_share": 0.0}, "are pans, cover too much or are credits"),
    ],
)
def test_rejections_are_explained(video, tmp_path, thresholds, reason):
    said = Said()
    options = ExtractionOptions(thresholds=thresholds)
    assert extract(video, tmp_path / "out", quick, options=options, report=said.report) == []
    verdict = next(sentence for sentence in said if "triplets accepted" in sentence)
    judged = re.search(r"none of (\d+) triplets accepted", verdict)[1]
    assert f"Rejected: {judged} {reason}." in verdict


def test_a_damaged_table(video, tmp_path):
    encoding.encode_video(video, tmp_path, USUAL, QUIET)
    duplicates.duplicate_frame_features(tmp_path, QUIET)
    with sqlite3.connect(tmp_path / "duplicates.db") as table:
        table.execute("DELETE FROM duplicates WHERE frame = 5")
    with pytest.raises(InputError, match="lacks some frames"):
        filtering.rrld_filter(tmp_path, quick, USUAL, QUIET)
    (tmp_path / "duplicates.db").write_bytes(b"no table" * 1000)
    with pytest.raises(InputError, match="cannot be used"):
        filtering.rrld_filter(tmp_path, quick, USUAL, QUIET)


SCRIPTS = (encode_video, duplicate_frame_features, rrld_filter, extract_triplet_images, extract_triplet_flows)


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a script in this process; returns its exit code and what it said on stderr, bars left out."""

    def run(script, *arguments) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [script.__name__, *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            command.run(script.main)
        lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
        return caught.value.code, "\n".join(line for line in lines if line.endswith((".", ")")))

    return run


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_shows_the_stage_alone(call, script):
    told = call(script.main, "--help").written
    assert ("--crf" in told) == (script is encode_video)
    assert ("--largest-rrld" in told) == (script is rrld_filter)
    assert ("--flow" in told) == (script in (rrld_filter, extract_triplet_flows))


def test_help_tells_the_published_thresholds():
    from _scripts.stages import _THRESHOLDS
    from _util.rrld import Thresholds

    assert set(_THRESHOLDS) == set(Thresholds.__dataclass_fields__)
    for name, sentence in _THRESHOLDS.items():
        told = Fraction(sentence.split("(default: ")[1].rstrip(")"))
        assert float(told) == pytest.approx(getattr(Thresholds(), name))


def test_the_stages_from_the_command_line(run, video, extracted, tmp_path):
    out = tmp_path / "out"
    given = "--flow", "dis", "--device", "cpu", "--size", "160x90", "--largest-rrld", "0.29", "--one-per-cut"
    for script in SCRIPTS:
        places = (video, out) if script is encode_video else (out,)
        code, said = run(script, *places, *given)
        assert code == 0, said
        code, said = run(script, *places, *given)
        assert (code, said.count("\n")) == (0, 0)
        assert said.endswith("already exists; nothing to do.")
    (triplet,) = open_source(out)
    assert triplet.frames.shape == (3, 3, 90, 160)
    assert triplet.flows[0].shape == (2, 90, 160)
    assert triplet.name in EVEN


def test_flows_of_pieces_are_flows():
    name, estimate = flow_estimator("pieces", "cpu", "auto", None)
    frames = torch.zeros(2, 1, 3, 64, 96)
    frames[0, ..., 20:50, 10:40] = frames[1, ..., 20:50, 16:46] = 1
    assert name.split()[0] == "pieces"
    assert [x.shape for x in estimate(*frames)] == [(1, 2, 64, 96)] * 2


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--size", "big"], "is not a size"),
        (["--crf", "70"], "from 0 to 51"),
        (["--quality", "0"], "from 1 to 100"),
        (["--format", "bmp"], "invalid choice"),
        (["--largest-rrld", "-1"], "it must be 0 or more"),
        (["--cut-threshold", "nan"], "it must be 0 or more"),
        (["--colour", "blue"], "unrecognized arguments"),
    ],
)
def test_a_mistaken_option_stops_every_stage(run, video, tmp_path, script, given, says):
    code, said = run(script, *([video] if script is encode_video else []), tmp_path / "out", *given)
    assert code == 2
    assert says in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "given",
    [["--flow", "raft"], ["--device", "abacus"], ["--precision", "int8"], ["--flow", "rfr", "--checkpoints", "."]],
)
def test_a_mistake_about_flow_is_found_before_there_is_work(run, video, tmp_path, given):
    code, said = run(encode_video, video, tmp_path / "out", *given)
    assert code == 2
    assert said.count("\n") == 0
    assert list(tmp_path.iterdir()) == []


def test_bad_videos_are_one_sentence(run, tmp_path):
    (tmp_path / "text.mp4").write_text("text")
    for name in ("none.mp4", "text.mp4"):
        code, said = run(encode_video, tmp_path / name, tmp_path / "out")
        assert code == 2
        assert said.count("\n") == 0
        assert name in said
        assert not (tmp_path / "out").exists()


def pipeline(*arguments, cwd=None) -> subprocess.CompletedProcess:
    given = ["bash", ROOT / "_scripts" / "rrld_pipeline.sh", *arguments]
    return subprocess.run(given, capture_output=True, text=True, check=False, cwd=cwd)


def test_the_pipeline_wants_two_places(tmp_path):
    for arguments in ([], [tmp_path], ["--flow", "dis"], [tmp_path, "--flow"]):
        finished = pipeline(*arguments)
        assert finished.returncode == 2
        assert finished.stderr.startswith("Give a video and the folder")


def test_paths_given_to_the_pipeline_are_of_the_callers_folder(video, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "anime_interp_full.ckpt").write_text("text")
    finished = pipeline(video, "out", "--flow", "rfr", "--checkpoints", "mine", cwd=tmp_path)
    assert finished.returncode == 2
    assert finished.stderr.startswith("mine/anime_interp_full.ckpt ")


@pytest.mark.slow
def test_the_pipeline_on_a_real_clip(tmp_path):
    clip, out = tmp_path / "clip.mp4", tmp_path / "out"
    frames = itertools.islice(Reader(require_shared("data/clip.mp4")), 66, 90)  # something moves straight and evenly
    with Writer(clip, Encoding((540, 960), Fraction(24))) as writer:
        for frame in frames:
            writer.write(frame.pixels)
    finished = pipeline(clip, out, "--flow", "dis", "--sensitivty", "2")
    assert finished.returncode == 2
    assert not out.exists()
    finished = pipeline(clip, out, "--flow", "dis", "--device", "cpu")
    assert finished.returncode == 0, finished.stderr
    source = open_source(out)
    assert len(source) >= 1
    for triplet in source:
        assert triplet.frames.shape == (3, 3, 540, 960)
        first, _, last = triplet.frames.split(1)
        warped = backwarp(last, triplet.flows[0][None], quirk=False)
        assert (first - warped).abs().mean() < 0.7 * (first - last).abs().mean()
    again = pipeline(clip, out, "--flow", "dis", "--device", "cpu")
    assert again.returncode == 0
    said = again.stderr.splitlines()
    assert len(said) == 5
    assert all(line.endswith("already exists; nothing to do.") for line in said)


def test_flows_of_other_weights_are_told_apart(tmp_path, monkeypatch):
    def identity(precision: str = "auto") -> str:
        return flow_estimator("dis", "cpu", precision, None)[0]

    assert identity() == "dis"
    monkeypatch.setattr(flows, "weights_of", lambda name, folder: {"weights": tmp_path / "weights.ckpt"})
    found = []
    for content in (b"1", b"2"):
        (tmp_path / "weights.ckpt").write_bytes(content)
        found += [identity(), identity("fp32")]
    assert len(set(found)) == 4
    assert {one.split()[0] for one in found} == {"dis"}
