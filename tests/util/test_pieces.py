"""Pieces that turn: motions fitted to outlines, chains about joints, limbs on their way, ground that stays."""

import itertools
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from _util import image, paths
from _util.pieces.affine import angles, applied
from _util.pieces.confidence import confidences
from _util.pieces.ground import core_colours
from _util.pieces.joints import Chains, chain
from _util.pieces.motion import Pieces, find
from _util.pieces.outlines import Contacts, contacts
from _util.pieces.ownership import GROUND, UNKNOWN
from _util.pieces.pairing import pair_nearest
from _util.pieces.tearing import find_torn
from _util.sgm import SGM, match
from tests.pieces import described


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


def test_a_limb_that_passes_something_static_moves_with_its_body():
    """The arm has a fixed point, which lies near its contact with the static cupboard."""
    shoulder, way = np.array([50.0, 50.0]), np.array([40.0, 0.0])
    body, arm = (rotation(np.radians(degrees), shoulder, shoulder + way) for degrees in (12, -50))
    matrices = np.stack([np.eye(2, 3), np.eye(2, 3), body, arm])
    beside = np.linalg.solve(np.eye(2) - arm[:, :2], arm[:, 2]) + 10
    contacts = np.stack([np.concatenate([beside, beside]), np.concatenate([shoulder, shoulder + way])])
    areas, centres = np.array([0, 30000, 9000, 2500]), np.array([[0, 0], [200, 90], [50, 90], [70, 80.0]])
    chains = chain(matrices, areas, centres, np.array([[1, 3], [2, 3]]), contacts)
    assert chains.parents.tolist() == [-1, -1, -1, 2]
    chains = chain(matrices, areas, centres, np.array([[1, 3]]), contacts[:1])
    assert chains.parents.tolist() == [-1, -1, -1, 1]


def test_pieces_that_move_almost_alike_are_joined_where_they_touch():
    """Their common fixed point is far away, so it does not tell where the joint is."""
    shoulder, wrist = np.array([50.0, 50.0]), np.array([130.0, 50.0])
    arm = rotation(np.radians(70), shoulder, shoulder)
    hand = rotation(np.radians(73), wrist, arm[:, :2] @ wrist + arm[:, 2] + (0, 2))
    place = np.concatenate([wrist, applied(arm, wrist)])[None]
    areas, centres = np.array([0, 1600, 400]), np.array([[0, 0], [90, 50], [140, 50.0]])
    chains = chain(np.stack([np.eye(2, 3), arm, hand]), areas, centres, np.array([[1, 2]]), place)
    assert chains.parents.tolist() == [-1, -1, 1]
    middle = chains.at(0.5)
    assert np.hypot(*(applied(middle[1], wrist) - applied(middle[2], wrist))) < 2
    assert chains.joined_to(np.array([False, True, False])).tolist() == [False, False, True]
    assert chains.joined_to(np.array([False, False, True])).tolist() == [False, True, False]


def limb(angle, size=(270, 480)):
    """(1, 3, h, w): a red bar that has turned about the middle of a disc, on flat ground."""
    picture = np.full((*size, 3), (150, 190, 200), np.uint8)
    box = cv2.boxPoints(((0, 0), (70, 16), 0)) + np.array([65, 0])
    radians = np.radians(angle - 20)
    around = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    corners = np.round(box @ around + np.array([200, 130])).astype(int)
    cv2.fillPoly(picture, [corners], (200, 60, 60))
    cv2.polylines(picture, [corners], True, (20, 20, 20), 2)
    cv2.circle(picture, (200, 130), 42, (240, 160, 90), -1)
    cv2.circle(picture, (200, 130), 42, (20, 20, 20), 2)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def to_picture(frame):
    return image.to_array(frame[0], np.uint8)


def is_red(frame):
    return (frame[0] - torch.tensor([200, 60, 60]).view(3, 1, 1) / 255).abs().amax(0) < 0.02


def bar_of(pieces, frame):
    """The piece that most red pixels of frame 0 belong to."""
    owners = pieces.owners[0][is_red(frame).numpy()]
    return np.bincount(owners[owners != UNKNOWN]).argmax()


