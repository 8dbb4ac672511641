"""Flow by pieces that turn: where it is taken, where it is refused, and what is drawn along it."""

import cv2
import numpy as np
import pytest
import torch

from _databacks.figures import Figures
from _train.frame_interpolation import flows, piece_flows
from _train.frame_interpolation.benchmarks import figures
from _train.frame_interpolation.context import Context
from _train.frame_interpolation.interpolator import Interpolator
from _util import paths
from _util.flow import Flows
from _util.pieces.motion import find
from _util.strokes import tracing

SIZE = 180, 240
BAR, INK, GROUND = (200, 60, 60), (20, 20, 20), (150, 190, 200)


def limb(angle):
    """(h, w, 3): a bar that has turned about the middle of a disc, on flat ground."""
    picture = np.full((*SIZE, 3), GROUND, np.uint8)
    radians = np.radians(angle - 20)
    around = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    corners = cv2.boxPoints(((45, 0), (90, 16), 0)) @ around + np.array([90, 80])
    cv2.fillPoly(picture, [np.round(corners * 16).astype(np.int32)], BAR, cv2.LINE_AA, 4)
    cv2.polylines(picture, [np.round(corners * 16).astype(np.int32)], True, INK, 2, cv2.LINE_AA, 4)
    cv2.circle(picture, (90, 80), 12, (240, 160, 90), -1, cv2.LINE_AA)
    cv2.circle(picture, (90, 80), 12, INK, 2, cv2.LINE_AA)
    return picture


def to_tensor(picture):
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def estimators():
    return {name: flows.create(name, Context()) for name in ("pieces", "pieces+dis", "sgm+dis")}


def test_without_a_turn_the_flow_is_that_of_matching_and_search(estimators):
    frames = to_tensor(limb(0)), to_tensor(np.roll(limb(0), (4, 9), (0, 1)))
    found, expected = estimators["pieces+dis"].paths(*frames), estimators["sgm+dis"](*frames)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def test_a_limb_that_turns_is_followed_on_its_arc_and_the_ground_gets_no_flow(estimators):
    frames = to_tensor(limb(0)), to_tensor(limb(60))
    for name in ("pieces", "pieces+dis"):
        path = estimators[name].paths(*frames)[0]
        is_bar = (limb(0) == BAR).all(2)
        bow = paths.off_straight(path, 0.5)[0].norm(dim=0).numpy()[is_bar]
        assert path.shape[1] == paths.CHANNELS
        assert np.percentile(bow, 90) == pytest.approx(82 * (1 - np.cos(np.radians(30))), rel=0.15)
        is_ground = (limb(0) == GROUND).all(2) & (limb(60) == GROUND).all(2)
        assert not path[0, :2].numpy()[:, is_ground].any()
        assert torch.equal(estimators[name](*frames)[0], path[:, :2])


def test_a_turn_that_the_frames_do_not_show_is_refused(estimators, monkeypatch):
    pictures = limb(0), limb(60)
    frames = [to_tensor(picture) for picture in pictures]
    imagined = find(*pictures, estimators["pieces"].sgm.match(*frames))
    monkeypatch.setattr(piece_flows, "find", lambda *_: imagined)
    found = estimators["pieces+dis"].paths(frames[0], frames[0])
    assert all(map(torch.equal, found, estimators["sgm+dis"](frames[0], frames[0])))


@pytest.mark.parametrize("synthesis", ["splat", "fusion"])
def test_a_limb_is_drawn_where_its_arc_leads(synthesis):
    truth = limb(30).astype(float)
    errors = {}
    for flow in ("sgm+dis", "pieces+dis"):
        (frame,) = Interpolator(flow, synthesis, "cpu", precision="fp32")(limb(0), limb(60))
        errors[flow] = np.abs(frame - truth).mean()
    assert errors["pieces+dis"] < 0.6 * errors["sgm+dis"]


def test_alpha_moves_along_the_arc():
    keys = [np.dstack([limb(angle), 255 * (limb(angle) != GROUND).any(2)]).astype(np.uint8) for angle in (0, 60)]
    truth = (limb(30) != GROUND).any(2)
    (frame,) = Interpolator("pieces+dis", "splat", "cpu", precision="fp32")(*keys)
    assert ((frame[:, :, 3] > 127) == truth).mean() > 0.99


@pytest.mark.parametrize("synthesis", ["splat", "fusion"])
def test_along_straight_paths_the_same_is_drawn_as_along_flow(synthesis):
    pipeline = Interpolator("dis", synthesis, "cpu", precision="fp32").pipeline
    frames = to_tensor(limb(0)), to_tensor(np.roll(limb(0), (4, 8), (0, 1)))
    forth = torch.tensor([8.0, 4.0]).view(1, 2, 1, 1).expand(1, 2, *SIZE).contiguous()
    along_flow, along_paths = (
        pipeline.frames(pipeline.prepare(*frames, motion), 0.5)
        for motion in (Flows(forth, -forth), Flows(paths.straight(forth), paths.straight(-forth)))
    )
    inside = slice(8, -8)
    torch.testing.assert_close(along_paths[..., inside, inside], along_flow[..., inside, inside], atol=0.02, rtol=0)


