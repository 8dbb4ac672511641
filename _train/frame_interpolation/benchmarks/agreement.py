"""Agreement of a device with the CPU: operators, their gradients, and networks.

In: a device. Out: for each, the difference in exact fp32 and whether it is within tolerance.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from _train.frame_interpolation.benchmarks import reference
from _train.frame_interpolation.benchmarks.stages import convolution_precision
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.fusion import Fusion
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _util import checkpoints
from _util.correlation import CorrelationPyramid
from _util.distance_transform import edt
from _util.lines import difference_of_gaussians
from _util.morphology import opening
from _util.softsplat import softsplat

_OPERATORS, _NETWORKS = 1e-4, 1e-3  # tolerated relative differences from the CPU
Work = tuple[Sequence[nn.Module], Callable[..., Any]]  # networks, and what maps them and a scene to tensors


@torch.no_grad()
def compare(device: torch.device, size: tuple[int, int] = (128, 192), iterations: int = 12) -> list[dict[str, Any]]:
    """The differences of operators and networks on a device from those on the CPU, in exact fp32.

    For operators and their gradients, the maximum difference relative to the maximum value; for networks, the mean
    difference relative to the mean.
    """
    torch.manual_seed(0)
    frame0, frame1 = F.interpolate(torch.rand(2, 3, size[0] // 16, size[1] // 16), size, mode="bilinear").split(1)
    flow01, flow10 = F.interpolate(6 * torch.randn(2, 2, 4, 6), size, mode="bilinear").split(1)
    scene = frame0, frame1, flow01, flow10
    rows = []
    with convolution_precision(tf32=False):
        for name, (networks, work) in {**_operators(), **_networks(iterations)}.items():
            size_of, least, tolerance = (_mean, 1e-6, _NETWORKS) if networks else (_largest, 1, _OPERATORS)
            expected, found = (
                [x.cpu() for x in tree_leaves(work(*(x.to(place) for x in (*networks, *scene))))]
                for place in ("cpu", device)
            )
            difference = max(size_of(a - b) / max(least, size_of(a)) for a, b in zip(expected, found, strict=True))
            passed = difference <= tolerance
            rows.append({"check": name, "difference": difference, "tolerance": tolerance, "passed": passed})
    return rows


def _largest(x: Tensor) -> float:
    return x.double().abs().max().item()


def _mean(x: Tensor) -> float:
    return x.double().abs().mean().item()


def _operators() -> dict[str, Work]:
    def lookup(frame0: Tensor, frame1: Tensor, flow01: Tensor, _: Tensor) -> Tensor:
        features0, features1 = (F.avg_pool2d(frame, 8).repeat(1, 16, 1, 1) for frame in (frame0, frame1))
        return CorrelationPyramid(features0, features1).lookup(F.avg_pool2d(flow01, 8) + 4)

    def gradients(frame0: Tensor, frame1: Tensor, flow01: Tensor, _: Tensor) -> list[Tensor]:
        values, flow, metric = (x.detach().clone().requires_grad_() for x in (frame0, flow01, frame1[:, :1]))
        with torch.enable_grad():
            result = softsplat(values, flow, metric).square().sum()
        return list(torch.autograd.grad(result, (values, flow, metric)))

    modes = {
        "sum": lambda f0, f1, f01, _: softsplat(f0, f01, mode="sum"),
        "average": lambda f0, f1, f01, _: softsplat(f0, f01, mode="average"),
        "linear": lambda f0, f1, f01, _: softsplat(f0, f01, f1[:, :1], "linear"),
        "softmax": lambda f0, f1, f01, _: softsplat(f0, f01, f1[:, :1]),
    }
    operators = {
        **{f"splat, {mode}": work for mode, work in modes.items()},
        "splat, gradients": gradients,
        "distance transform": lambda f0, f1, f01, _: edt(f0[:, :1] > 0.9),
        "difference of Gaussians": lambda f0, f1, f01, _: difference_of_gaussians(f0),
        "opening": lambda f0, f1, f01, _: opening((f0 > 0.4).float()),
        "correlation lookup": lookup,
        "splat, published": lambda f0, f1, f01, _: reference.softsplat(f0, f01, f1[:, :1]),
        "distance transform, published": lambda f0, f1, f01, _: reference.edt(f0[:, :1] > 0.9),
    }
    return {name: ([], work) for name, work in operators.items()}


def _networks(iterations: int) -> dict[str, Work]:
    def seeded(create: Callable[[], nn.Module]) -> nn.Module:
        network = create().eval()
        network.load_state_dict(checkpoints.seeded(network.state_dict()))
        return network

    rfr, ssl, dtm, fusion = (seeded(create) for create in (RFR, SoftsplatLite, DTM, Fusion))
    return {
        "RFR": ([rfr], lambda rfr, f0, f1, *_: rfr.both_ways(f0, f1, iterations)),
        "SoftsplatLite": ([ssl], lambda ssl, *scene: ssl(*scene, 0.4).frame),
        "SoftsplatLite and DTM": ([ssl, dtm], lambda ssl, dtm, *scene: dtm(ssl(*scene, 0.4))),
        "Fusion": ([fusion], lambda fusion, *scene: fusion(*scene, 0.4).frame),
        "RFR, published": ([rfr], lambda rfr, f0, f1, *_: reference.estimate_flow(rfr, f0, f1, iterations)),
        "SoftsplatLite, published": ([ssl], lambda ssl, *scene: reference.synthesise(ssl, *scene, 0.4).frame),
    }
