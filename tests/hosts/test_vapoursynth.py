"""A VapourSynth script gives the frames that the video command gives.

VapourSynth's package needs a newer Python than the project does: `INBETWEEN_VAPOURSYNTH` names one that has it, and
what the project needs.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import cv2
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
