"""Clips of a moving camera: their drawings are found, and what is judged to be even or uneven is."""

import itertools

import numpy as np
import pytest

from _scripts import benchmark
from _train.frame_interpolation.benchmarks import panning
from _train.frame_interpolation.interpolator import Interpolator
from _util import camera_holds, duplicates, tables


@pytest.mark.parametrize("pan", panning.PANS, ids=str)
def test_holds_of_the_figure_are_found_and_no_drawing_is_lost(pan):
    found = np.array(list(camera_holds.detect_reduced(map(duplicates.reduced_lab, pan.frames()))))
    last = np.flatnonzero(~pan.repeats())[-1]  # the last hold is not seen to end
    assert found[:last].tolist() == pan.repeats()[:last].tolist()


@pytest.mark.parametrize("pan", [panning.Pan((-5, 0), 2), panning.Pan((2, 1), 3, zoom=1.01, is_eased=True)], ids=str)
def test_even_motion_is_judged_so(pan):
    times = np.arange(49) / 2
    even = (panning.with_figure(pan.ground(time), pan.figure(time)) for time in times)
    assert max(panning.judge(pan, even)) < 0.1


def test_what_stutters_is_found():
    pan = panning.Pan((-5, 0), 2)
    held = (frame for frame in pan.frames() for _ in range(2))
    figure, ground = panning.judge(pan, held)
    assert figure == pytest.approx(3, abs=0.1)  # one step in four frames
    assert ground == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_figure_and_ground_move_evenly_in_the_result():
    interpolator = Interpolator(device="cpu")
    pans = (panning.Pan((-5, 0), 2), panning.Pan((4, -2), 3, on_screen=False))
    rows = panning.compare(lambda: (interpolator, {}), pans)
    assert all(max(row["figure"], row["ground"]) < 0.2 < row["without"] for row in rows)
    assert [(row["drawings"], row["drawn"]) for row in rows] == [(13, 13), (9, 9)]
    lines = tables.of_figures(rows, benchmark.PANNING).splitlines()
    assert all(str(pan) in line for pan, line in itertools.zip_longest(pans, lines[2:]))
