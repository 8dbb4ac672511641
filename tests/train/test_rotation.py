"""The default network with pieces that rotate far: they keep their shape on their arcs; all else is the network's."""

import cv2
import numpy as np
import pytest
import torch

from _databacks.figures import Figures
from _train.frame_interpolation import Interpolator, lost_pieces
from _train.frame_interpolation.choice import choose
from _train.frame_interpolation.flatness import share_of_change
from _train.frame_interpolation.lost_pieces import _are_long, _areas, _come_off, _compared
from _train.frame_interpolation.rotation import _with_nearest
from _util import checkpoints, image
from _util.errors import InputError
from _util.flow import from_arrays
from _util.morphology import dilated_mask
from _util.pieces import motion
from _util.pieces.joints import Chains
from _util.pieces.motion import Pieces
from _util.pieces.ownership import GROUND as GROUND_PIECE
from _util.pieces.ownership import UNKNOWN

BAR, HAND, GROUND = (40, 90, 160), (40, 160, 90), (236, 228, 210)


def arm(angle, size=(180, 240)):
    """(h, w, 3): a thin arm that has turned by an angle in degrees about its end."""
    picture = np.full((*size, 3), GROUND, np.uint8)
    radians = np.radians(angle)
    end = 100 + 100 * np.cos(radians), 90 + 100 * np.sin(radians)
    corners = [[round(16 * x) for x in point] for point in ((100, 90), end)]
    cv2.line(picture, *corners, BAR, 14, cv2.LINE_AA, 4)
    return picture


def transparent(angle):
    """The arm as (h, w, 4), on nothing."""
    share = (GROUND[0] - arm(angle)[..., :1].astype(float)) / (GROUND[0] - BAR[0])
    return np.dstack([np.full((180, 240, 3), BAR), 255 * share]).round().astype(np.uint8)


@pytest.fixture(scope="module")
def ways():
    return [Interpolator(flow, device="cpu", precision="fp32") for flow in ("auto", "pieces+dis")]


@pytest.fixture(scope="module")
def automatic():
    return Interpolator(device="cpu", precision="fp32", matching="auto")


def overlap(frame, truth):
    shown, expected = ((picture[..., 2].astype(int) - picture[..., 0] > 60) for picture in (frame, truth))
    return (shown & expected).sum() / (shown | expected).sum()


@pytest.mark.parametrize(("angle", "is_completed"), [(2, False), (60, True)])
def test_pieces_that_hardly_move_are_left_to_the_network_at_once(monkeypatch, angle, is_completed):
    completed = []

    def complete(fitted):
        completed.append(fitted)
        return motion.complete(fitted)

    monkeypatch.setattr(lost_pieces, "complete", complete)
    automatic = Interpolator(device="cpu", precision="fp32", matching="auto")
    network = Interpolator(device="cpu", precision="fp32")
    found, expected = (of(arm(0), arm(angle))[0] for of in (automatic, network))
    assert bool(completed) == is_completed
    assert np.array_equal(found, expected) != is_completed


def still_pieces(owners, layers):
    """Pieces that rest, of owners (2, h, w) and layers (k,)."""
    count = len(layers)
    chains = Chains(np.broadcast_to(np.eye(2, 3), (count, 2, 3)), np.full(count, -1), np.zeros((count, 2)))
    bends, mixed = np.zeros((*owners.shape, 2), np.float32), np.zeros(owners.shape, bool)
    none = np.zeros(count, bool)
    return Pieces(tuple(owners), chains, tuple(bends), layers, np.zeros(count), tuple(mixed), False, none, none, none)


def test_the_flow_selects_the_default_network(ways):
    assert [way.method for way in ways] == ["ifnet", "pieces+dis+ifnet"]


@pytest.mark.parametrize("t", [0.25, 0.5])
def test_an_arm_that_turns_far_keeps_its_shape(ways, t):
    keys, truth = (arm(-35), arm(35)), arm(-35 + 70 * t)
    alone, along = (way(*keys, t)[0] for way in ways)
    assert overlap(along, truth) > 0.9 > overlap(alone, truth) + 0.2