@pytest.mark.slow
@pytest.mark.parametrize("angle", [43, 90])
def test_a_limb_that_turns_on_flat_ground_keeps_its_length_at_the_middle(angle):
    """The disc stays."""
    frames = limb(0), limb(angle)
    pieces = find(*map(to_picture, frames), SGM("alexnet").match(*frames))
    path = torch.from_numpy(pieces.paths()[0]).permute(2, 0, 1)[None]
    y, x = torch.nonzero(is_red(frames[0]), as_tuple=True)
    lengths = []
    for t in (0.0, 0.5):
        way = paths.at(path, t)[0][:, y, x]
        places = torch.stack([x + way[0], y + way[1]], 1)
        lengths.append(torch.pdist(places[::3]).max().item())
    assert lengths[1] == pytest.approx(lengths[0], rel=0.03)
    ground = (frames[0][0] == frames[0][0, :, :1, :1]).all(0)
    assert not path[0, :2, ground].any()
    red = [is_red(frame).numpy() for frame in frames]
    bar = bar_of(pieces, frames[0])
    for owners, is_bar in zip(pieces.owners, red, strict=True):
        assert (owners[is_bar] == bar).mean() > 0.95
    assert np.degrees(angles(pieces.chains.matrices))[bar] == pytest.approx(angle, abs=3)
    everything = np.ones(len(pieces.layers), bool)
    assert confidences(pieces, everything)[bar] > 0.9
    assert confidences(pieces, ~everything).tolist() == [1] + [0] * (len(everything) - 1)
    np.testing.assert_allclose(pieces.chains.pivots[bar], [200, 130], atol=3)
    landed = applied(pieces.chains.matrices[bar], np.stack([x.numpy(), y.numpy()], 1))
    there = np.stack(np.nonzero(red[1])[::-1], 1)
    np.testing.assert_allclose(landed.mean(0), there.mean(0), atol=1.5)


def waving(angle, size=(270, 480)):
    """(1, 3, h, w): a red bar that has turned about its end, with a green one at an angle to it at the other."""
    picture = np.full((*size, 3), (150, 190, 200), np.uint8)
    way, beyond = (np.array([np.cos(np.radians(x)), np.sin(np.radians(x))]) for x in (angle, angle + 30))
    shoulder = np.array([200, 135])
    elbow = shoulder + 90 * way
    hand = elbow + 44 * beyond
    shoulder, elbow, hand = (np.round(16 * point).astype(int).tolist() for point in (shoulder, elbow, hand))
    cv2.line(picture, elbow, hand, (40, 160, 90), 18, cv2.LINE_AA, 4)
    cv2.line(picture, shoulder, elbow, (200, 60, 60), 24, cv2.LINE_AA, 4)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def test_what_follows_a_turning_limb_is_found_where_no_match_is():
    frames = waving(-50), waving(40)
    matching = SGM("alexnet").match(*frames)
    greens = [(each.colours[:, 1] - each.colours[:, 0]) > 0.2 for each in (matching.segments0, matching.segments1)]
    assert [green.sum() for green in greens] == [1, 1]
    is_kept = ~greens[0][matching.pairs[:, 0]] & ~greens[1][matching.pairs[:, 1]]
    lost = matching._replace(pairs=matching.pairs[is_kept], affinities=matching.affinities[is_kept])
    assert len(lost.pairs)
    of_green = frames[0][0, 1].numpy() - frames[0][0, 0].numpy() > 0.4
    pieces = find(*map(to_picture, frames), lost)
    owners, counts = np.unique(pieces.owners[0][of_green], return_counts=True)
    piece = owners[counts.argmax()]
    assert piece not in (GROUND, UNKNOWN)
    assert counts.max() > 0.9 * counts.sum()
    assert np.degrees(angles(pieces.chains.matrices))[piece] == pytest.approx(90, abs=4)
    assert pieces.chains.parents[piece] == bar_of(pieces, frames[0])


def tapered(joint, angle, size=(540, 960)):
    """(1, 3, h, w): a bar, half as wide at its end, that has turned about a point before a disc."""
    picture = np.full((*size, 3), (150, 190, 200), np.uint8)
    cv2.circle(picture, (415, 258), 72, (126, 244, 131), -1, cv2.LINE_AA)
    radians = np.radians(angle)
    around = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    corners = np.array([[0, -15], [125, -7.5], [125, 7.5], [0, 15]]) @ around + np.array([415, 258]) + joint
    cv2.fillPoly(picture, [np.round(corners * 16).astype(np.int32)], (200, 60, 60), cv2.LINE_AA, 4)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(("joint", "start", "turn"), [((-51, 23), 3, 74), ((-45, -52), -33, 69)])
