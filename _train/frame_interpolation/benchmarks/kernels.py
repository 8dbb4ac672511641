"""The project's CUDA kernels against the published design, and against the GPU's memory bandwidth.

In: a CUDA device, with CuPy. Out: for splatting, the distance transform and the correlation lookup, the time of both,
the minimum memory traffic (every input read once and every output written once, as with infinite caches), and the share
of the GPU's copy bandwidth that our kernel reaches by that count.
"""

import statistics
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.benchmarks import reference_kernels
from _util import cuda, tables
from _util.correlation import CorrelationPyramid
from _util.distance_transform import edt
from _util.errors import InputError
from _util.softsplat import softsplat

SPLATS = ((1, 64, 270, 480), (2, 5, 1080, 1920))
DRAWING = (1080, 1920)
FEATURES = (1, 256, 67, 120)  # of a 540p frame
DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
_REACH = 1 / 40  # of a flow, in widths of the frame
_OUTLINES = 70  # about 7 % of the pixels are on a line, as in real frames
_WARM_UP, _ROUNDS = 5, 25
_COPIED = 2**28  # elements of 4 bytes


class Case(NamedTuple):
    kernel: str
    dtype: str
    ours: Callable[[], Tensor | tuple[Tensor, ...]]
    published: Callable[[], Tensor | tuple[Tensor, ...]]
    moved: int  # bytes


def compare(device: torch.device | str = "cuda") -> list[dict]:
    """Measure every kernel with CUDA events and cold caches; medians after a warm-up.

    Returns:
        For each: kernel; dtype; seconds of ours and of the published design; their ratio; relative difference of the
        results; minimum memory traffic in bytes; copy bandwidth in bytes per second, read and written; share of it.

    Raises:
        InputError: there is no CUDA device or no CuPy.
    """
    device = torch.device(device)
    if device.type != "cuda" or not torch.cuda.is_available() or not cuda.available(torch.empty(0, device=device)):
        raise InputError(f"kernels cannot be measured on {device}: that takes a CUDA GPU and CuPy (extra gpu)")
    with torch.cuda.device(device):
        copied = torch.zeros((2, _COPIED), dtype=torch.float32, device=device)

        def copy() -> None:
            copied[1].copy_(copied[0])

        bandwidth = copied.nbytes / _seconds(copy, copy)
        rows = []
        for case in cases(device):
            ours, published = _seconds(case.ours, copy), _seconds(case.published, copy)
            rows.append(
                {
                    "kernel": case.kernel,
                    "dtype": case.dtype,
                    "seconds": ours,
                    "published": published,
                    "ratio": published / ours,
                    "difference": difference(case),
                    "bytes": case.moved,
                    "bandwidth": bandwidth,
                    "share": case.moved / bandwidth / ours,
                }
            )
        return rows


def table(rows: list[dict]) -> str:
    """The rows of `compare` as a Markdown table."""
    columns = {
        "kernel": "{kernel}",
        "dtype": "{dtype}",
        "ours, µs": lambda row: f"{row['seconds'] * 1e6:.1f}",
        "published, µs": lambda row: f"{row['published'] * 1e6:.1f}",
        "ratio": "{ratio:.2f}×",
        "difference": "{difference:.1e}",
        "MB that must move": lambda row: f"{row['bytes'] / 1e6:.1f}",
        "of bandwidth": "{share:.0%}",
    }
    return f"Copy bandwidth: {rows[0]['bandwidth'] / 1e9:.0f} GB/s.\n\n{tables.of_figures(rows, columns)}"


def cases(device: torch.device | str) -> Iterator[Case]:
    """Generate the cases one by one, so that only one is in memory."""
    random = torch.Generator().manual_seed(0)
    for shape in SPLATS:
        for dtype in DTYPES:
            yield from _splats(shape, dtype, device, random)
    yield from _distances(device)
    yield _lookup(device, random)


def difference(case: Case) -> float:
    """The difference of both results relative to the published one, maximum over outputs."""
    both = [found if isinstance(found, tuple) else (found,) for found in (case.ours(), case.published())]
    norms = [((a.float() - b.float()).norm(), b.float().norm()) for a, b in zip(*both, strict=True)]
    return max(float(change) / max(float(size), 1e-30) for change, size in norms)