@pytest.mark.parametrize("angle", [36, 44])
def test_a_rigid_arm_that_the_network_bends_stays_straight(ways, angle):
    keys, truth = (arm(-angle / 2), arm(angle / 2)), arm(0)
    alone, along = (way(*keys)[0] for way in ways)
    assert overlap(along, truth) > 0.95 > 0.9 > overlap(alone, truth)


def test_strokes_of_line_drawings_follow_without_a_flow(ways):
    triplet = Figures(51, line_art=True)[50]
    first, truth, last = (image.to_array(frame, np.uint8) for frame in triplet.frames)
    named, automatic = (
        Interpolator(flow, device="cpu", precision="fp32", matching="auto") for flow in ("pieces+dis", "auto")
    )
    (alone,), (along,) = ways[0](first, last), automatic(first, last)
    lines = truth[..., 0] < 128
    found = [dilated_mask(frame[..., 0] < 128, 1)[lines].mean() for frame in (alone, along)]
    assert found[1] > 0.85 > found[0] + 0.2
    np.testing.assert_array_equal(along, named(first, last)[0])


def grainy(picture, seed):
    noise = np.random.default_rng(seed).normal(0, 1.5, picture.shape)
    return (picture + noise).round().clip(0, 255).astype(np.uint8)


def test_pieces_of_flat_drawings_follow_without_a_flow(ways, automatic):
    """Those of films, where nothing is flat, only with one."""
    for keys in ((arm(-35), arm(35)), (transparent(-35), transparent(35))):
        (alone,), (named,) = (way(*keys) for way in ways)
        assert (named != alone).any()
        np.testing.assert_array_equal(automatic(*keys)[0], named)
    film = grainy(arm(-35), 0), grainy(arm(35), 1)
    (alone,), (named,) = (way(*film) for way in ways)
    np.testing.assert_array_equal(automatic(*film)[0], alone)
    assert overlap(named, arm(0)) > overlap(alone, arm(0)) + 0.2


def figure(angle, eye=(95, 60)):
    """(h, w, 3): an arm before a body with an eye, which the arm passes over."""
    picture = np.full((180, 240, 3), GROUND, np.uint8)
    cv2.circle(picture, (100, 90), 60, (240, 160, 90), -1, cv2.LINE_AA)
    cv2.circle(picture, eye, 7, (255, 255, 255), -1, cv2.LINE_AA)
    radians = np.radians(angle)
    around = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    corners = np.array([[-10, -10], [110, -8], [110, 8], [-10, 10]]) @ around + np.array([100, 110])
    cv2.fillPoly(picture, [np.round(corners * 16).astype(np.int32)], BAR, cv2.LINE_AA, 4)
    return picture


@pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
def test_what_is_behind_an_arm_that_turns_stays_as_it_is(ways, t):
    keys, truth = (figure(-125), figure(-65)), figure(-125 + 60 * t)
    wrong = [(abs(way(*keys, t)[0].astype(int) - truth).max(2) > 60).mean() for way in ways]
    assert wrong[1] < 0.003 < 0.01 < wrong[0]


def waving(angle, size=(270, 480), outline=2):
    """(h, w, 3): an arm that has turned by an angle in degrees about its end: sleeve, wrist and hand, outlined."""
    picture = np.full((*size, 3), GROUND, np.uint8)
    way = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    places = [np.round(16 * (np.array([200, 135]) + r * way)).astype(int).tolist() for r in (0, 56, 92, 104)]
    for (start, end), width, colour in ((places[1:3], 18, HAND), (places[:2], 24, BAR), (places[3:] * 2, 30, HAND)):
        cv2.line(picture, start, end, (20, 20, 20), width + 2 * outline, cv2.LINE_AA, 4)
        cv2.line(picture, start, end, colour, width, cv2.LINE_AA, 4)
    return picture


def test_a_hand_that_does_not_rotate_itself_follows_its_arm():
    automatic = Interpolator(device="cpu", precision="fp32", matching="auto")
    keys, truth = (waving(-30), waving(30)), waving(0)
    hand = (truth == HAND).all(2)
    drawn = (abs(automatic(*keys)[0].astype(int) - HAND) < 30).all(2)
    assert drawn[hand].mean() > 0.95
    assert drawn.sum() < 1.2 * hand.sum()


