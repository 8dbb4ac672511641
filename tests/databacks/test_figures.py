"""Articulated figures: exact flow, determinism."""

import numpy as np
import pytest
import torch

from _databacks.figures import Figures
from _databacks.figures.rigs import LARGEST_TURN, BonePose

SIZE = 135, 240


def test_figures_are_a_function_of_the_seed():
    one, same, other = Figures(2, SIZE)[1], Figures(9, SIZE)[1], Figures(2, SIZE, seed=1)[1]
    assert torch.equal(one.frames, same.frames)
    assert torch.equal(one.flows[0], same.flows[0])
    assert not torch.equal(one.frames, other.frames)


def test_rigs_are_of_two_to_five_joints_and_turn_by_up_to_120_degrees():
    turns = [Figures(60, SIZE).figure(i).rig.turn for i in range(60)]
    assert max(turns) <= LARGEST_TURN
    assert sum(turn > np.radians(60) for turn in turns) > 5
    assert sum(turn < np.radians(20) for turn in turns) > 5


@pytest.mark.parametrize("curvature", [0.0, 0.02, -0.03])
def test_a_point_of_a_bone_is_found_where_it_was_placed(curvature):
    points = np.random.default_rng(0).uniform(-10, 20, (50, 2))
    pose = BonePose(np.array([30.0, 40.0]), 1.2, curvature)
    np.testing.assert_allclose(pose.find(pose.place(points)), points, atol=1e-9)


def test_flow_leads_to_the_same_part_unless_it_is_covered():
    for index in range(4):
        figure = Figures(4, SIZE).figure(index)
        there, flow, here = figure.parts(1), figure.flow(0, 1), figure.parts(0)
        y, x = np.nonzero(here >= 0)
        u, v = np.rint(np.stack([x, y]) + flow[y, x].T).astype(int)
        inside = (u >= 0) & (u < SIZE[1]) & (v >= 0) & (v < SIZE[0])
        reached = there[v[inside], u[inside]]
        assert (reached >= 0).mean() > 0.97
        assert (reached == here[y, x][inside]).mean() > 0.7
        assert not flow[here < 0].any()


def test_two_figures_change_places_as_they_are():
    for index in range(4):
        figure = Figures(4, SIZE, passing=True).figure(index)
        flow, shown = figure.flow(0, 1), figure.parts(0) >= 0
        ways = np.unique(flow[shown].round(3), axis=0)
        assert len(ways) == 2
        assert ways[0, 0] < -SIZE[1] / 3 < SIZE[1] / 3 < ways[1, 0]
        assert abs(ways[:, 1]).max() < 0.03 * SIZE[0]