def test_an_arm_before_a_body_does_not_turn_end_over_end(joint, start, turn):
    """Where the arm and the body touch is no joint: it moves along both."""
    frames = tapered(joint, start), tapered(joint, start + turn)
    pieces = find(*map(to_picture, frames), SGM("alexnet").match(*frames))
    bar = bar_of(pieces, frames[0])
    assert np.degrees(angles(pieces.chains.matrices))[bar] == pytest.approx(turn, abs=2)


def shouldered(*limbs, size=(270, 480)):
    """(1, 3, h, w): outlined arms before an outlined coat, each from a shoulder at an angle in degrees from straight
    down."""
    picture = np.full((*size, 3), (240, 245, 250), np.uint8)
    cv2.rectangle(picture, (224, 95), (256, 180), (90, 120, 200), -1)
    cv2.rectangle(picture, (224, 95), (256, 180), (20, 20, 20), 2)
    for shoulder, angle in limbs:
        way = np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])
        ends = [np.round(16 * (np.array(shoulder) + r * way)).astype(int).tolist() for r in (0, 60)]
        for colour, width in (((20, 20, 20), 16), ((200, 60, 60), 12)):
            cv2.line(picture, *ends, colour, width, cv2.LINE_AA, 4)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(
    "limbs", [[((254, 112), 30, 150)], [((254, 112), 23, 143), ((226, 112), -137, -29)]], ids=["one", "both"]
)
def test_arms_stay_at_their_shoulders(limbs):
    """One fits end for end as well, and of two, each is nearer to where the other was."""
    frames = [shouldered(*((limb[0], limb[1 + i]) for limb in limbs)) for i in range(2)]
    pieces = find(*map(to_picture, frames), SGM("alexnet").match(*frames))
    for shoulder, angle, _ in limbs:
        way = np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])
        x, y = np.round(np.array(shoulder) + 50 * way).astype(int)
        kept = applied(pieces.chains.matrices[pieces.owners[0][y, x]], np.array(shoulder, float))
        np.testing.assert_allclose(kept, shoulder, atol=3)


def hidden(angle):
    """(1, 3, 540, 960): a bar that has turned about a point behind a disc, which hides a part of it."""
    picture = np.full((540, 960, 3), (184, 188, 218), np.uint8)
    radians = np.radians(angle)
    around = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    corners = np.array([[0, -17], [206, -12], [206, 12], [0, 17]]) @ around + np.array([589, 235])
    corners = np.round(corners * 16).astype(np.int32)
    cv2.polylines(picture, [corners], True, (20, 20, 20), 4, cv2.LINE_AA, 4)
    cv2.fillPoly(picture, [corners], (200, 60, 60), cv2.LINE_AA, 4)
    cv2.circle(picture, (599, 176), 91, (143, 209, 78), -1, cv2.LINE_AA)
    cv2.circle(picture, (599, 176), 91, (20, 20, 20), 2, cv2.LINE_AA)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def test_an_arm_behind_a_body_is_fitted_by_what_is_not_hidden():
    frames, turn = (hidden(56), hidden(-4)), rotation(np.radians(-60), np.array([589, 235]), [589, 235])
    pieces = find(*map(to_picture, frames), SGM("alexnet").match(*frames))
    bar = bar_of(pieces, frames[0])
    tip = np.array([589, 235]) + 200 * np.array([np.cos(np.radians(56)), np.sin(np.radians(56))])
    np.testing.assert_allclose(applied(pieces.chains.matrices[bar], tip), applied(turn, tip), atol=2)
    assert confidences(pieces, np.ones(len(pieces.layers), bool))[bar] > 0.9


