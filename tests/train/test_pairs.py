"""Two image files in, a folder of frames out; or one sentence, and nothing written."""

import os
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from _train.frame_interpolation import pairs
from _util import image
from _util.errors import InputError
from _util.files import temporary_beside
from _util.locks import holding
from _util.pixels import with_channels

SIMPLE = {"flow": "dis", "synthesis": "splat", "device": "cpu"}
BLOBS = cv2.GaussianBlur(np.random.default_rng(0).random((40, 48, 4)), (0, 0), 2)
RGBA = cv2.normalize(BLOBS, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
KINDS = {"grey": RGBA[:, :, 0], "rgb": RGBA[:, :, :3], "rgba": RGBA}


@pytest.fixture
def frames(tmp_path) -> tuple[Path, Path]:
    paths = tmp_path / "a.png", tmp_path / "b.png"
    for i, path in enumerate(paths):
        image.write(path, np.roll(KINDS["rgb"], 2 * i, 1))
    return paths


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def shown(folder: Path) -> list[Path]:
    """The files of a folder that are not hidden."""
    return sorted(path for path in folder.iterdir() if path.name[0] != ".")


@pytest.mark.parametrize("fps", [1, 2, 12, 100])
def test_even_times_and_names(fps):
    times, names = pairs.even_times(fps), pairs.even_names(fps)
    assert len(times) == fps - 1
    assert len(set(names)) == fps + 1
    assert names == sorted(names)
    np.testing.assert_allclose(np.diff([0, *times, 1]), 1 / fps)


def test_names_are_those_of_the_published_script():
    assert pairs.even_names(12) == [f"12_{i:02d}.png" for i in range(13)]
    assert pairs.even_names(2) == ["02_00.png", "02_01.png", "02_02.png"]


@pytest.mark.parametrize(
    ("times", "names"),
    [
        ([0.5], ["t0.50.png"]),
        ([0.25, 0.375], ["t0.250.png", "t0.375.png"]),
        ([0.5, 0.5 + 1e-12], ["t0.500000000000.png", "t0.500000000001.png"]),
    ],
)
def test_names_tell_times_apart(times, names):
    assert pairs.names_by_time(times) == names


def test_both_frames_and_those_between(tmp_path, frames):
    written = pairs.interpolate_files(*frames, tmp_path / "out", fps=4, **SIMPLE)
    assert written == [tmp_path / "out" / f"04_{i:02d}.png" for i in range(5)]
    assert written == shown(tmp_path / "out")
    pictures = [image.read(path) for path in written]
    for picture, path in ((pictures[0], frames[0]), (pictures[-1], frames[1])):
        np.testing.assert_array_equal(picture, image.read(path))
    assert all((first != second).any() for first, second in pairwise(pictures))


def test_times_are_written_alone_and_in_order(tmp_path, frames):
    written = pairs.interpolate_files(*frames, tmp_path / "out", times=[0.75, 0.25, 0.75], **SIMPLE)
    assert [path.name for path in written] == ["t0.25.png", "t0.75.png"]
    assert written == shown(tmp_path / "out")
    early, late = (image.read(path).astype(float) for path in written)
    start = image.read(frames[0])
    assert np.abs(early - start).mean() < np.abs(late - start).mean()


@pytest.mark.parametrize("depths", [(8, 8), (8, 16), (16, 16)])
@pytest.mark.parametrize("kinds", [("grey", "grey"), ("grey", "rgba"), ("rgb", "grey"), ("rgb", "rgba")])
def test_kinds_meet_in_the_richer_one(tmp_path, kinds, depths):
    originals = [
        KINDS[kind] if depth == 8 else KINDS[kind] * np.uint16(257) for kind, depth in zip(kinds, depths, strict=True)
    ]
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path, original in zip(paths, originals, strict=True):
        image.write(path, original)
    written = [image.read(path) for path in pairs.interpolate_files(*paths, tmp_path / "out", fps=2, **SIMPLE)]
    richer = max(originals, key=lambda original: original.size)
    dtype = np.dtype(np.uint8 if depths == (8, 8) else np.uint16)
    assert {(frame.shape, frame.dtype) for frame in written} == {(richer.shape, dtype)}
    for kind, back in zip(kinds, written[::2], strict=True):
        expected = KINDS[kind] if richer.ndim == 2 else with_channels(KINDS[kind], richer.shape[2])
        np.testing.assert_array_equal(back, expected * dtype.type(1 if dtype == np.uint8 else 257))


def test_opaque_meets_transparent(tmp_path):
    paths = [tmp_path / "grey16.png", tmp_path / "rgba.png"]
    image.write(paths[0], KINDS["grey"] * np.uint16(257))
    image.write(paths[1], np.dstack([KINDS["grey"]] * 3 + [np.full((40, 48), 255, np.uint8)]))
    (middle,) = pairs.interpolate_files(*paths, tmp_path / "out", times=[0.5], **SIMPLE)
    expected = np.dstack([KINDS["grey"]] * 3 + [np.full((40, 48), 255)]) * 257.0
    assert np.abs(image.read(middle) - expected).max() <= 257


def test_preview_and_flow(tmp_path, frames):
    out, preview = tmp_path / "out", tmp_path / "elsewhere" / "p.webp"
    pairs.interpolate_files(*frames, out, fps=4, preview=preview, show_flow=True, **SIMPLE)
    with Image.open(preview) as animation:
        assert animation.n_frames == 8
    flows = [image.read(out / name).astype(int) for name in ("flow01.png", "flow10.png")]
    assert all(flow.shape == (40, 48, 3) for flow in flows)
    red, cyan = (flow[10:30, 10:38].mean((0, 1)) for flow in flows)  # to the right and to the left
    assert red[0] > red[2] + 20
    assert cyan[2] > cyan[0] + 20


def test_preview_of_times_holds_both_ends(tmp_path, frames):
    preview = tmp_path / "p.webp"
    pairs.interpolate_files(*frames, tmp_path / "out", times=[0.3, 0.6], preview=preview, **SIMPLE)
    with Image.open(preview) as animation:
        assert animation.n_frames == 6


def places(kind: str, folder: Path) -> dict:
    """Options with a place that cannot be written."""
    (folder / "file").write_text("x")
    (folder / "taken" / "02_01.png").mkdir(parents=True)
    (folder / "taken.webp").mkdir()
    return {
        "a file": {"out": folder / "file"},
        "below a file": {"out": folder / "file" / "x" / "y"},
        "/proc": {"out": Path("/proc/x")},
        "too long": {"out": folder / "new" / ("x" * 300)},
        "a folder is there": {"out": folder / "taken"},
        "preview below a file": {"preview": folder / "file" / "p.webp"},
        "preview in /proc": {"preview": Path("/proc/p.webp")},
        "preview below /proc": {"preview": Path("/proc/x/p.mp4")},
        "preview is a folder": {"preview": folder / "taken.webp"},
        "preview too long": {"preview": folder / f"{'x' * 300}.gif"},
        "preview of no format": {"preview": folder / "p.avi"},
        "over frame 0": {"out": folder, "first": "02_02.png"},
        "over frame 1": {"out": folder, "second": "02_01.png"},
        "flow over frame 0": {"out": folder, "first": "flow01.png", "show_flow": True},
        "preview over frame 1": {"second": "p.webp", "preview": folder / "p.webp"},
    }[kind]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
@pytest.mark.parametrize(
    "kind",
    [
        "a file",
        "below a file",
        "/proc",
        "too long",
        "a folder is there",
        "preview below a file",
        "preview in /proc",
        "preview below /proc",
        "preview is a folder",
        "preview too long",
        "preview of no format",
        "over frame 0",
        "over frame 1",
        "flow over frame 0",
        "preview over frame 1",
    ],
)
def test_places_that_cannot_be_written(tmp_path, capsys, kind):
    options = {"out": tmp_path / "new" / "out", "fps": 2, **places(kind, tmp_path)}
    paths = [tmp_path / options.pop("first", "a.png"), tmp_path / options.pop("second", "b.png")]
    for path in paths:
        Image.fromarray(KINDS["rgb"]).save(path)
    before = contents(tmp_path)
    with pytest.raises(InputError):
        pairs.interpolate_files(*paths, **options, **SIMPLE)
    assert contents(tmp_path) == before
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"flow": "rfr"}, "no weights for rfr"),
        ({"synthesis": "film"}, "no synthesis"),
        ({"device": "abacus"}, "no device"),
        ({"precision": "int8"}, "no precision"),
        ({"times": [1.5]}, "not between"),
        ({"times": [0.5, 2e-18, 1e-18]}, r"times 1e-18 and 2e-18 would both be t0\.0{17}\.png; choose times further"),
        ({"fps": 10**9}, r"fps is 1000000000; up to 9999 frames are drawn between two: at most 10000\."),
    ],
)
def test_nothing_is_written_when_options_are_wrong(tmp_path, capsys, frames, options, says):
    before = contents(tmp_path)
    with pytest.raises(InputError, match=says):
        pairs.interpolate_files(
            *frames,
            tmp_path / "out",
            folder=tmp_path,
            **{"fps": None if "times" in options else 2, **SIMPLE, **options},
        )
    assert contents(tmp_path) == before
    assert not capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_said_so(tmp_path, frames):
    out = tmp_path / "out"
    out.mkdir()
    temporary_beside(temporary_beside(out / "04_02.png")).symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"04_02\.png cannot be written \(No space left on device\)"):
        pairs.interpolate_files(*frames, out, fps=4, **SIMPLE)
    assert [path.name for path in shown(out)] == ["04_00.png", "04_01.png"]
    assert all(image.read(path).shape == (40, 48, 3) for path in shown(out))


