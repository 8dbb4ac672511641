"""Fusion: what a new network does is known in closed form; what training may change, it does."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.models.fusion import Fusion
from _train.frame_interpolation.models.splatting import fill
from _util import checkpoints


def picture(h: int, w: int) -> Tensor:
    """(1, 3, h, w), smooth, so that reading between pixels errs little."""
    y, x = torch.meshgrid(torch.linspace(0, 4, h), torch.linspace(0, 6, w), indexing="ij")
    return torch.stack([0.5 + 0.4 * torch.sin(a * x + b * y) for a, b in ((1, 1), (2, -1), (-1, 2))])[None]


def constant_flow(h: int, w: int, x: float, y: float) -> Tensor:
    return torch.tensor([float(x), float(y)]).view(1, 2, 1, 1).expand(1, 2, h, w).contiguous()


@pytest.mark.parametrize("size", [(16, 16), (33, 50), (64, 47)])
@pytest.mark.parametrize("t", [0.1, 0.5])
def test_a_still_picture_stays(size, t):
    frame, still = picture(*size), torch.zeros(1, 2, *size)
    with torch.no_grad():
        synthesis = Fusion()(frame, frame, still, still, t)
    # The grid of the published metric reads beside the pixels of a small frame, so a new network doubts them a little.
    torch.testing.assert_close(synthesis.frame, frame, atol=0.01 if min(size) < 32 else 0.005, rtol=0)
    assert all(mask.all() for mask in synthesis.masks)


def test_what_neither_frame_is_sure_of_is_taken_from_around():
    """One pixel of a flat picture has another colour in each frame."""
    frames = torch.full((2, 3, 32, 32), 0.5)
    frames[0, 0, 16, 16], frames[1, 1, 16, 16] = 1.0, 0.0
    network, still = Fusion(), torch.zeros(1, 2, 32, 32)
    with torch.no_grad():
        network.trust.fill_(8.0)
        splats = network(*frames.split(1), still, still, 0.5).bases
    for splat in splats:
        torch.testing.assert_close(splat, torch.full((1, 3, 32, 32), 0.5), atol=0.01, rtol=0)


@pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
def test_a_new_network_moves_a_picture_along_its_flow(t):
    h, w, (dx, dy) = 64, 80, (8, -4)
    large = picture(h + 16, w + 16)

    def view(time: float) -> Tensor:
        x, y = 8 - round(dx * time), 8 - round(dy * time)
        return large[:, :, y : y + h, x : x + w]

    with torch.no_grad():
        frame = Fusion()(view(0), view(1), constant_flow(h, w, dx, dy), constant_flow(h, w, -dx, -dy), t).frame
    inside = (slice(None), slice(None), slice(10, -10), slice(10, -10))
    torch.testing.assert_close(frame[inside], view(t)[inside], atol=0.01, rtol=0)


@pytest.mark.parametrize("t", [1e-6, 0.25, 0.5, 0.75, 1 - 1e-6])
def test_a_new_network_fades(t):
    frame, still = picture(32, 48), torch.zeros(1, 2, 32, 48)
    with torch.no_grad():
        faded = Fusion()(0.8 * frame, 0.8 * frame + 0.1, still, still, t).frame
    torch.testing.assert_close(faded, 0.8 * frame + 0.1 * t, atol=0.01, rtol=0)


def test_times_may_differ_within_a_batch():
    torch.manual_seed(1)
    network = Fusion().eval()
    network.load_state_dict(checkpoints.seeded(network.state_dict()))
    frames, flows = torch.rand(2, 2, 3, 32, 40), 3 * torch.randn(2, 2, 2, 32, 40)
    times = torch.tensor([0.2, 0.7])
    with torch.no_grad():
        both = network(*frames, *flows, times).frame
        for i, t in enumerate(times.tolist()):
            alone = network(*frames[:, i : i + 1], *flows[:, i : i + 1], t).frame
            torch.testing.assert_close(both[i : i + 1], alone, atol=2e-4, rtol=0)


def test_what_both_frames_leave_open_is_filled_from_around():
    h, w = 48, 64
    frame = torch.full((1, 3, h, w), 0.6)
    apart = torch.where(torch.arange(w) < w // 2, -16.0, 16.0).expand(1, 1, h, w)
    flow = torch.cat([apart, torch.zeros_like(apart)], 1)
    with torch.no_grad():
        synthesis = Fusion()(frame, frame, flow, flow, 0.5)
    assert not synthesis.masks[0].all()  # a gap opens in the middle
    torch.testing.assert_close(synthesis.frame, frame, atol=0.01, rtol=0)


@pytest.mark.parametrize("hole", [1, 40, 100, 250])
def test_holes_of_any_size_are_filled_from_around(hole):
    weights = torch.ones(1, 1, 270, 480)
    weights[:, :, 10 : 10 + hole, 60 : 60 + hole] = 0
    torch.testing.assert_close(fill(0.8 * weights, weights), torch.full_like(weights, 0.8))


def test_training_reaches_every_weight():
    network = Fusion()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    frames, flows = torch.rand(2, 1, 3, 32, 32), 2 * torch.randn(2, 1, 2, 32, 32)
    truth = torch.rand(1, 3, 32, 32)
    for _ in range(4):  # heads begin at 0 and let gradients through once they have moved
        optimizer.zero_grad()
        loss = (network(*frames, *flows, 0.4).frame - truth).square().mean()
        loss.backward()
        optimizer.step()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not still
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_interpolator_draws_with_it(tmp_path, precision):
    (tmp_path / "default").mkdir()
    save_file(Fusion().state_dict(), tmp_path / "default/fusion.safetensors")
    interpolator = Interpolator("dis", "auto", "cpu", precision, folder=tmp_path)
    assert interpolator.synthesis == "fusion"
    frame = (255 * picture(37, 52)[0].permute(1, 2, 0).numpy()).astype(np.uint8)
    rgba = np.concatenate([frame, np.full((37, 52, 1), 255, np.uint8)], 2)
    for given in (frame, rgba):
        other = given.copy()
        other[-1, -1, 0] ^= 1  # equal frames are not drawn
        (middle,) = interpolator(given, other, [0.5])
        assert middle.shape == given.shape
        assert np.abs(middle.astype(int) - given.astype(int)).max() <= 2


@pytest.mark.cuda
def test_a_gpu_draws_the_same():
    network = Fusion().eval()
    frames, flows = torch.rand(2, 1, 3, 64, 64), 3 * torch.randn(2, 1, 2, 64, 64)
    with torch.no_grad():
        here = network(*frames, *flows, 0.3).frame
        there = network.cuda()(*frames.cuda(), *flows.cuda(), 0.3).frame.cpu()
    torch.testing.assert_close(there, here, atol=2e-3, rtol=0)