def leg(t, thigh, shin):
    """(540, 960, 3): an outlined leg that has turned at hip and knee by shares of two angles, before a green body."""
    picture = np.full((1080, 1920, 3), GROUND, np.uint8)
    places = [np.array([480, 200])]
    for length, turn in ((90, thigh), (90, thigh + shin)):
        radians = np.radians(t * turn)
        places.append(places[-1] + length * np.array([-np.sin(radians), np.cos(radians)]))
    hip, knee, foot = (np.round(32 * place).astype(int).tolist() for place in places)
    for start, end, width in ((knee, foot, 52), (hip, knee, 64)):
        cv2.line(picture, start, end, (20, 20, 20), width, cv2.LINE_8, 4)
        cv2.line(picture, start, end, BAR, width - 10, cv2.LINE_8, 4)
    cv2.rectangle(picture, (880, 200), (1040, 420), (90, 210, 140), -1)
    x, y = places[1].round().astype(int)
    return cv2.resize(picture, (960, 540), interpolation=cv2.INTER_AREA), np.s_[y - 25 : y + 25, x - 25 : x + 25]


@pytest.mark.parametrize("turns", [(20, 20), (30, 15), (35, -20)])
def test_no_seam_opens_where_limbs_are_joined(turns):
    """The network loses the shin and follows the thigh."""
    automatic = Interpolator(device="cpu", precision="fp32", matching="auto")
    truth, knee = leg(0.5, *turns)
    drawn = automatic(leg(0, *turns)[0], leg(1, *turns)[0])[0]
    ground = [(abs(picture[knee].astype(int) - GROUND).max(2) < 40).sum() for picture in (drawn, truth)]
    assert ground[0] < 1.03 * ground[1]
    assert abs(drawn[knee].astype(int) - truth[knee]).mean() < 6


@pytest.mark.parametrize(("angle", "size"), [(30, (270, 480)), (70, (270, 480)), (70, (540, 960))])
def test_outlined_limbs_are_flat_at_any_size_and_grain_and_dither_are_not(angle, size):
    flat = waving(0, size, 3), waving(angle, size, 3)
    assert share_of_change(*flat) > 0.75
    assert share_of_change(*(grainy(picture, i) for i, picture in enumerate(flat))) < 0.3
    dither = np.indices(size).sum(0)[:, :, None] % 2 * np.uint8(24)
    assert share_of_change(*(picture - np.minimum(picture, dither) for picture in flat)) == 0


def painted(picture):
    """A picture before soft patches of colour instead of its ground."""
    noise = np.random.default_rng(3).integers(90, 255, (*picture.shape[:2], 3), np.uint8)
    soft = cv2.normalize(cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 6), None, 90, 250, cv2.NORM_MINMAX)
    share = (np.abs(picture.astype(float) - GROUND).max(2, keepdims=True) / 40).clip(0, 1)
    return (soft + share * (picture - soft)).round().astype(np.uint8)


def test_a_flat_limb_before_a_painted_background_keeps_its_shape(ways):
    automatic = Interpolator(device="cpu", precision="fp32", matching="auto")
    keys, truth = (painted(waving(-35)), painted(waving(35))), painted(waving(0))
    limb = (waving(0) == BAR).all(2) | (waving(0) == HAND).all(2)
    wrong = [(abs(way(*keys)[0].astype(int) - truth).max(2) > 60)[limb].mean() for way in (ways[0], automatic)]
    assert wrong[1] < 0.05 < 0.3 < wrong[0]


def coat(angle):
    """(h, w, 3): a coat with an arm of the same colour, which has turned by an angle in degrees, and a hand."""
    picture = np.full((270, 480, 3), GROUND, np.uint8)
    cv2.ellipse(picture, (200, 190), (50, 100), 0, 0, 360, BAR, -1, cv2.LINE_AA)
    way = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    shoulder, wrist, hand = (
        np.round(16 * (np.array([215, 130]) + r * way)).astype(int).tolist() for r in (0, 105, 120)
    )
    cv2.line(picture, shoulder, wrist, BAR, 28, cv2.LINE_AA, 4)
    cv2.circle(picture, hand, 16 * 16, HAND, -1, cv2.LINE_AA, 4)
    return picture


