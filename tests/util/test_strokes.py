"""Line drawings matched stroke by stroke: lines that turn, bend, rest or have no other self."""

import cv2
import numpy as np
import pytest
import torch

from _util import paths
from _util.pieces.motion import Pieces
from _util.pieces.ownership import GROUND, UNKNOWN
from _util.sgm.motion import scale_of
from _util.strokes import matching
from _util.strokes import search as searching
from _util.strokes.agreement import cost, torn, unexplained
from _util.strokes.fields import FAR, line_field
from _util.strokes.matching import match
from _util.strokes.motion import find
from _util.strokes.rigid import about, moved
from _util.strokes.search import search
from _util.strokes.tracing import is_dense, thinned, trace

SIZE = 270, 360
JOINT = np.array([150.0, 105.0])
BODY = 1.5 * np.array([[70, 20], [120, 24], [112, 60], [130, 150], [62, 150], [84, 58]])
LIMB = 1.5 * np.array([[0, -7], [40, -9], [88, -5], [96, 0], [88, 6], [40, 8], [0, 7]])
HAND = 1.5 * np.array([[70, -7], [72, 7]])


def draw(*lines, size=SIZE, width=2):
    """The share of ink of lines (n, 2), x, y; pairs with True are closed."""
    ink = np.zeros((size[0] * 4, size[1] * 4), np.uint8)
    for points, closed in lines:
        cv2.polylines(ink, [np.rint(points * 4 + 1.5).astype(np.int32)], closed, 255, 4 * width)
    return cv2.resize(ink, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def turned(points, degrees):
    angle = np.radians(degrees)
    return JOINT + points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def figure(degrees):
    return draw((BODY, True), (turned(LIMB, degrees), False), (turned(HAND, degrees), False))


def moves(*inks) -> tuple[Pieces, tuple]:
    lines = trace(inks[0]), trace(inks[1])
    return find(inks, lines), lines


def at(path: np.ndarray, points: np.ndarray, t: float) -> np.ndarray:
    """Where points (n, 2) of a frame are at a time along its paths (h, w, 9)."""
    ways = paths.at(torch.from_numpy(path).permute(2, 0, 1)[None], t)[0].permute(1, 2, 0).numpy()
    x, y = np.rint(points).astype(int).T
    return points + ways[y, x]


def dense(points, count=40):
    steps = np.linspace(0, len(points) - 1, count)
    return np.stack([np.interp(steps, np.arange(len(points)), points[:, i]) for i in range(2)], 1)


def ends(pieces):
    """The motion of pieces from either frame to the other, (h, w, 2)."""
    return [path[..., :2] for path in pieces.paths()]


@pytest.mark.parametrize("degrees", [25, -35, 100])
def test_a_limb_that_turns_is_followed_on_its_arc(degrees):
    pieces, _ = moves(figure(10), figure(10 + degrees))
    forth, back = pieces.paths()
    limb = dense(LIMB)[8:-8]
    for path, start, t in ((forth, 0, 0.5), (forth, 0, 1), (back, degrees, 0.5), (back, degrees, 1)):
        end = start + (degrees if start == 0 else -degrees) * t
        off = np.hypot(*(at(path, turned(limb, 10 + start), t) - turned(limb, 10 + end)).T)
        assert np.median(off) < 2
        assert np.percentile(off, 80) < 3
    body = dense(BODY[:2])
    assert np.hypot(*(at(forth, body, 1) - body).T).max() < 1


def test_a_limb_is_as_long_at_the_middle_of_a_turn_as_at_its_ends():
    path = moves(figure(0), figure(90))[0].paths()[0]
    ends = turned(np.array([[37.5, -12.6], [120.0, -8.2]]), 0)
    length = [np.hypot(*np.diff(at(path, ends, t), axis=0)[0]) for t in (0, 0.5)]
    assert length[1] == pytest.approx(length[0], rel=0.03)


@pytest.mark.parametrize("size", [(216, 288), (540, 720)])
def test_lengths_scale_with_the_frame(size):
    by = size[0] / SIZE[0]
    inks = [
        draw((BODY * by, True), (turned(LIMB, degrees) * by, False), (turned(HAND, degrees) * by, False), size=size)
        for degrees in (10, 70)
    ]
    path = moves(*inks)[0].paths()[0]
    limb = dense(LIMB)[8:-8]
    off = np.hypot(*(at(path, turned(limb, 10) * by, 1) - turned(limb, 70) * by).T)
    assert np.median(off) < max(1, by)


def test_what_rests_gets_no_flow_and_paper_is_ground():
    ink = figure(30)
    pieces, _ = moves(ink, ink)
    assert (pieces.owners[0][ink == 0] == GROUND).all()
    assert (pieces.owners[0][ink > 0.5] > GROUND).all()
    for flow in ends(pieces):
        assert np.abs(flow).max() < 0.2


def test_lines_bend():
    def arc(curvature):
        s = np.linspace(0, 130, 60)[:, None]
        return np.array([50.0, 110.0]) + np.concatenate([s, curvature * (s - 65) ** 2 - 0.001 * 65**2], 1)

    def drawing(curvature):
        return draw((arc(curvature), False), (arc(curvature)[0] + [[0, 0], [-8, 30], [-20, 34]], False))

    pieces, lines = moves(drawing(0.001), drawing(0.004))
    path = pieces.paths()[0]
    middle = arc(0.001)[8:-8]
    off = np.abs(at(path, middle, 1)[:, None] - arc(0.004)[None]).sum(2).min(1)
    assert np.percentile(off, 90) < 2
    assert unexplained(lines, ends(pieces), scale_of(SIZE)) < 0.15


def test_a_line_that_one_drawing_alone_shows_goes_with_nothing():
    alone = np.array([[180, 20], [220, 26], [224, 60], [190, 66]], float)
    for inks in ((draw((BODY, True), (alone, True)), draw((BODY, True))), (draw((BODY, True)), figure(0) * 0)):
        pieces, _ = moves(*inks)
        path = pieces.paths()[0]
        assert (at(path, dense(alone), 1) == dense(alone)).all()
        assert np.isfinite(path).all()
    assert (pieces.owners[0][inks[0] > 0.5] == UNKNOWN).all()


def test_specks_and_blank_paper_are_no_lines():
    blank, speck = np.zeros(SIZE, np.float32), np.zeros(SIZE, np.float32)
    speck[50, 60] = 1
    for one in (blank, speck):
        for other in (blank, speck, figure(0)):
            pieces, lines = moves(one, other)
            assert all(not flow.any() for flow in ends(pieces))
            assert 0 <= unexplained(lines, ends(pieces), 0.5) <= 1


def test_lines_end_at_the_border_of_the_frame():
    inks = [draw((np.array([[-20, y], [300, y + 30]], float), False)) for y in (60, 64)]
    pieces, lines = moves(*inks)
    assert unexplained(lines, ends(pieces), scale_of(SIZE)) < 0.05


def test_lines_are_traced_in_their_middle_with_their_direction():
    angle = np.radians(25)
    way = np.array([np.cos(angle), np.sin(angle)])
    lines = trace(draw((np.stack([[40, 40], [40, 40] + 140 * way]), False), width=3))
    inner = (lines.points[:, 0] > 50) & (lines.points[:, 0] < 150)
    across = (lines.points[inner] - [40, 40]) @ [-way[1], way[0]]
    assert np.abs(across).mean() < 0.25
    assert np.abs(lines.directions[inner] - angle).max() < np.radians(8)
    assert (np.diff(lines.along.firsts)[inner] == 2).mean() > 0.9


def test_points_that_are_thinned_cover_all():
    points = np.random.default_rng(1).uniform(0, 50, (400, 2))
    kept = points[thinned(points, 5)]
    apart = np.hypot(*(kept[:, None] - kept[None]).transpose(2, 0, 1)) + 99 * np.eye(len(kept))
    assert apart.min() > 5
    assert np.hypot(*(points[:, None] - kept[None]).transpose(2, 0, 1)).min(1).max() <= 5


def test_a_field_tells_the_nearest_line_of_a_direction():
    rows, columns = np.array([[10, 40], [200, 40]], float), np.array([[120, 10], [120, 170]], float)
    lines = trace(draw((rows, False), (columns, False)))
    field = line_field(lines, SIZE, 1.0)
    count = len(field.distances)
    assert field.distances[0, 60, 60] == pytest.approx(20, abs=1)
    assert field.distances[count // 2, 60, 60] == pytest.approx(60, abs=1)
    assert lines.points[field.nearest[0, 60, 60]] == pytest.approx([60, 40], abs=1)
    assert (line_field(trace(np.zeros(SIZE, np.float32)), SIZE, 1.0).distances == FAR).all()


def test_the_search_finds_the_turn_of_a_shape_from_most_of_its_points():
    def shape(degrees):
        return trace(draw((turned(BODY - BODY.mean(0), degrees) + 30, True)))

    lines, scale = (shape(0), shape(50)), scale_of(SIZE)
    points, motions = search(*lines, line_field(lines[1], SIZE, scale), scale)
    centre = JOINT + 30
    true = about(centre[None], np.radians([50.0]), centre[None])[0]
    off = np.hypot(*(moved(motions, lines[0].points[points]) - moved(true, lines[0].points[points])).T)
    turns = np.arctan2(motions[:, 1], motions[:, 0]) - np.radians(50)
    found = points[(off < 3) & (np.abs(turns) < 0.15)]
    assert len(np.unique(found)) > 0.5 * len(np.unique(points))


def test_each_line_is_claimed_once():
    """Two equal limbs of which one is gone cannot both go to the one that is left."""
    pair = [(turned(LIMB, 10), False), (turned(LIMB, 90), False)]
    lines = trace(draw((BODY, True), *pair)), trace(draw((BODY, True), pair[0]))
    scale = scale_of(SIZE)
    matching = match(lines, line_field(lines[1], SIZE, scale), scale)
    near = [
        [np.hypot(*(turned(dense(LIMB, 200)[40:-40], angle) - point).T).min() < 2 for point in lines[0].points]
        for angle in (10, 90)
    ]
    known = matching.owners[0] >= 0
    assert known[near[0]].mean() > 0.9
    assert known[near[1]].mean() < 0.3


def test_a_flow_explains_what_it_carries_onto_lines():
    inks = draw((BODY, True)), draw((BODY + np.array([9, 0]), True))
    lines = trace(inks[0]), trace(inks[1])
    right = np.broadcast_to(np.float32([9, 0]), (*SIZE, 2))
    exact, half, none = (unexplained(lines, (share * right, -share * right), 0.5) for share in (1, 0.5, 0))
    assert exact < 0.1 < half < none
    assert unexplained((lines[0], trace(np.zeros(SIZE, np.float32))), (right, right), 0.5) == 1


def test_a_flow_is_torn_where_neighbours_on_a_line_part():
    ink = draw((np.array([[40, 100], [240, 100]], float), False))
    lines = trace(ink), trace(ink)
    still = np.zeros((*SIZE, 2), np.float32)
    right = still + np.float32([9, 0])
    parted = np.where(np.arange(SIZE[1])[None, :, None] < 140, right, 0 * right)
    assert torn(lines, (right, -right)) == 0
    assert 0 < torn(lines, (parted, still)) < 0.02
    assert cost(lines, (parted, still), 0.5) > unexplained(lines, (parted, still), 0.5)


def hatching(degrees):
    generator, angle = np.random.default_rng(0), np.radians(degrees)
    middles, directions = generator.uniform((60, 20), (300, 250), (400, 2)), generator.uniform(0, np.pi, 400)
    ways = 6 * np.stack([np.cos(directions), np.sin(directions)], 1)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    strokes = np.stack([middles - ways, middles + ways], 1) - (180, 135)
    return draw(*((stroke @ turn + (180, 135), False) for stroke in strokes), width=1)


def test_hatching_is_matched_with_fewer_trials(monkeypatch):
    lines = trace(hatching(0)), trace(hatching(12))
    scale = scale_of(SIZE)
    field = line_field(lines[1], SIZE, scale)
    places = len(thinned(lines[1].points, 2.5 * scale))
    monkeypatch.setattr(searching, "_MOST_TRIED", 60 * places)
    monkeypatch.setattr(matching, "_MOST_WALKED", 300 * len(lines[0].around.points))
    points, _ = search(*lines, field, scale)
    tried = []
    add = matching._Trials.add
    monkeypatch.setattr(matching._Trials, "add", lambda self, *of: (tried.append(len(of[0])), add(self, *of)))
    found = match(lines, field, scale)
    assert 20 <= len(np.unique(points)) <= 60
    assert max(tried[1:]) <= 300 + 36
    motion = found.motions[0]
    assert np.degrees(np.arctan2(motion[1], motion[0])) == pytest.approx(12, abs=1)
    owned = found.owners[0] != UNKNOWN
    here = lines[0].points[owned]
    expected = moved(about(np.array([[180, 135]]), np.radians([12]), np.array([[180, 135]])), here)
    off = np.hypot(*(moved(found.motions[found.owners[0][owned]], here) - expected).T)
    assert (off < 4).sum() > 0.7 * len(owned)


def test_dense_lines_have_fewer_neighbours():
    lines = [(np.array([[20, y], [300, y]]), False) for y in range(20, 500, 4)]
    traced = trace(draw(*lines, size=(540, 320), width=1))
    assert 10 <= len(traced.around.points) / len(traced.points) <= 40


def test_lines_may_be_too_dense():
    assert not is_dense(trace(np.ones((400, 400), np.float32)))
    stripes = np.zeros((400, 400), np.float32)
    stripes[::2] = 1
    assert is_dense(trace(stripes))


def test_grain_of_paper_stays():
    inks = figure(10), figure(45)
    clean = moves(*inks)[0]
    generator = np.random.default_rng(0)
    grain = generator.uniform(0, 0.1, (2, *SIZE)).astype(np.float32)
    noisy = moves(*(np.maximum(ink, of) for ink, of in zip(inks, grain, strict=True)))[0]
    for ink, before, after in zip(inks, clean.owners, noisy.owners, strict=True):
        is_line = ink > 0.5
        is_paper = cv2.dilate(ink, np.ones((9, 9), np.uint8)) == 0
        assert (after[is_paper] == GROUND).all()
        assert ((before == GROUND) == (after == GROUND))[is_line].all()
        assert ((before != GROUND) == (ink > 1 / 255)).all()


def test_fewer_motions_are_tried_where_most_of_them_map_most_lines(monkeypatch):
    """A grid matches itself from everywhere."""

    def grid(shift):
        across = [(np.array([[20, y + shift], [340, y + shift]], float), False) for y in range(20, 250, 16)]
        down = [(np.array([[x, 20 + shift], [x, 244 + shift]], float), False) for x in range(20, 350, 16)]
        return draw(*across, *down, width=1)

    lines, scale = (trace(grid(0)), trace(grid(3))), scale_of(SIZE)
    field = line_field(lines[1], SIZE, scale)
    evaluated = []
    kernel = matching._count
    monkeypatch.setattr(
        matching, "_count", lambda points, *of: (evaluated[-1].append(len(points)), kernel(points, *of))
    )
    for most in (10**12, 10**7):
        monkeypatch.setattr(matching, "_MOST_VISITED", most)
        evaluated.append([])
        found = match(lines, field, scale)
        assert np.hypot(*(found.motions[0] - (1, 0, 0, 3))[2:]) < 1
    assert max(evaluated[1]) < max(evaluated[0]) / 3
