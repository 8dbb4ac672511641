"""Time of segment-guided matching against a literal implementation of its specification, on synthetic cartoons."""

import statistics
import time
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import KDTree
from torch import Tensor

from _util import image, memory
from _util.pieces.motion import find
from _util.segmentation import Segments
from _util.sgm import SGM

PIECES = {200: 300, 1800: 20}  # number drawn -> area below which pieces are merged; about 200 and 1500 are found
STAGES = ("segmentation", "matching", "flow", "turning")
_GOLDEN_ANGLE = np.pi * (3 - 5**0.5)
_OUTLINE, _INK = 2, 0.08  # pixels, grey


class Cartoon(NamedTuple):
    """Two frames of characters that move over a static ground, and the piece that each pixel belongs to."""

    frames: tuple[Tensor, Tensor]  # (1, 3, h, w) RGB in [0, 1]
    labels: tuple[np.ndarray, np.ndarray]  # (h, w) int32: 0 the ground, 1 … the same pieces in both


def draw(
    pieces: int,
    size: tuple[int, int] = (540, 960),
    seed: int = 0,
    characters: int = 8,
    shift: float = 0.25,
    turn: float = 0.35,
    recolour: float = 0.03,
) -> Cartoon:
    """Draw a cartoon of about `pieces` outlined pieces, of one colour each.

    Args:
        shift: maximum displacement of a character, in frame widths.
        turn: maximum rotation of a character, in radians.
        recolour: maximum change of each colour channel.
    """
    random = np.random.default_rng(seed)
    each = max(2, round(pieces / characters))
    radius = 0.55 * np.sqrt(size[0] * size[1] / characters / np.pi)
    ways = _ways(random, size, radius, characters, shift * size[1])
    angles = random.uniform(-turn, turn, characters)
    shapes = [_Character(random, each, radius) for _ in range(characters)]
    colours = random.uniform(0.15, 1, (1 + characters * each, 3))
    changed = (colours + random.uniform(-recolour, recolour, colours.shape)).clip(0, 1)
    frames, labels = [], []
    for i, palette in enumerate((colours, changed)):
        owner, line = np.zeros(size, np.int32), np.zeros(size, bool)
        for k, shape in enumerate(shapes):
            shape.draw(owner, line, 1 + k * each, ways[k, i], i * angles[k])
        picture = np.where(line[:, :, None], _INK, palette[owner])
        frames.append(torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None].contiguous())
        labels.append(owner)
    return Cartoon(tuple(frames), tuple(labels))


class _Character:
    """A blob of pieces of about one size."""

    def __init__(self, random: np.random.Generator, pieces: int, radius: float):
        order = np.arange(pieces)
        angle = order * _GOLDEN_ANGLE + random.uniform(-0.2, 0.2, pieces)
        seeds = np.sqrt((order + 0.5) / pieces)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
        self.radius = radius
        self.tree = KDTree(radius * (seeds + random.normal(0, 0.15, seeds.shape) / pieces**0.5))
        self.waves = random.uniform(-0.1, 0.1, 3), random.uniform(0, 2 * np.pi, 3)

    def draw(self, owner: np.ndarray, line: np.ndarray, first: int, centre: np.ndarray, turn: float) -> None:
        reach = 1.4 * self.radius
        left, top = np.maximum(centre - reach, 0).astype(int)
        part = slice(top, int(centre[1] + reach) + 1), slice(left, int(centre[0] + reach) + 1)
        y, x = np.indices(owner[part].shape)
        x, y = x + left - centre[0], y + top - centre[1]
        points = np.stack([np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x], -1)
        angle = np.arctan2(points[..., 1], points[..., 0])[..., None]
        rim = self.radius * (1 + (self.waves[0] * np.sin(np.arange(2, 5) * angle + self.waves[1])).sum(-1))
        depth = rim - np.hypot(x, y)
        distances, nearest = self.tree.query(points, 2)
        inside = depth > 0
        owner[part][inside] = first + np.asarray(nearest)[inside][:, 0]
        line[part][inside] = np.minimum(depth, distances[..., 1] - distances[..., 0])[inside] < _OUTLINE


