import cv2
import numpy as np
import pytest
import torch

from _train.frame_interpolation.models import ifnet
from _train.frame_interpolation.models.mixing import mix, static_limit

ROUNDING = 1e-4 if cv2.__version__ >= "5" else 0.012  # OpenCV 4 rounds positions to 1/32 of a pixel
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
    """Without them OpenCV samples, in bands."""
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
    torch.testing.assert_close(found.frame, expected.frame.detach(), atol=ROUNDING, rtol=0)
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


def grainy(picture, deviation, count=2):
    """Copies of a picture (3, h, w) with grain of its own each: (count, 1, 3, h, w)."""
    noise = torch.randn(count, 1, *picture.shape, generator=torch.Generator().manual_seed(0))
    return picture + deviation * noise


def at_rest(pair, logit, levels=0.0):
    """The middle of two frames, of which the second is brighter by some levels, without motion."""
    h, w = pair.shape[3:]
    pair = torch.stack([pair[0], pair[1] + levels / 255])
    return mix(pair, torch.zeros(1, 4, h, w), torch.full((1, 1, h, w), logit), static_limit(*pair)).frame


@torch.inference_mode()
@pytest.mark.parametrize("logit", [-1.0, -0.6, 0.0, 0.5])
@pytest.mark.parametrize("levels", [0.5, 3, 5])
def test_grain_is_as_strong_as_in_the_frames(levels, logit):
    flat = torch.full((3, 120, 200), 0.5)
    drawn = at_rest(grainy(flat, levels / 255), logit)
    assert 0.96 * levels < 255 * drawn.std() < 1.01 * levels


@torch.inference_mode()
@pytest.mark.parametrize("levels", [4, 40])
def test_what_fades_under_grain_is_halfway_in_the_middle(levels):
    flat = torch.full((3, 120, 200), 0.5)
    drawn = at_rest(grainy(flat, 3 / 255), 0.0, levels)
    assert torch.allclose(drawn.mean((2, 3)), 0.5 + 0.5 * torch.tensor(levels / 255), atol=0.1 / 255)


@torch.inference_mode()
def test_differences_that_are_not_grain_are_mixed():
    """Lines that differ in two grainy frames, and all that differs in frames without grain or of coarse texture."""
    lines = torch.full((3, 120, 200), 0.5)
    lines[:, :, ::20] = 0.8
    pair = grainy(lines, 1 / 255)
    pair[1] = pair[1].roll(10, -1)
    assert torch.allclose(at_rest(pair, 0.0)[..., ::10], pair.mean(0)[..., ::10], atol=1e-3)
    for pair in (torch.stack([lines, lines.roll(1, -1)])[:, None], grainy(lines, 0.05).clamp(0, 1)):
        assert torch.allclose(at_rest(pair, 0.0), pair.mean(0), atol=1e-6)


@pytest.mark.parametrize("factor", [1, 2])
def test_grain_is_the_same_with_and_without_gradients(factor):
    pair = grainy(torch.full((3, 320, 240), 0.5), 3 / 255, 4).view(2, 2, 3, 320, 240)
    motion, mask = torch.zeros(2, 4, 320 // factor, 240 // factor), torch.randn(2, 1, 320 // factor, 240 // factor)
    limit = static_limit(*pair)
    with torch.no_grad():
        drawn = mix(pair, motion, mask, limit, factor).frame
    assert torch.allclose(drawn, mix(pair, motion, mask.requires_grad_(), limit, factor).frame, atol=1e-5)
