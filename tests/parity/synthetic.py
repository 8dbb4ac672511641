"""A pair of generated drawings, and what is computed of it: parity where the published frames are not at hand.

    python -m tests.parity.synthetic      writes synthetic.npz: the pair and every result of `RESULTS`, some pixels each

That the code agrees with the released code is what `golden.npz` shows; these values hold it to what it computed then.
Networks have seeded weights.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _train.frame_interpolation.models.animeinterp import AnimeInterp
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.fusion import Fusion
from _train.frame_interpolation.models.ifnet import IFNet
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _train.frame_interpolation.models.splatting import splat_metric
from _util import checkpoints
from _util.lines import difference_of_gaussians, nedt
from _util.metrics import LPIPS, PSNR, SSIM, Chamfer, Hausdorff, InterpolationError
from _util.rrld import SIZE, judge
from _util.segmentation import segment

PATH = Path(__file__).with_suffix(".npz")
HEIGHT, WIDTH = 128, 192
Pair = tuple[Tensor, Tensor]


def draw() -> np.ndarray:
    """Two drawings (2, h, w, 3) uint8: flat colours with dark outlines, a head that moves and a ball that falls."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    frames = []
    for i in range(2):
        frame = np.full((HEIGHT, WIDTH, 3), (214, 226, 240), np.float64)
        frame[y > 100] = (120, 168, 96)
        for (cx, cy), (rx, ry), colour in (
            ((70 + 12 * i, 62 - 4 * i), (34, 40), (250, 214, 186)),
            ((58 + 13 * i, 56 - 4 * i), (5, 8), (60, 90, 150)),
            ((84 + 13 * i, 56 - 4 * i), (5, 8), (60, 90, 150)),
            ((148 - 6 * i, 30 + 18 * i), (15, 15), (220, 70, 60)),
        ):
            radius = np.hypot((x - cx) / rx, (y - cy) / ry)
            inside = np.clip((1 - radius) * min(rx, ry) + 0.5, 0, 1)[..., None]
            line = np.clip(1.8 - np.abs(1 - radius) * min(rx, ry), 0, 1)[..., None]
            frame = frame * (1 - inside) + inside * np.array(colour)
            frame = frame * (1 - line) + line * np.array((40, 30, 36))
        frames.append(frame.round().astype(np.uint8))
    return np.stack(frames)


def as_pair(frames: np.ndarray) -> Pair:
    """(2, h, w, 3) uint8 to two of (1, 3, h, w) in [0, 1]."""
    frame0, frame1 = torch.from_numpy(frames).permute(0, 3, 1, 2).float().div(255).split(1)
    return frame0, frame1


def flows() -> Pair:
    """Smooth flow01 and flow10 (1, 2, h, w) of some pixels."""
    small = 3 * torch.randn(2, 2, 5, 7, generator=torch.Generator().manual_seed(101))
    flow01, flow10 = F.interpolate(small, (HEIGHT, WIDTH), mode="bilinear", align_corners=True).split(1)
    return flow01, flow10


def seeded(network: nn.Module) -> nn.Module:
    network.load_state_dict(checkpoints.seeded(network.state_dict()))
    return network.eval()


def every(step: int, tensor: Tensor) -> Tensor:
    return tensor[..., step // 2 :: step, step // 2 :: step]


def lines(frame0: Tensor, frame1: Tensor) -> list[Tensor]:
    return [every(4, difference_of_gaussians(frame0, sigma=1.0)), every(4, nedt(frame1))]


def metrics(frame0: Tensor, frame1: Tensor) -> list[Tensor]:
    paper = (LPIPS(), LPIPS("standard"), PSNR(), SSIM(), SSIM("standard"))
    return [metric(frame0, frame1) for metric in (*paper, Chamfer(), Hausdorff(), InterpolationError())]


def ssldtm(frame0: Tensor, frame1: Tensor) -> list[Tensor]:
    synthesis = seeded(SoftsplatLite())(frame0, frame1, *flows(), 0.5)
    frame, predicted = seeded(DTM())(synthesis)
    metric = splat_metric(frame0, frame1, *flows())
    return [every(4, x) for x in (synthesis.frame, synthesis.bases[0], synthesis.masks[0], metric, frame, predicted)]


def rfr(frame0: Tensor, frame1: Tensor) -> list[Tensor]:
    network, (initial, _) = seeded(RFR()), flows()
    whole = network(frame0, frame1, 3, initial, "released")
    odd = network(frame0[..., :109, :181], frame1[..., :109, :181], 3)
    return [every(4, whole), every(4, odd)]


def animeinterp(frame0: Tensor, frame1: Tensor, aggregate: bool = False) -> list[Tensor]:
    network = seeded(AnimeInterp(aggregate))
    refined = network.refine(frame0, frame1, flows(), iterations=3)
    # Splats of smooth flow, as whether one lands within a pixel or a trifle beyond it depends on rounding.
    frame = network.synthesise(network.prepare(frame0, frame1, *flows()), 0.5).frame
    return [every(4, x) for x in (*refined, frame)]


def gma(frame0: Tensor, frame1: Tensor) -> list[Tensor]:
    return animeinterp(frame0, frame1, aggregate=True)


def ifnet(frame0: Tensor, frame1: Tensor) -> list[Tensor]:
    return [every(4, x) for x in seeded(IFNet())(frame0, frame1, 0.3)]


def fusion(frame0: Tensor, frame1: Tensor) -> list[Tensor]:
    network = seeded(Fusion())
    return [every(4, network.synthesise(network.prepare(frame0, frame1, *flows()), 0.5).frame)]


def rrld(frame0: Tensor, frame1: Tensor) -> list[Tensor]:
    found = []
    for x, y in zip(*flows(), strict=True):
        to_previous, to_next = (F.interpolate(flow[None], SIZE, mode="bilinear", align_corners=True) for flow in (x, y))
        found.append(torch.tensor([float(value) for value in judge(to_previous, to_next)]))
    return found


def pieces(frame0: Tensor, frame1: Tensor) -> list[Tensor]:
    return [every(4, torch.as_tensor(segment(frame).labels, dtype=torch.float32)) for frame in (frame0, frame1)]


RESULTS: dict[str, Callable[[Tensor, Tensor], list[Tensor]]] = {
    function.__name__: function
    for function in (lines, metrics, ssldtm, rfr, animeinterp, gma, ifnet, fusion, rrld, pieces)
}


@torch.inference_mode()
def compute(name: str, pair: Pair) -> list[np.ndarray]:
    return [x.float().numpy() for x in RESULTS[name](*pair)]


def main() -> None:
    frames = draw()
    arrays = {f"{name}{i}": x for name in RESULTS for i, x in enumerate(compute(name, as_pair(frames)))}
    np.savez_compressed(PATH, frames=frames, **arrays)


if __name__ == "__main__":
    main()
