"""Reference implementation: the published computation, step by step as in the papers and their release, in PyTorch.

`_scripts.benchmark` times the project against it, and tests compare results with it. It uses the weights of the same
modules, but none of the project's kernels, shares nothing between flow directions or times, and runs in fp32 only. It
runs on the device of its inputs. On CUDA, as published, splatting and the distance transform are kernels, those of
`reference_kernels`, if CuPy is installed.
"""

import kornia
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _train.frame_interpolation.models.splatting import Synthesis
from _util import cuda


def logit(x: Tensor) -> Tensor:
    p = (253 * x + 1) / 255
    return torch.log(p / (1 - p))


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    h, w = flow.shape[2:]
    return resize(torch.stack([flow[:, 0] * (size[1] / w), flow[:, 1] * (size[0] / h)], 1), size)


def softsplat(values: Tensor, flow: Tensor, metric: Tensor) -> Tensor:
    """Softmax splatting, with `scatter_add_` for each of the four corners."""
    if cuda.available(values):
        from _train.frame_interpolation.benchmarks import reference_kernels

        return reference_kernels.softsplat(values, flow, metric)
    b, c, h, w = values.shape
    values = torch.cat([values * metric.exp(), metric.exp()], 1)
    x = torch.arange(w, device=flow.device).float().view(1, 1, w) + flow[:, 0]
    y = torch.arange(h, device=flow.device).float().view(1, h, 1) + flow[:, 1]
    out = torch.zeros(b, c + 1, h * w, device=flow.device)
    for row in (y.floor(), y.floor() + 1):
        for column in (x.floor(), x.floor() + 1):
            share = (1 - (x - column).abs()) * (1 - (y - row).abs())
            share = share * ((row >= 0) & (row < h) & (column >= 0) & (column < w))
            index = (row.clamp(0, h - 1) * w + column.clamp(0, w - 1)).long()
            out.scatter_add_(2, index.view(b, 1, -1).expand(-1, c + 1, -1), (values * share[:, None]).flatten(2))
    total = out[:, -1:]
    return (out[:, :-1] / torch.where(total == 0, 1, total)).view(b, c, h, w)


def backwarp(image: Tensor, flow: Tensor) -> Tensor:
    h, w = flow.shape[2:]
    x = torch.linspace(-1, 1, w, device=flow.device).view(1, 1, w) + 2 * flow[:, 0] / w
    y = torch.linspace(-1, 1, h, device=flow.device).view(1, h, 1) + 2 * flow[:, 1] / h
    return F.grid_sample(image, torch.stack([x, y], -1), padding_mode="border", align_corners=False)


def nedt(image: Tensor) -> Tensor:
    h, w = image.shape[2:]
    grey, sigma = kornia.color.rgb_to_grayscale(image), h / 540

    def blur(sigma: float) -> Tensor:
        width = max(2 * int(4 * sigma) + 1, 3)
        return kornia.filters.gaussian_blur2d(grey, (width, width), (sigma, sigma), border_type="replicate")

    lines = 0.5 + 2 * (blur(1.6 * sigma) - blur(sigma)) - 0.01 > 0.5
    return 1 - torch.exp(-edt(lines) * 36 / max(h, w))


def edt(lines: Tensor) -> Tensor:
    """Distance from each pixel to the nearest line, (b, 1, h, w) float32, for drawings (b, 1, h, w) bool."""
    h, w = lines.shape[2:]
    if cuda.available(torch.empty(0, device=lines.device)):
        from _train.frame_interpolation.benchmarks import reference_kernels

        return reference_kernels.edt(lines)
    distances = []
    for drawing in lines.squeeze(1).cpu():
        diagonal = torch.full((h, w), float(h * h + w * w) ** 0.5)
        distances.append(torch.from_numpy(distance_transform_edt(~drawing.numpy())) if drawing.any() else diagonal)
    return torch.stack(distances).float().unsqueeze(1).to(lines.device)


def estimate_flow(rfr: RFR, image0: Tensor, image1: Tensor, iterations: int = 12) -> Tensor:
    """RFR in one direction: maps two images (b, 3, h, w) to flow (b, 2, h, w)."""
    return refinements(rfr, image0, image1, iterations)[-1]