def test_a_second_run_to_one_place_is_refused(tmp_path, frames):
    options = {"fps": 2, "preview": tmp_path / "p.webp", **SIMPLE}
    before = contents(tmp_path)
    for held in (tmp_path / "out", tmp_path / "p.webp"):
        says = rf"{held.name} is in use by another run \(process {os.getpid()}"
        with holding(held), pytest.raises(InputError, match=says):
            pairs.interpolate_files(*frames, tmp_path / "out", **options)
        assert contents(tmp_path) == before
    assert len(pairs.interpolate_files(*frames, tmp_path / "out", **options)) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png", "out", "p.webp"}


def test_a_second_run_replaces_what_is_as_it_was_drawn(tmp_path, frames):
    out = tmp_path / "out"
    before = {
        path: path.read_bytes() for path in pairs.interpolate_files(*frames, out, fps=4, show_flow=True, **SIMPLE)
    }
    image.write(frames[1], np.roll(KINDS["rgb"], 4, 1))
    pairs.interpolate_files(*frames, out, fps=4, show_flow=True, **SIMPLE)
    changed = [path.name for path, data in before.items() if path.read_bytes() != data]
    assert changed == [f"04_0{i}.png" for i in range(1, 5)]


@pytest.mark.parametrize("name", ["04_02.png", "04_00.png", "flow10.png"])
@pytest.mark.parametrize("is_drawn", [True, False])
def test_what_was_edited_or_is_of_others_is_replaced_only_on_request(tmp_path, frames, name, is_drawn):
    out = tmp_path / "out"
    options = {"fps": 4, "show_flow": True, **SIMPLE}
    if is_drawn:
        pairs.interpolate_files(*frames, out, **options)
    out.mkdir(exist_ok=True)
    image.write(out / name, KINDS["grey"])
    before = contents(tmp_path)
    says = rf"{name} was {'changed since it was drawn' if is_drawn else 'not drawn here'}; .* --overwrite\.$"
    for _ in range(2):
        with pytest.raises(InputError, match=says):
            pairs.interpolate_files(*frames, out, **options)
        assert contents(tmp_path) == before
    pairs.interpolate_files(*frames, out, overwrite=True, **options)
    assert image.read(out / name).ndim == 3
    pairs.interpolate_files(*frames, out, **options)


