"""Pictures through every codec and back, as FFmpeg's own program decodes them: in the pixel format that keeps most."""

import itertools
import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from av.sidedata.sidedata import Type

from _train.frame_interpolation.video import interpolate as videos
from _util import chroma, colour, hdr, image, pixel_formats, video
from _util.alpha import opaque
from _util.colour import Colour
from _util.errors import InputError
from _util.video import Encoding, Reader, Writer

H, W, BAR = 96, 128, 16
KR_KB = {colour.BT709: (0.2126, 0.0722), colour.BT601: (0.299, 0.114), 9: (0.2627, 0.0593)}
MATRICES = {colour.BT709: "bt709", colour.BT601: "bt470bg", 9: "bt2020nc"}
RANGES = {colour.LIMITED: "tv", colour.FULL: "pc"}

with_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="FFmpeg's program is not installed")


def bars(deep: bool, alpha: bool = False) -> np.ndarray:
    """(H, W, 3 or 4): above, bars of all hues, flat; below, a ramp of grey of as many levels as 10 bits have there."""
    hues = np.linspace(0, 1, W // BAR, endpoint=False)
    rgb = np.clip(np.abs((hues[:, None] * 6 + [0, 4, 2]) % 6 - 3) - 1, 0, 1) * 0.8 + 0.1
    picture = np.empty((H, W, 3))
    picture[: H // 2] = np.repeat(rgb, BAR, 0)
    picture[H // 2 :] = np.round(np.linspace(0, 1, W) * 1023)[:, None] / 1023
    if alpha:
        picture = np.dstack([picture, np.tile(np.linspace(0, 1, H)[:, None], (1, W))])
    largest, dtype = (65535, np.uint16) if deep else (255, np.uint8)
    return (picture * largest).round().astype(dtype)


def expected(pixels: np.ndarray, name: str, tags: Colour) -> list[np.ndarray]:
    """The planes that the standard gives, not rounded."""
    pixel_format = av.VideoFormat(name)
    bits = pixel_format.components[0].bits
    red, green, blue = np.moveaxis(pixels[:, :, :3] / np.iinfo(pixels.dtype).max, 2, 0)
    if pixel_format.is_rgb:
        return [plane * (2**bits - 1) for plane in (green, blue, red)]
    kr, kb = KR_KB[tags.matrix]
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    if tags.range == colour.FULL:
        planes = [luma * (2**bits - 1), *(plane * (2**bits - 1) + 2 ** (bits - 1) for plane in chroma)]
    else:
        step = 2 ** (bits - 8)
        planes = [(luma * 219 + 16) * step, *((plane * 224 + 128) * step for plane in chroma)]
    x, y = W // pixel_format.chroma_width(W), H // pixel_format.chroma_height(H)
    return [planes[0], *(plane[y // 2 :: y, x // 2 :: x] for plane in planes[1:])]


def decode(path: Path, name: str) -> list[np.ndarray]:
    """The planes of the first frame, as FFmpeg's program decodes them."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", name, "-"]
    pixel_format = av.VideoFormat(name, W, H)
    values = np.frombuffer(
        subprocess.run(command, capture_output=True, check=True).stdout,
        np.uint8 if pixel_format.components[0].bits == 8 else "<u2",
    )
    planes = []
    for component in pixel_format.components:
        shape = component.height, component.width
        planes.append(values[: shape[0] * shape[1]].reshape(shape))
        values = values[shape[0] * shape[1] :]
    return planes


def metadata_of(path: Path) -> dict[str, str]:
    """What ffprobe says of the video stream."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_streams", "-of", "json", path]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"][0]


def inner(plane: np.ndarray) -> np.ndarray:
    """The plane without what is near the borders of bars, where subsampled colours mix."""
    h, w = plane.shape
    count, width = W // BAR, w // (W // BAR)
    upper = plane[2 : h // 2 - 2].reshape(-1, count, width)[:, :, 2:-2]
    return np.concatenate([upper.ravel(), plane[h // 2 + 2 : -2, 2:-2].ravel()])


CODECS = [
    ("libx264", ".mp4", {"crf": 1}, ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"]),
    (
        "libx265",
        ".mp4",
        {"crf": 0},
        ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p12le", "gbrp", "gbrp10le"],
    ),
    ("libvpx-vp9", ".webm", {"crf": 0}, ["yuv420p", "yuv422p", "yuv444p", "gbrp"]),
    ("libsvtav1", ".mkv", {"crf": 1}, ["yuv420p", "yuv420p10le"]),
    ("ffv1", ".mkv", {}, ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p12le", "gbrp10le", "gbrp16le"]),
    ("utvideo", ".avi", {}, ["yuv420p", "yuv444p", "gbrp"]),
    ("prores_ks", ".mov", {}, ["yuv422p10le", "yuv444p10le"]),
    ("mpeg4", ".mkv", {"crf": 1}, ["yuv420p"]),
    ("wrapped_avframe", ".y4m", {}, ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"]),
]
WITHOUT_TAGS = ("utvideo", "wrapped_avframe", "prores_ks")  # codecs or containers
LOSSLESS = ("ffv1", "utvideo", "wrapped_avframe")


@with_ffmpeg
@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "suffix", "options", "name"),
    [(codec, suffix, options, name) for codec, suffix, options, names in CODECS for name in names],
)
def test_code_values_and_tags_are_those_of_the_standard(tmp_path, codec, suffix, options, name):
    deep = colour.is_deep(av.VideoFormat(name))
    bits = av.VideoFormat(name).components[0].bits
    limit = 2 if codec == "mpeg4" else 1 if codec in LOSSLESS else 2 ** (bits - 8)  # one of 8 bits
    if bits == 12:  # FFmpeg's conversion from RGB is exact to about 11 bits
        limit = max(limit, 2)
    pixels = bars(deep)
    for matrix, levels in itertools.product(MATRICES, RANGES):
        tags = Colour(matrix, levels, 1, 1)
        path = tmp_path / f"v{suffix}"
        encoding = Encoding((H, W), Fraction(24), codec, colour=tags, pixel_format=name, **options)
        with Writer(path, encoding) as writer:
            for _ in range(3):
                writer.write(pixels)
        stream = metadata_of(path)
        stored = stream["pix_fmt"] if "j" in stream["pix_fmt"] else name
        for found, wanted in zip(decode(path, stored), expected(pixels, name, tags), strict=True):
            difference = np.abs(inner(found.astype(int)) - inner(wanted).round())
            assert difference.max() <= limit, (matrix, levels)
        assert stored.replace("yuvj", "yuv") == name
        if codec not in WITHOUT_TAGS and not name.startswith("gbr"):
            assert stream["color_space"] == MATRICES[matrix]
            assert stream.get("color_range", "tv") == RANGES[levels]


def hashes(path: Path) -> list[str]:
    """Of each frame of a video, as FFmpeg's program decodes it."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-"]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    return [line.split(",")[-1].strip() for line in lines if line[0] != "#"]


def noise(path: Path, name: str, codec: str = "ffv1", tags: Colour | None = None, count: int = 3) -> Path:
    """A video of random values in a pixel format."""
    random = np.random.default_rng(0)
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.height, stream.width, stream.pix_fmt = H, W, name
        context = stream.codec_context
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = (tags or Colour())[:4]
        for i in range(count):
            pixels = random.integers(0, 65536, (H, W, 4), np.uint16)
            frame = av.VideoFrame.from_ndarray(pixels, "rgba64le").reformat(format=name)
            frame.pts, frame.time_base = i, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class Mean:
    """Draws the mean of two frames."""

    def prepare(self, frame0, frame1):
        return frame0, frame1

    def draw(self, pair, times):
        for _ in times:
            yield lambda: cv2.addWeighted(pair[0], 0.5, pair[1], 0.5, 0)


def run(source: Path, out: Path, **options) -> videos.Summary:
    return videos.interpolate_video(source, out, videos.Options(**options), lambda: (Mean(), {}))


@with_ffmpeg
@pytest.mark.parametrize("tags", [Colour(), Colour(1, 2, 1, 1), Colour(9, 1, 9, 16)])
@pytest.mark.parametrize(
    "name",
    [
        *("yuv420p", "yuv422p", "yuv444p", "yuv410p", "yuv420p10le", "yuv422p10le", "yuv444p12le", "gray", "gray10le"),
        *("bgr0", "bgra", "gbrp10le", "gbrap10le", "rgb48le", "yuva420p", "yuva444p10le", "yuva444p16le"),
    ],
)
def test_a_lossless_codec_gives_frames_back_bit_by_bit(tmp_path, name, tags, notes):
    source = noise(tmp_path / "in.mkv", name, tags=tags)
    run(source, tmp_path / "out.mkv", codec="ffv1", dedup=False)
    assert notes() == []
    assert hashes(tmp_path / "out.mkv")[:5:2] == hashes(source)
    before, after = metadata_of(source), metadata_of(tmp_path / "out.mkv")
    for key in ("pix_fmt", "color_space", "color_range", "color_primaries", "color_transfer"):
        if not (name.startswith("g") or "bgr" in name or "rgb" in name) or key == "pix_fmt":
            assert before.get(key) == after.get(key)


@with_ffmpeg
@pytest.mark.parametrize("codec", ["libx264", "mjpeg"])
def test_full_range_that_a_pixel_format_tells_is_given_back_bit_by_bit(tmp_path, codec):
    source = tmp_path / "in.mkv"
    with Writer(source, Encoding((H, W), Fraction(24), codec, colour=Colour(5, colour.FULL, 1, 1))) as writer:
        for i in range(3):
            writer.write(np.roll(bars(False), 8 * i, 1))
    assert Reader(source).pixel_format == "yuvj420p"
    run(source, tmp_path / "out.mkv", codec="ffv1", dedup=False)
    assert hashes(tmp_path / "out.mkv")[:5:2] == hashes(source)
    assert Reader(tmp_path / "out.mkv").colour == Reader(source).colour


@pytest.mark.parametrize(
    ("suffix", "options", "name"),
    [
        (".mkv", {}, "bgra"),
        (".mov", {}, "yuva444p10le"),
        (".mov", {"codec": "qtrle"}, "argb"),
        (".webm", {}, "yuva420p"),
        (".avi", {}, "gbrap"),
        (".apng", {}, "rgba"),
        (".webp", {}, "rgba"),
        (".gif", {}, "bgra"),
        ("", {}, "rgba"),
    ],
)
def test_alpha_is_kept(tmp_path, suffix, options, name):
    drawings = tmp_path / "in"
    drawings.mkdir()
    for i in range(4):
        pixels = np.zeros((H, W, 4), np.uint8)
        cv2.circle(pixels, (40 + 10 * i, 48), 24, (200, 60, 40, 255), -1)
        image.write(drawings / f"{i}.png", pixels)
    out = tmp_path / f"out{suffix}"
    run(drawings, out, **options)
    reader = Reader(out, keep_alpha=True)
    assert reader.alpha
    assert reader.pixel_format == name
    frames = [frame.pixels for frame in reader]
    assert len(frames) in (7, 8)  # libwebp makes one of the last two, which are equal
    assert reader.end == pytest.approx(8 / float(48 if suffix else 24), abs=0.01)
    for frame, truth in zip(frames[::2], Reader(drawings, keep_alpha=True), strict=True):
        alpha = truth.pixels[:, :, 3].astype(int)
        largest = np.iinfo(frame.dtype).max
        assert np.abs(frame[:, :, 3] / largest * 255 - alpha).mean() < 0.5
        shown = opaque(frame) / largest
        assert np.abs(shown * 255 - opaque(truth.pixels)).mean() < 2


@pytest.mark.parametrize(
    ("suffix", "options", "says"),
    [
        (".mp4", {}, "alpha (composited over white)"),
        (".mov", {"codec": "libx264"}, "alpha (composited over white)"),
        (".mp4", {"codec": "libvpx-vp9"}, "has no place for alpha"),
        (".mkv", {"codec": "libsvtav1"}, "alpha (composited over white)"),
    ],
)
def test_alpha_that_cannot_be_kept_is_reported_before_the_work(tmp_path, suffix, options, says, notes):
    source = noise(tmp_path / "in.mkv", "bgra")

    def create():
        assert any(says in note for note in notes())
        return Mean(), {}

    videos.interpolate_video(source, tmp_path / f"out{suffix}", videos.Options(**options), create)
    assert not Reader(tmp_path / f"out{suffix}").alpha


@pytest.mark.parametrize(
    ("codec", "source", "chosen", "lost"),
    [
        ("libx264", "yuv444p", "yuv444p", []),
        ("libx264", "rgb24", "yuv444p", []),
        ("libx264", "yuv422p10le", "yuv422p10le", []),
        ("libx264", "yuv444p12le", "yuv444p10le", ["12 bits"]),
        ("libx265", "yuv444p12le", "yuv444p12le", []),
        ("libsvtav1", "yuv444p", "yuv420p", ["resolution of colour"]),
        ("libsvtav1", "gbrap12le", "yuv420p10le", ["alpha", "12 bits", "resolution of colour"]),
        ("ffv1", "gbrp10le", "gbrp10le", []),
        ("ffv1", "argb", "bgra", []),
        ("prores_ks", "yuv420p", "yuv422p10le", []),
        ("qtrle", "yuva444p10le", "argb", ["10 bits"]),
        ("cfhd", "rgba", "gbrap12le", []),
    ],
)
def test_the_pixel_format_that_keeps_most(codec, source, chosen, lost):
    encoding = Encoding((H, W), Fraction(24), codec, source=source)
    assert video.pixel_format(encoding) == chosen
    found = pixel_formats.lost(source, chosen)
    assert len(found) == len(lost)
    assert all(words in told for words, told in zip(lost, found, strict=True))


def test_another_pixel_format_can_be_asked_for(tmp_path, notes):
    source = noise(tmp_path / "in.mkv", "yuv444p")
    run(source, tmp_path / "out.mp4", pixel_format="yuv420p")
    assert Reader(tmp_path / "out.mp4").pixel_format == "yuv420p"
    assert any("resolution of colour (4:4:4 becomes 4:2:0)" in note for note in notes())
    with pytest.raises(InputError, match="has no pixel format yuv999p; it has yuv420p, "):
        run(source, tmp_path / "none.mp4", pixel_format="yuv999p")


def test_halved_colours_of_odd_sides_are_refused_with_what_helps(tmp_path):
    with (
        pytest.raises(
            InputError, match=r"33×32 in yuv420p.*; make both sides even with --crop or --scale, or leave out"
        ),
        Writer(tmp_path / "v.mp4", Encoding((32, 33), Fraction(24), pixel_format="yuv420p")),
    ):
        pass


@pytest.mark.parametrize(("codec", "suffix"), [("prores_ks", ".mov"), ("utvideo", ".avi"), ("libx264", ".mp4")])
def test_what_tags_cannot_tell_is_converted(tmp_path, codec, suffix):
    """A full range that no tag tells would be shown too dark or too bright."""
    source = tmp_path / "in.mkv"
    with Writer(
        source, Encoding((H, W), Fraction(24), "ffv1", colour=Colour(9, colour.FULL, location=chroma.LEFT))
    ) as writer:
        writer.write(bars(False))
    run(source, tmp_path / f"out{suffix}", codec=codec)
    before, after = (next(iter(Reader(path))).pixels for path in (source, tmp_path / f"out{suffix}"))
    after = after if after.dtype == np.uint8 else (after / 257).round()
    assert np.abs(before.astype(int) - after).mean() < 1.5


def light_of(path: Path) -> hdr.Light | None:
    return Reader(path).light


CORNERS = [(34000, 16000), (13250, 34500), (7500, 3000), (15635, 16450)]  # of P3 and its white, in 1/50000
LIGHT = hdr.Light(
    hdr.Mastering(
        tuple((Fraction(x, 50000), Fraction(y, 50000)) for x, y in CORNERS), (Fraction(1, 1000), Fraction(1000))
    ),
    (1000, 400),
)


@pytest.mark.parametrize("codec", ["libx265", "libx264", "libsvtav1"])
def test_mastering_display_and_light_level_are_carried(tmp_path, codec, notes):
    source = tmp_path / "in.mp4"
    tags = Colour(9, colour.LIMITED, 9, 16, chroma.TOP_LEFT if codec != "libx264" else chroma.LEFT)
    encoding = Encoding((H, W), Fraction(24), "libx265", colour=tags, deep=True, light=LIGHT)
    with Writer(source, encoding) as writer:
        for _ in range(3):
            writer.write(bars(True))
    assert light_of(source) == LIGHT
    run(source, tmp_path / "out.mp4", codec=codec)
    assert notes() == [] or codec == "libx264"
    found = light_of(tmp_path / "out.mp4")
    assert found.content == LIGHT.content
    np.testing.assert_allclose(
        np.array(found.mastering.chromaticities, float), np.array(LIGHT.mastering.chromaticities, float), atol=1e-4
    )
    np.testing.assert_allclose(np.array(found.mastering.luminances, float), [0.001, 1000], rtol=0.1)
    assert Reader(tmp_path / "out.mp4").colour == tags


@pytest.mark.parametrize(
    ("kinds", "called"),
    [
        ([Type.DOVI_METADATA, Type.DOVI_RPU_BUFFER], "Dolby Vision"),
        ([Type.DYNAMIC_HDR_PLUS, Type.DOVI_METADATA], "Dolby Vision and HDR10+"),
        ([Type.A53_CC], "closed captions"),
    ],
)
def test_what_is_of_each_frame_cannot_be_carried_and_is_reported_before_the_work(
    tmp_path, monkeypatch, kinds, called, notes
):
    """No encoder here writes it, so decoded frames are made to have it."""
    source = noise(tmp_path / "in.mkv", "yuv420p10le")
    monkeypatch.setattr(hdr, "side_data", lambda frame: [SimpleNamespace(type=kind) for kind in kinds])
    said = []

    def create():
        said.extend(notes())
        return Mean(), {}

    videos.interpolate_video(source, tmp_path / "out.mkv", videos.Options(codec="libx265"), create)
    assert [note for note in said if "interpolated" in note] == [
        f"{called} of {source} cannot be interpolated: left out."
    ]


def test_light_that_cannot_be_carried_is_reported(tmp_path, notes):
    source = tmp_path / "in.mp4"
    with Writer(source, Encoding((H, W), Fraction(24), "libx265", deep=True, light=LIGHT)) as writer:
        writer.write(bars(True))
    run(source, tmp_path / "out.mkv", codec="ffv1")
    assert "ffv1 has no place for mastering display and content light level; libx265 has." in notes()


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1"])
def test_the_same_frames_give_the_same_bytes(tmp_path, codec):
    """At widths that fill no whole vector of a CPU too."""
    random = np.random.default_rng(0)
    texture = cv2.resize(random.integers(0, 256, (16, 32, 3), np.uint8), (360, 112), interpolation=cv2.INTER_CUBIC)
    frames = [np.ascontiguousarray(texture[:, 3 * i : 3 * i + 240]) for i in range(24)]
    found = set()
    for _ in range(4):
        with Writer(tmp_path / "v.mkv", Encoding((112, 240), Fraction(24), codec)) as writer:
            for pixels in frames:
                writer.write(pixels)
        with av.open(tmp_path / "v.mkv") as container:
            found.add(b"".join(bytes(packet) for packet in container.demux(video=0) if packet.size))
    assert len(found) == 1
