"""Flow estimators, created by the entries of `methods.FLOWS`.

An estimator is called with two frames and returns the flow between them in both directions:
(1, 3, h, w) RGB in [0, 1], twice, to flow01 and flow10, (1, 2, h, w) float32, x then y, in pixels.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation import methods
from _train.frame_interpolation.context import Context
from _train.frame_interpolation.models import unet as unets
from _train.frame_interpolation.models.layers import placed
from _train.frame_interpolation.models.rfr import RFR, InitialMode
from _util import checkpoints, graphs, image, paths
from _util.dis import costs, dis, multidis, select
from _util.flow import Flows
from _util.flow import resize as resize_flow
from _util.sgm import SGM
from _util.sgm.motion import GROUND, UNKNOWN

FlowEstimator = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
_NO_GROUND = 1.0  # order of what is searched for: what lies around everything is known
_BETTER = 0.01  # of a cost of at most 1, by which search must win over a piece
_ALIKE = 1.0  # pixels up to which a piece and search move alike, so that search is more exact; twice that ends it
_BOW = 1.0  # pixels off the straight way at half of the time, below which nothing travels on an arc
LARGEST_AREA = 960 * 540  # what RFR was trained at; larger displacements than it has seen are lost


def create(name: str, context: Context) -> FlowEstimator:
    """The estimator of a name of `methods.FLOWS`.

    Raises:
        InputError: there is no such name, or its weights are missing or do not fit.
    """
    return methods.find("flow", methods.FLOWS, name, ()).creator()(context)


def dis1(_: Context) -> FlowEstimator:
    return dis


def dis3(_: Context) -> FlowEstimator:
    return multidis


def sgm(context: Context) -> SGM:
    return SGM(device=context.device, folder=context.folder)


def released_sgm(context: Context) -> SGM:
    return SGM(device=context.device, folder=context.folder, turns=False)


def sgm_dis(context: Context) -> FlowEstimator:
    return MatchingAndSearch(sgm(context))


def rfr(context: Context) -> FlowEstimator:
    return graphs.replayed(_rfr(context).both_ways, context.device)


def unet(context: Context, variant: unets.Variant) -> FlowEstimator:
    network = unets.FlowUNet(variant).eval()
    checkpoints.load(network, f"{variant}_flow", context.folder)
    placed(network, context.device, context.flow_dtype)
    return graphs.replayed(network, context.device)


def _rfr(context: Context) -> RFR:
    network = RFR().eval()
    checkpoints.load(network, "rfr", context.folder)
    return placed(network, context.device, context.flow_dtype)


def sgm_rfr(context: Context, mode: InitialMode) -> FlowEstimator:
    """RFR that begins with the flow of segment-guided matching."""
    network, matching = _rfr(context), released_sgm(context)

    def refine(frame0: Tensor, frame1: Tensor, *coarse: Tensor) -> Flows:
        return network.both_ways(frame0, frame1, initial=Flows(*coarse), initial_mode=mode)

    refine = graphs.replayed(refine, context.device)
    return lambda frame0, frame1: refine(frame0, frame1, *matching(frame0, frame1))


class MatchingAndSearch:
    """The motion of pieces where it is known and finds its surroundings, else dense inverse search."""

    def __init__(self, sgm: SGM):
        self.sgm = sgm

    def __call__(self, frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
        return tuple(paths.flow(path).contiguous() for path in self.paths(frame0, frame1))

    def paths(self, frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
        """The same as paths (1, 9, h, w), of which what was searched for is straight.

        Where nothing travels on an arc, the flow alone: at each pixel that of pieces or of search, whichever finds what
        is around it. In line art, search alone.
        """
        searched, pieces = multidis(frame0, frame1), self.sgm.pieces(frame0, frame1)
        if pieces.is_line_art:
            return searched
        pictures = [image.to_array(frame[0], np.uint8) for frame in (frame0, frame1)]
        matched = pieces.paths()
        if max(paths.bow(path) for path in matched) < _BOW:
            return Flows(
                _better(pictures[0], pictures[1], searched.flow01, matched[0]),
                _better(pictures[1], pictures[0], searched.flow10, matched[1]),
            )
        found = []
        for i, (flow, path) in enumerate(zip(searched, matched, strict=True)):
            owners = pieces.owners[:: 1 - 2 * i]
            kept = _find_themselves(pictures[i], pictures[1 - i], path, flow, *owners)
            path = torch.from_numpy(path).permute(2, 0, 1)[None].to(flow.device)
            moves = torch.from_numpy(owners[0] > GROUND).to(flow.device)
            path = torch.cat([_refined(paths.flow(path), flow, moves), path[:, 2:]], 1)
            found.append(torch.where(torch.from_numpy(kept).to(flow.device), path, paths.straight(flow, _NO_GROUND)))
        return found[0], found[1]


def _better(here: np.ndarray, there: np.ndarray, searched: Tensor, path: np.ndarray) -> Tensor:
    flow, matched = searched[0].permute(1, 2, 0).cpu().numpy(), path[:, :, :2]
    # Where no piece was found again there is nothing to choose.
    proposed = np.where(matched.any(2, keepdims=True), matched, flow)
    return torch.from_numpy(select(here, there, [flow, proposed])).permute(2, 0, 1)[None].contiguous().to(searched)


def _refined(matched: Tensor, searched: Tensor, moves: Tensor) -> Tensor:
    """The flow of pieces that move, replaced by what was searched for where that is nearly the same."""
    apart = (matched - searched).norm(dim=1, keepdim=True)
    return torch.lerp(matched, searched, (2 - apart / _ALIKE).clamp(0, 1) * moves)


def _find_themselves(
    here: np.ndarray, there: np.ndarray, path: np.ndarray, flow: Tensor, owners: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """(h, w) whether a pixel is of a piece that finds itself about as well by its motion as by the flow."""
    searched = flow[0].permute(1, 2, 0).cpu().numpy()
    visible = (owners != UNKNOWN) & (_owners_reached(path, others) == owners)
    count = int(owners.max()) + 1
    known, other = (
        np.bincount(owners[visible], cost[visible], count)
        for cost in costs(here, there, [np.ascontiguousarray(path[:, :, :2]), searched])
    )
    pixels = np.bincount(owners[visible], minlength=count)
    return np.append(known <= other + _BETTER * pixels, False)[owners]  # the last is that of no piece


def _owners_reached(path: np.ndarray, others: np.ndarray) -> np.ndarray:
    h, w = others.shape
    x = np.rint(path[:, :, 0] + np.arange(w)).astype(int).clip(0, w - 1)
    y = np.rint(path[:, :, 1] + np.arange(h)[:, None]).astype(int).clip(0, h - 1)
    return others[y, x]


def with_paths(estimator: FlowEstimator) -> FlowEstimator:
    """An estimator of paths, where that of flows has one, else the same."""
    return getattr(estimator, "paths", estimator)


def at_moderate_size(estimator: FlowEstimator, frame0: Tensor, frame1: Tensor) -> Flows:
    """Estimate at no more than `LARGEST_AREA` pixels and scale the flow up to the size of the frames."""
    h, w = frame0.shape[2:]
    scale = min(1, (LARGEST_AREA / (h * w)) ** 0.5)
    if scale == 1:
        return Flows(*estimator(frame0, frame1))
    size = max(16, round(h * scale)), max(16, round(w * scale))
    reduced = F.interpolate(torch.cat([frame0, frame1]), size, mode="bilinear", align_corners=False, antialias=True)
    return Flows(*(resize_flow(flow, (h, w)) for flow in estimator(*reduced.chunk(2))))