@pytest.mark.slow
def test_articulated_figures_come_out_better_where_they_turn_and_no_worse_where_they_do_not():
    scores = figures.measure(("sgm+dis+splat", "pieces+dis+splat"), Figures(5, seed=1))
    for is_turned, most in ((True, 0.8), (False, 1.02)):
        before, after = (
            np.mean([score.lpips for score in scores if score.method == word and (score.turn >= 20) == is_turned])
            for word in ("sgm+dis+splat", "pieces+dis+splat")
        )
        assert after <= most * before
    chosen = figures.choose(scores)
    gains = [before.lpips - after.lpips for before, after in chosen]
    assert gains == sorted(gains, reverse=True)
    assert figures.sheet(chosen[:1], Figures(5, seed=1)).shape == (135, 5 * 240, 3)
    assert figures.table(scores).count("\n") == 7


def test_line_drawings_are_matched_by_strokes_where_these_explain_more():
    triplets = Figures(3, line_art=True, seed=1)
    still = triplets[0].frames[:1]
    for name in ("pieces", "pieces+dis"):
        estimator = flows.create(name, Context())
        assert max(flow.abs().max() for flow in estimator(still, still)) < 0.2
    scores = figures.measure(("sgm+dis+splat", "pieces+splat", "pieces+dis+splat"), triplets)
    before, strokes, after = (
        np.mean([score.chamfer for score in scores if score.method == word])
        for word in ("sgm+dis+splat", "pieces+splat", "pieces+dis+splat")
    )
    assert after <= 0.5 * before
    assert strokes <= 0.5 * before


def test_line_drawings_that_shift_keep_the_flow_of_matching_and_search():
    """Where that explains the lines as well."""
    frame = Figures(1, line_art=True)[0].frames[:1]
    frames = frame, frame.roll((2, 3), (2, 3))
    found, expected = (flows.create(name, Context()) for name in ("pieces+dis", "sgm+dis"))
    assert all(map(torch.equal, found.paths(*frames), expected(*frames)))


def outline(angle, marks):
    """The outline of the bar of `limb`, black on white, and marks (k, n, 2)."""
    picture = np.full((*SIZE, 3), 255, np.uint8)
    corners = cv2.transform(cv2.boxPoints(((45, 0), (90, 16), 0))[None], cv2.getRotationMatrix2D((0, 0), 20 - angle, 1))
    for line, is_closed in [(corners[0] + (90, 80), True), *((mark, False) for mark in marks)]:
        cv2.polylines(picture, [np.round(line * 16).astype(np.int32)], is_closed, (0, 0, 0), 2, cv2.LINE_AA, 4)
    return to_tensor(picture)


def test_lines_that_match_by_chance_keep_the_flow_of_matching_and_search():
    """Where many small lines each match one of another direction, or where most lines are in one drawing only."""
    rng = np.random.default_rng(0)
    centres = np.mgrid[20 : SIZE[1] : 40, 20 : SIZE[0] : 35].reshape(2, 1, -1).T
    ways = rng.uniform(-1, 1, (2, len(centres), 1, 2))
    ways *= 5 / np.linalg.norm(ways, axis=3, keepdims=True)
    crowds = centres + np.concatenate([-ways, ways], 2)
    scribbles = rng.uniform(-25, 25, (3, 5, 2)) + np.array([[[40, 140]], [[200, 30]], [[150, 145]]])
    found, expected = (flows.create(name, Context()) for name in ("pieces+dis", "sgm+dis"))
    assert found.paths(outline(0, []), outline(60, []))[0].shape[1] == paths.CHANNELS
    for of_first, of_second in (crowds, ([], scribbles)):
        frames = outline(0, of_first), outline(60, of_second)
        assert all(map(torch.equal, found.paths(*frames), expected(*frames)))


def test_lines_too_dense_are_matched_as_other_drawings(monkeypatch):
    frames = Figures(1, line_art=True, seed=1)[0].frames[::2][:2]
    frames = frames[:1], frames[1:]
    matched = flows.create("pieces+dis", Context()).paths(*frames)
    monkeypatch.setattr(tracing, "_MOST_POINTS", 100)
    found, expected = (flows.create(name, Context()) for name in ("pieces+dis", "sgm+dis"))
    assert matched[0].shape[1] == paths.CHANNELS
    assert all(map(torch.equal, found.paths(*frames), expected(*frames)))