@pytest.mark.parametrize("turn", [60, 80])
def test_an_arm_that_is_one_piece_with_the_body_keeps_its_shape(ways, turn):
    automatic = Interpolator(device="cpu", precision="fp32", matching="auto")
    keys, truth = (coat(turn / 2 - 20), coat(-turn / 2 - 20)), coat(-20)
    wrong = [(abs(way(*keys)[0].astype(int) - truth).max(2) > 60).sum() for way in (ways[0], automatic)]
    assert wrong[1] < 0.15 * wrong[0]
    assert wrong[1] < 0.05 * (truth != GROUND).any(2).sum()


def sketch(angle):
    """(h, w, 3): black lines on white, a figure at rest and an arm that has turned by an angle in degrees."""
    picture = np.full((540, 960, 3), 255, np.uint8)
    for middle, axes in (
        ((480, 130), (60, 70)),
        ((480, 330), (80, 130)),
        ((450, 500), (25, 30)),
        ((520, 500), (25, 30)),
    ):
        cv2.ellipse(picture, middle, axes, 0, 0, 360, (0, 0, 0), 3, cv2.LINE_AA)
    way = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    across = way[::-1] * (-1, 1)
    for side in (-14, 14):
        ends = (np.array([548, 264]) + r * way + side * across for r in (0, 180))
        cv2.line(picture, *(np.round(16 * end).astype(int).tolist() for end in ends), (0, 0, 0), 3, cv2.LINE_AA, 4)
    hand = np.round(16 * (np.array([548, 264]) + 204 * way)).astype(int).tolist()
    cv2.circle(picture, hand, 16 * 24, (0, 0, 0), 3, cv2.LINE_AA, 4)
    return picture


def test_an_arm_of_lines_is_drawn_beside_many_lines_that_rest(ways):
    automatic = Interpolator(device="cpu", precision="fp32", matching="auto")
    keys, truth = (sketch(-30), sketch(30)), sketch(0)
    arm_alone = (truth[..., 0] < 128) & (keys[0][..., 0] > 128) & (keys[1][..., 0] > 128)
    found = [dilated_mask(way(*keys)[0][..., 0] < 128, 2)[arm_alone].mean() for way in (ways[0], automatic)]
    assert found[1] > 0.95 > 0.7 > found[0]


def test_its_alpha_follows(ways):
    alone, along = (way(transparent(-35), transparent(35))[0] for way in ways)
    truth = transparent(0)[..., 3].astype(int)
    errors = [abs(frame[..., 3] - truth).mean() for frame in (alone, along)]
    assert errors[1] < 0.12 * errors[0]


def test_frames_are_the_networks_where_it_follows(ways):
    for keys in ((arm(0), np.roll(arm(0), (4, 8), (0, 1))), (arm(-4), arm(4))):
        alone, along = (way(*keys)[0] for way in ways)
        np.testing.assert_array_equal(alone, along)


def hidden(angle, joint, length, disc):
    """(h, w, 3): a bar that has turned about its end, and a disc (x, y, radius) before it."""
    picture = np.full((180, 240, 3), GROUND, np.uint8)
    along = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    ends, across = np.array(joint) + np.array([[0], [length]]) * along, 9 * along[::-1] * (-1, 1)
    corners = np.concatenate([ends + across, ends[::-1] - across])
    cv2.fillPoly(picture, [np.round(16 * corners).astype(np.int32)], BAR, cv2.LINE_AA, 4)
    cv2.circle(picture, disc[:2], disc[2], HAND, -1, cv2.LINE_AA)
    return picture


def shaded(angle, levels):
    """(h, w, 3): a bar that has turned about its end, and is lighter towards the other by so many levels."""
    y, x = np.mgrid[-90:90, -100:140]
    radians = np.radians(angle)
    along, across = x * np.cos(radians) + y * np.sin(radians), y * np.cos(radians) - x * np.sin(radians)
    cover = (np.minimum(np.minimum(along, 100 - along), 8 - abs(across)) + 0.5).clip(0, 1)[..., None]
    colour = np.array(BAR) + levels * (along / 100 - 0.5)[..., None]
    return (np.array(GROUND) * (1 - cover) + colour * cover).round().clip(0, 255).astype(np.uint8)