def refinements(rfr: RFR, image0: Tensor, image1: Tensor, iterations: int = 12) -> list[Tensor]:
    """The flow after every iteration, (b, 2, h, w) each, upsampled every time as RAFT does for training."""
    block, size = rfr.update_block, (image0.shape[2] // 8 * 8, image0.shape[3] // 8 * 8)
    reduced0, reduced1 = resize(image0, size), resize(image1, size)
    features0, features1 = rfr.fnet(torch.cat([reduced0, reduced1])).chunk(2)
    hidden, context = rfr.fnet(reduced0).chunk(2, 1)
    hidden, context = hidden.tanh(), context.relu()

    b, c, h, w = features0.shape
    level = (features0.flatten(2).transpose(1, 2) @ features1.flatten(2) / c**0.5).view(b * h * w, 1, h, w)
    pyramid = [level]
    for _ in range(3):
        level = F.avg_pool2d(level, 2)
        pyramid.append(level)

    device = features0.device
    rows, columns = torch.arange(h, device=device).float(), torch.arange(w, device=device).float()
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    start = torch.stack([x, y]).expand(b, 2, h, w)
    offset = torch.arange(-4, 5, device=device).float()
    window = torch.stack(torch.meshgrid(offset, offset, indexing="ij"), -1)
    flow, refined = torch.zeros_like(start), []
    for _ in range(iterations):
        flow = flow.detach()
        centres = (start + flow).permute(0, 2, 3, 1).reshape(b * h * w, 1, 1, 2)
        sampled = []
        for i, level in enumerate(pyramid):
            places = centres / 2**i + window
            extent = torch.tensor([level.shape[3] - 1, level.shape[2] - 1], device=device)
            products = F.grid_sample(level, 2 * places / extent - 1, align_corners=True)
            sampled.append(products.view(b, h, w, -1))
        correlation = torch.cat(sampled, -1).permute(0, 3, 1, 2).contiguous()
        inputs = torch.cat([context, block.encoder(flow, correlation)], 1)
        gru = block.gru
        for convz, convr, convq in ((gru.convz1, gru.convr1, gru.convq1), (gru.convz2, gru.convr2, gru.convq2)):
            both = torch.cat([hidden, inputs], 1)
            z, r = convz(both).sigmoid(), convr(both).sigmoid()
            hidden = (1 - z) * hidden + z * convq(torch.cat([r * hidden, inputs], 1)).tanh()
        flow = flow + block.flow_head(hidden)
        shares = (0.25 * block.mask(hidden)).view(b, 1, 9, 8, 8, h, w).softmax(2)
        fine = (shares * F.unfold(8 * flow, 3, padding=1).view(b, 2, 9, 1, 1, h, w)).sum(2)
        fine = fine.permute(0, 1, 4, 2, 5, 3).reshape(b, 2, 8 * h, 8 * w)
        refined.append(resize_flow(fine, (image0.shape[2], image0.shape[3])))
    return refined


def half_warp(values0, values1, flow01, flow10, metric0, metric1, t):
    """Splat both frames: with holes filled from each other, as they landed, and masks of where they landed."""
    splatted0 = softsplat(torch.cat([values0, torch.ones_like(metric0)], 1), t * flow01, metric0)
    splatted1 = softsplat(torch.cat([values1, torch.ones_like(metric1)], 1), (1 - t) * flow10, metric1)
    (warp0, mask0), (warp1, mask1) = (x.split([x.shape[1] - 1, 1], 1) for x in (splatted0, splatted1))
    window = torch.ones(5, 5, device=mask0.device)
    mask0, mask1 = (kornia.morphology.opening(mask, window) for mask in (mask0, mask1))
    return mask0 * warp0 + (1 - mask0) * warp1, mask1 * warp1 + (1 - mask1) * warp0, warp0, warp1, mask0, mask1


def synthesise(
    ssl: SoftsplatLite, frame0: Tensor, frame1: Tensor, flow01: Tensor, flow10: Tensor, t: float | Tensor
) -> Synthesis:
    """All of SoftsplatLite."""
    lab0, lab1 = kornia.color.rgb_to_lab(frame0), kornia.color.rgb_to_lab(frame1)
    metric0 = -0.1 * (lab0 - backwarp(lab1, flow01)).norm(dim=1, keepdim=True)
    metric1 = -0.1 * (lab1 - backwarp(lab0, flow10)).norm(dim=1, keepdim=True)
    image0, image1 = torch.cat([frame0, nedt(frame0)], 1), torch.cat([frame1, nedt(frame1)], 1)
    base0, base1, warp0, warp1, mask0, mask1 = half_warp(image0, image1, flow01, flow10, metric0, metric1, t)

    bases = []
    for feature0, feature1 in zip(ssl.feature_extractor(frame0), ssl.feature_extractor(frame1), strict=True):
        size = feature0.shape[2:]
        flows = resize_flow(flow01, size), resize_flow(flow10, size)
        filled0, filled1, *_ = half_warp(feature0, feature1, *flows, resize(metric0, size), resize(metric1, size), t)
        bases.append((filled0 + filled1) / 2)
    fused = ssl.gridnet(ssl.gridnet_converter(bases))

    h, w = frame0.shape[2:]
    mean = (base0 + base1)[:, :3] / 2
    lengths = [flow.norm(dim=1, keepdim=True) / (h**2 + w**2) ** 0.5 for flow in ((1 - t) * flow10, t * flow01)]
    logits = [logit(x[:, :3]) for x in (mean, base0, base1, warp0, warp1)]
    inputs = torch.cat([*logits, *lengths, mask0, mask1, resize(fused, (h, w))], 1)
    frame = torch.sigmoid(logit(mean) + 0.5 * ssl.synthesizer.net(inputs))
    return Synthesis(frame, (base0, base1), (mask0, mask1))


def correct(dtm: DTM, synthesis: Synthesis) -> tuple[Tensor, Tensor]:
    """The distance transform module: the frame and the predicted NEDT."""
    frame, distance = synthesis.frame, nedt(synthesis.frame)
    inputs = torch.cat([frame, distance, *synthesis.bases, *synthesis.masks], 1)
    predicted = dtm.net_nedt.net(logit(inputs.clamp(0, 1))).sigmoid()
    inputs = torch.cat([frame, distance, predicted], 1)
    return torch.sigmoid(logit(frame) + dtm.net_tail.net(logit(inputs.clamp(0, 1)))), predicted
