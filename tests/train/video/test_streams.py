"""What lies beside the picture: covers, fonts, order and dispositions of tracks, clocks that begin early or late."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from _train.frame_interpolation.video.excerpt import Excerpt
from _train.frame_interpolation.video.interpolate import Options, Summary, interpolate_video
from _util import packets, video
from _util.video import Reader
from tests.train.video.first import First

H, W, RATE = 64, 96, 24


def run(source: Path, out: Path, **options) -> Summary:
    return interpolate_video(source, out, Options(**options), lambda: (First(), {}))


def cover(kind: str = "PNG") -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(encoded, kind)
    return encoded.getvalue()


def make(
    path: Path,
    tracks: tuple[str, ...] = ("video", "audio"),
    *,
    sound: str = "aac",
    with_cover: bool = False,
    with_font: bool = False,
    video_at: float = 0,
    sound_at: float = 0,
    seconds: int = 1,
    frames: int | None = None,
    chapters: tuple[tuple[int, int], ...] = (),  # starts and ends, in ms
    timecode: str | None = None,
) -> Path:
    """A second of video, of sound with a click in the middle of its time, in the given order of tracks.

    The picture turns white at the very moment of the click, whenever both begin.
    """
    click = (max(video_at, sound_at) + min(video_at, sound_at) + seconds) / 2
    with av.open(path, "w") as container:
        streams = []
        for i, kind in enumerate(tracks):
            if kind == "video":
                stream = container.add_stream("libx264", rate=RATE, options={"bf": "0"})
                stream.height, stream.width = H, W
                stream.metadata.update({} if timecode is None else {"timecode": timecode})
            else:
                stream = container.add_stream(sound, rate=48000, layout="mono")
                stream.metadata["language"] = ["jpn", "eng", "fra"][i % 3]
                stream.disposition = Disposition.default if kind == "audio" else Disposition.comment
            streams.append(stream)
        if with_cover and path.suffix == ".mkv":
            container.add_attachment("cover.png", "image/png", cover())
        elif with_cover:
            picture = container.add_stream("png", rate=1, pix_fmt="rgb24", height=32, width=32)
            picture.disposition = Disposition.attached_pic
        if with_font:
            container.add_attachment("font.ttf", "font/ttf", b"font" * 100)
        container.set_chapters(
            [
                {"id": i, "start": start, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": f"{i}"}}
                for i, (start, end) in enumerate(chapters)
            ]
        )
        if with_cover and path.suffix != ".mkv":
            packet = av.Packet(cover())
            packet.stream, packet.pts, packet.dts, packet.time_base = picture, 0, 0, Fraction(1)
            container.mux(packet)
        for kind, stream in zip(tracks, streams, strict=True):
            if kind == "video":
                for i in range(frames or RATE * seconds):
                    is_white = abs(video_at + i / RATE - click) < 0.5 / RATE
                    pixels = np.full((H, W, 3), 230 if is_white else 20, np.uint8)
                    pixels[i % H] = 128
                    frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
                    frame.pts, frame.time_base = round((video_at + i / RATE) * 90000), Fraction(1, 90000)
                    stream.codec_context.time_base = Fraction(1, 90000)
                    container.mux(stream.encode(frame))
            else:
                samples = np.zeros(48000 * seconds, np.float32)
                middle = round((click - sound_at) * 48000)
                samples[middle : middle + 100] = 0.9
                for i in range(0, len(samples), 1024):
                    block = samples[None, i : i + 1024]
                    if sound in ("flac", "pcm_s16le", "libopus"):
                        frame = av.AudioFrame.from_ndarray((block * 20000).astype(np.int16), "s16", "mono")
                    else:
                        frame = av.AudioFrame.from_ndarray(block, "fltp", "mono")
                    frame.rate, frame.pts, frame.time_base = 48000, i + round(sound_at * 48000), Fraction(1, 48000)
                    container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def lag(path: Path) -> float:
    """Seconds from the click to the flash."""
    with av.open(path) as container:
        flash = max(container.decode(video=0), key=lambda frame: frame.to_ndarray(format="gray").mean()).time
    return flash - heard(path)


def heard(path: Path) -> float:
    """The time of the click, in seconds."""
    with av.open(path) as container:
        loudest = max(container.decode(audio=0), key=lambda frame: np.abs(frame.to_ndarray()).max())
        return loudest.time + np.abs(loudest.to_ndarray()).max(0).argmax() / loudest.rate


def kinds(path: Path) -> list[str]:
    with av.open(path) as container:
        return ["cover" if s.disposition & Disposition.attached_pic else s.type for s in container.streams]


@pytest.mark.parametrize("before", [".mkv", ".mp4"])
@pytest.mark.parametrize("after", [".mkv", ".mp4", ".mov", ".webm", ".ts"])
def test_a_cover_stays_a_cover_or_is_left_out(tmp_path, before, after, notes):
    out = tmp_path / f"out{after}"
    run(make(tmp_path / f"in{before}", with_cover=True), out)
    if after in (".mkv", ".mp4"):
        assert kinds(out) == ["video", "audio", "cover"]
        with av.open(out) as container:
            stream = next(s for s in container.streams if s.disposition & Disposition.attached_pic)
            assert next(bytes(packet) for packet in container.demux(stream) if packet.size) == cover()
        assert not notes()
    else:
        assert kinds(out) == ["video", "audio"]
        assert any("stream 2 (video, png): left out" in note for note in notes())


def test_a_font_stays_an_attachment(tmp_path, notes):
    source = make(tmp_path / "in.mkv", with_font=True)
    run(source, tmp_path / "out.mkv")
    assert kinds(tmp_path / "out.mkv") == ["video", "audio", "attachment"]
    for suffix in (".ts", ".webm", ".mp4"):
        run(source, tmp_path / f"out{suffix}")
        assert "attachment" not in kinds(tmp_path / f"out{suffix}")
        assert any("(attachment" in note and "left out" in note for note in notes())


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".mp4"])
@pytest.mark.parametrize("tracks", [("audio", "video", "commentary"), ("video", "audio", "commentary")])
@pytest.mark.parametrize("sound", ["aac", "flac"])
def test_tracks_keep_order_language_and_disposition(tmp_path, suffix, tracks, sound):
    """FLAC becomes AAC in .mov, and stays where it was."""
    source, out = make(tmp_path / "in.mkv", tracks, sound=sound), tmp_path / f"out{suffix}"
    run(source, out)
    with av.open(source) as before, av.open(out) as after:
        assert [s.type for s in after.streams] == [s.type for s in before.streams]
        assert [s.language for s in after.streams.audio] == [s.language for s in before.streams.audio]
        for one, other in zip(after.streams.audio, before.streams.audio, strict=True):
            assert bool(one.disposition & Disposition.default) == bool(other.disposition & Disposition.default)
        codecs = {s.codec_context.name for s in after.streams.audio}
        assert codecs == {"aac" if suffix == ".mov" else sound}


@pytest.mark.parametrize("sound", ["aac", "libopus"])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm", ".avi", ".ts", ".wmv"])
def test_tags_of_tracks_are_kept_or_reported(tmp_path, suffix, sound, notes):
    source, out = tmp_path / "in.mkv", tmp_path / f"out{suffix}"
    flags = {"comment": Disposition.comment, "hearing-impaired": Disposition.hearing_impaired}
    with av.open(make(tmp_path / "plain.mkv", sound=sound)) as plain, av.open(source, "w") as container:
        streams = {stream: container.add_stream_from_template(stream) for stream in plain.streams}
        streams[plain.streams.audio[0]].metadata.update(language="fre", title="Comment")
        streams[plain.streams.audio[0]].disposition = flags["comment"] | flags["hearing-impaired"]
        for packet in plain.demux():
            if packet.size:
                packet.stream = streams[packet.stream]
                container.mux(packet)
    run(source, out)
    said = next((note for note in notes() if "left out" in note), "")
    with av.open(out) as container:
        track = container.streams.audio[0]
        assert ("language" in said) == (track.metadata.get("language") != "fre")
        assert ("title" in said) == (track.metadata.get("title") != "Comment")
        for name, flag in flags.items():
            assert (f"{name} flag" in said) == (not track.disposition & flag)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".ts", ".nut"])
def test_tags_of_the_file_and_its_picture_are_kept_or_reported(tmp_path, suffix, notes):
    source, out = tmp_path / "in.mkv", tmp_path / f"out{suffix}"
    of_file = {"title": "Film", "ARTIST": "Someone", "DIRECTOR": "Somebody"}
    of_picture = {"language": "jpn", "title": "Main"}
    with av.open(make(tmp_path / "plain.mkv", ("video",))) as plain, av.open(source, "w") as container:
        stream = container.add_stream_from_template(plain.streams.video[0])
        container.metadata.update(of_file)
        stream.metadata.update(of_picture)
        for packet in plain.demux():
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    run(source, out)
    said = [note for note in notes() if "left out" in note]
    with av.open(source) as before, av.open(out) as container:
        held, tags = {key.lower() for key in container.metadata}, container.streams.video[0].metadata
        lost = [key for key in before.metadata if key in of_file and key.lower() not in held]
    lost_of_picture = [key for key, value in of_picture.items() if tags.get(key) != value]
    expected = [f"{', '.join(lost_of_picture)} of stream 0 (video, h264)"] * bool(lost_of_picture)
    expected += [f"the tag{'s' * (len(lost) > 1)} {', '.join(lost)} of in.mkv"] * bool(lost)
    assert said == [f"{suffix} does not hold {one}: left out." for one in expected]
    assert bool(said) == (suffix not in (".mkv", ".webm", ".nut"))


@pytest.mark.parametrize(
    ("suffix", "options", "is_unchanged"),
    [
        (".mkv", {}, True),
        (".webm", {}, False),
        (".mkv", {"excerpt": Excerpt(stop=Fraction(1, 2))}, False),
        (".mkv", {"excerpt": Excerpt(slowness=Fraction(2))}, False),
    ],
)
def test_statistics_are_of_the_sound_that_is_written(tmp_path, suffix, options, is_unchanged):
    statistics = {"BPS", "BPS-eng", "NUMBER_OF_FRAMES-eng", "NUMBER_OF_BYTES", "_STATISTICS_WRITING_APP-eng"}
    source, out = tmp_path / "in.mkv", tmp_path / f"out{suffix}"
    with av.open(make(tmp_path / "plain.mkv")) as plain, av.open(source, "w") as container:
        streams = {stream: container.add_stream_from_template(stream) for stream in plain.streams}
        streams[plain.streams.audio[0]].metadata.update({**dict.fromkeys(statistics, "9"), "title": "Comment"})
        for packet in plain.demux():
            if packet.size:
                packet.stream = streams[packet.stream]
                container.mux(packet)
    run(source, out, **options)
    with av.open(out) as container:
        tags = container.streams.audio[0].metadata
    assert statistics & {*tags} == (statistics if is_unchanged else set())
    assert tags["title"] == "Comment"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_second_video_track_is_copied(tmp_path, suffix):
    """Both are enabled, and the second is the larger one once the first is interpolated."""
    path, noise = tmp_path / f"in{suffix}", np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
    with av.open(path, "w") as container:
        streams = [container.add_stream("libx264", rate=RATE, options={"crf": crf}) for crf in ("20", "1")]
        for stream in streams:
            stream.height, stream.width, stream.disposition = H, W, Disposition.default
        for i in range(RATE):
            for stream, pixels in zip(streams, (np.full_like(noise, 9 * i), np.roll(noise, i, 1)), strict=True):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))
    out = tmp_path / f"out{suffix}"
    run(path, out, crf=40)
    with av.open(out) as container:
        counts = [0, 0]
        for packet in container.demux(video=(0, 1)):
            counts[packet.stream.index] += packet.size > 0
    assert sorted(counts) == [RATE, 2 * RATE]


def test_chapters_that_begin_before_the_picture_begin_with_it(tmp_path):
    source = make(tmp_path / "in.mkv", ("video",), video_at=0.25, chapters=((0, 100), (100, 500), (500, 500)))
    run(source, tmp_path / "out.mkv")
    with av.open(tmp_path / "out.mkv") as container:
        times = [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in container.chapters()]
    assert times == [(0, Fraction(1, 4)), (Fraction(1, 4), Fraction(1, 4))]


@pytest.mark.parametrize("has_timecode", [False, True])
def test_a_timecode_track_beside_chapters_is_reported(tmp_path, has_timecode, notes):
    source = make(tmp_path / "in.mov", chapters=((0, 500),), timecode="01:00:00:00" if has_timecode else None)
    assert kinds(source) == ["video", "audio", "data", *["data"] * has_timecode]
    run(source, tmp_path / "out.mkv")
    said = [note for note in notes() if "left out" in note]
    assert said == [".mkv does not hold stream 3 (data, of an unknown kind): left out."] * has_timecode
    with av.open(tmp_path / "out.mkv") as container:
        assert len(container.chapters()) == 1


@pytest.mark.parametrize("suffix", [".mpg", ".vob"])
def test_a_program_stream_holds_no_subtitles_of_text(tmp_path, suffix, notes):
    source = tmp_path / "in.mkv"
    text = tmp_path / "in.srt"
    text.write_text("1\n00:00:00,100 --> 00:00:00,600\nBonjour\n")
    with av.open(make(tmp_path / "plain.mkv")) as plain, av.open(text) as script, av.open(source, "w") as container:
        copies = [container.add_stream_from_template(s, opaque=True) for s in (*plain.streams, *script.streams)]
        for packet in (*plain.demux(), *script.demux()):
            if packet.size:
                packet.stream = copies[-1] if packet.stream is script.streams[0] else copies[packet.stream.index]
                container.mux(packet)
    run(source, tmp_path / f"out{suffix}")
    assert any("stream 2 (subtitle, srt): left out" in note for note in notes())
    assert kinds(tmp_path / f"out{suffix}") == ["video", "audio"]


def test_a_transport_stream_holds_what_can_be_played_from_it(tmp_path, notes):
    out = tmp_path / "out.ts"
    run(make(tmp_path / "in.mkv", sound="flac", with_font=True), out)
    with av.open(out) as container:
        assert [s.codec_context.name for s in container.streams] == ["h264", "aac"]
    assert any("stream 1 (audio, flac) as it is: re-encoded" in note for note in notes())


def test_the_picture_comes_first_where_the_container_takes_nothing_before_it(tmp_path):
    run(make(tmp_path / "in.mkv", ("audio", "video", "commentary")), tmp_path / "out.mxf")
    assert kinds(tmp_path / "out.mxf") == ["video", "audio", "audio"]
    assert len(list(Reader(tmp_path / "out.mxf"))) == 2 * RATE


def write_sound(path: Path, codec: str, layout: str, rate: int) -> Path:
    """Half a second of video, and of a tone in a form that few encoders take."""
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=RATE, pix_fmt="yuv420p", height=H, width=W)
        sound = container.add_stream(codec, rate=rate, layout=layout, bit_rate=128_000)
        for i in range(RATE // 2):
            frame = av.VideoFrame.from_ndarray(np.full((H, W, 3), 20 * i, np.uint8), "rgb24")
            container.mux(video.encode(frame))
        tone = np.sin(np.arange(rate // 2) * 440 * 2 * np.pi / rate)
        samples = np.repeat((tone * 9000).astype(np.int16)[None], av.AudioLayout(layout).nb_channels, 0).T
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.reshape(1, -1)), "s16", layout)
        frame.rate = rate
        container.mux(sound.encode(frame))
        for stream in (video, sound):
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "layout", "rate", "suffix"),
    [
        ("in.wmv", "wmav2", "stereo", 44100, ".mp4"),  # which names no layout
        ("in.wmv", "wmav2", "mono", 44100, ".ts"),
        ("in.mkv", "ac3", "5.1(side)", 48000, ".webm"),  # which Opus does not have
        ("in.mkv", "pcm_s16le", "mono", 192000, ".ts"),  # nor AAC that rate
        ("in.mkv", "pcm_u8", "mono", 11025, ".flv"),  # over which FLV's muxer aborts
        ("in.mkv", "pcm_s16le", "stereo", 44100, ".mpg"),  # which has no AAC
        ("in.avi", "adpcm_ms", "mono", 44100, ".avi"),  # whose packets AVI's muxer takes from some version on
    ],
)
def test_sound_of_any_layout_and_rate_is_encoded_anew(tmp_path, name, codec, layout, rate, suffix, notes):
    source, out = write_sound(tmp_path / name, codec, layout, rate), tmp_path / f"out{suffix}"
    run(source, out)
    assert any("re-encoded" in note for note in notes()) or codec == "adpcm_ms"
    seconds, loudest, channels = 0.0, 0.0, set()
    with av.open(out) as container:
        for frame in container.decode(audio=0):
            seconds += frame.samples / frame.rate
            samples = frame.to_ndarray()
            unit = 1 if np.issubdtype(samples.dtype, np.floating) else np.iinfo(samples.dtype).max
            loudest = max(loudest, float(np.abs(samples).max()) / unit)
            channels.add(frame.layout.nb_channels)
    assert channels == {av.AudioLayout(layout).nb_channels}
    assert seconds == pytest.approx(0.5, abs=0.2)  # AAC has blocks of 93 ms at 11,025 Hz
    assert 0.2 < loudest < 0.4


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_video_of_one_frame_is_shown_rather_than_its_cover(tmp_path, suffix):
    source = make(tmp_path / f"in{suffix}", ("video",), with_cover=True, frames=1)
    run(source, tmp_path / "out.mkv")
    assert Reader(tmp_path / "out.mkv").size == (H, W)
    assert kinds(tmp_path / "out.mkv") == ["video", "cover"]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".ts"])
@pytest.mark.parametrize(("video_at", "sound_at"), [(0, 0), (0.5, 0), (0, 0.5), (0.25, -0.25), (-0.5, -0.25), (3, 2.5)])
def test_sound_stays_in_step_wherever_clocks_begin(tmp_path, suffix, video_at, sound_at, notes):
    source = make(tmp_path / f"in{suffix}", sound="aac", video_at=video_at, sound_at=sound_at, seconds=2)
    summary = run(source, tmp_path / f"out{suffix}")
    assert notes() == []
    assert summary.source_frames == len(list(Reader(source)))  # MP4 does not show what is before 0
    assert lag(tmp_path / f"out{suffix}") == pytest.approx(lag(source), abs=0.003)
    assert Reader(tmp_path / f"out{suffix}").size == (H, W)


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".avi", ".mp4"])
def test_sound_that_an_edit_list_hides_stays_hidden(tmp_path, suffix):
    source, out = tmp_path / "in.mp4", tmp_path / f"out{suffix}"
    options = {"avoid_negative_ts": "disabled"}  # so that packets before 0 are hidden by an edit list
    with av.open(make(tmp_path / "whole.mp4")) as whole, av.open(source, "w", container_options=options) as container:
        streams = {stream: container.add_stream_from_template(stream) for stream in whole.streams}
        for packet in whole.demux():
            if packet.size:
                packets.shift(packet, Fraction(3, 8))
                packet.stream = streams[packet.stream]
                container.mux(packet)
    run(source, out)
    for kind in ("audio", "video"):
        with av.open(out) as container:
            times = [frame.time for frame in container.decode(**{kind: 0})]
        assert times[0] < 0.05
        assert times[-1] - times[0] == pytest.approx(5 / 8, abs=0.05)
    assert lag(out) == pytest.approx(lag(source), abs=0.03 if suffix == ".avi" else 0.003)


@pytest.mark.parametrize(("video_at", "sound_at"), [(0, 0), (0.5, 0), (0, 0.5)])
@pytest.mark.parametrize("suffix", [".avi", ".wmv"])
def test_sound_stays_in_step_where_only_decoding_times_are_stored(tmp_path, suffix, video_at, sound_at):
    source = make(tmp_path / "in.mkv", seconds=2, video_at=video_at, sound_at=sound_at)
    out = tmp_path / f"out{suffix}"
    run(source, out)
    with av.open(out) as container:
        shown = list(container.decode(video=0))
    assert len(shown) == 2 * 2 * RATE
    assert {int(frame.pict_type) for frame in shown} == {1, 2}  # I and P
    flash = max(shown, key=lambda frame: frame.to_ndarray(format="gray").mean())
    block = 0.5 * 1024 / 48000 if sound_at and suffix == ".avi" else 0.002  # AVI counts blocks of sound
    assert float(flash.dts * flash.time_base) - heard(out) == pytest.approx(lag(source), abs=block)


def test_no_frame_gets_before_the_clock_that_sound_begins(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(video, "IN_ORDER", ())
        run(make(tmp_path / "in.mkv"), tmp_path / "delayed.wmv")  # with pictures that are reordered
    run(tmp_path / "delayed.wmv", tmp_path / "out.mov", times_fps=Fraction(1))
    assert len(list(Reader(tmp_path / "out.mov"))) == len(list(Reader(tmp_path / "delayed.wmv"))) == 2 * RATE


def clicks(path: Path) -> list[float]:
    """The times of all clicks, in seconds since the first frame."""
    with av.open(path) as container:
        first = next(container.decode(video=0)).time
    with av.open(path) as container:
        frames = list(container.decode(audio=0))
    loud = sorted(
        frame.time + i / frame.rate - first
        for frame in frames
        for i in np.flatnonzero(np.abs(frame.to_ndarray()).max(0) > 0.3 * (32767 if "s16" in frame.format.name else 1))
    )
    return [time for before, time in zip([-1, *loud], loud, strict=False) if time - before > 0.1]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm"])
@pytest.mark.parametrize("restart", [0, 0.75])  # at 1 s
def test_sound_is_moved_with_the_frames_where_the_clock_restarts(tmp_path, suffix, restart, notes):
    parts = [make(tmp_path / f"{at}.ts", video_at=at, sound_at=at) for at in (0, restart)]
    (tmp_path / "in.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    out = tmp_path / f"out{suffix}"
    assert run(tmp_path / "in.ts", out).source_frames == 2 * RATE
    assert "has a clock that restarts" in notes()[-1]
    tolerance = 0.025 if suffix == ".avi" else 0.005  # AVI counts blocks of sound
    assert clicks(out) == pytest.approx([0.5, 1.5], abs=tolerance)


def with_gap(source: Path, out: Path, start: float, stop: float) -> Path:
    """A copy without the packets of sound from `start` to `stop` seconds."""
    with av.open(source) as opened, av.open(out, "w") as container:
        streams = {stream: container.add_stream_from_template(stream) for stream in opened.streams}
        for packet in opened.demux():
            if packet.size and (packet.stream.type == "video" or not start <= packet.pts * packet.time_base < stop):
                packet.stream = streams[packet.stream]
                container.mux(packet)
    return out


@pytest.mark.parametrize(
    ("suffix", "sound"), [(".mkv", "aac"), (".mp4", "aac"), (".mp4", "libmp3lame"), (".mkv", "pcm_s16le")]
)
def test_avi_holds_silence_in_place_of_gaps(tmp_path, suffix, sound, notes):
    whole = make(tmp_path / f"whole{suffix}", sound=sound, seconds=3)
    source, out = with_gap(whole, tmp_path / f"in{suffix}", 0.4, 1.3), tmp_path / "out.avi"
    run(source, out)
    assert any("does not hold the gaps in stream 1" in note for note in notes())
    assert clicks(out) == pytest.approx([1.5], abs=0.03)
    run(whole, tmp_path / "whole.avi")
    assert not any("gaps" in note for note in notes())


@pytest.mark.parametrize(("group", "start", "says"), [(72, 1, "has no keyframe"), (36, 1, "begins 0.50 s late")])
def test_a_second_video_track_is_cut_at_a_keyframe(tmp_path, group, start, says, notes):
    noise = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
    with av.open(tmp_path / "in.mkv", "w") as container:
        options = {"g": str(group), "sc_threshold": "0"}
        streams = [container.add_stream("libx264", rate=RATE, options=options) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width = H, W
        streams[0].disposition = Disposition.default
        for i in range(3 * RATE):
            for stream in streams:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(noise, i, 1), "rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))
    out = tmp_path / "out.mkv"
    run(tmp_path / "in.mkv", out, excerpt=Excerpt(Fraction(start), Fraction(5, 2)))
    assert any(says in note for note in notes())
    with av.open(out) as container:
        for stream in container.streams.video:
            packets = [packet for packet in container.demux(stream) if packet.size]
            container.seek(0)
            assert packets[0].is_keyframe
            assert len(list(container.decode(stream))) == len(packets)
            container.seek(0)
        assert len(container.streams.video) == (1 if group == 72 else 2)


@pytest.mark.parametrize(
    ("start", "stop", "heard_at"), [(0, 1.75, [0.5, 1.5]), (0.25, 1.75, [0.25, 1.25]), (1.25, None, [0.25])]
)
def test_an_excerpt_across_a_restart_of_the_clock(tmp_path, start, stop, heard_at):
    part = make(tmp_path / "part.ts").read_bytes()
    (tmp_path / "in.ts").write_bytes(part + part)
    excerpt = Excerpt(Fraction(start), stop and Fraction(stop))
    run(tmp_path / "in.ts", tmp_path / "out.mp4", excerpt=excerpt)
    assert clicks(tmp_path / "out.mp4") == pytest.approx(heard_at, abs=0.01)
