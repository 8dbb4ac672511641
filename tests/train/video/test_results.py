"""Where an interpolated video goes: animations, Y4M, streams, links; who else may be there; what is refused at once."""

import errno
import json
import mmap
import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from _train.frame_interpolation.video import interpolate, part_writer, results
from _train.frame_interpolation.video.interpolate import Options, Summary, interpolate_video
from _util import drawings, encoders, icc, locks, png
from _util.colour import Colour
from _util.errors import InputError
from _util.video import Encoding, Reader, Writer
from tests import soak

ROOT = Path(__file__).parents[3]
H, W = 64, 96


class Mean:
    """Draws the mean of two frames, and counts."""

    def __init__(self):
        self.drawn = 0

    def prepare(self, frame0, frame1):
        return frame0, frame1

    def draw(self, pair, times):
        for _ in times:
            self.drawn += 1
            yield lambda: cv2.addWeighted(pair[0], 0.5, pair[1], 0.5, 0)


def run(source: Path, out: Path, drawer: Mean | None = None, **options) -> Summary:
    flags = {name: options.pop(name) for name in ("resume", "overwrite") if name in options}
    return interpolate_video(source, out, Options(**options), lambda: (drawer or Mean(), {}), **flags)


def picture(i: int) -> np.ndarray:
    pixels = np.full((H, W, 3), 230, np.uint8)
    cv2.circle(pixels, (20 + 3 * abs((i + 16) % 32 - 16), 30), 14, (200, 60, 40), -1)
    return pixels


def make(path: Path, count: int = 8, rate: int = 12, **options) -> Path:
    with Writer(path, Encoding((H, W), Fraction(rate), **options)) as writer:
        for i in range(count):
            writer.write(picture(i))
    return path


@pytest.mark.parametrize(("out", "what"), [("out", "drawings"), ("out.y4m", "frames"), ("out.webp", "pictures")])
def test_sound_that_is_left_out_is_reported(tmp_path, out, what, notes):
    source = make(tmp_path / "silent.mkv", codec="ffv1", source="rgb24")
    with av.open(source) as silent, av.open(tmp_path / "in.mkv", "w") as container:
        picture = container.add_stream_from_template(silent.streams.video[0], opaque=True)
        sound = container.add_stream("flac", rate=48000)
        for packet in silent.demux(video=0):
            if packet.size:
                packet.stream = picture
                container.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), "s16", "mono")
        frame.rate, frame.pts = 48000, 0
        container.mux([*sound.encode(frame), *sound.encode(None)])
    run(tmp_path / "in.mkv", tmp_path / out)
    assert f"{tmp_path / out} holds {what} only; sound and all other streams are left out." in notes()


@pytest.mark.parametrize("suffix", [".webp", ".apng"])
def test_animations_of_different_delays_keep_their_length(tmp_path, suffix):
    delays = [100, 50, 200, 80, 120, 300]
    first, *others = (Image.fromarray(picture(i)) for i in range(6))
    kind = {".apng": "PNG", ".webp": "WebP"}[suffix]
    first.save(tmp_path / f"in{suffix}", kind, save_all=True, append_images=others, duration=delays, lossless=True)
    reader = Reader(tmp_path / f"in{suffix}")
    assert (float(reader.duration), float(reader.rate)) == pytest.approx((0.85, 6 / 0.85))
    summary = run(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}")
    assert summary.frames == 12


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng"])
def test_animations_are_written_and_read(tmp_path, suffix, notes):
    source = make(tmp_path / "in.mkv", codec="ffv1", source="rgb24")
    out = tmp_path / f"out{suffix}"
    summary = run(source, out, fps=Fraction(24))
    assert not any("other streams" in note for note in notes())
    with Image.open(out) as shown:
        assert shown.n_frames == pytest.approx(summary.frames, abs=1)
        assert shown.info["loop"] == 0
        assert np.abs(np.array(shown.convert("RGB")).astype(int) - picture(0)).mean() < (
            3 if suffix == ".gif" else 0.01
        )
    reader = Reader(out)
    frames = list(reader)
    assert not reader.alpha
    assert reader.rate == pytest.approx(24, abs=2)  # of two equal frames, WebP makes one
    assert reader.end == pytest.approx(8 / 12, abs=0.05)
    assert run(out, tmp_path / "again.mkv").source_frames == len(frames)
    with pytest.raises(InputError, match="for videos"):
        run(source, out, codec="libx264", overwrite=True)
    with pytest.raises(InputError, match=r"no more than (50|90) frames a second; choose"):
        run(source, tmp_path / f"fast{suffix}", fps=Fraction(120))


