"""A VapourSynth script gives the frames that the video command gives.

VapourSynth's package needs a newer Python than the project does: `INBETWEEN_VAPOURSYNTH` names one that has it, and
what the project needs.
"""

import importlib.util
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest

from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.video.interpolate import Options, interpolate_video
from tests.util.test_duplicates import picture

ROOT = Path(__file__).parents[2]


@pytest.fixture
def python() -> str:
    if named := os.environ.get("INBETWEEN_VAPOURSYNTH"):
        return named
    if importlib.util.find_spec("vapoursynth") is None:
        pytest.skip("there is no VapourSynth: name a Python that has it in INBETWEEN_VAPOURSYNTH")
    return sys.executable


class Planes(list):
    """A frame of VapourSynth."""

    props: ClassVar[dict] = {}


class Clip:
    """As much of a clip as planning reads."""

    def __init__(self, pictures: list[np.ndarray]):
        self._pictures, self.num_frames = pictures, len(pictures)

    def frames(self, close: bool) -> Iterator[Planes]:
        return (Planes(np.moveaxis(picture, 2, 0)) for picture in self._pictures)


def test_a_clip_is_planned_without_vapoursynth(monkeypatch):
    names = {"RGB24": 1, "RGB48": 2, "VideoNode": Clip, "VideoFrame": Planes, "Error": ValueError}
    monkeypatch.setitem(sys.modules, "vapoursynth", types.SimpleNamespace(**names))
    monkeypatch.delitem(sys.modules, "hosts.vapoursynth_inbetween", raising=False)
    host = importlib.import_module("hosts.vapoursynth_inbetween")
    pictures = [np.roll(picture(4, (96, 160)), 8 * (i // 2), 1) for i in range(6)]
    planned = host._plan(Clip(pictures), Fraction(24), Fraction(48), Options())
    assert [(one.first, one.second) for one in planned[:8]] == [(0, 0)] + [(0, 2)] * 3 + [(2, 2)] + [(2, 4)] * 3
    assert [one.time for one in planned[:4]] == [0, 0.25, 0.5, 0.75]


@pytest.mark.slow
def test_frames_are_those_of_the_video_command(tmp_path, python):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for i in range(14):
        frame = picture(4 if i < 8 else 5, (96, 160))
        x = 40 + 6 * (i // 2)
        cv2.circle(frame, (x, 48), 14, (210, 60, 60), -1, cv2.LINE_AA)
        cv2.imwrite(str(source / f"{i:04d}.png"), frame[:, :, ::-1])
    create = lambda: (Interpolator(flow="dis", synthesis="splat", device="cpu"), {})  # noqa: E731
    interpolate_video(source, out, Options(), create)
    command = [python, "-m", "tests.hosts.vapoursynth_script", str(source), str(out)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == "28 frames agree"