def behind(disc, joint, length, angle):
    """(1, 3, 540, 960): a tapered bar that has turned about a point behind a disc (x, y, radius)."""
    picture = np.full((540, 960, 3), (227, 201, 162), np.uint8)
    radians = np.radians(angle)
    around = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    corners = np.array([[0, -25], [length, -12], [length, 12], [0, 25]]) @ around + joint
    cv2.fillPoly(picture, [np.round(corners * 16).astype(np.int32)], (200, 60, 60), cv2.LINE_AA, 4)
    cv2.circle(picture, disc[:2], disc[2], (90, 140, 216), -1, cv2.LINE_AA)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(
    ("disc", "joint", "length", "start", "turn"),
    [((356, 242, 86), (400, 197), 187, 23, 51), ((621, 173, 90), (617, 97), 162, 2, -66)],
    ids=["of which the body hides a half", "that leaves the frame"],
)
def test_a_rigid_arm_is_not_bent(disc, joint, length, start, turn):
    frames = behind(disc, joint, length, start), behind(disc, joint, length, start + turn)
    pieces = find(*map(to_picture, frames), SGM("alexnet").match(*frames))
    bar = bar_of(pieces, frames[0])
    assert np.degrees(angles(pieces.chains.matrices))[bar] == pytest.approx(turn, abs=3)
    for owners, bends in zip(pieces.owners, pieces.bends, strict=True):
        assert not bends[owners == bar].any()


@pytest.mark.parametrize("levels", [-20, 20])
def test_a_piece_that_is_a_little_lighter_or_darker_is_not_bent(levels):
    frames = limb(0), limb(43)
    pictures = [to_picture(frame) for frame in frames]
    pictures[1] = np.where(is_red(frames[1]).numpy()[:, :, None], pictures[1] + np.int64(levels), pictures[1])
    pieces = find(pictures[0], pictures[1].astype(np.uint8), SGM("alexnet").match(*frames))
    bar = bar_of(pieces, frames[0])
    for owners, bends in zip(pieces.owners, pieces.bends, strict=True):
        assert not bends[owners == bar].any()


def test_what_changes_within_the_ground_is_no_ground():
    """A dot without an outline is of the piece around it, but moves."""
    frames, labels = np.full((2, 90, 160, 3), 200, np.uint8), np.zeros((2, 90, 160), np.int64)
    for i, left in enumerate((20, 28)):
        frames[i, 20:50, left : left + 30] = 40
        labels[i, 20:50, left : left + 30] = 1
        frames[i, 60:70, 100 + left : 110 + left] = 90
    pictures = [torch.from_numpy(frame).permute(2, 0, 1).float() / 255 for frame in frames]
    segments = [described(label, picture) for label, picture in zip(labels, pictures, strict=True)]
    vectors = np.eye(2, dtype=np.float32)
    owners = find(*frames, match(*segments, vectors, vectors)).owners
    for i, left in enumerate((20, 28)):
        assert (owners[i][60:70, 100 + left : 110 + left] == UNKNOWN).all()
        assert (owners[i][20:50, left : left + 30] > GROUND).mean() > 0.95
        assert (owners[i][:12] == GROUND).all()


def test_the_colour_of_a_piece_is_that_of_most_of_it():
    labels = np.zeros((60, 90), np.int64)
    labels[10:50, 10:80] = 1
    picture = np.full((60, 90, 3), 250, np.uint8)
    picture[10:50, 10:80] = 20, 20, 20
    picture[13:47, 13:77] = 198, 215, 208
    picture[20:40, 15:35] = 113, 200, 140
    segments = described(labels, torch.from_numpy(picture).permute(2, 0, 1).float() / 255)
    assert core_colours(picture, segments).tolist() == [[250, 250, 250], [198, 215, 208]]


def test_what_is_seen_in_one_frame_alone_has_no_confidence():
    owners = np.zeros((2, 20, 30), np.int32)
    owners[:, 5:15, 5:15] = 1
    owners[0, 5:15, 18:28] = 2
    chains = Chains(np.broadcast_to(np.eye(2, 3), (3, 2, 3)), np.full(3, -1), np.zeros((3, 2)))
    nothing = np.zeros((20, 30, 2), np.float32), np.zeros((20, 30, 2), np.float32)
    layers, mixed = np.array([0, 1, 1], np.float32), (owners[0] < 0, owners[1] < 0)
    pieces = Pieces(
        (owners[0], owners[1]), chains, nothing, layers, np.zeros(3), mixed, False, *[np.zeros(3, bool)] * 3
    )
    assert confidences(pieces, np.ones(3, bool)).tolist() == [1, 1, 0]
    forth, back = pieces.paths()
    assert not forth[:, :, :8].any()
    assert (back[:, :, 8] == owners[1].clip(max=1)).all()


