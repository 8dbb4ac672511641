"""Agreement of a device with the CPU: operators, their gradients, and networks.

In: a device. Out: for each, the difference in exact fp32 and whether it is within tolerance.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from _train.frame_interpolation.benchmarks import reference
from _train.frame_interpolation.benchmarks.stages import convolutions
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
    with convolutions(tf32=False):
        for name, work in _operators().items():
            expected, found = ([x.cpu() for x in tree_leaves(work(*_on(scene, place)))] for place in ("cpu", device))
            apart = max(_largest(a - b) / max(1, _largest(a)) for a, b in zip(expected, found, strict=True))
            rows.append({"of": name, "apart": apart, "allowed": _OPERATORS, "holds": apart <= _OPERATORS})
        for name, (networks, work) in _networks(iterations).items():
            expected, found = (
                [x.cpu() for x in tree_leaves(work([network.to(place) for network in networks], *_on(scene, place)))]
                for place in ("cpu", device)
            )
            apart = max(_mean(a - b) / max(1e-6, _mean(a)) for a, b in zip(expected, found, strict=True))
            rows.append({"of": name, "apart": apart, "allowed": _NETWORKS, "holds": apart <= _NETWORKS})
    return rows


def _on(tensors: tuple[Tensor, ...], device: torch.device | str) -> list[Tensor]:
    return [x.to(device) for x in tensors]


def _largest(x: Tensor) -> float:
    return x.double().abs().max().item()


def _mean(x: Tensor) -> float:
    return x.double().abs().mean().item()


def _operators() -> dict[str, Callable[..., Any]]:
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
    return {
        **{f"splat, {mode}": work for mode, work in modes.items()},
        "splat, gradients": gradients,
        "distance transform": lambda f0, f1, f01, _: edt(f0[:, :1] > 0.9),
        "difference of Gaussians": lambda f0, f1, f01, _: difference_of_gaussians(f0),
        "opening": lambda f0, f1, f01, _: opening((f0 > 0.4).float()),
        "correlation lookup": lookup,
        "splat, published": lambda f0, f1, f01, _: reference.softsplat(f0, f01, f1[:, :1]),
        "distance transform, published": lambda f0, f1, f01, _: reference.edt(f0[:, :1] > 0.9),
    }


def _networks(iterations: int) -> dict[str, tuple[list[nn.Module], Callable[..., Any]]]:
    def seeded(create: Callable[[], nn.Module]) -> nn.Module:
        network = create().eval()
        network.load_state_dict(checkpoints.seeded(network.state_dict()))
        return network

    rfr, ssl, dtm, fusion = (seeded(create) for create in (RFR, SoftsplatLite, DTM, Fusion))
    return {
        "RFR": ([rfr], lambda nets, f0, f1, *_: nets[0].both_ways(f0, f1, iterations)),
        "SoftsplatLite": ([ssl], lambda nets, *scene: nets[0](*scene, 0.4).frame),
        "SoftsplatLite and DTM": ([ssl, dtm], lambda nets, *scene: nets[1](nets[0](*scene, 0.4))),
        "Fusion": ([fusion], lambda nets, *scene: nets[0](*scene, 0.4).frame),
        "RFR, published": ([rfr], lambda nets, f0, f1, *_: reference.estimate_flow(nets[0], f0, f1, iterations)),
        "SoftsplatLite, published": ([ssl], lambda nets, *scene: reference.synthesise(nets[0], *scene, 0.4).frame),
    }