def blob(angle, *radii):
    """(h, w, 3): a polygon with corners at so many pixels from the middle of the picture, turned about that."""
    radians = np.radians(angle) + np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    corners = np.array([120, 90]) + np.array(radii)[:, None] * np.stack([np.cos(radians), np.sin(radians)], 1)
    picture = np.full((180, 240, 3), GROUND, np.uint8)
    cv2.fillPoly(picture, [np.round(16 * corners).astype(np.int32)], BAR, cv2.LINE_AA, 4)
    return picture


@pytest.mark.parametrize(
    "keys",
    [
        [hidden(angle, (111, 109), 108, (180, 55, 30)) for angle in (-34, 28)],
        [hidden(angle, (116, 81), 87, (151, 76, 32)) for angle in (41, 86)],
        [shaded(29, 32), shaded(93, -32)],
        [shaded(-32, 33), shaded(-78, -33)],
        [blob(0, 54, 45, 31, 31, 58, 32), blob(71, 46, 52, 29, 37, 42, 33)],
        [blob(0, 36, 58, 33, 48, 33, 54, 37), blob(69, 47, 59, 29, 47, 29, 67, 26)],
    ],
    ids=[
        "mostly hidden",
        "hidden at first",
        "shaded otherwise",
        "shaded otherwise, back",
        "of another outline",
        "of another outline, spiky",
    ],
)
def test_what_matches_badly_is_the_networks(ways, keys):
    alone, along = (way(*keys)[0] for way in ways)
    np.testing.assert_array_equal(along, alone)


@pytest.mark.parametrize("flow", ["auto", "pieces+dis"])
def test_what_appears_alone_is_the_networks(flow):
    empty = np.full((180, 240, 3), GROUND, np.uint8)
    shown = empty.copy()
    shown[60:120, 80:160] = BAR
    for keys in ((empty, shown), (shown, empty)):
        along = Interpolator(flow, device="cpu", precision="fp32", matching="auto")(*keys)[0]
        np.testing.assert_array_equal(along, Interpolator(device="cpu", precision="fp32")(*keys)[0])


@pytest.mark.parametrize("flow", ["auto", "pieces+dis"])
def test_a_fade_is_the_networks(flow):
    """A ball that rolls out of the dark: nothing keeps its colour, so no piece is compared."""
    keys = [np.full((96, 160, 3), 255, np.uint8) for _ in range(2)]
    for frame, x in zip(keys, (40, 50), strict=True):
        cv2.line(frame, (0, 84), (160, 84), (60, 60, 60), 2)
        cv2.circle(frame, (x, 48), 14, (200, 40, 40), -1, cv2.LINE_AA)
    keys[0] //= 3
    along = Interpolator(flow, device="cpu", precision="fp32", matching="auto")(*keys)[0]
    np.testing.assert_array_equal(along, Interpolator(device="cpu", precision="fp32")(*keys)[0])


def test_long_pieces_fill_little_of_their_own_square():
    owners = np.full((60, 60), GROUND_PIECE, np.int32)
    owners[5:15, 20:30], owners[5:25, 5:7], owners[40:60, 40:60] = 1, 2, UNKNOWN
    still = still_pieces(np.stack([owners, owners]), np.array([0, 1, 1], np.float32))
    assert _are_long(still, _areas(still)[0]).tolist() == [False, False, True]


def test_a_piece_is_compared_with_all_within_a_pixel_where_nothing_hides_it():
    random = np.random.default_rng(0)
    owners = np.full((2, 20, 60), GROUND_PIECE, np.int32)
    owners[:, 4:16, 4:16], owners[:, 4:16, 24:36], owners[:, 4:16, 44:56] = 1, 2, 3
    owners[1, 4:16, 50:56] = 4
    pictures = np.zeros((2, 20, 60, 3), np.uint8)
    pictures[0] = random.choice([20, 120], (20, 60, 1))
    pictures[1] = np.roll(pictures[0], 1, 1)
    pictures[1, 4:16, 30:36] = 255
    pictures[1, 4:16, 50:56] = 255
    pieces = still_pieces(owners, np.array([0, 1, 1, 1, 2], np.float32))
    chosen = np.array([False, True, True, True, False])
    _, found = _compared((pictures[0], pictures[1]), pieces, from_arrays(pieces.paths(), "cpu"), chosen)
    assert found[1] == found[3] == 0
    assert 0.3 < found[2] < 0.5


