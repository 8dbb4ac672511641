"""Articulated figures: exact flow, determinism; pieces that turn and the way they take."""

import numpy as np
import pytest
import torch

from _databacks.figures import Figures
from _databacks.figures.rigs import LARGEST_TURN, Pose
from _train.frame_interpolation import flows
from _util import paths
from _util.sgm.joints import chain

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
    pose = Pose(np.array([30.0, 40.0]), 1.2, curvature)
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


def rotation(angle, about, to):
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.concatenate([linear, (np.array(to) - linear @ about)[:, None]], 1)


def test_a_chain_keeps_its_lengths_and_its_joints_on_the_way():
    body, shoulder, elbow = np.eye(2, 3), np.array([50.0, 50.0]), np.array([50.0, 90.0])
    body[:, 2] = 20, -6
    upper = rotation(np.radians(90), shoulder, shoulder + np.array([20, -6]))
    lower = rotation(np.radians(150), elbow, upper[:, :2] @ elbow + upper[:, 2])
    matrices = np.stack([np.eye(2, 3), body, upper, lower])
    joints = np.stack([shoulder, elbow])
    ends = np.stack([upper[:, :2] @ shoulder + upper[:, 2], upper[:, :2] @ elbow + upper[:, 2]])
    centres = np.array([[0, 0], [50, 30], [50, 70], [50, 110.0]])
    chains = chain(
        matrices,
        np.array([0, 4000, 800, 700]),
        centres,
        np.array([[1, 2], [2, 3]]),
        np.concatenate([joints, ends], 1),
    )
    assert chains.parents.tolist() == [-1, -1, 1, 2]
    np.testing.assert_allclose(chains.at(0), np.broadcast_to(np.eye(2, 3), (4, 2, 3)), atol=1e-9)
    np.testing.assert_allclose(chains.at(1), matrices, atol=1e-9)
    middle = chains.at(0.5)
    places = {k: [middle[k][:, :2] @ point + middle[k][:, 2] for point in joints] for k in (1, 2, 3)}
    np.testing.assert_allclose(places[1][0], places[2][0], atol=1e-6)
    np.testing.assert_allclose(places[2][1], places[3][1], atol=1e-6)
    assert np.hypot(*(places[2][1] - places[2][0])) == pytest.approx(40, rel=1e-6)


def test_a_path_follows_an_arc_and_a_flow_is_straight():
    angle, radius = np.radians(120), 100.0
    times = (*paths.KNOTS, 1.0)
    ways = [radius * np.array([np.cos(t * angle) - 1, np.sin(t * angle)]) for t in times]
    bows = [way - t * ways[-1] for way, t in zip(ways, times, strict=True)][:-1]
    path = torch.tensor(np.concatenate([ways[-1], *bows, [2.0]])).view(1, -1, 1, 1)
    assert path.shape[1] == paths.CHANNELS
    for t in np.linspace(0, 1, 9):
        truth = radius * np.array([np.cos(t * angle) - 1, np.sin(t * angle)])
        np.testing.assert_allclose(paths.at(path, t).flatten(), truth, atol=0.002 * radius)
        np.testing.assert_allclose(paths.at(path[:, :2], t).flatten(), t * ways[-1])


def test_what_lies_in_front_hides_what_lands_on_the_same_pixel():
    values = torch.tensor([[[[1.0, 5.0]]]])
    way = torch.stack([torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2)])[None]
    path = torch.cat([way, torch.zeros(1, 6, 1, 2), torch.tensor([[[[1.0, 0.0]]]])], 1)
    assert paths.splat(values, path, way).flatten().tolist() == [0, 1]
    assert paths.splat(values, way, way).flatten().tolist() == [0, 6]


@pytest.mark.slow
@pytest.mark.parametrize("angle", [43, 90])
def test_a_limb_that_turns_on_flat_ground_keeps_its_length_at_the_middle(angle):
    """A bar that turns about the middle of a disc, which stays."""
    import cv2

    frames, lengths = [], []
    for turn in (0, angle):
        picture = np.full((270, 480, 3), (150, 190, 200), np.uint8)
        box = cv2.boxPoints(((0, 0), (70, 16), 0)) + np.array([35, 0])
        radians = np.radians(turn - 20)
        around = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
        corners = np.round((box + np.array([30, 0])) @ around + np.array([200, 130])).astype(int)
        cv2.fillPoly(picture, [corners], (200, 60, 60))
        cv2.polylines(picture, [corners], True, (20, 20, 20), 2)
        cv2.circle(picture, (200, 130), 42, (240, 160, 90), -1)
        cv2.circle(picture, (200, 130), 42, (20, 20, 20), 2)
        frames.append(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255)
    path = flows.create("sgm", torch.device("cpu"), torch.float32).paths(*frames)[0]
    red = (frames[0][0] - torch.tensor([200, 60, 60]).view(3, 1, 1) / 255).abs().amax(0) < 0.02
    y, x = torch.nonzero(red, as_tuple=True)
    for t in (0.0, 0.5):
        way = paths.at(path, t)[0][:, y, x]
        places = torch.stack([x + way[0], y + way[1]], 1)
        lengths.append(torch.pdist(places[::3]).max().item())
    assert lengths[1] == pytest.approx(lengths[0], rel=0.03)
    ground = (frames[0][0] == frames[0][0, :, :1, :1]).all(0)
    assert not path[0, :2, ground].any()
