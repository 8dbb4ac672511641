"""IFNet and SharpIFNet: agreement with the published network, any size, several times, what rests."""

import copy
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.models import ifnet
from _train.frame_interpolation.models.ifnet import IFNet
from _train.frame_interpolation.models.sharp_ifnet import SharpIFNet, continued, straightened
from _util import checkpoints
from _util.checkpoints import seeded

PARITY = Path(__file__).parents[2] / "parity" / "ifnet.npz"
ROUNDING = 1e-4 if cv2.__version__ >= "5" else 0.05  # OpenCV 4 rounds positions to 1/32 of a pixel
WIDTHS, DEPTHS = (16, 12, 8, 8), (1, 1, 1, 1)
ROOT = Path(__file__).parents[3]
PLACES = [Path(os.environ.get("RIFE_WEIGHTS", "")), ROOT / "checkpoints/rife.pkl", ROOT / "_data/weights/rife.pkl"]


def with_seeded_weights(network: torch.nn.Module) -> torch.nn.Module:
    network.load_state_dict(seeded(network.state_dict()))
    return network.eval()


@pytest.fixture(scope="module")
def small() -> IFNet:
    return with_seeded_weights(IFNet(WIDTHS, DEPTHS))


@pytest.fixture(scope="module")
def sharp() -> SharpIFNet:
    return with_seeded_weights(SharpIFNet(WIDTHS, DEPTHS))


def frames(h: int, w: int, b: int = 1) -> tuple[Tensor, Tensor]:
    """Soft patterns, the second one moved."""
    coarse = F.interpolate(torch.rand(b, 3, 6, 7), (h, w + 8), mode="bicubic").clamp(0, 1)
    return coarse[..., 8:], coarse[..., :-8]


@pytest.fixture(scope="module")
def published() -> dict[str, np.ndarray]:
    with np.load(PARITY) as file:
        return dict(file)


@torch.inference_mode()
def test_published_weights_give_what_they_gave(published):
    path = next((path for path in PLACES if path.is_file()), None)
    if path is None:
        pytest.skip("RIFE_WEIGHTS names no file, and checkpoints/rife.pkl is not there")
    network = IFNet().eval()
    checkpoints.load(network, path)
    pair = (torch.from_numpy(published[f"frame{i}"]).float() / 6 for i in (0, 1))
    frame, motion, mask = network(*pair, float(published["t"]))
    found = {"result": frame[..., ::4, ::4], "flow": motion[..., ::8, ::8], "mask": mask[..., ::8, ::8]}
    for name, ours in found.items():
        assert np.linalg.norm(ours.numpy() - published[name]) <= 1e-4 * np.linalg.norm(published[name]), name


# Mean, standard deviation and one value of frame, motion and mask by seeded weights, computed in double precision.
GOLDEN = {
    0.3: [
        (0.4084096, 0.1816672, 0.3904114),
        (-0.5412470, 1.4476401, -0.2208168),
        (0.0123014, 0.4165691, 0.2108197),
    ],
    0.5: [
        (0.4086067, 0.1820612, 0.3908934),
        (-0.5634896, 1.5248960, -0.6040685),
        (0.0128840, 0.4336090, 0.2069210),
    ],
}


@torch.inference_mode()
@pytest.mark.parametrize("t", GOLDEN)
def test_seeded_weights_give_what_they_gave(published, t):
    network = with_seeded_weights(IFNet())
    pair = [torch.from_numpy(published[f"frame{i}"])[..., 32:128, 64:192].float() / 6 for i in (0, 1)]
    found = network(*pair, t)
    for ours, (mean, deviation, corner) in zip(found, GOLDEN[t], strict=True):
        assert ours.mean().item() == pytest.approx(mean, rel=1e-4, abs=1e-5)
        assert ours.std().item() == pytest.approx(deviation, rel=1e-4)
        assert ours[0, -1, 40, 60].item() == pytest.approx(corner, rel=1e-3, abs=1e-4)


def test_names_are_the_published_ones():
    state = IFNet().state_dict()
    assert len(state) == 120
    assert sum(tensor.numel() for tensor in state.values()) == 5_306_256
    assert state["block0.conv0.0.0.weight"].shape == (96, 7, 3, 3)
    assert state["block3.conv0.1.0.bias"].shape == (64,)
    assert state["block2.convblock.7.beta"].shape == (1, 96, 1, 1)
    assert state["block1.convblock.3.conv.weight"].shape == (128, 128, 3, 3)
    assert state["block1.lastconv.0.weight"].shape == (128, 24, 4, 4)


@pytest.mark.parametrize("network", ["small", "sharp"])
@pytest.mark.parametrize("size", [(16, 16), (33, 70), (64, 96)])
@torch.inference_mode()
def test_any_size(request, network, size):
    network = request.getfixturevalue(network)
    frame, motion, mask = network(*frames(*size, b=2), 0.4)
    assert (frame.shape, motion.shape, mask.shape) == ((2, 3, *size), (2, 4, *size), (2, 1, *size))
    assert 0 <= frame.min() <= frame.max() <= 1
    assert motion.isfinite().all()
    assert mask.isfinite().all()