def _seconds(run: Callable[[], object], empty_caches: Callable[[], None]) -> float:
    """The median time; emptying the caches also keeps the GPU busy until Python has launched the kernel."""
    for _ in range(_WARM_UP):
        run()
    times = []
    for _ in range(_ROUNDS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        empty_caches()
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return statistics.median(times)


def _splats(
    shape: tuple[int, int, int, int], dtype: str, device: torch.device | str, random: torch.Generator
) -> Iterator[Case]:
    b, _, h, w = shape
    values = torch.randn(shape, generator=random).to(device, DTYPES[dtype])
    flow = _smooth(_REACH * w * torch.randn((b, 2, 5, 8), generator=random), (h, w)).to(device)
    metric = -torch.rand((b, 1, h, w), generator=random).to(device)
    gradient = torch.randn(shape, generator=random).to(device, DTYPES[dtype])
    inputs = (values, flow, metric)
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]

    def forward(splat: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[], Tensor]:
        return lambda: splat(*inputs)

    def backward(splat: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[], tuple[Tensor, ...]]:
        return lambda: torch.autograd.grad(splat(*leaves), leaves, gradient)

    name, moved = f"softmax splat {shape}", sum(tensor.nbytes for tensor in (*inputs, values))
    yield Case(f"{name}, forward", dtype, forward(softsplat), forward(reference_kernels.softsplat), moved)
    moved += sum(tensor.nbytes for tensor in (gradient, values, *inputs, *inputs))
    name = f"{name}, forward and backward"
    yield Case(name, dtype, backward(softsplat), backward(reference_kernels.softsplat), moved)


def _smooth(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(coarse, size, mode="bilinear", align_corners=True)


def _distances(device: torch.device | str) -> Iterator[Case]:
    point = torch.zeros((1, 1, *DRAWING), dtype=torch.bool)
    point[..., 0, 0] = True
    for name, lines in (("a drawing", _drawing(*DRAWING)), ("a single point", point)):
        lines = lines.to(device)
        moved = lines.nbytes + 4 * lines.numel()
        yield Case(
            f"distance transform {DRAWING}, {name}",
            "fp32",
            lambda lines=lines: edt(lines),
            lambda lines=lines: reference_kernels.edt(lines),
            moved,
        )


def _drawing(h: int, w: int) -> Tensor:
    """Outlines of ellipses, two pixels wide at 1080 rows; (1, 1, h, w) bool."""
    random = np.random.default_rng(0)
    drawing = np.zeros((h, w), np.uint8)
    for _ in range(_OUTLINES):
        centre = random.uniform(0, 1, 2) * (w, h)
        axes = random.uniform(0.02, 0.2, 2) * h
        centre, axes = centre.astype(int).tolist(), axes.astype(int).tolist()
        cv2.ellipse(drawing, centre, axes, random.uniform(0, 180), 0, 360, 1, max(1, h // 540))
    return torch.from_numpy(drawing > 0)[None, None]


def _lookup(device: torch.device | str, random: torch.Generator) -> Case:
    b, _, h, w = FEATURES
    features0, features1 = (torch.randn(FEATURES, generator=random).to(device) for _ in range(2))
    with torch.no_grad():
        pyramid = CorrelationPyramid(features0, features1)
    grid = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy"))
    places = (grid + _smooth(torch.randn((b, 2, 5, 8), generator=random), (h, w))).to(device)
    side = 2 * pyramid.radius + 1
    sizes = [products.shape[3:] for products in pyramid.directions[0]]
    moved = places.nbytes + 4 * b * h * w * sum(min(side + 1, y) * min(side + 1, x) + side**2 for y, x in sizes)

    def look_up(with_gradient: bool) -> Tensor:
        with torch.set_grad_enabled(with_gradient):  # selects our kernel or `grid_sample`
            return pyramid.lookup(places)

    return Case(f"correlation lookup {FEATURES}", "fp32", lambda: look_up(False), lambda: look_up(True), moved)