def test_y4m_is_written_and_read(tmp_path):
    source = make(tmp_path / "in.mp4")
    summary = run(source, tmp_path / "out.y4m")
    assert len(list(Reader(tmp_path / "out.y4m"))) == summary.frames == 16
    assert run(tmp_path / "out.y4m", tmp_path / "again.mp4").source_frames == 16


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("out.mpg", {}),
        ("out.vob", {}),
        ("out.mxf", {}),
        ("out.ivf", {}),
        ("out.avi", {"codec": "rawvideo"}),
        ("out.nut", {"codec": "rawvideo"}),
    ],
)
def test_containers_of_other_codecs_hold_all_frames(tmp_path, name, options):
    source = make(tmp_path / "in.mp4")
    assert run(source, tmp_path / name, **options).frames == 16
    frames = list(Reader(tmp_path / name))
    assert len(frames) == 16
    assert np.abs(frames[0].pixels.astype(int) - picture(0)).mean() < 3


def test_drawings_are_read_and_written_in_order_by_several_threads(tmp_path, monkeypatch):
    source = make(tmp_path / "in.mp4")
    results_of_threads = []
    for threads in (1, 4):
        monkeypatch.setattr(results, "PICTURES", threads)
        monkeypatch.setattr(drawings, "PICTURES", threads)
        run(source, tmp_path / f"drawings{threads}")
        run(tmp_path / f"drawings{threads}", tmp_path / f"again{threads}.y4m")
        results_of_threads.append((tmp_path / f"again{threads}.y4m").read_bytes())
    assert results_of_threads[0] == results_of_threads[1]