@pytest.mark.parametrize("network", ["small", "sharp"])
@torch.inference_mode()
def test_times_of_every_form_agree(request, network):
    network, pair = request.getfixturevalue(network), frames(40, 70)
    times = 0.2, 0.5, 0.9
    prepared = network.prepare(*pair)
    together = network.synthesise(prepared, torch.tensor(times))
    for i, t in enumerate(times):
        alone = network(*pair, t)
        by_pixel = network.synthesise(prepared, torch.full((1, 1, 40, 70), t))
        for several, one, mapped in zip(together, alone, by_pixel, strict=True):
            torch.testing.assert_close(several[i : i + 1], one, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(mapped, one, atol=1e-4, rtol=1e-4)
    assert (together.frame[0] - together.frame[2]).abs().max() > 0.01
    both = network(*(frame.repeat(2, 1, 1, 1) for frame in pair), torch.tensor(times[:2]))
    torch.testing.assert_close(both.frame, together.frame[:2], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_map_of_times_is_heeded_where_it_differs(small):
    pair, t = frames(64, 256), torch.full((1, 1, 64, 256), 0.5)
    t[..., 128:] = 0.9
    mixed, left, right = (small(*pair, x).motion for x in (t, 0.5, 0.9))
    torch.testing.assert_close(mixed[..., :8], left[..., :8], atol=1e-3, rtol=1e-3)
    assert (mixed - left)[..., 192:].abs().mean() > 2 * (mixed - right)[..., 192:].abs().mean()


@torch.inference_mode()
def test_coarser_blocks_see_the_frame_as_if_it_were_smaller(small):
    """Where everything is twice as large, blocks at twice the scale find twice the motion."""
    pair = frames(64, 96)
    larger = [F.interpolate(frame, scale_factor=2, mode="nearest") for frame in pair]
    motion, coarse = small(*pair).motion, small(*larger, coarser=2).motion
    shrunk = F.interpolate(coarse, scale_factor=0.5, mode="bilinear") / 2
    fine = F.interpolate(small(*larger).motion, scale_factor=0.5, mode="bilinear") / 2
    assert (shrunk - motion).abs().mean() < 0.5 * (fine - motion).abs().mean()


@pytest.mark.parametrize("scale", [1, 2, 4, 16])
def test_frames_shrink_as_pytorch_resizes_them(scale):
    image = torch.rand(2, 3, 32, 64)
    expected = F.interpolate(image, scale_factor=1 / scale, mode="bilinear", align_corners=False)
    torch.testing.assert_close(ifnet.shrink(image, scale), expected)


def test_coarseness_grows_with_the_frame():
    sizes = [(540, 960), (800, 1400), (1080, 1920), (1080, 100), (1600, 2000), (2160, 3840)]
    assert [ifnet.coarseness(size) for size in sizes] == [1, 1, 2, 1, 2, 4]
    assert [ifnet.rife_coarseness(size) for size in [(1080, 1920), (1440, 2560), (2160, 3840)]] == [1, 2, 4]


@pytest.mark.parametrize("network", ["small", "sharp"])
@torch.inference_mode()
def test_motion_is_found_in_what_is_seen(request, network):
    network, pair, others = request.getfixturevalue(network), frames(40, 70), frames(40, 70)
    usual, same, other = (network.synthesise(network.prepare(*pair, seen=seen), 0.5) for seen in (None, pair, others))
    torch.testing.assert_close(same.frame, usual.frame)
    torch.testing.assert_close(network.synthesise(network.prepare(*others), 0.5).motion, network(*others).motion)
    if network.__class__ is IFNet:
        torch.testing.assert_close(other.motion, network(*others).motion)
    assert (other.frame - network(*others).frame).abs().mean() > 0.05  # but pixels are those of the pair


class TestSharp:
    @torch.inference_mode()
    def test_both_frames_are_read_along_the_motion_and_mixed(self, sharp):
        pair = frames(40, 70)
        frame, motion, mask = sharp(*pair, 0.4)
        read0, read1 = ifnet.warp_both(torch.stack(pair), motion, "sharp")
        torch.testing.assert_close(frame, read1.lerp(read0, mask.sigmoid()).clamp(0, 1), atol=ROUNDING, rtol=0)

    @pytest.mark.parametrize("time", [0.25, 0.5, 0.8])
    def test_motion_is_straightened_where_it_strays_by_tenths_of_a_pixel(self, time):
        """Motion (8, -2) whose points lie off the straight way by an offset, at a time of its own on the right."""
        times = torch.full((1, 1, 64, 96), time)
        times[..., 48:] = 0.4
        way = torch.tensor([8.0, -2.0]).view(1, 2, 1, 1)
        straight = torch.cat([-times * way, (1 - times) * way], 1)
        for offset in (torch.tensor([0.4, -0.3]), torch.tensor([3.0, 1.0])):
            both = torch.cat([offset, offset]).view(1, 4, 1, 1)
            expected = straight if offset.norm() < 1 else straight + both
            torch.testing.assert_close(straightened(straight + both, times), expected)

    def test_what_strays_further_on_one_side_does_not_spread(self):
        motion = torch.zeros(1, 4, 64, 96)
        motion[..., 48:] = 0.4
        motion[..., :48] = 5.0
        drawn = straightened(motion, torch.full((1, 1, 64, 96), 0.5))
        assert (drawn[..., :40] == 5).all()
        assert drawn[..., 56:].abs().max() < 1e-6

    def test_motion_is_continued_to_the_frames(self):
        """It proceeds on the straight way; what strays from that returns to it, with the square of the time."""
        known = torch.tensor([1 / 6, 0.5, 5 / 6]).view(3, 1, 1, 1).expand(3, 1, 8, 8)
        way, offset = torch.tensor([24.0, -6.0]).view(1, 2, 1, 1), torch.tensor([2.0, 1.0]).view(1, 2, 1, 1)
        both, mask = torch.cat([offset, offset], 1), torch.ones(3, 1, 8, 8)

        def straight(time):
            return torch.cat([-time * way, (1 - time) * way], 1)

        for distance, stray in ((1 / 6, 1.0), (1 / 12, 0.25), (0.0, 0.0)):
            time = torch.tensor([distance, 0.5, 1 - distance]).view(3, 1, 1, 1).expand_as(known)
            motion, logits = continued(straight(known) + both, mask, known, time)
            strays = torch.tensor([stray, 1, stray]).view(3, 1, 1, 1)
            torch.testing.assert_close(motion, straight(time) + strays * both, atol=1e-5, rtol=0)
            torch.testing.assert_close(logits[0] - 1, 1 - logits[2], atol=1e-3, rtol=0)
            assert (logits[1] == 1).all()
            assert (logits[0] > 1).all() == (distance < 1 / 6)
        assert logits[0].sigmoid().min() > 0.99

    @pytest.mark.parametrize("time", [0.02, 1 / 6, 0.4, 0.95])
    @torch.inference_mode()
    def test_times_near_a_frame_of_every_form_agree(self, sharp, time):
        pair = frames(40, 70)
        expected = sharp(*pair, time)
        for form in (torch.tensor([time]), torch.full((1, 1, 40, 70), time)):
            for one, other in zip(sharp(*pair, form), expected, strict=True):
                torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)

    def test_gradients_reach_all_weights_but_those_of_the_unused_channel(self):
        network = with_seeded_weights(SharpIFNet(WIDTHS, DEPTHS))
        # Noise, for in soft patterns the coarsest blocks see almost nothing.
        pair = torch.rand(2, 1, 3, 128, 128)
        frame, motion, _ = network(*pair, 0.4)
        ((frame - pair[0]).square().mean() + motion.square().mean()).backward()
        for name, weight in network.named_parameters():
            gradient = weight.grad
            if name.endswith("lastconv.0.weight"):
                used, unused = gradient[:, :20], gradient[:, 20:]
                assert used.any()
                assert not unused.any()
            else:
                assert gradient.any(), name

    @torch.inference_mode()
    def test_half_the_precision_is_close(self, sharp):
        network = with_seeded_weights(SharpIFNet(WIDTHS, DEPTHS)).bfloat16()
        pair = frames(64, 96)
        frame, motion, mask = network(*pair, 0.4)
        assert {x.dtype for x in (frame, motion, mask)} == {torch.float32}
        expected = sharp(*pair, 0.4)
        assert (frame - expected.frame).abs().mean() < 0.01
        assert (motion - expected.motion).abs().mean() < 0.05 * expected.motion.abs().mean()


@pytest.mark.parametrize(("size", "coarser"), [((540, 960), 1), ((540, 960), 2), ((1080, 1920), 4), ((100, 101), 1)])
def test_sharp_ifnet_pads_little(sharp, size, coarser):
    prepared = sharp.prepare(*frames(*size), coarser)
    for level, reduction in zip(prepared.levels, prepared.reductions, strict=True):
        for side, padded in zip(size, level.shape[-2:], strict=True):
            assert side <= padded * reduction
            assert padded % 4 == 0
            assert padded - side / reduction < 4 + prepared.reductions[0] / reduction


@torch.inference_mode()
def test_motion_hardly_depends_on_where_padding_is_done(sharp):
    pair = frames(100, 101)
    padded = [F.pad(frame, (0, 27, 0, 28), mode="replicate") for frame in pair]
    ours, theirs = sharp(*pair).motion, sharp(*padded).motion[..., :100, :101]
    assert (ours - theirs).abs().mean() < 0.02 * theirs.abs().mean()


@torch.inference_mode()
@pytest.mark.parametrize("prepare", [IFNet.trim, IFNet.fold, lambda network: network.trim().fold()])
def test_constants_that_are_folded_and_outputs_that_are_removed_change_nothing(sharp, prepare):
    pair = frames(64, 96)
    plain, prepared = sharp(*pair, 0.4), prepare(copy.deepcopy(sharp))(*pair, 0.4)
    torch.testing.assert_close(prepared.frame, plain.frame, atol=1e-4, rtol=0)
    torch.testing.assert_close(prepared.motion, plain.motion, atol=1e-3, rtol=1e-3)
