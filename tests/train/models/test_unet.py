"""The U-Nets: what new networks do is known in closed form; what training may change, it does."""

import pytest
import torch
from torch import Tensor

from _train.frame_interpolation.models import unet
from _train.frame_interpolation.models.unet import VARIANTS, FlowUNet, FrameUNet, MaskAttention
from _util import checkpoints


def picture(h: int, w: int) -> Tensor:
    """(1, 3, h, w), smooth, so that reading between pixels errs little."""
    y, x = torch.meshgrid(torch.linspace(0, 4, h), torch.linspace(0, 6, w), indexing="ij")
    return torch.stack([0.5 + 0.4 * torch.sin(a * x + b * y) for a, b in ((1, 1), (2, -1), (-1, 2))])[None]


def seeded(network: torch.nn.Module) -> torch.nn.Module:
    network.load_state_dict(checkpoints.seeded(network.state_dict()))
    return network.eval()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("size", "t"), [((16, 16), 0.1), ((33, 50), 0.5)])
def test_a_still_picture_stays(variant, size, t):
    frame, still = picture(*size), torch.zeros(1, 2, *size)
    with torch.no_grad():
        synthesis = FrameUNet(variant)(frame, frame, still, still, t)
    torch.testing.assert_close(synthesis.frame, frame, atol=0.005, rtol=0)
    assert all(mask.all() for mask in synthesis.masks)


@pytest.mark.parametrize("t", [0.25, 0.75])
def test_a_new_network_moves_a_picture_along_its_flow(t):
    h, w, (dx, dy) = 64, 80, (8, -4)
    large = picture(h + 16, w + 16)

    def view(time: float) -> Tensor:
        x, y = 8 - round(dx * time), 8 - round(dy * time)
        return large[:, :, y : y + h, x : x + w]

    flow01 = torch.tensor([dx, dy]).float().view(1, 2, 1, 1).expand(1, 2, h, w).contiguous()
    with torch.no_grad():
        frame = FrameUNet()(view(0), view(1), flow01, -flow01, t).frame
    inside = (slice(None), slice(None), slice(10, -10), slice(10, -10))
    torch.testing.assert_close(frame[inside], view(t)[inside], atol=0.01, rtol=0)


def test_where_neither_frame_lands_they_fade_into_each_other():
    away = torch.full((1, 2, 32, 32), 500.0)
    with torch.no_grad():
        synthesis = FrameUNet()(torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32), away, away, 0.25)
    assert not any(mask.any() for mask in synthesis.masks)
    torch.testing.assert_close(synthesis.frame, torch.full((1, 3, 32, 32), 0.25), atol=0.005, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_frames_of_a_batch_are_drawn_as_if_alone(variant):
    network = seeded(FrameUNet(variant))
    frames, flows = torch.rand(2, 2, 3, 33, 46), 3 * torch.randn(2, 2, 2, 33, 46)
    times = torch.tensor([0.2, 0.7])
    with torch.no_grad():
        both = network(*frames, *flows, times).frame
        for i, t in enumerate(times.tolist()):
            prepared = network.prepare(*frames[:, i : i + 1], *flows[:, i : i + 1])
            alone = network.synthesise(prepared, t).frame
            torch.testing.assert_close(both[i : i + 1], alone, atol=2e-4, rtol=0)
    assert both.min() > 0
    assert both.max() < 1


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(16, 16), (41, 70)])
def test_a_new_flow_network_says_that_nothing_moves(variant, size):
    with torch.no_grad():
        flows = FlowUNet(variant)(torch.rand(2, 3, *size), torch.rand(2, 3, *size))
    assert all(torch.equal(flow, torch.zeros(2, 2, *size)) for flow in flows)


@pytest.mark.parametrize("variant", VARIANTS)
def test_flow_the_other_way_is_that_of_the_frames_swapped(variant):
    network = seeded(FlowUNet(variant))
    frame0, frame1 = torch.rand(2, 1, 3, 40, 56)
    with torch.no_grad():
        flow01, flow10 = network(frame0, frame1)
        swapped01, swapped10 = network(frame1, frame0)
        assert len(network.refinements(frame0, frame1)) == 5
    assert flow01.abs().max() > 0.1
    torch.testing.assert_close(flow01, swapped10, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(flow10, swapped01, atol=1e-3, rtol=1e-3)


def test_matching_finds_the_step_that_things_moved_by():
    features = torch.nn.functional.normalize(torch.randn(1, 16, 12, 14), dim=1)
    moved = features.roll((2, -1), (2, 3))  # down by 2, left by 1
    match = unet._match(features, moved)
    inside = match[0, :, 4:8, 4:10]
    assert (inside.argmax(0) == (2 + 3) * 7 + (-1 + 3)).all()
    torch.testing.assert_close(inside.amax(0), torch.ones(4, 6))


def test_attention_is_without_effect_when_new_and_then_looks_at_the_mask():
    x, mask = torch.rand(2, 8, 6, 7), (torch.rand(2, 1, 6, 7) < 0.5).float()
    attention = MaskAttention(8)
    torch.testing.assert_close(attention(x, mask), x)
    attention = seeded(attention)
    with torch.no_grad():
        assert (attention(x, mask) - attention(x, 1 - mask)).abs().max() > 0.01


def test_a_mask_tells_what_moves():
    """The network attends to the square that its flow moves, and to where the splats contradict each other."""
    network = FrameUNet("resunet")
    flow = torch.zeros(2, 1, 2, 32, 32)
    flow[..., 8:16, 8:16] = 6.0
    frames = torch.full((2, 1, 3, 32, 32), 0.5)
    frames[1, ..., 24:28, 24:28] = 1.0
    moves = network._warp(network.prepare(*frames, *flow).image, 0.5)[2]
    assert moves[0, 0, 24:28, 24:28].min() == 1
    assert moves[0, 0, 12:18, 12:18].max() > 0.9
    assert moves[0, 0, :5].max() < 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_weight_is_trained(variant):
    frames, flows = torch.rand(2, 1, 3, 32, 32), 3 * torch.randn(2, 1, 2, 32, 32)
    frame_network, flow_network = seeded(FrameUNet(variant)), seeded(FlowUNet(variant))
    frame_network(*frames, *flows, 0.5).frame.square().mean().backward()
    sum(flow.square().mean() for flow in flow_network.refinements(*frames)).backward()
    for network in (frame_network, flow_network):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("network", [FrameUNet, FlowUNet])
def test_half_precision_stays_close(network):
    full = seeded(network("transunet"))
    frames, flows = torch.rand(2, 1, 3, 32, 48), torch.randn(2, 1, 2, 32, 48)
    inputs = (*frames, *flows, 0.5) if network is FrameUNet else (*frames,)
    with torch.no_grad():
        expected, half = full(*inputs)[0], full.bfloat16()(*inputs)[0]
    assert half.dtype == torch.float32
    assert (half - expected).abs().mean() < 0.1 * expected.abs().mean().clamp(min=0.2)