def fan(angle, blades=4, size=(270, 480)):
    """(1, 3, h, w): red blades that have turned about the middle of a disc before them."""
    picture = np.full((*size, 3), (150, 190, 200), np.uint8)
    for k in range(blades):
        radians = np.radians(angle + 12 + k * 360 / blades)
        way = np.array([np.cos(radians), np.sin(radians)])
        ends = [np.round(16 * (np.array([240, 135]) + r * way)).astype(int).tolist() for r in (10, 100)]
        cv2.line(picture, *ends, (200, 60, 60), 18, cv2.LINE_8, 4)
    cv2.circle(picture, (240, 135), 22, (90, 140, 90), -1, cv2.LINE_8)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(
    ("changed", "count", "angle"), [("exchanged", 4, 25), ("left out", 4, 25), ("exchanged", 2, 68)]
)
def test_pieces_that_look_alike_go_to_the_nearest(changed, count, angle):
    frames = fan(0, count), fan(angle, count)
    matching = SGM("alexnet").match(*frames)
    blades = [
        np.flatnonzero(of.colours[:, 0] - of.colours[:, 1] > 0.3) for of in (matching.segments0, matching.segments1)
    ]
    assert [len(of) for of in blades] == [count, count]
    turns = [
        np.arctan2(*(of.centroids[own] - [240, 135]).T[::-1])
        for of, own in zip((matching.segments0, matching.segments1), blades, strict=True)
    ]
    order = [np.argsort(turn) for turn in turns]
    pairs = np.stack([blades[0][order[0]], blades[1][np.roll(order[1], count // 2)]], 1)
    rest = matching.pairs[~np.isin(matching.pairs[:, 0], blades[0]) & ~np.isin(matching.pairs[:, 1], blades[1])]
    pairs = np.concatenate([rest, pairs] if changed == "exchanged" else [rest])
    matching = matching._replace(pairs=pairs, affinities=np.ones(len(pairs), np.float32))
    pieces = find(*map(to_picture, frames), matching)
    owners, pixels = np.unique(pieces.owners[0][is_red(frames[0]).numpy()], return_counts=True)
    turned = np.degrees(angles(pieces.chains.matrices))[owners[(owners > GROUND) & (pixels > 500)]]
    np.testing.assert_allclose(turned, np.full(count, angle), atol=2)


def crossed(joint, angle, size=(270, 480)):
    """(1, 3, h, w): a disc with a thin red bar before it, which has turned about its end."""
    picture = np.full((*size, 3), (245, 222, 160), np.uint8)
    cv2.circle(picture, (170, 85), 60, (170, 240, 140), -1, cv2.LINE_8)
    radians = np.radians(angle)
    ends = np.array(joint) - np.array([[0, 0], [120 * np.cos(radians), 120 * np.sin(radians)]])
    cv2.line(picture, *np.round(16 * ends).astype(int).tolist(), (200, 60, 60), 14, cv2.LINE_8, 4)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(("joint", "start", "turn"), [((230, 136), -12, 61), ((202, 136), 7, 76)])
def test_a_disc_behind_what_turns_rests(joint, start, turn):
    """Outlines fit as well if it turns, so that what the bar hides moves with the bar."""
    frames = crossed(joint, start), crossed(joint, start + turn)
    pieces = find(*map(to_picture, frames), SGM("alexnet").match(*frames))
    is_disc = (to_picture(frames[0]) == (170, 240, 140)).all(2)
    disc = np.bincount(pieces.owners[0][is_disc & (pieces.owners[0] > GROUND)]).argmax()
    np.testing.assert_array_equal(pieces.chains.at(0.5)[disc], np.eye(2, 3))


def wing(angle):
    """(1, 3, 540, 960): a red shape that has turned about a point behind two small discs, which hide parts of it."""
    picture = np.full((540, 960, 3), (184, 188, 188), np.uint8)
    radians = np.radians(angle)
    around = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    outline = np.array([[0, -24], [100, -100], [200, -70], [180, 0], [90, 24], [0, 20]]) @ around + np.array([450, 300])
    cv2.fillPoly(picture, [np.round(16 * outline).astype(np.int32)], (200, 60, 60), cv2.LINE_8, 4)
    for y, radius in ((300, 45), (215, 38)):
        cv2.circle(picture, (430, y), radius, (96, 202, 134), -1, cv2.LINE_8)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def test_what_small_pieces_hide_is_not_bent():
    frames = wing(0), wing(-44)
    pieces = find(*map(to_picture, frames), SGM("alexnet").match(*frames))
    shape = bar_of(pieces, frames[0])
    assert np.degrees(angles(pieces.chains.matrices))[shape] == pytest.approx(-44, abs=2)
    for owners, bends in zip(pieces.owners, pieces.bends, strict=True):
        assert not bends[owners == shape].any()


def leaning(lean, raised):
    """(1, 3, 540, 960): a body and the arm before it, both turned by angles in degrees."""
    picture = np.full((540, 960, 3), (184, 188, 188), np.uint8)
    body, arm = (((-80, -60), (80, -60), (90, 180), (-90, 180)), ((-15, -15), (15, -15), (15, 110), (-15, 110)))
    for corners, degrees, colour in ((body, lean, (60, 120, 90)), (arm, raised, (200, 170, 60))):
        angle = np.radians(degrees)
        around = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        outline = np.round(16 * (np.array(corners) @ around + (480, 200))).astype(np.int32)
        cv2.fillPoly(picture, [outline], colour, cv2.LINE_AA, 4)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def test_a_body_does_not_bend_around_the_arm_before_it():
    frames = leaning(-7, 20), leaning(8, -70)
    pieces = find(*map(to_picture, frames), SGM("alexnet").match(*frames))
    body = pieces.owners[0][350, 530]
    assert np.degrees(angles(pieces.chains.matrices))[body] == pytest.approx(15, abs=2)
    for owners, bends in zip(pieces.owners, pieces.bends, strict=True):
        assert np.hypot(*bends[owners == body].T).max() < 2


def test_ground_between_things_that_move_stays():
    """Two posts divide sky and floor; each part touches two or three sides of the frame, or one."""
    frames = []
    for shift in (0, 90):
        picture = np.full((270, 480, 3), (150, 190, 220), np.uint8)
        picture[200:] = 120, 90, 80
        for x, colour in ((120, (60, 60, 160)), (260, (160, 60, 60))):
            picture[:, x + shift : x + shift + 50] = colour
        frames.append(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255)
    pieces = find(*map(to_picture, frames), SGM("alexnet").match(*frames))
    for owners, shift in zip(pieces.owners, (0, 90), strict=True):
        assert (owners[20:180, 180 + shift : 250 + shift] == GROUND).all()
        assert (owners[220:260, 180 + shift : 250 + shift] == GROUND).all()
        assert (owners[20:260, 130 + shift : 160 + shift] > GROUND).all()


def marked(angle, size=(270, 480)):
    """(1, 3, h, w): a red bar with a dark end that touches nothing."""
    picture = np.full((*size, 3), (150, 190, 200), np.uint8)
    way = 60 * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    first, second, last = (np.round(16 * (np.array([240, 135]) + r * way)).astype(int).tolist() for r in (-1, 0.6, 1))
    cv2.line(picture, first, last, (200, 60, 60), 22, cv2.LINE_8, 4)
    cv2.line(picture, second, last, (170, 40, 40), 22, cv2.LINE_8, 4)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def test_colours_tell_the_ends_of_a_piece_apart():
    """The turn by −60° is shorter, and outlines agree as well."""
    frames = marked(10), marked(130)
    labels = [(frame[0, 0] > frame[0, 1] + 0.2).numpy().astype(np.int64) for frame in frames]
    segments = [described(label, frame[0]) for label, frame in zip(labels, frames, strict=True)]
    vectors = np.eye(2, dtype=np.float32)
    pieces = find(*map(to_picture, frames), match(*segments, vectors, vectors))
    assert np.degrees(angles(pieces.chains.matrices))[1:] == pytest.approx(120, abs=2)


NOTHING = np.zeros((540, 960), bool)


def pieces_at(centroids, area, size=(540, 960)):
    """Square pieces of one area, none of them cut by the border of the frame, and what is around them."""
    count, reach = len(centroids), round(area**0.5 / 2)
    centres, labels = np.rint(centroids).astype(int), np.full(size, count, np.int32)
    boxes = np.concatenate([centres - reach, centres + reach], 1).clip(1)
    for i, (x, y) in enumerate(centres):
        labels[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach] = i
    areas = np.append(np.full(count, area), labels.size)
    return SimpleNamespace(centroids=np.array(centroids, float), areas=areas, boxes=boxes, labels=labels)


def touching(pairs, count):
    keys = np.array(sorted(one * count + other for one, other in pairs), np.int64)
    return Contacts(keys, np.zeros((len(keys), 2)), np.zeros((len(keys), 2)), count)


def test_what_looks_alike_moves_with_what_it_touches():
    """Two figures, each of a coat, a face and an eye, change places; only the coats differ."""
    coats, faces, eyes = ([100, 200], [400, 200]), ([100, 100], [400, 100]), ([100, 90], [400, 90])
    lower = [[x, y + 12] for x, y in coats]
    both = [pieces_at([*coats, *faces, *eyes], 900), pieces_at([*lower[::-1], *faces, *eyes], 900)]
    colours = [np.array([[200, 0, 0], [0, 0, 200], *[[230, 200, 180]] * 2, *[[0, 0, 0]] * 2])] * 2
    borders = touching([(0, 2), (1, 3), (2, 4), (3, 5)], 6), touching([(1, 2), (0, 3), (2, 4), (3, 5)], 6)
    pairs, are_anchored = pair_nearest(np.array([[2, 2]]), both, colours, [np.ones(6, bool)] * 2, borders, NOTHING)
    assert pairs.tolist() == [[0, 0], [1, 1], [2, 3], [3, 2], [4, 5], [5, 4]]
    assert are_anchored.all()
    apart = [touching([], 6)] * 2
    pairs, are_anchored = pair_nearest(np.array([[2, 2]]), both, colours, [np.ones(6, bool)] * 2, apart, NOTHING)
    assert pairs.tolist() == [[k, k] for k in range(6)]
    assert are_anchored.tolist() == [True, True, False, False, False, False]


@pytest.mark.parametrize("what", ["another of its colour", "cut by the border", "another colour in its place"])
def test_what_is_ambiguous_is_no_anchor(what):
    both = [pieces_at([[100, 100], [150, 100]], 900), pieces_at([[400, 100], [150, 100]], 900)]
    colours = [np.array([[200, 0, 0], [0, 0, 200]])] * 2
    args = [np.ones(2, bool)] * 2, [touching([], 2)] * 2, NOTHING
    assert pair_nearest(np.zeros((0, 2), np.int64), both, colours, *args).are_anchored.tolist() == [True, False]
    if what == "cut by the border":
        both[1].boxes[0] = 390, 90, 960, 110
    elif what == "another colour in its place":
        both = [pieces_at([[100, 100], [400, 100]], 900), pieces_at([[400, 100], [100, 100]], 900)]
    else:
        colours = [colours[0] * 0 + 5] * 2
        both[0].areas[1] = 400
    assert not pair_nearest(np.zeros((0, 2), np.int64), both, colours, *args).are_anchored.any()


def test_what_leaves_its_colour_behind_is_no_anchor():
    """As the pupil of one eye does where that of the other is not segmented."""
    both = [pieces_at([[100, 100]], 900), pieces_at([[400, 100]], 900)]
    args = [np.full((1, 3), 200)] * 2, [np.ones(1, bool)] * 2, [touching([], 1)] * 2
    stays = NOTHING.copy()
    assert pair_nearest(np.zeros((0, 2), np.int64), both, *args, stays).are_anchored.tolist() == [True]
    stays[85:115, 85:100] = True
    assert not pair_nearest(np.zeros((0, 2), np.int64), both, *args, stays).are_anchored.any()


@pytest.mark.parametrize("seed", range(8))
def test_look_alikes_are_paired_at_the_smallest_sum_of_distances(seed):
    """No matching is given, all pieces are alike, and leaving one alone costs more than any distance."""
    random, count = np.random.default_rng(seed), 5
    both = [pieces_at(random.uniform(0, 100, (count, 2)), 900) for _ in range(2)]
    colours, free = [np.zeros((count, 3))] * 2, [np.ones(count, bool)] * 2
    pairs = pair_nearest(np.zeros((0, 2), np.int64), both, colours, free, [touching([], count)] * 2, NOTHING).pairs
    ways = np.hypot(*(both[0].centroids[:, None] - both[1].centroids).transpose(2, 0, 1))
    least = min(ways[range(count), order].sum() for order in itertools.permutations(range(count)))
    assert sorted(pairs[:, 0]) == sorted(pairs[:, 1]) == list(range(count))
    assert ways[tuple(pairs.T)].sum() == pytest.approx(least)


def test_matched_pairs_stay_unless_others_are_much_nearer():
    def row(*x):
        return pieces_at([[each, 0] for each in x], 100)

    def paired(matched, both, *free):
        return pair_nearest(matched, both, [np.zeros((2, 3))] * 2, free, [touching([], 2)] * 2, NOTHING).pairs.tolist()

    every, none = [np.ones(2, bool)] * 2, [np.zeros(2, bool)] * 2
    crossed, straight = np.array([[0, 1], [1, 0]]), np.array([[0, 0], [1, 1]])
    assert paired(crossed, (row(0, 4), row(2, 6)), *every) == crossed.tolist()
    far = row(0, 30), row(0, 30)
    assert paired(crossed, far, *every) == straight.tolist()
    assert paired(crossed, far, *none) == crossed.tolist()
    assert paired(crossed[:0], far, *every) == straight.tolist()
    assert paired(crossed[:0], far, *none) == []


def holding(turn, size=(300, 400)):
    """(h, w) int: ground 0, a body with an arm, 1, and a hand, 2, 3 a disc; the arm has turned by radians."""
    labels = np.zeros(size, np.int32)
    cv2.rectangle(labels, (60, 60), (110, 180), 1, -1)
    way = np.array([np.cos(turn), np.sin(turn)])
    wrist, hand = (np.round(np.array([105, 100]) + r * way).astype(int).tolist() for r in (80, 95))
    cv2.line(labels, (105, 100), wrist, 1, 20)
    cv2.circle(labels, hand, 14, 2, -1)
    cv2.circle(labels, (25, 25), 12, 3, -1)
    return labels


@pytest.mark.parametrize("has_arm", [False, True])
def test_a_hand_comes_off_an_arm_that_stays(has_arm):
    turn = np.radians(50)
    blank = torch.zeros(3, 300, 400)
    both = described(holding(0), blank), described(holding(turn), blank)
    hands = (100, 200), (173, 166)
    pairs = np.array([[of.labels[150, 80], of.labels[hand]] for of, hand in zip(both, hands, strict=True)]).T
    turned = rotation(turn, np.array([105.0, 100.0]), np.array([105.0, 100.0]))
    matrices = np.stack([turned if has_arm else np.eye(2, 3), turned])
    grounds = [of.labels[0, 0] == np.arange(len(of.areas)) for of in both]
    borders = [contacts(of) for of in both]
    torn, parted = find_torn(pairs, matrices, both, borders, grounds)
    assert torn.tolist() == [False, not has_arm]
    assert not parted.any()
    elsewhere = np.array([[pairs[0, 0], both[1].labels[25, 25]], pairs[1]])
    torn, parted = find_torn(elsewhere, matrices, both, borders, grounds)
    assert torn.tolist() == parted.tolist() == [False, not has_arm]
    torn, parted = find_torn(pairs[1:], matrices[1:], both, borders, grounds)  # what was not matched may move as well
    assert torn.tolist() == [True]
    assert parted.tolist() == [False]


@pytest.mark.parametrize("before", [None, 0, 1])
def test_of_what_passes_the_one_that_covers_the_other_is_in_front_or_the_lower_one(before):
    """Two discs pass; in frame 0, the one in front covers a bit of the other."""

    def draw(t):
        picture = np.full((180, 320, 3), (236, 228, 210), np.uint8)
        discs = [
            ((110 + 90 * t, 80), (60, 150, 60)),
            ((200 - 90 * t - (before is not None) * 26 * (1 - t), 92), (200, 130, 40)),
        ]
        for (x, y), colour in discs[::-1] if before == 0 else discs:
            cv2.circle(picture, (round(16 * x), round(16 * y)), 16 * 36, colour, -1, cv2.LINE_AA, 4)
        return picture

    frames = [image.to_tensor(draw(t))[None] for t in (0, 1)]
    pieces = find(*map(to_picture, frames), SGM("alexnet").match(*frames))
    first, second = (pieces.layers[pieces.owners[1][y, x]] for x, y in ((200, 80), (110, 92)))
    assert (first > second) == (before == 0)
    assert first != second