def test_pixels_beside_the_pieces_move_as_the_network_moves_them(ways):
    texture = np.random.default_rng(0).integers(0, 255, (10, 60, 3)).astype(np.uint8)
    texture = cv2.resize(texture, (240, 60), interpolation=cv2.INTER_CUBIC)
    plain = [torch.from_numpy(np.pad(arm(angle), ((0, 60), (0, 0), (0, 0)), mode="edge")) for angle in (-35, 35)]
    plain = [key.permute(2, 0, 1)[None].float() / 255 for key in plain]
    keys = [key.clone() for key in plain]
    for i, key in enumerate(keys):
        key[0, :, 180:] = torch.from_numpy(np.roll(texture, 3 * i, 1)).permute(2, 0, 1) / 255
    network, along = (way.pipeline for way in ways)
    truth = torch.from_numpy(cv2.warpAffine(texture, np.float32([[1, 0, 1.2], [0, 1, 0]]), (240, 60)))
    frames = [
        network.frames(network.prepare(*keys), 0.4),
        along.frames(along.prepare(*keys, along.estimator(*plain)), 0.4),
    ]
    assert (frames[1][..., :180, :] - frames[0][..., :180, :]).abs().max() > 0.5
    truth = truth.permute(2, 0, 1)[:, 10:50, 20:220] / 255
    errors = [(frame[0, :, 190:230, 20:220] - truth).abs().mean() for frame in frames]
    assert errors[1] < 1.1 * errors[0]


def test_several_times_are_those_one_by_one(ways):
    pipeline = ways[1].pipeline
    frames = [torch.from_numpy(arm(angle)).permute(2, 0, 1)[None].float() / 255 for angle in (-35, 35)]
    prepared = pipeline.prepare(*frames)
    together = pipeline.frames(prepared, torch.tensor([0.3, 0.6]))
    for frame, t in zip(together, (0.3, 0.6), strict=True):
        torch.testing.assert_close(frame, pipeline.frames(prepared, t)[0], atol=1e-4, rtol=0)
    with pytest.raises(InputError, match="leave the flow out to use a map of times"):
        pipeline.frames(prepared, torch.full((1, 1, 180, 240), 0.5))


@pytest.mark.parametrize("flow", ["dis", "sgm+dis"])
def test_a_flow_without_paths_is_of_no_use_to_the_network(flow):
    with pytest.raises(InputError, match=f"does not use the flow {flow.replace('+', '.')}"):
        choose(flow, "ifnet", checkpoints.FOLDER)
    assert choose(flow, "auto", checkpoints.FOLDER).synthesis == "fusion"


def walker(picture, x, y, coat, hair):
    """Draws a figure of hair, face, eyes, coat and trousers; only coat and hair tell it from another one."""

    def box(left, top, right, bottom, colour):
        corners = [tuple(round(16 * v) for v in (x + u, y + v)) for u, v in ((left, top), (right, bottom))]
        cv2.rectangle(picture, *corners, colour, -1, cv2.LINE_AA, 4)
        cv2.rectangle(picture, *corners, (20, 20, 20), 2, cv2.LINE_AA, 4)

    box(-24, 70, 24, 130, (50, 50, 110))
    box(-30, 0, 30, 70, coat)
    box(-22, -44, 22, 0, (245, 225, 205))
    box(-24, -60, 24, -44, hair)
    for side in (-9, 9):
        cv2.circle(picture, (round(x) + side, round(y) - 24), 5, (250, 250, 250), -1, cv2.LINE_AA)


def passing(t, lower=6):
    """(h, w, 3): two figures that change places."""
    picture = np.full((270, 480, 3), GROUND, np.uint8)
    walker(picture, 310 - 136 * t, 110, (60, 90, 190), (210, 170, 60))
    walker(picture, 170 + 150 * t, 110 + lower, (200, 60, 60), (90, 50, 30))
    return picture


def wrong(frame, truth):
    return (abs(frame.astype(int) - truth).max(2) > 60).mean()


@pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
def test_figures_that_pass_each_other_stay_themselves(ways, automatic, t):
    """The one that stands lower, nearer to the eye, is in front."""
    keys, truth = (passing(0), passing(1)), passing(t)
    alone, along = (way(*keys, t)[0] for way in (ways[0], automatic))
    assert wrong(along, truth) < 0.012 < 0.1 < wrong(alone, truth)


def flying(t, colour=BAR, other=None):
    picture = np.full((270, 480, 3), GROUND, np.uint8)
    if other:
        cv2.circle(picture, (240, 40), 20, other, -1, cv2.LINE_AA)
    cv2.circle(picture, (round(16 * (60 + 340 * t)), round(16 * (200 - 60 * t))), 16 * 24, colour, -1, cv2.LINE_AA, 4)
    return picture


def test_what_flies_farther_than_the_network_follows_stays_whole(ways, automatic):
    keys, truth = (flying(0), flying(1)), flying(0.5)
    alone, along = (way(*keys)[0] for way in (ways[0], automatic))
    assert overlap(along, truth) > 0.95
    assert overlap(alone, truth) < 0.2


def test_what_may_be_another_of_its_colour_is_left_to_the_network(ways, automatic):
    keys = flying(0, other=BAR), flying(1, other=BAR)
    alone, along = (way(*keys)[0] for way in (ways[0], automatic))
    np.testing.assert_array_equal(along, alone)
    keys = flying(0, other=HAND), flying(1, other=HAND)
    assert overlap(automatic(*keys)[0], flying(0.5, other=HAND)) > 0.9


def test_no_head_flies_without_its_coat(ways, automatic):
    """The coat changes its colour, so that it is not matched."""
    keys = []
    for x, coat in ((120, (60, 90, 190)), (330, (200, 150, 60))):
        picture = np.full((270, 480, 3), GROUND, np.uint8)
        walker(picture, x, 110, coat, (210, 170, 60))
        keys.append(picture)
    np.testing.assert_array_equal(automatic(*keys)[0], ways[0](*keys)[0])


def test_ground_that_neither_frame_shows_has_the_nearest_colour():
    above, below = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0.2, 0.5, 0.3])
    ground = torch.where(torch.arange(96)[:, None] < 48, above[:, None, None], below[:, None, None]).expand(
        2, 3, 96, 128
    )
    known = torch.ones(2, 1, 96, 128, dtype=torch.bool)
    known[:, :, 20:80, 40:70] = False
    filled = _with_nearest(torch.where(known, ground, 0), known)
    torch.testing.assert_close(filled[:, :, :44], ground[:, :, :44])
    torch.testing.assert_close(filled[:, :, 52:], ground[:, :, 52:])
    shown = torch.full((1, 3, 16, 16), 0.4)
    torch.testing.assert_close(_with_nearest(shown, torch.ones(1, 1, 16, 16, dtype=torch.bool)), shown)


def test_a_head_that_the_network_follows_is_left_to_it(automatic):
    """It moves far, and an arm on it rotates by more than the network follows."""

    def draw(t):
        picture, x, y = np.full((540, 960, 3), GROUND, np.uint8), 343 + 80 * t, 208 - 27 * t
        shapes = [((0, 0), 84, (240, 160, 90)), ((-31, -18), 15, (255, 255, 255)), ((29, -18), 15, (255, 255, 255))]
        for (u, v), radius, colour in shapes:
            at = round(16 * (x + u)), round(16 * (y + v))
            cv2.circle(picture, at, 16 * radius, colour, -1, cv2.LINE_AA, 4)
            cv2.circle(picture, at, 16 * radius, (20, 20, 20), 3, cv2.LINE_AA, 4)
        radians = np.radians(66 - 43 * t)
        around = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
        corners = np.array([[0, -17], [115, -17], [115, 17], [0, 17]]) @ around + np.array([x + 60, y + 60])
        cv2.fillPoly(picture, [np.round(corners * 16).astype(np.int32)], BAR, cv2.LINE_AA, 4)
        return picture

    rotating = automatic.prepare(draw(0), draw(1)).prepared.synthesis.arcs.rotating[0, 0]
    assert rotating[315, 425]  # the arm
    assert not rotating[160:250, 300:400].any()