def test_a_disk_that_is_full_when_y4m_is_joined(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(results.shutil, "copyfileobj", full)
    with pytest.raises(InputError, match=r"cannot be written .*; make room"):
        run(make(tmp_path / "in.mp4"), tmp_path / "out.y4m")


@pytest.mark.parametrize("name", ["out.y4m", "out.mp4", "out.webm", "out.gif", "out"])
def test_pixels_that_are_not_square_are_kept_or_reported(tmp_path, name, notes):
    source, out = make(tmp_path / "in.mkv", aspect=Fraction(32, 27)), tmp_path / name
    run(source, out)
    said = any("Pixels of 32/27 width to height cannot be written" in note for note in notes())
    aspect = Reader(out, 24 if out.is_dir() else None).aspect
    assert (aspect == Fraction(32, 27)) != said
    assert said == (name not in ("out.y4m", "out.mp4"))


@pytest.mark.parametrize("name", ["sRGB", "gamma 1.8"])
def test_colours_of_drawings_are_kept_or_reported(tmp_path, name, notes):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = srgb if name == "sRGB" else icc.of_gamma(1.8)
    (tmp_path / "in").mkdir()
    for i in range(3):
        Image.fromarray(picture(i)).save(tmp_path / f"in/{i}.png", icc_profile=profile, dpi=(300, 300))
    for out in ("out", "out.mp4", "out.gif"):
        run(tmp_path / "in", tmp_path / out)
        is_reported = any("cannot store the colour space" in note for note in notes())
        assert is_reported == (name != "sRGB" and out != "out")
    drawn = sorted((tmp_path / "out").iterdir())
    assert len(drawn) == 6
    for path in drawn:
        with Image.open(path) as written:
            assert written.info["icc_profile"] == profile
            assert written.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_drawings_of_hdr_video_say_so(tmp_path, notes):
    source = make(tmp_path / "in.mkv", codec="libx265", deep=True, colour=Colour(9, 1, 9, 16))
    run(source, tmp_path / "out.mkv", codec="libx265")
    assert not any("cannot store the colour space" in note for note in notes())
    run(source, tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        assert png.read(path.read_bytes()) == (png.Chunk(b"cICP", bytes([9, 16, 0, 1])),)
    run(source, tmp_path / "out.webp")
    assert any("cannot store the colour space" in note for note in notes())


@pytest.mark.parametrize("clear", [False, True])
def test_a_palette_is_rgb_and_clear_only_where_a_colour_is(tmp_path, clear, notes):
    source = tmp_path / "in.mov"
    colours = np.arange(4 * 256, dtype=np.uint32).reshape(256, 4).astype(np.uint8)
    colours[:, 3] = 255  # as a palette is stored: blue, green, red, alpha
    colours[7, 3] = 0 if clear else 255
    with av.open(source, "w") as container:
        stream = container.add_stream("png", rate=12, pix_fmt="pal8", height=H, width=W)
        for i in range(3):
            frame = av.VideoFrame(W, H, "pal8")
            frame.planes[0].update(np.full((H, frame.planes[0].line_size), i + 5, np.uint8).tobytes())
            frame.planes[1].update(colours.tobytes())
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    reader = Reader(source)
    assert reader.alpha == clear
    assert reader.colour.matrix == 5  # not that of RGB, which frames of Y'CbCr cannot have
    run(source, tmp_path / "out.mov")
    assert any("keeps alpha" in note for note in notes()) == clear
    assert Reader(tmp_path / "out.mov", keep_alpha=True).alpha == clear


def start(*arguments: str, **more) -> subprocess.Popen:
    program = [sys.executable, "-m", "_scripts.interpolate_video", *arguments]
    program += ["--flow", "dis", "--synthesis", "splat", "--device", "cpu"]
    return subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


@pytest.mark.slow
def test_frames_stream_through_pipes(tmp_path):
    source = make(tmp_path / "in.mp4", count=30)
    running = start(str(source), "-")
    frames, said = running.communicate(timeout=120)
    assert running.returncode == 0, said
    assert b"- has 60 frames" in said
    assert frames.startswith(b"YUV4MPEG2 W96 H64 F24:1")
    assert (frames.count(b"YUV4MPEG2"), frames.count(b"FRAME\n")) == (1, 60)
    (tmp_path / "drawn.y4m").write_bytes(frames)
    running = start("-", str(tmp_path / "again.mp4"), stdin=subprocess.PIPE)
    _, said = running.communicate(frames, timeout=120)
    assert running.returncode == 0, said
    assert len(list(Reader(tmp_path / "again.mp4"))) == 120
    with start(str(source), "-") as running:
        running.stdout.read(10)
        running.stdout.close()  # as `| head` does
        assert b"Broken pipe" not in running.stderr.read()
    assert running.returncode == 1


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_list_of_scenes_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    drawer = Mean()
    with pytest.raises(InputError, match=r"/proc/scenes\.csv cannot be written"):
        interpolate_video(
            make(tmp_path / "in.mp4"),
            tmp_path / "out.mp4",
            Options(),
            lambda: (drawer, {}),
            scenes=Path("/proc/scenes.csv"),
        )
    assert drawer.drawn == 0
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_one_run_at_a_time(tmp_path):
    source, out = make(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    link = tmp_path / "link.mp4"
    link.symlink_to(out)

    class Other(Mean):
        def draw(self, pair, times):
            for place in (out, link):
                with pytest.raises(InputError, match=rf"in use by another run \(process {os.getpid()} on"):
                    run(source, place, fps=Fraction(60), overwrite=True)
            return super().draw(pair, times)

    assert run(source, out, Other()).frames == 16
    assert run(source, out, overwrite=True).frames == 16
    with locks.holding(out):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "link.mp4", "out.mp4"]


def test_a_link_is_followed(tmp_path):
    source = make(tmp_path / "in.mp4")
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "real.mp4"
    link = tmp_path / "link.mp4"
    link.symlink_to(real)
    run(source, link)
    assert link.is_symlink()
    assert len(list(Reader(real))) == 16
    with pytest.raises(InputError, match="exists; replace it with --overwrite"):
        run(source, link)
    run(source, link, fps=Fraction(12), overwrite=True)
    assert link.is_symlink()
    assert len(list(Reader(real))) == 8


def test_the_kind_of_a_linked_result_is_that_of_the_name_given(tmp_path):
    (tmp_path / "link.mp4").symlink_to(tmp_path / "abc")
    run(make(tmp_path / "in.mp4"), tmp_path / "link.mp4")
    assert (tmp_path / "abc").is_file()
    assert len(list(Reader(tmp_path / "abc"))) == 16
    assert sorted(path.name for path in tmp_path.iterdir()) == ["abc", "in.mp4", "link.mp4"]


def test_the_longest_names_work(tmp_path):
    source = make(tmp_path / "in.mp4")
    for name in ("x" * 251 + ".mp4", "é" * 125 + ".mkv", "y" * 255):
        run(source, tmp_path / name)
        assert len(list(Reader(tmp_path / name))) == 16
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_names_that_are_no_text_work(tmp_path):
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/i\xff.mp4"))
    make(tmp_path / "in.mp4").rename(source)
    for suffix in (b".mp4", b""):
        out = Path(os.fsdecode(os.fsencode(tmp_path) + b"/o\xfe" + suffix))
        assert run(source, out).frames == 16
        assert len(list(Reader(out))) == 16
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/o\xfe"))
    (folder / "000000.png").rename(Path(os.fsdecode(os.fsencode(folder) + b"/\xfd000000.png")))
    run(folder, tmp_path / "again.mkv")


def test_a_colon_in_a_name_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(make(Path("shot:1.mp4")), Path("shot:2.mp4")).frames == 16


def test_mistakes_are_found_before_pytorch_is_imported(tmp_path):
    """What is wrong with names, weights and the source."""
    make(tmp_path / "in.mp4")
    (tmp_path / "weights").mkdir()
    mistakes = [
        (["none.mp4"], "There is no video none.mp4."),
        (["in.mp4", "--synthesis", "nonsense"], "There is no synthesis 'nonsense'"),
        (["in.mp4", "--device", "tpu"], "There is no device 'tpu'"),
        (
            ["in.mp4", "--synthesis", "rife"],
            "There are no weights for rife: run python -m _scripts.get_weights rife --checkpoints weights, or put ",
        ),
        (["in.mp4", "--synthesis", "ssl", "--flow", "dis"], "There are no weights for ssl"),
        (["in.mp4", "--synthesis", "splat", "--flow", "rfr"], "There are no weights for rfr"),
    ]
    program = (
        "import json, sys\n"
        "from _scripts import interpolate_video\n"
        "from _util.errors import InputError\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['', arguments[0], 'out.mp4', *arguments[1:], '--checkpoints', 'weights']\n"
        "    try:\n"
        "        interpolate_video.main()\n"
        "    except InputError as error:\n"
        "        print(error)\n"
        "assert 'torch' not in sys.modules\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, json.dumps([arguments for arguments, _ in mistakes])],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    for said, (_, expected) in zip(finished.stdout.splitlines(), mistakes, strict=True):
        assert said.startswith(expected)


@pytest.mark.parametrize("places", [("-", "out.mp4"), ("in.mp4", "-")])
def test_streams_are_not_resumed(places):
    with pytest.raises(InputError, match="--resume needs files"):
        run(*map(Path, places), resume=True)


@pytest.mark.slow
def test_memory_is_flat(tmp_path):
    """`python -m tests.soak` does it for longer."""
    assert soak.growth(soak.run(2400, tmp_path, Mean()), warm=800) < 10


@pytest.mark.slow
def test_what_is_not_let_go_is_found(tmp_path):
    class Keeping(Mean):
        kept: list[mmap.mmap] = []  # noqa: RUF012 - what leaks is shared by all

        def prepare(self, frame0, frame1):
            self.kept.append(mmap.mmap(-1, 32_768))  # not of the heap, where earlier tests have left room
            self.kept[-1].write(bytes(32_768))
            return frame0, frame1

    assert soak.growth(soak.run(2400, tmp_path, Keeping()), warm=800) > 15


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("out.mp4", {"codec": "hevc_nvenc"}, "hevc_nvenc needs hardware, and this machine has no NVENC device"),
        ("out.mp4", {"codec": "h264_qsv"}, "this machine has no Quick Sync device; libx265 works everywhere"),
        ("out.mp4", {"codec": "h264_videotoolbox"}, "this machine has no VideoToolbox"),
        ("out.mp4", {"preset": "nonsense"}, "no preset nonsense; it has ultrafast, superfast, "),
        ("out.mkv", {"codec": "libsvtav1", "preset": "99"}, "no preset 99; it has numbers from -"),
        ("out.mp4", {"crf": 99}, "--crf is 99; for libx264 it is from 0, the best, to 51"),
        ("shot.001", {}, "shot.001 names no container"),
        ("out.ts", {"codec": "ffv1"}, "does not hold video of ffv1"),
        ("out.mpg", {"codec": "libx264"}, "Video of libx264 cannot be read from .mpg again"),
        ("out.%04d.png", {}, "out.%04d.png is one picture; numbered drawings need a folder"),
        ("out.JPG", {}, "out.JPG is one picture"),
        (".mp4", {}, "mp4 is a suffix without a name"),
        ("out.264", {}, "Video of libx264 cannot be read from .264 again"),
        ("out.mpg", {"codec": "mpeg1video", "fps": Fraction(20)}, "cannot encode 96×64 in yuv420p, 20 a second"),
    ],
)
def test_what_cannot_be_encoded_is_refused_before_the_work(tmp_path, capfd, name, options, says):
    source = make(tmp_path / "in.mp4")
    capfd.readouterr()

    def create():
        raise AssertionError("the work has begun")

    with pytest.raises(InputError, match=says) as caught:
        interpolate_video(source, tmp_path / name, Options(**options), create)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(
    ("codec", "wanted"),
    [
        ("libx264", {"crf": "23"}),
        ("libx265", {"crf": "23"}),
        ("h264_nvenc", {"rc": "vbr", "cq": "23"}),
        ("h264_qsv", {"global_quality": "23"}),
        ("h264_amf", {"qp_i": "23", "qp_p": "23"}),
        ("mpeg4", {"qmin": "23", "qmax": "23"}),
    ],
)
def test_quality_is_what_each_encoder_calls_it(codec, wanted):
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    options = encoders.options(encoders.find(codec), 23, None, None)
    assert wanted.items() <= options.items()


def test_worse_quality_takes_less_room(tmp_path):
    source = make(tmp_path / "in.mkv", count=4, codec="ffv1")
    for codec, suffix in (("mpeg4", ".avi"), ("mjpeg", ".avi"), ("libvpx-vp9", ".webm"), ("mpeg2video", ".ts")):
        sizes = []
        for crf in (2, 25):
            run(source, tmp_path / f"{crf}{suffix}", codec=codec, crf=crf, overwrite=True, fps=Fraction(24))
            sizes.append((tmp_path / f"{crf}{suffix}").stat().st_size)
        assert sizes[1] < sizes[0]


@pytest.mark.parametrize("suffix", [".mkv", ""])
def test_where_drawing_takes_long_each_frame_is_kept(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(part_writer, "KEPT_SECONDS", 0)
    source = make(tmp_path / "in.mkv", count=20, codec="ffv1")
    run(source, tmp_path / f"whole{suffix}")

    class Killed(Mean):
        def draw(self, pair, times):
            if self.drawn == 10:
                while len(list(tmp_path.glob(".out*.parts/drawn/0*.npz"))) < 5:
                    time.sleep(0.01)
                raise KeyboardInterrupt
            return super().draw(pair, times)

    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / f"out{suffix}", Killed())
    drawer = Mean()
    run(source, tmp_path / f"out{suffix}", drawer, resume=True)
    assert drawer.drawn <= 19 - 5
    for one, other in zip(Reader(tmp_path / f"out{suffix}"), Reader(tmp_path / f"whole{suffix}"), strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_damaged_part_is_reported_and_drawn_again(tmp_path, capsys):
    source = make(tmp_path / "in.mkv", count=120, codec="ffv1")
    run(source, tmp_path / "whole.mkv")

    class Killed(Mean):
        def draw(self, pair, times):
            if self.drawn == 110:
                raise KeyboardInterrupt
            return super().draw(pair, times)

    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out.mkv", Killed())
    parts = sorted((tmp_path / ".out.mkv.parts").glob("*.nut"))
    assert len(parts) == 4
    os.truncate(parts[1], 1000)
    capsys.readouterr()
    drawer = Mean()
    assert run(source, tmp_path / "out.mkv", drawer, resume=True).frames == 240
    assert "000001.nut is damaged: drawn again." in capsys.readouterr().err
    assert drawer.drawn == 24 + 23
    assert (tmp_path / "out.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()


def test_killed_after_the_result_has_appeared_resuming_ends_well(tmp_path, monkeypatch):
    source, out = make(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    with monkeypatch.context() as patched:
        patched.setattr(interpolate.Parts, "discard", lambda self: None)
        before = run(source, out)
    assert (tmp_path / ".out.mp4.parts").is_dir()
    content = out.read_bytes()
    assert run(source, out, resume=True) == before
    assert out.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


@pytest.mark.parametrize(
    ("name", "says"), [("out.xyz", "out.xyz names no"), ("out.ogv", "out.ogv does not hold video")]
)
def test_containers_that_do_not_fit_are_named_whatever_the_colour_tags(tmp_path, name, says):
    source = make(tmp_path / "in.mkv", colour=Colour(matrix=1))
    with pytest.raises(InputError, match=f"^{says}"):
        run(source, tmp_path / name)
