"""Segment-guided matching: features of pieces, pairs, and how they move."""

import itertools
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from _scripts import benchmark
from _train.frame_interpolation import flows
from _train.frame_interpolation.benchmarks.matching import draw, literal_flows
from _train.frame_interpolation.context import Context
from _train.frame_interpolation.models.rfr import RFR
from _util import checkpoints, features, tables
from _util.errors import InputError
from _util.sgm import LAYERS, SGM, match
from _util.sgm.motion import flow_of_pieces
from _util.sgm.pooling import pool
from tests.pieces import described

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sgm() -> SGM:
    return SGM("alexnet")


def identities(segments, labels):
    """The label of which each piece is a part."""
    found = np.zeros(len(segments.areas), int)
    found[segments.labels.ravel()] = labels.ravel()
    return found


def squares(places, size=(120, 160), side=24):
    """A frame and its label map: squares of colours of their own, their left upper corners at x, y, on grey."""
    frame, labels = torch.full((1, 3, *size), 0.5), np.zeros(size, np.int64)
    palette = torch.tensor([[0.9, 0.2, 0.2], [0.2, 0.8, 0.3], [0.2, 0.3, 0.9], [0.9, 0.9, 0.2]])
    for i, place in enumerate(places):
        if place is not None:
            part = slice(place[1], place[1] + side), slice(place[0], place[0] + side)
            frame[:, :, *part] = palette[i].view(1, 3, 1, 1)
            labels[part] = i + 1
    return frame, labels


def pieces_of(*pictures):
    return [described(labels, frame) for frame, labels in pictures]


