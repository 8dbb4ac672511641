"""Simulates the degradation of frames between drawing and viewer, batched, in PyTorch.

Fades, chroma at half resolution, transform coding with 8×8 (JPEG) or 4×4 blocks (as H.264), softness of enlarged
sources, film grain. Degradations are drawn per sequence, and are the same for all its frames.
"""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

_TO_YCC = ((0.299, 0.587, 0.114), (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813))


def degrade(frames: Tensor, times: Tensor, random: torch.Generator) -> Tensor:
    """Degrade frames as real sources do.

    Args:
        frames: (b, 3, 3, h, w) RGB in [0, 1], at times 0, t and 1.
        times: (b,), t.
    """
    b, device = len(frames), frames.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(b, 1, 1, 1, 1).uniform_(low, high, generator=random).to(device)

    def some(share: float) -> Tensor:
        return (torch.rand(b, generator=random) < share).nonzero()[:, 0].to(device)

    frames = frames.clone()
    along = torch.stack([torch.zeros_like(times), times, torch.ones_like(times)], 1).view(b, 3, 1, 1, 1)
    fade = 1 + uniform(-0.4, 0.4) * (along - uniform(0, 1))
    faded = some(0.06)
    frames[faded] *= fade[faded]
    softened = some(0.2)
    frames[softened] = _soften(frames[softened])
    grainy = some(0.2)
    frames[grainy] += uniform(0.003, 0.03)[grainy] * _grain(frames[grainy], uniform(0, 1)[grainy] < 0.5, random)

    ycc = torch.einsum("ij,bfjhw->bfihw", frames.new_tensor(_TO_YCC), frames)
    reduced = some(0.5)
    ycc[reduced] = _halve_chroma(ycc[reduced])
    step = torch.exp(uniform(math.log(0.004), math.log(0.08)))
    for side in (8, 4):
        coded = some(0.3)
        ycc[coded] = _code(ycc[coded], step[coded], side)
    return torch.einsum("ij,bfjhw->bfihw", frames.new_tensor(_TO_YCC).inverse(), ycc)


def _grain(frames: Tensor, coarse: Tensor, random: torch.Generator) -> Tensor:
    """Noise of unit strength, the same in all three channels."""
    generator = torch.Generator(frames.device).manual_seed(int(torch.randint(2**31, (1,), generator=random)))
    noise = torch.randn(frames[:, :, :1].shape, generator=generator, device=frames.device)
    return torch.where(coarse, 2 * _soften(noise), noise)


def _soften(frames: Tensor) -> Tensor:
    """A 3×3 binomial filter."""
    x = F.pad(frames, (1, 1, 1, 1, 0, 0), mode="replicate")
    x = (x[..., :-2] + x[..., 2:]) / 4 + x[..., 1:-1] / 2
    return (x[..., :-2, :] + x[..., 2:, :]) / 4 + x[..., 1:-1, :] / 2


def _halve_chroma(ycc: Tensor) -> Tensor:
    y, chroma = ycc.split([1, 2], 2)
    h, w = chroma.shape[-2:]
    if not len(chroma):
        return ycc
    small = F.interpolate(chroma.flatten(0, 1), ((h + 1) // 2, (w + 1) // 2), mode="area")
    chroma = F.interpolate(small, (h, w), mode="bilinear", align_corners=False).view(chroma.shape)
    return torch.cat([y, chroma], 2)


@functools.cache
def _cosines(side: int) -> Tensor:
    """The orthonormal DCT-II matrix."""
    n = torch.arange(side)
    matrix = torch.cos(math.pi / side * (n + 0.5) * n[:, None]) * (2 / side) ** 0.5
    matrix[0] /= 2**0.5
    return matrix


def _code(ycc: Tensor, step: Tensor, side: int) -> Tensor:
    """Transform blocks, round their coefficients, the higher frequencies and the chroma more, and transform back."""
    h, w = ycc.shape[-2:]
    down, right = -h % side, -w % side
    x = F.pad(ycc.flatten(0, 1), (0, right, 0, down), mode="replicate").view(*ycc.shape[:3], h + down, w + right)
    blocks = x.unflatten(-1, (-1, side)).unflatten(-3, (-1, side)).transpose(-3, -2)  # (b, f, c, rows, columns, s, s)
    dct = _cosines(side).to(ycc)
    n = torch.arange(side, device=ycc.device) / side
    weight = 1 + 3 * (n + n[:, None])
    steps = step[..., None, None] * weight * ycc.new_tensor([1, 2, 2]).view(3, 1, 1, 1, 1)
    coded = dct.T @ ((dct @ blocks @ dct.T / steps).round() * steps) @ dct
    return coded.transpose(-3, -2).flatten(-2).flatten(-3, -2)[..., :h, :w]