def test_frames_of_other_names_and_content_replace_nothing(tmp_path, frames):
    out, others = tmp_path / "out", [tmp_path / "others" / path.name for path in frames]
    pairs.interpolate_files(*frames, out, fps=2, **SIMPLE)
    others[0].parent.mkdir()
    for path, pixels in zip(others, (KINDS["rgb"][::-1], KINDS["rgb"][:, ::-1]), strict=True):
        image.write(path, pixels)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"out holds drawings between other frames; choose another --out"):
        pairs.interpolate_files(*others, out, fps=2, **SIMPLE)
    assert contents(tmp_path) == before
    for path, other in zip(frames, others, strict=True):  # both are repainted in place
        path.write_bytes(other.read_bytes())
    pairs.interpolate_files(*frames, out, fps=2, **SIMPLE)
    pairs.interpolate_files(*others, out, fps=2, **SIMPLE)  # of other names, but the same
    image.write(others[0], KINDS["rgb"])
    image.write(others[1], KINDS["rgb"])
    pairs.interpolate_files(*frames, out, fps=2, overwrite=True, **SIMPLE)


def test_the_next_pair_replaces_nothing_of_a_pair_that_shares_a_frame(tmp_path, frames):
    out, last = tmp_path / "out", tmp_path / "c.png"
    image.write(last, np.roll(KINDS["rgb"], 4, 1))
    pairs.interpolate_files(*frames, out, fps=2, **SIMPLE)
    before = contents(tmp_path)
    for other in ((frames[1], last), (last, frames[0]), frames[::-1], (frames[0], last)):
        with pytest.raises(InputError, match=r"out holds drawings between other frames; choose another --out"):
            pairs.interpolate_files(*other, out, fps=2, **SIMPLE)
        assert contents(tmp_path) == before
    pairs.interpolate_files(frames[1], last, out, fps=2, overwrite=True, **SIMPLE)
    image.write(last, KINDS["rgb"])  # corrected
    pairs.interpolate_files(frames[1], last, out, fps=2, **SIMPLE)


def test_an_edited_frame_stands_in_the_way_of_none_but_its_own(tmp_path, frames):
    out = tmp_path / "out"
    pairs.interpolate_files(*frames, out, times=[0.25, 0.75], **SIMPLE)
    image.write(out / "t0.25.png", KINDS["grey"])
    pairs.interpolate_files(*frames, out, times=[0.5, 0.75], **SIMPLE)
    with pytest.raises(InputError, match=r"t0\.25\.png was changed since"):
        pairs.interpolate_files(*frames, out, times=[0.25], **SIMPLE)
    np.testing.assert_array_equal(image.read(out / "t0.25.png"), KINDS["grey"])
