"""Pieces that turn: motions fitted to outlines, chains about joints, limbs on their way, ground that stays."""

import cv2
import numpy as np
import pytest
import torch

from _util import paths
from _util.sgm import SGM
from _util.sgm.joints import chain


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


@pytest.mark.slow
@pytest.mark.parametrize("angle", [43, 90])
def test_a_limb_that_turns_on_flat_ground_keeps_its_length_at_the_middle(angle):
    """A bar that turns about the middle of a disc, which stays."""
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
    path = SGM("alexnet").paths(*frames)[0]
    red = (frames[0][0] - torch.tensor([200, 60, 60]).view(3, 1, 1) / 255).abs().amax(0) < 0.02
    y, x = torch.nonzero(red, as_tuple=True)
    for t in (0.0, 0.5):
        way = paths.at(path, t)[0][:, y, x]
        places = torch.stack([x + way[0], y + way[1]], 1)
        lengths.append(torch.pdist(places[::3]).max().item())
    assert lengths[1] == pytest.approx(lengths[0], rel=0.03)
    ground = (frames[0][0] == frames[0][0, :, :1, :1]).all(0)
    assert not path[0, :2, ground].any()
