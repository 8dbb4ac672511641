"""Stage 1: the video at constant 24 frames a second, whose frames the other stages count.

A video or a folder of drawings → video.mp4, without sound. It is encoded by the minute, each minute a file of its own
until all are there, so that an interruption loses no more than one.
"""

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from _databacks.extraction import records
from _databacks.extraction.frames import RATE, at_constant_rate, fit, open_original
from _databacks.extraction.options import CODECS, ExtractionOptions
from _databacks.extraction.reports import CONSOLE, StageReport
from _util import video
from _util.colour import BT709, LIMITED, Colour
from _util.errors import InputError
from _util.files import make_folder, replacing
from _util.prefetch import ahead

_PART = 60 * RATE  # frames
_COLOUR = Colour(BT709, LIMITED, BT709, BT709)
_PRESET = "medium"  # of both codecs


def encode_video(source: Path, out: Path, options: ExtractionOptions, report: StageReport = CONSOLE) -> None:
    """Write video.mp4 into the folder `out`, which is created if missing.

    Args:
        source: a video, or a folder of numbered drawings.

    Raises:
        InputError: the video cannot be read, the folder belongs to another one, or something cannot be written.
    """
    path, parts = out / "video.mp4", out / ".video-partial"
    record = records.Record(
        path, parts, video=records.fingerprint(source), size=options.video_size, codec=options.codec, crf=options.crf
    )
    place = str(source.resolve())
    if "video" in record.changed:
        raise InputError(
            f"{out} holds triplets of another video than {source}, or of it before it changed; choose another folder."
        )
    if record.is_finished(report):
        if record.found["source"] != place:
            record.finish(**{**record.found, "source": place})
        return
    reader = open_original(source)
    for note in reader.notes:
        report.say(note)
    make_folder(out)
    record.begin(report)
    make_folder(parts)
    done = _PART * len(_files(parts))
    total = max(1, round(reader.duration * RATE))
    with report.bar(total=total, initial=min(done, total), unit="frame", desc="encode_video") as bar:
        frames = (fit(pixels, options.video_size, reader.aspect) for _, pixels in at_constant_rate(reader, done))
        frames = _counted(ahead(frames), bar)
        for first in frames:
            part = itertools.chain([first], itertools.islice(frames, _PART - 1))
            _encode(part, parts / f"{len(_files(parts)):06d}.mp4", options)
    if reader.damage:
        report.say(reader.damage)
    record.finish(source=place, frames=_join(_files(parts), path), damage=reader.damage)


def _files(parts: Path) -> list[Path]:
    return sorted(parts.glob("[!.]*.mp4"))


def _counted(frames: Iterator[np.ndarray], bar: Any) -> Iterator[np.ndarray]:
    for frame in frames:
        yield frame
        bar.update()


def _encode(frames: Iterable[np.ndarray], path: Path, options: ExtractionOptions) -> None:
    """Write frames (h, w, 3) uint8 RGB, cropped by a row or column if a side is odd."""
    frames = iter(frames)
    first = next(frames)
    h, w = (side // 2 * 2 for side in first.shape[:2])
    encoding = video.Encoding(
        (h, w), Fraction(RATE), CODECS[options.codec], options.crf, colour=_COLOUR, preset=_PRESET
    )
    with video.Writer(path, encoding) as writer:
        for pixels in itertools.chain([first], frames):
            writer.write(np.ascontiguousarray(pixels[:h, :w]))


def _join(parts: list[Path], path: Path) -> int:
    """Concatenate the packets of the parts, and return the number of frames."""
    count = 0
    with replacing(path) as temporary, video.writing(path), video.open_output(temporary) as container:
        stream = None
        for part in parts:
            with video.open_input(part) as read:
                packets = read.streams.video[0]
                assert packets.time_base is not None
                stream = stream or container.add_stream_from_template(packets)
                offset = int(Fraction(count, RATE) / packets.time_base)
                for packet in read.demux(packets):
                    if packet.size:
                        assert packet.pts is not None
                        assert packet.dts is not None
                        packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                        container.mux(packet)
                        count += 1
        container.close()
    return count