@pytest.mark.parametrize(("stride", "offset"), [(1, 0.0), (2, 0.5), (4, 3.0), (16, 15.0)])
def test_pooling_is_the_mean_of_activations_resized_to_the_image(stride, offset):
    h, w = 45, 62
    random = np.random.default_rng(0)
    labels = random.integers(0, 7, (h // 3, w // 2)).repeat(3, 0).repeat(2, 1).astype(np.int32)
    level = random.normal(size=(-(-h // stride), -(-w // stride), 5)).astype(np.float32)
    places = [(torch.arange(n).double() - offset) / stride for n in labels.shape]
    extents = [max(n - 1, 1) for n in level.shape[:2]]
    y, x = (2 * place / extent - 1 for place, extent in zip(places, extents, strict=True))
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
    source = torch.from_numpy(level).double().permute(2, 0, 1)[None]
    large = F.grid_sample(source, grid, padding_mode="border", align_corners=True)[0].numpy()
    pooled = pool([level], [(stride, offset)], labels)
    expected = np.stack([large[:, labels == i].mean(1) for i in range(7)])
    np.testing.assert_allclose(pooled, expected, atol=1e-5)


@pytest.mark.parametrize("penalty", ["released", "paper"])
def test_affinities_are_the_formula(penalty):
    pictures = squares([(10, 10), (60, 20), (100, 80)]), squares([(14, 10), (70, 24), (20, 90)])
    segments0, segments1 = pieces_of(*pictures)
    random = np.random.default_rng(1)
    vectors0 = random.normal(size=(4, 30)).astype(np.float32)
    vectors1 = (3 * vectors0 + 0.1 * random.normal(size=(4, 30))).astype(np.float32)
    matching = match(segments0, segments1, vectors0, vectors1, penalty)
    assert matching.pairs.tolist() == [[i, i] for i in range(4)]
    for i, affinity in enumerate(matching.affinities):
        one, other = ((v[i] - v[i].min()) / (v[i] - v[i].min()).sum() for v in (vectors0, vectors1))
        way = np.hypot(*(segments1.centroids[i] - segments0.centroids[i])) / 200
        expected = np.minimum(one, other).sum() - 0.2 * way * (way > {"released": 0.14, "paper": 0.15}[penalty])
        if penalty == "paper":
            expected -= 0.05 * abs(segments0.areas[i] - segments1.areas[i]) / (120 * 160)
        assert affinity == pytest.approx(expected, abs=1e-5)


def test_thousands_of_pieces_are_matched_in_blocks():
    labels = np.arange(40 * 50).reshape(40, 50).repeat(2, 0).repeat(2, 1)
    segments = described(labels, torch.rand(3, 80, 100))
    vectors = np.random.default_rng(0).random((2000, 40)).astype(np.float32)
    matching = match(segments, segments, vectors, vectors)
    np.testing.assert_array_equal(matching.pairs, np.arange(2000)[:, None].repeat(2, 1))


@pytest.mark.parametrize("seed", [1, 2])
def test_pieces_that_move_turn_and_change_colour_find_their_own(sgm, seed):
    cartoon = draw(150, seed=seed, shift=0.25, turn=0.6, recolour=0.04)
    segments = [described(*pair) for pair in zip(cartoon.labels, cartoon.frames, strict=True)]
    names = [identities(*pair) for pair in zip(segments, cartoon.labels, strict=True)]
    matching = sgm.match(*cartoon.frames, segments)
    first, second = matching.pairs.T
    right = set(names[0][first][names[0][first] == names[1][second]])
    large = [set(name[s.areas > 200]) for name, s in zip(names, segments, strict=True)]
    assert len(right & large[0] & large[1]) > 0.95 * len(large[0] & large[1])
    assert (names[0][first] == names[1][second]).mean() > 0.98


def test_a_piece_that_vanished_matches_nothing(sgm):
    cartoon = draw(100, seed=3)
    random, (frame0, frame1) = np.random.default_rng(0), cartoon.frames
    gone = random.choice(np.arange(1, 101), 12, replace=False)
    hidden = np.isin(cartoon.labels[1], gone)
    frame1 = torch.where(torch.from_numpy(hidden), frame1[:, :, :1, :1], frame1)
    labels = cartoon.labels[0], np.where(hidden, 0, cartoon.labels[1])
    segments = [described(*pair) for pair in zip(labels, (frame0, frame1), strict=True)]
    matching = sgm.match(frame0, frame1, segments)
    found = identities(segments[0], labels[0])[matching.pairs[:, 0]]
    assert len(found) > 75
    assert not set(found) & set(gone)


def test_another_piece_in_its_place_is_not_taken_for_it(sgm):
    one, other = squares([(20, 20), None, (100, 60), None]), squares([None, (24, 20), (100, 64), None])
    segments = pieces_of(one, other)
    matching = sgm.match(one[0], other[0], segments)
    names = [identities(*pair) for pair in zip(segments, (one[1], other[1]), strict=True)]
    assert [(names[0][i], names[1][j]) for i, j in matching.pairs] == [(0, 0), (3, 3)]


def test_a_matched_piece_has_its_motion_and_the_ground_none(sgm):
    pictures = squares([(20, 20), (60, 70)]), squares([(50, 26), (51, 70)])
    (frame0, labels0), (frame1, labels1) = pictures
    flow01, flow10 = (flow[0] for flow in sgm.flow(frame0, frame1, sgm.match(frame0, frame1, pieces_of(*pictures))))
    for piece, motion in ((1, (30, 6)), (2, (-9, 0))):
        there, back = flow01[:, labels0 == piece], flow10[:, labels1 == piece]
        expected = torch.tensor(motion).float().view(2, 1)
        assert (there - expected).abs().max() < 0.5
        assert (back + expected).abs().max() < 0.5
    assert not flow01[:, labels0 == 0].any()
    assert not flow10[:, labels1 == 0].any()


@pytest.mark.parametrize("size", [(540, 960), (270, 480)])
def test_what_moves_too_far_grows_too_much_or_is_too_small_does_not_move(size):
    """The limits are 250 pixels, 12 %, 50 pixels and three times the area at 540×960, and scale with the frame."""
    scale = size[0] / 540

    def moved(x, side0=60, side1=60):
        frame, labels = torch.full((2, 3, *size), 0.5), np.zeros((2, *size), int)
        for i, (left, side) in enumerate(((40, side0), (40 + x, side1))):
            part = (
                slice(round(40 * scale), round((40 + side) * scale)),
                slice(round(left * scale), round((left + side) * scale)),
            )
            frame[i, :, *part], labels[i][part] = 0.9, 1
        segments = [described(label, picture) for label, picture in zip(labels, frame, strict=True)]
        vectors = np.eye(2, dtype=np.float32)
        pictures = [(picture.permute(1, 2, 0).numpy() * 255).astype(np.uint8) for picture in frame]
        return bool(flow_of_pieces(*pictures, match(*segments, vectors, vectors))[0].any())

    assert moved(244)
    assert not moved(256)
    assert moved(100, 60, 64)
    assert not moved(100, 60, 120)
    assert moved(100, 240, 240)
    assert not moved(100, 256, 256)
    assert moved(20, 10, 10)
    assert not moved(20, 6, 6)


def test_it_agrees_with_the_literal_reading(sgm, monkeypatch):
    cartoon = draw(24, (200, 320), characters=2, shift=0.2, turn=0.1)
    segments = [described(*pair) for pair in zip(cartoon.labels, cartoon.frames, strict=True)]
    monkeypatch.setattr(sgm.backbone, "architecture", "any but alexnet")  # whose features are joined by colours
    literal = literal_flows(sgm, *cartoon.frames, *segments)
    ours = sgm.flow(*cartoon.frames, sgm.match(*cartoon.frames, segments))
    for one, other in zip(ours, literal, strict=True):
        difference = np.hypot(*(one[0].permute(1, 2, 0).numpy() - other).transpose(2, 0, 1))
        moves = other.any(2) | one[0].any(0).numpy()
        assert moves.mean() > 0.1
        assert np.median(difference[moves]) < 0.5
        assert (difference[moves] < 2).mean() > 0.85


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (1, 1), (17, 33)])
def test_any_size(sgm, size):
    for frames in (torch.rand(2, 1, 3, *size), torch.full((2, 1, 3, *size), 0.3)):
        for flow in sgm(*frames):
            assert flow.shape == (1, 2, *size)
            assert flow.dtype == torch.float32
            assert flow.isfinite().all()


def test_one_colour_does_not_move(sgm):
    one, other = torch.full((1, 3, 90, 120), 0.2), torch.full((1, 3, 90, 120), 0.7)
    assert not torch.cat(sgm(one, other)).any()
    assert not torch.cat(sgm(one, one)).any()


def test_noise_gives_a_result(sgm):
    for flow in sgm(*torch.rand(2, 1, 3, 90, 120)):
        assert flow.isfinite().all()


def test_a_sequence_is_described_frame_by_frame(monkeypatch):
    """Once each, and matched as pairs alone are; what changes in place is another frame."""
    keys = [squares([(10 + 8 * i, 10), (60, 20 + 5 * i)])[0] for i in range(4)]
    alone = [SGM("alexnet").match(*pair) for pair in itertools.pairwise(keys)]
    sgm, described = SGM("alexnet"), []
    segment = SGM.segment
    monkeypatch.setattr(SGM, "segment", lambda self, frame: described.append(frame) or segment(self, frame))
    together = [sgm.match(*pair) for pair in itertools.pairwise(keys)]
    assert len(described) == len(keys)
    for found, expected in zip(together, alone, strict=True):
        assert len(found.pairs)
        np.testing.assert_array_equal(found.pairs, expected.pairs)
    sgm.match(keys[3], keys[0])
    keys[0].copy_(keys[2])
    pieces = sgm.match(keys[0], keys[1]).segments0
    np.testing.assert_array_equal(pieces.labels, alone[2].segments0.labels)


def test_sizes_that_do_not_fit(sgm):
    frame = torch.rand(1, 3, 120, 160)
    with pytest.raises(InputError, match="Frames of 160×120 and 80×60"):
        sgm(frame, frame[:, :, ::2, ::2])


def test_vgg_is_taken_where_there_is_a_file_of_it(tmp_path):
    assert SGM(folder=tmp_path).backbone.architecture == "alexnet"
    shapes = features.ARCHITECTURES["vgg19"]
    weights = {
        f"features.{c.index}.{kind}": torch.empty(shape)
        for c in shapes
        for kind, shape in (
            ("weight", (c.out_channels, c.in_channels, c.kernel, c.kernel)),
            ("bias", (c.out_channels,)),
        )
    }
    torch.save(checkpoints.seeded(weights), tmp_path / "vgg19-0123.pth")
    for sgm in (SGM(folder=tmp_path), SGM(str(tmp_path / "vgg19-0123.pth"))):
        assert sgm.backbone.layers == LAYERS["vgg19"] == ("relu1_2", "relu2_2", "relu3_4", "relu4_4")
    frame, labels = squares([(10, 10), (40, 30)], (64, 80))
    segments = pieces_of((frame, labels))[0]
    assert len(sgm.match(frame, frame, (segments, segments)).pairs) == 3


@pytest.mark.parametrize("name", ["sgm", "sgm+rfr", "sgm+rfr-paper", "sgm+dis"])
def test_estimators_by_name(tmp_path, name):
    network = RFR()
    state = checkpoints.seeded(network.state_dict())
    torch.save({"model_state_dict": state}, tmp_path / checkpoints.PUBLISHED["rfr"])
    estimator = flows.create(name, Context(folder=tmp_path))
    (frame0, _), (frame1, _) = squares([(20, 20), (60, 70)]), squares([(50, 26), (51, 70)])
    with torch.inference_mode():
        for flow in flows.at_moderate_size(estimator, frame0, frame1):
            assert flow.shape == (1, 2, 120, 160)
            assert flow.isfinite().all()
    pickle.dumps(estimator)  # as for a loader's workers


def test_matching_helps_search_where_a_piece_moves_far():
    (frame0, labels), (frame1, _) = squares([(20, 20)], side=20), squares([(62, 30)], side=20)
    matched = SGM(smallest=5000)(frame0, frame1)
    flow = flows.better(frame0, frame1, matched)[0][0][:, labels == 1]
    searched = flows.multidis(frame0, frame1)[0][0][:, labels == 1]
    motion = torch.tensor([42.0, 10.0]).view(2, 1)
    assert (flow - motion).norm(dim=0).median() < 1 < (searched - motion).norm(dim=0).median()


def test_the_benchmark_shows_every_stage():
    row = {"pieces": 200, "segmentation": 0.1, "matching": 0.2, "flow": 0.3, "all": 0.6, "literal": 5.0, "ratio": 10.0}
    row |= {"turning": 0.4, "turning_mb": 30.0}
    lines = tables.of_figures([row, row], benchmark.MATCHING).splitlines()
    assert len(lines) == 4
    assert lines[-1] == "| 200 | 0.100 | 0.200 | 0.300 | 0.600 | 0.400 | 5.000 | 10.0× | 30 |"
