"""Colour pieces: cartoons whose pieces are known, gaps and narrows, and frames that no one would draw."""

import time

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from _util import image
from _util.segmentation import segment, show
from _util.segmentation.lines import bilateral
from tests.pieces import described

PAPER, INK = (230, 224, 210), (24, 20, 26)


def blob(random: np.random.Generator, h: int, w: int) -> np.ndarray:
    """A closed smooth curve, (n, 2) points x, y."""
    angles = np.sort(random.uniform(0, 2 * np.pi, random.integers(5, 11)))
    radii = random.uniform(0.08, 0.35) * min(h, w) * random.uniform(0.6, 1, len(angles))
    points = random.uniform(0, 1, 2) * (w, h) + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    for _ in range(4):
        following = np.roll(points, -1, 0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], 1).reshape(-1, 2)
    return np.round(points).astype(np.int32)


def cartoon(seed: int, h: int = 400, w: int = 640, layers: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """A picture, uint8 RGB, of flat shapes over one another, and its pieces: numbers from 1, and 0 on lines.

    Shapes have outlines of 1 to 4 pixels and, some, a shadow with a hard edge.
    """
    random = np.random.default_rng(seed)
    picture = np.full((h, w, 3), random.integers(60, 256, 3), np.uint8)
    owners, inked = np.zeros((h, w), np.int32), np.zeros((h, w), np.uint8)
    for layer in range(layers):
        outline, colour = blob(random, h, w), random.integers(60, 256, 3)
        inside = cv2.fillPoly(np.zeros((h, w), np.uint8), [outline], 1) > 0
        picture[inside], owners[inside], inked[inside] = colour, 2 * layer + 1, 0
        if random.random() < 0.5:
            shifted = cv2.fillPoly(np.zeros((h, w), np.uint8), [outline + random.integers(10, 30, 2)], 1) > 0
            shadow = inside & ~shifted
            picture[shadow], owners[shadow] = 0.7 * colour, 2 * layer + 2
        line = cv2.polylines(np.zeros((h, w), np.uint8), [outline], True, 1, int(random.integers(1, 5))) > 0
        picture[line], inked[line] = INK, 1
    truth = np.zeros((h, w), np.int32)
    for owner in np.unique(owners):
        parts, count = ndimage.label((owners == owner) & (inked == 0))
        truth[parts > 0] = parts[parts > 0] + truth.max()
        assert count == parts.max()
    return picture, truth


def adjusted_rand_index(labels: np.ndarray, truth: np.ndarray) -> float:
    table = np.zeros((labels.max() + 1, truth.max() + 1))
    np.add.at(table, (labels, truth), 1)
    together, ours, theirs = ((x * (x - 1) / 2).sum() for x in (table, table.sum(1), table.sum(0)))
    chance = ours * theirs / (labels.size * (labels.size - 1) / 2)
    return (together - chance) / ((ours + theirs) / 2 - chance)


def tensor(picture: np.ndarray) -> Tensor:
    return image.to_tensor(picture)


def paper(h: int, w: int) -> np.ndarray:
    return np.full((h, w, 3), PAPER, np.uint8)


def assert_sound(segments, size: tuple[int, int]) -> None:
    labels = segments.labels
    assert labels.shape == size
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(np.unique(labels), np.arange(len(segments.areas)))
    np.testing.assert_array_equal(np.bincount(labels.ravel()), segments.areas)
    # As many connected components of pixels side by side of one label as there are labels.
    index = np.arange(labels.size).reshape(size)
    across, down = labels[:, 1:] == labels[:, :-1], labels[1:] == labels[:-1]
    one = np.r_[index[:, 1:][across], index[1:][down]]
    other = np.r_[index[:, :-1][across], index[:-1][down]]
    links = coo_array((np.ones(len(one)), (one, other)), (labels.size, labels.size))
    assert connected_components(links, directed=False)[0] == len(segments.areas)


@pytest.mark.slow
def test_pieces_of_cartoons_are_found():
    for seed in range(20):
        picture, truth = cartoon(seed)
        segments = segment(tensor(picture))
        assert_sound(segments, truth.shape)
        drawn = truth > 0
        assert adjusted_rand_index(segments.labels[drawn], truth[drawn]) >= 0.9, seed


@pytest.mark.parametrize("style", ["japanese", "western"])
@pytest.mark.parametrize("thickness", [1, 3])
@pytest.mark.parametrize("gap", [0, 2, 4, 6])
def test_gaps_in_an_outline_do_not_leak(style, thickness, gap):
    """The same paper inside and outside of a square."""
    picture = paper(120, 160)
    cv2.rectangle(picture, (40, 30), (110, 90), INK, thickness)
    picture[50 : 50 + gap, 30:50] = PAPER
    picture[80:100, 70 : 70 + gap] = PAPER
    labels = segment(tensor(picture), style).labels
    assert len(np.unique(labels)) == 2
    inside = labels[60, 75]
    assert (labels[34:87, 44:107] == inside).all()
    assert (labels[:20] != inside).all()
    assert (labels[:, 125:] != inside).all()


def test_a_wide_opening_does_not_part():
    picture = paper(120, 160)
    cv2.rectangle(picture, (40, 30), (110, 90), INK, 2)
    picture[45:75, 30:50] = PAPER
    assert len(segment(tensor(picture)).areas) == 1


@pytest.mark.parametrize("width", [3, 4, 5, 6])
def test_a_narrow_between_two_things_does_not_part(width):
    """Two walls leave a way through; balls of both sides cannot pass it."""
    picture = paper(120, 200)
    for rows, edge in ((slice(0, 60), slice(58, 60)), (slice(60 + width, 120), slice(60 + width, 62 + width))):
        picture[rows, 78:122] = INK
        picture[rows, 80:120] = (90, 160, 90)
        picture[edge, 78:122] = INK
    labels = segment(tensor(picture)).labels
    assert labels[60, 20] == labels[60, 180]
    assert len({labels[60, 20], labels[20, 100], labels[100, 100]}) == 3


def test_a_small_fill_joins_the_neighbour_of_its_colour():
    picture = paper(100, 120)
    picture[:, 60:] = (70, 90, 200)
    cv2.line(picture, (60, 0), (60, 99), INK, 2)
    cv2.rectangle(picture, (50, 40), (70, 56), INK, 2)
    picture[42:55, 52:69] = (80, 100, 210)
    labels = segment(tensor(picture)).labels
    assert labels[48, 60] == labels[48, 100] != labels[48, 10]
    labels = segment(tensor(picture), smallest=50).labels
    assert len({labels[48, 60], labels[48, 100], labels[48, 10]}) == 3


def noise(h, w, random):
    return random.integers(0, 256, (h, w, 3))


def grain(h, w, random):
    return np.clip(cartoon(3, h, w)[0] + random.normal(0, 8, (h, w, 1)), 0, 255)


def hatching(h, w, random):
    return np.where(np.arange(h)[:, None, None] % 4 < 2, INK, PAPER) * np.ones((1, w, 1))


def rain(h, w, random):
    picture = cartoon(4, h, w)[0]
    for x, y in random.uniform(0, 1, (h * w // 60, 2)) * (w, h):
        cv2.line(picture, (int(x), int(y)), (int(x + 2), int(y + 9)), (250, 250, 255), 1)
    return picture


def flat(h, w, random):
    return paper(h, w)


@pytest.mark.parametrize("make", [noise, grain, hatching, rain, flat])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3), (7, 200), (150, 210)])
@pytest.mark.parametrize("style", ["japanese", "western"])
def test_any_frame_of_any_size_has_pieces(make, size, style):
    picture = make(*size, np.random.default_rng(0)).astype(np.uint8)
    segments = segment(tensor(picture), style)
    assert_sound(segments, size)
    if make is flat:
        assert len(segments.areas) == 1