HUBS, ON_TYRE, TYRE = ((95, 430), (230, 430)), (18, 20), (40, 40, 45)


def car(t):
    """(h, w, 3): a car that drives 120 pixels to the right, with rotating spokes on its tyres."""
    picture, way = np.full((540, 960, 3), GROUND, np.uint8), np.array([120 * t, 0])
    body = np.array([[60, 390], [90, 385], [110, 355], [190, 355], [215, 385], [260, 390], [260, 425], [60, 425]])
    cv2.fillPoly(picture, [np.round(16 * (body + way)).astype(np.int32)], (210, 60, 50), cv2.LINE_AA, 4)
    for hub in HUBS:
        centre = hub + way
        cv2.circle(picture, np.round(16 * centre).astype(int).tolist(), 16 * 23, TYRE, -1, cv2.LINE_AA, 4)
        for angle in np.radians(72 * np.arange(5) + 30 * t):
            end = centre + 15 * np.array([np.cos(angle), np.sin(angle)])
            ends = [np.round(16 * point).astype(int).tolist() for point in (centre, end)]
            cv2.line(picture, *ends, (210, 210, 215), 7, cv2.LINE_AA, 4)
    return picture


def test_tyres_move_with_their_car_although_spokes_rotate_on_them(automatic):
    frame = automatic(car(0), car(1))[0]
    y, x = np.indices(frame.shape[:2])
    for hub in HUBS:
        away = np.hypot(x - hub[0] - 60, y - hub[1])
        tyre = frame[(away > ON_TYRE[0]) & (away < ON_TYRE[1])].astype(int)
        assert (abs(tyre - TYRE).max(1) < 30).mean() > 0.7


def test_a_smile_that_becomes_a_frown_is_the_networks(ways, automatic):
    keys = [np.full((270, 480, 3), GROUND, np.uint8) for _ in range(2)]
    for picture, start in zip(keys, (0, 180), strict=True):
        cv2.circle(picture, (240, 135), 110, (245, 225, 205), -1, cv2.LINE_AA)
        cv2.ellipse(picture, (240, 165), (50, 30), 0, start, start + 180, (160, 40, 50), -1, cv2.LINE_AA)
    np.testing.assert_array_equal(automatic(*keys)[0], ways[0](*keys)[0])


def tail(bend):
    """(270, 480, 3): a tail before a body, bent by an angle in radians; bent the other way, it fits end for end."""
    picture = np.full((270, 480, 3), GROUND, np.uint8)
    turns = np.pi - 0.2 + 0.06 * bend * np.arange(1, 21)
    steps = 9 * np.stack([np.cos(turns), -np.sin(turns)], 1)
    points = np.round(16 * np.cumsum(np.concatenate([[[260, 180]], steps]), 0)).astype(np.int32)
    cv2.ellipse(picture, (330, 180), (80, 50), 0, 0, 360, (90, 150, 230), -1, cv2.LINE_AA)
    cv2.ellipse(picture, (330, 180), (80, 50), 0, 0, 360, (20, 20, 20), 3, cv2.LINE_AA)
    for colour, width in (((20, 20, 20), 18), ((90, 150, 230), 14)):
        cv2.polylines(picture, [points], False, colour, width, cv2.LINE_AA, 4)
    return picture


def test_a_tail_that_bends_the_other_way_does_not_fly_off(ways, automatic):
    keys = tail(-0.6), tail(0.6)
    np.testing.assert_array_equal(automatic(*keys)[0], ways[0](*keys)[0])


@pytest.mark.parametrize("parted", [False, True])
def test_a_shin_comes_off_a_foot_that_was_matched_elsewhere_although_its_body_rests(parted):
    """If the foot was not matched, it may go with the shin."""
    pieces = still_pieces(np.zeros((2, 10, 10), int), np.zeros(4, np.float32))
    _, thigh, shin, other = np.eye(4, dtype=bool)
    chains = pieces.chains._replace(parents=np.array([-1, 0, 1, -1]))
    pieces = pieces._replace(chains=chains, torn=shin, parted=shin & parted)
    turns = thigh | shin | other
    np.testing.assert_array_equal(_come_off(pieces, turns, turns), (thigh | shin) & parted)
