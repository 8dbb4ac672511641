"""Compares what VapourSynth gives with what the video command has written; run by a Python that has VapourSynth.

python -m tests.hosts.vapoursynth_script SOURCE_PNGS RESULT_PNGS
"""

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import vapoursynth as vs
from PIL import Image

from _train.frame_interpolation.interpolator import Interpolator
from hosts.vapoursynth_inbetween import interpolate


def read(folder: str) -> list[np.ndarray]:
    return [np.asarray(Image.open(path).convert("RGB")) for path in sorted(Path(folder).glob("*.png"))]


def as_clip(frames: list[np.ndarray]) -> vs.VideoNode:
    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        result = f.copy()
        for plane in range(3):
            np.copyto(np.asarray(result[plane]), frames[n][:, :, plane])
        return result

    h, w = frames[0].shape[:2]
    blank = vs.core.std.BlankClip(width=w, height=h, format=vs.RGB24, length=len(frames), fpsnum=24, fpsden=1)
    return blank.std.ModifyFrame(blank, fill)


def refusal(clip: vs.VideoNode, interpolator: Interpolator, **options) -> str:
    try:
        interpolate(clip, interpolator=interpolator, **options)
    except vs.Error as error:
        return str(error)
    return ""


def main() -> None:
    interpolator = Interpolator(flow="dis", synthesis="splat", device="cpu")
    expected = read(sys.argv[2])
    source = as_clip(read(sys.argv[1]))
    clip = interpolate(source, interpolator=interpolator)
    assert (clip.num_frames, clip.fps) == (len(expected), 48)
    for i in reversed(range(len(expected))):  # in any order
        with clip.get_frame(i) as frame:
            found = np.stack([np.asarray(frame[plane]) for plane in range(3)], 2).astype(int)
        assert np.abs(found - expected[i]).max() <= 1, f"frame {i}"
    assert interpolate(source, 59.94, interpolator=interpolator).fps == Fraction(2997, 50)
    assert "is not a number" in refusal(source, interpolator, fps="nan")
    assert "RGB24" in refusal(vs.core.std.BlankClip(format=vs.YUV420P8), interpolator)
    held = vs.core.std.SetFrameProps(source[4:], _DurationNum=1, _DurationDen=12)
    assert "frame 4 lasts 0.083 seconds" in refusal(source[:4] + held, interpolator)
    print(f"{len(expected)} frames agree")


if __name__ == "__main__":
    main()