@pytest.mark.slow
@pytest.mark.parametrize("make", [noise, grain, hatching, rain])
def test_time_grows_with_pixels(make, with_threads):
    with_threads(1)
    took = []
    for side in (160, 640):
        picture = tensor(make(side, side, np.random.default_rng(0)).astype(np.uint8))
        segment(picture)
        start = time.thread_time()
        segment(picture)
        took.append(time.thread_time() - start)
    assert took[1] < 16 * 2.5 * took[0]


def test_the_number_of_threads_changes_nothing(with_threads):
    picture = tensor(cartoon(5)[0])
    with_threads(1)
    alone = segment(picture)
    with_threads(3)
    for one, other in zip(alone, segment(picture[None]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_pieces_are_described():
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (40, 60, 3), np.uint8)
    given = np.kron(random.integers(-3, 3, (4, 6)), np.ones((10, 10), np.int64))
    segments = described(given, tensor(picture))
    assert_sound(segments, given.shape)
    for label, (area, centroid, box, colour) in enumerate(zip(*segments[1:], strict=True)):
        y, x = np.nonzero(segments.labels == label)
        assert len(set(given[y, x])) == 1
        assert area == len(y)
        np.testing.assert_allclose(centroid, (x.mean(), y.mean()))
        np.testing.assert_array_equal(box, (x.min(), y.min(), x.max() + 1, y.max() + 1))
        np.testing.assert_allclose(colour, picture[y, x].mean(0) / 255)


def test_what_segment_and_describe_tell_agrees():
    picture = tensor(cartoon(6)[0])
    segments = segment(picture)
    for one, other in zip(segments, described(segments.labels, picture), strict=True):
        np.testing.assert_array_equal(one, other)


def test_spirals_of_one_label_are_one_piece():
    spiral = np.zeros((41, 41), np.int32)
    for k in range(0, 20, 4):
        cv2.rectangle(spiral, (k, k), (40 - k, 40 - k), 1, 2)
        spiral[k + 1 : k + 6, k + 1] = 1
    segments = described(spiral, tensor(paper(41, 41)))
    assert_sound(segments, spiral.shape)
    assert len(segments.areas) == ndimage.label(spiral)[1] + ndimage.label(1 - spiral)[1]


@pytest.mark.parametrize("settings", [(10, 10, 10), (30, 40, 30), (5, 3, 2)])
@pytest.mark.parametrize("size", [(60, 130), (1, 40), (33, 2)])
def test_smoothing_is_the_bilateral_filter(settings, size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    picture[size[0] // 2 :] = picture[size[0] // 2 :] // 8 + 100
    difference = np.abs(bilateral(picture, *settings).astype(int) - cv2.bilateralFilter(picture, *settings))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 2e-3


def test_smoothing_leaves_one_colour_as_it_is():
    picture = np.full((40, 300, 3), (17, 200, 91), np.uint8)
    picture[10:20, 150:170] = 30
    smooth = bilateral(picture, 10, 10, 10)
    np.testing.assert_array_equal(smooth[:, :140], picture[:, :140])
    np.testing.assert_array_equal(smooth[:, 180:], picture[:, 180:])
    assert np.abs(smooth.astype(int) - cv2.bilateralFilter(picture, 10, 10, 10)).max() <= 1


def test_neighbours_are_shown_in_unlike_colours_with_borders():
    segments = segment(tensor(cartoon(7)[0]))
    picture, labels = show(segments), segments.labels
    assert picture.shape == (*labels.shape, 3)
    assert picture.dtype == np.uint8
    border = np.zeros(labels.shape, bool)
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    border[1:] |= labels[1:] != labels[:-1]
    np.testing.assert_array_equal((picture == 0).all(2), border)
    seen = {tuple(colour) for label in range(labels.max() + 1) for colour in picture[(labels == label) & ~border][:1]}
    assert len(seen) == labels.max() + 1


def test_parts_of_a_character_are_pieces(pair):
    labels = segment(pair[0]).labels
    wall, face, hair, jumper, door = ((250, 250), (480, 200), (470, 120), (390, 400), (650, 350))
    numbers = [labels[y, x] for x, y in (wall, face, hair, jumper, door)]
    assert len(set(numbers)) == 5
    assert labels[100, 250] == labels[100, 850] == numbers[0]
    assert labels[300, 380] == numbers[3]


def test_what_is_no_frame_is_refused():
    for shape in ((2, 3, 8, 8), (1, 8, 8), (8, 8), (3, 0, 8)):
        with pytest.raises(ValueError, match="image must be"):
            segment(torch.zeros(shape))
    with pytest.raises(ValueError, match="style is 'french'"):
        segment(torch.zeros(3, 8, 8), "french")
