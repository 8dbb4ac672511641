import numpy as np
import pytest
import torch

from _train.frame_interpolation.models import ifnet
from _train.frame_interpolation.models.mixing import mix, static_limit

EVERYWHERE = torch.zeros(1, 1, 1, 1)  # the limit below which nothing rests


@torch.inference_mode()
def test_lines_stay_sharper_than_the_published_network_leaves_them():
    """Along a motion of half a pixel, a grating keeps more of its contrast."""
    grating = (0.5 + 0.5 * torch.sin(torch.arange(96) * 1.8)).expand(1, 3, 64, 96)
    motion, mask = torch.full((1, 4, 64, 96), 0.5), torch.zeros(1, 1, 64, 96)
    pair = torch.stack([grating, 1 - grating])
    drawn = mix(pair, motion, mask + 9, EVERYWHERE.expand(1, 1, 64, 96)).frame
    published = ifnet.warp_both(pair, motion)[0]
    assert drawn.std() > 1.1 * published.std()


@torch.inference_mode()
@pytest.mark.parametrize(
    ("length", "radius", "coarser"),
    [(0.4, 2, 1), (1.9, 4, 1), (5.9, 8, 1), (13, 16, 1), (29.9, 32, 1), (31, 160, 1), (61.9, 64, 2), (63, 160, 2)],
)
def test_what_rests_stays(length, radius, coarser):
    """Where both frames agree within a radius and motion does not lead out of it, the frame is what it was."""
    before = torch.rand(1, 3, 64, 160)
    after = before.clone()
    after[..., :32] = torch.rand(1, 3, 64, 32)
    pair = torch.stack([before, after])
    motion = length * torch.tensor([1.0, -0.3, 0.7, 1.0]).view(1, 4, 1, 1).expand(1, 4, 64, 160)
    drawn = mix(pair, motion, 3 * torch.randn(1, 1, 64, 160), static_limit(*pair, coarser))
    moves = drawn.motion.any(1).any(1)[0]
    assert moves[: 32 + radius].all()
    assert not moves[32 + radius :].any()
    difference = (drawn.frame - before).abs().amax(dim=(0, 1, 2))
    assert (difference[: 32 + radius] > 0.1).all()
    assert (difference[32 + radius :] <= 1 / 255).all()


def test_pixels_next_to_a_difference_of_any_direction_may_move():
    pair = torch.zeros(2, 1, 3, 20, 30)
    pair[1, 0, 1, 9, 12] = 0.1
    rests = static_limit(*pair)[0, 0] > 0
    y, x = torch.meshgrid(torch.arange(20), torch.arange(30), indexing="ij")
    assert torch.equal(rests, torch.maximum((y - 9).abs(), (x - 12).abs()) > 2)


@torch.inference_mode()
def test_equal_frames_give_that_frame():
    pair = torch.rand(1, 1, 3, 300, 400).repeat(2, 1, 1, 1, 1)
    drawn = mix(pair, 20 * torch.rand(1, 4, 300, 400), torch.randn(1, 1, 300, 400), static_limit(*pair))
    assert torch.equal(drawn.frame, pair[0])
    assert not drawn.motion.any()


@pytest.mark.parametrize("coarser", [1, 2, 8])
def test_what_rests_is_the_same_with_and_without_gradients(coarser):
    """Without them OpenCV erodes what agrees."""
    frames = torch.rand(1, 2, 3, 90, 140).repeat(2, 1, 1, 1, 1)
    for pair, y, x in [(0, 3, 100), (0, 60, 20), (1, 89, 139)]:
        frames[1, pair, pair, y, x] += 0.1
    found = static_limit(*frames, coarser)
    assert len(found.unique()) > 5
    assert torch.equal(found, static_limit(*frames.requires_grad_(), coarser))


@pytest.mark.parametrize(("pairs", "times"), [(1, 1), (1, 3), (2, 2)])
@pytest.mark.parametrize(("size", "factor"), [((33, 70), 1), ((70, 1100), 2), ((65, 41), 4), ((4, 5), 2)])
def test_the_frame_is_the_same_with_and_without_gradients(pairs, times, size, factor):
    """Without them OpenCV samples, in bands, at positions in 1/32 of a pixel."""
    h, w = size
    y, x = torch.arange(h).view(-1, 1) * 0.11, torch.arange(w) * 0.07
    frames = 0.5 + 0.4 * torch.sin(torch.arange(6.0 * pairs).view(2, pairs, 3, 1, 1) + y + x)
    frames[..., w // 2 :] = frames[:1, ..., w // 2 :]  # what may rest
    small = -(-h // factor) + 1, -(-w // factor) + 2
    motion, mask = torch.randn(times, 4, *small) * 3 / factor, torch.randn(times, 1, *small)
    limit = static_limit(*frames)
    expected = mix(frames, motion.requires_grad_(), mask, limit, factor)
    found = mix(frames, motion.detach(), mask, limit, factor)
    assert found.frame.shape == (times, 3, h, w)
    torch.testing.assert_close(found.frame, expected.frame.detach(), atol=0.004, rtol=0)
    torch.testing.assert_close(found.motion, expected.motion.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.mask, expected.mask.detach(), atol=1e-5, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("channel", range(3))
def test_what_moves_takes_its_colour_from_where_motion_leads(channel):
    """Whole pixels, from either frame, the border repeated beyond it."""
    frames = torch.zeros(2, 1, 3, 30, 50)
    frames[:, 0, channel, 10, 20], frames[:, 0, channel, :, -1] = torch.tensor([0.8, 0.4]), 1
    motion = torch.tensor([3.0, -4.0, -2.0, 5.0]).view(1, 4, 1, 1).expand(1, 4, 30, 50)
    limit = EVERYWHERE.expand(1, 1, 30, 50)
    for sign, (y, x, value) in {1: (14, 17, 0.8), -1: (5, 22, 0.4)}.items():
        with np.errstate(all="raise"):
            frame = mix(frames, motion, torch.full((1, 1, 30, 50), sign * 400.0), limit).frame
        assert frame[0, channel, y, x] == pytest.approx(value, abs=1e-5)
        assert (frame.sum(1)[0, :, :40] > 0.01).sum() == 1
        torch.testing.assert_close(frame[0, channel, :, -1], torch.full((30,), float(sign == 1)), atol=1e-5, rtol=0)