def _ways(random: np.random.Generator, size: tuple[int, int], radius: float, count: int, longest: float) -> np.ndarray:
    """(count, 2, 2): where each character is in both frames, x y, far from the others."""
    ends = np.empty((count, 2, 2))
    low, high = np.full(2, radius), np.array(size[::-1]) - radius
    for i in range(2):
        for k in range(count):
            candidates = random.uniform(low, high, (400, 2))
            if i:
                length, angle = longest * random.uniform(0, 1, 400) ** 0.5, random.uniform(0, 2 * np.pi, 400)
                candidates = ends[k, 0] + length[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
                candidates = candidates.clip(low, high)
            room = np.full(400, np.inf)
            for other in ends[:k, i]:
                room = np.minimum(room, np.hypot(*(candidates - other).T))
            fits = np.flatnonzero(room > 2.2 * radius)
            ends[k, i] = candidates[fits[0] if len(fits) else room.argmax()]
    return ends


def compare(repeats: int = 3) -> list[dict]:
    """Measure both frames, both directions, at each of `PIECES`, without one-time costs.

    Returns:
        For each: pieces found; seconds of segmentation, of features and matching, of flow, and of all these; seconds of
        paths of rotating pieces in place of flow, and the peak memory that they add, in MB; seconds of the literal
        implementation on the same pieces; speed-up of features, matching and flow.
    """
    rows = []
    for pieces, smallest in PIECES.items():
        frames, sgm = draw(pieces).frames, SGM("alexnet", smallest=smallest)
        rounds = [_measure(sgm, *frames) for _ in range(repeats + 1)][1:]
        seconds = {stage: statistics.median(times[stage] for times, _, _ in rounds) for stage in STAGES}
        segments = rounds[0][1]
        start = time.perf_counter()
        literal_flows(sgm, *frames, *segments)
        literal = time.perf_counter() - start
        ratio = literal / (seconds["matching"] + seconds["flow"])
        rows.append(
            {
                "pieces": len(segments[0].areas),
                **seconds,
                "all": sum(seconds[stage] for stage in ("segmentation", "matching", "flow")),
                "turning_mb": max(added for _, _, added in rounds),
                "literal": literal,
                "ratio": ratio,
            }
        )
    return rows


@torch.inference_mode()
def _measure(sgm: SGM, frame0: Tensor, frame1: Tensor) -> tuple[dict[str, float], tuple[Segments, Segments], float]:
    ticks = [time.perf_counter()]
    segments = sgm.segment(frame0), sgm.segment(frame1)
    ticks.append(time.perf_counter())
    matching = sgm.match(frame0, frame1, segments)
    ticks.append(time.perf_counter())
    sgm.flow(frame0, frame1, matching)
    ticks.append(time.perf_counter())
    memory.reset_peak()
    before = memory.peak()
    start = time.perf_counter()
    find(*image.pictures_of(frame0, frame1), matching).paths()
    turning = time.perf_counter() - start
    return dict(zip(STAGES, [*np.diff(ticks).tolist(), turning], strict=True)), segments, memory.peak() - before


@torch.inference_mode()
def literal_flows(
    sgm: SGM, frame0: Tensor, frame1: Tensor, segments0: Segments, segments1: Segments
) -> tuple[np.ndarray, np.ndarray]:
    """flow01 and flow10, (h, w, 2), piece by piece and pair by pair, with masks as large as the frame."""
    (h, w), both = frame0.shape[2:], (segments0, segments1)
    masks = [[segments.labels == i for i in range(len(segments.areas))] for segments in both]
    features = [_literal_features(sgm, frame, mask) for frame, mask in zip((frame0, frame1), masks, strict=True)]
    affinity = np.empty((len(masks[0]), len(masks[1])))
    for i, j in np.ndindex(*affinity.shape):
        affinity[i, j] = np.minimum(features[0][i], features[1][j]).sum()
        way = np.hypot(*(segments1.centroids[j] - segments0.centroids[i])) / np.hypot(h, w)
        affinity[i, j] -= 0.2 * way if way > 0.14 else 0
        areas = sorted((segments0.areas[i], segments1.areas[j]))
        affinity[i, j] -= areas[1] / areas[0] / 20 if areas[1] > 3 * areas[0] else 0

    flows = np.zeros((2, h, w, 2), np.float32)
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in image.pictures_of(frame0, frame1)]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for i in range(len(masks[0])):
        j = affinity[i].argmax()
        areas = sorted((segments0.areas[i], segments1.areas[j]))
        shift = np.round(segments1.centroids[j] - segments0.centroids[i])
        plausible = np.hypot(*shift) <= 250 and areas[0] > 50 and areas[1] < min(0.12 * h * w, 3 * areas[0])
        if affinity[:, j].argmax() != i or not plausible:
            continue
        for k, (one, other, sign) in enumerate(((i, j, 1), (j, i, -1))):
            here, there = masks[k][one], masks[1 - k][other]
            move = np.array([[1, 0, -sign * shift[0]], [0, 1, -sign * shift[1]]], np.float32)
            patch = here * greys[k], cv2.warpAffine(there * greys[1 - k], move, (w, h))
            rows, columns = np.nonzero(here | (cv2.warpAffine(there.astype(np.uint8), move, (w, h)) > 0))
            box = (
                slice(max(rows.min() - 16, 0), rows.max() + 17),
                slice(max(columns.min() - 16, 0), columns.max() + 17),
            )
            within = np.zeros((h, w, 2), np.float32)
            before, after = (np.ascontiguousarray(picture[box]) for picture in patch)
            nothing: Any = None  # no initial flow; OpenCV's stubs do not allow None
            within[box] = estimator.calc(before, after, nothing)
            flows[k][here] = within[here] + sign * shift
    return flows[0], flows[1]


def _literal_features(sgm: SGM, frame: Tensor, masks: list[np.ndarray]) -> list[np.ndarray]:
    pooled: list[list[Tensor]] = [[] for _ in masks]
    for level in sgm.backbone(frame):
        large = F.interpolate(level, frame.shape[2:], mode="bilinear", align_corners=False)[0]
        for found, mask in zip(pooled, masks, strict=True):
            found.append(large[:, torch.from_numpy(mask)].mean(1))
    features = [torch.cat(levels).numpy() for levels in pooled]
    return [(feature - feature.min()) / (feature - feature.min()).sum() for feature in features]
