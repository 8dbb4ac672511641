"""SoftsplatLite, DTM and RFR with seeded weights, against the plain reading of the specification and themselves."""

import kornia
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _train.frame_interpolation.benchmarks import reference
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _train.frame_interpolation.models.splatting import Synthesis, splat_metric
from _util.checkpoints import seeded
from _util.lines import difference_of_gaussians


def with_seeded_weights(network: nn.Module) -> nn.Module:
    network.load_state_dict(seeded(network.state_dict()))
    return network.eval()


@pytest.fixture(scope="module")
def ssl() -> SoftsplatLite:
    return with_seeded_weights(SoftsplatLite())


@pytest.fixture(scope="module")
def dtm() -> DTM:
    return with_seeded_weights(DTM())


@pytest.fixture(scope="module")
def rfr() -> RFR:
    return with_seeded_weights(RFR())


def smooth(b: int, c: int, h: int, w: int) -> Tensor:
    return F.interpolate(torch.rand(b, c, 5, 7), (h, w), mode="bilinear", align_corners=True)


def frames(b: int, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Flat colours with dark strokes across, two pixels further right in the second."""
    image = (smooth(b, 3, h, w) * 4).round() / 4
    image[..., :: max(h // 6, 2), :] *= 0.3
    image[..., :, :: max(w // 6, 2)] *= 0.2
    return image, image.roll(2, 3)


def flows(b: int, h: int, w: int, size: float = 6.0) -> tuple[Tensor, Tensor]:
    return tuple(size * (smooth(b, 2, h, w) - 0.5) for _ in range(2))


def distance(result: Tensor, expected: Tensor) -> float:
    return float((result.float() - expected).norm() / expected.norm())


def equal_but_for_line_pixels(result: Tensor, expected: Tensor) -> bool:
    """A value within rounding of the threshold for lines may fall either side and move distances around it."""
    difference = (result - expected).abs()
    return float((difference > 1e-5).float().mean()) < 0.02 and float(difference.mean()) < 1e-4


def tensors(synthesis: Synthesis) -> list[Tensor]:
    return [synthesis.frame, *synthesis.bases, *synthesis.masks]


SIZES = [(16, 16), (17, 31), (64, 96), (100, 75), (230, 161)]


@pytest.mark.parametrize(
    ("create", "parameters"), [(SoftsplatLite, 2_711_251), (DTM, 10_567), (RFR, 4_202_233)], ids=["ssl", "dtm", "rfr"]
)
def test_parameter_counts(create, parameters):
    assert sum(p.numel() for p in create().parameters()) == parameters


def test_only_what_is_not_resnet_is_trained(ssl):
    assert sum(p.numel() for p in ssl.parameters() if p.requires_grad) == 1_266_323
    assert not any(p.requires_grad for p in ssl.feature_extractor.parameters())


@pytest.mark.parametrize(("size", "t"), list(zip(SIZES, [0.5, 0.125, 0.9, 0.5, 0.125], strict=True)), ids=str)
@torch.no_grad()
def test_synthesis_equals_the_literal_one(ssl, dtm, size, t):
    inputs = *frames(2, *size), *flows(2, *size)
    synthesis, expected = ssl(*inputs, t), reference.synthesise(ssl, *inputs, t)
    corrected, expected_corrected = dtm(synthesis), reference.correct(dtm, synthesis)
    for ours, theirs in zip([*tensors(synthesis), *corrected], [*tensors(expected), *expected_corrected], strict=True):
        assert ours.shape == theirs.shape
        assert equal_but_for_line_pixels(ours, theirs)


def test_the_drawings_above_have_lines_where_sigma_allows():
    image = frames(1, 230, 161)[0]
    assert 0.02 < (difference_of_gaussians(image, 230 / 540) > 0.5).float().mean() < 0.5


@torch.no_grad()
def test_one_preparation_serves_all_times(ssl):
    inputs = *frames(1, 48, 40), *flows(1, 48, 40)
    prepared = ssl.prepare(*inputs)
    for t in (0.25, 0.75, 0.25):
        assert torch.equal(ssl.synthesise(prepared, t).frame, ssl(*inputs, t).frame)


@torch.no_grad()
def test_time_per_image(ssl):
    inputs = *frames(3, 48, 40), *flows(3, 48, 40)
    times = [0.2, 0.5, 0.7]
    together = ssl(*inputs, torch.tensor(times))
    for i, t in enumerate(times):
        for one, all_ in zip(tensors(ssl(*(x[i : i + 1] for x in inputs), t)), tensors(together), strict=True):
            assert distance(all_[i : i + 1], one) < 1e-5
    assert torch.equal(ssl(*inputs, torch.tensor(0.3)).frame, ssl(*inputs, 0.3).frame)


@torch.no_grad()
def test_synthesis_at_rest_keeps_a_flat_image(ssl):
    """With nothing moving, every mask is full and both bases are the frame."""
    frame = frames(1, 40, 56)[0]
    synthesis = ssl(frame, frame, torch.zeros(1, 2, 40, 56), torch.zeros(1, 2, 40, 56))
    assert all(mask.eq(1).all() for mask in synthesis.masks)
    for base in synthesis.bases:
        torch.testing.assert_close(base[:, :3], frame)


@torch.no_grad()
def test_metric_is_lab_distance():
    """Of flat colours, so that sampling does not matter."""
    colour0, colour1 = torch.rand(2, 1, 3, 1, 1).unbind()
    metric = splat_metric(*(c.expand(1, 3, 9, 8) for c in (colour0, colour1)), *torch.randn(2, 1, 2, 9, 8).unbind())
    lab = kornia.color.rgb_to_lab(torch.cat([colour0, colour1]))
    expected = -0.1 * (lab[0] - lab[1]).norm()
    torch.testing.assert_close(metric, expected.expand(2, 1, 9, 8), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_synthesis_in_bf16_is_not_far_off(ssl, dtm):
    inputs = *frames(1, 96, 128), *flows(1, 96, 128)
    expected = ssl(*inputs)
    half_ssl, half_dtm = (with_seeded_weights(create()).bfloat16() for create in (SoftsplatLite, DTM))
    synthesis = half_ssl(*inputs)
    assert synthesis.frame.dtype == torch.float32
    assert (synthesis.frame - expected.frame).abs().mean() < 0.005
    frame, nedt = half_dtm(expected)
    for ours, theirs in zip((frame, nedt), dtm(expected), strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).abs().mean() < 0.005


@pytest.mark.parametrize("size", [(128, 128), (131, 150), (150, 203)], ids=str)
@pytest.mark.parametrize("b", [1, 2])
@torch.no_grad()
def test_flow_equals_the_literal_one(rfr, b, size):
    """Sizes at which the coarsest correlations have more than one pixel, which the literal computation needs."""
    image0, image1 = frames(b, *size)
    expected = reference.estimate_flow(rfr, image0, image1, 3)
    result = rfr(image0, image1, 3)
    assert result.shape == (b, 2, *size)
    assert distance(result, expected) < 1e-4
    with torch.enable_grad():
        assert distance(rfr(image0, image1, 3).detach(), expected) < 1e-4


@pytest.mark.parametrize(("size", "b"), list(zip(SIZES, [1, 2, 1, 2, 1], strict=True)), ids=str)
@torch.no_grad()
def test_both_ways_is_two_calls(rfr, b, size):
    image0, image1 = frames(b, *size)
    flow01, flow10 = rfr.both_ways(image0, image1, 4)
    assert distance(flow01, rfr(image0, image1, 4)) < 1e-4
    assert distance(flow10, rfr(image1, image0, 4)) < 1e-4
    with torch.enable_grad():
        flow01_differentiable, _ = rfr.both_ways(image0, image1, 4)
    assert distance(flow01_differentiable.detach(), flow01) < 1e-4


@torch.no_grad()
def test_flow_is_in_pixels_of_the_image(rfr):
    """An image that is resized to the next multiple of 8 gives the flow of the resized image, rescaled."""
    image0, image1 = (F.interpolate(x, (66, 92), mode="bilinear") for x in frames(1, 64, 88))
    reduced = [F.interpolate(x, (64, 88), mode="bilinear") for x in (image0, image1)]
    scaled = rfr(*reduced, 2) * torch.tensor([92 / 88, 66 / 64]).view(1, 2, 1, 1)
    torch.testing.assert_close(
        rfr(image0, image1, 2), F.interpolate(scaled, (66, 92), mode="bilinear"), atol=1e-4, rtol=1e-4
    )


@torch.no_grad()
def test_initial_flow(rfr):
    image0, image1 = frames(1, 64, 96)
    none = torch.zeros(1, 2, 64, 96)
    for mode in ("released", "paper"):
        assert torch.equal(rfr(image0, image1, 2, none, mode), rfr(image0, image1, 2))
    initial = torch.tensor([8.0, -16.0]).view(1, 2, 1, 1).expand(1, 2, 64, 96)
    coarse = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1).expand(2, 2, 8, 12)
    images, initials = torch.cat([image0, image1]), torch.cat([initial, initial])
    torch.testing.assert_close(rfr._begin(images, initials, "released"), 2 * coarse)
    share = rfr._begin(images, initials, "paper") / coarse
    torch.testing.assert_close(share[:, :1], share[:, 1:])
    assert (share > 0).all()
    assert (share <= 1).all()
    assert distance(rfr(image0, image1, 2, initial), rfr(image0, image1, 2)) > 1e-2


@torch.no_grad()
def test_flow_in_bf16_is_not_far_off(rfr):
    image0, image1 = frames(1, 96, 128)
    expected = rfr(image0, image1, 4)
    half = with_seeded_weights(RFR()).bfloat16()
    result = half(image0, image1, 4)
    assert result.dtype == torch.float32
    assert distance(result, expected) < 0.1


def test_training_reaches_all_but_the_resnet():
    ssl = with_seeded_weights(SoftsplatLite()).train()
    assert ssl.gridnet.training
    assert not any(module.training for module in ssl.feature_extractor.modules())
    statistics = {k: v.clone() for k, v in ssl.feature_extractor.state_dict().items()}
    synthesis = ssl(*frames(2, 40, 48), *flows(2, 40, 48), torch.tensor([0.3, 0.6]))
    synthesis.frame.square().mean().backward()
    for name, parameter in ssl.named_parameters():
        if name.startswith("feature_extractor."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad.isfinite().all(), name
    assert ssl.gridnet.encoders[0]["resnet_2"].net[1].weight.grad.ne(0).any()
    assert ssl.gridnet_converter.nets[0][1].weight.grad.ne(0).any()
    assert ssl.synthesizer.net[0].weight.grad.ne(0).any()
    for name, value in ssl.feature_extractor.state_dict().items():
        assert torch.equal(value, statistics[name]), name


def test_training_forward_equals_evaluation_but_for_the_norms():
    """In evaluation mode with gradients, nothing is banded and nothing is in place."""
    ssl = with_seeded_weights(SoftsplatLite())
    inputs = *frames(1, 40, 48), *flows(1, 40, 48)
    with torch.no_grad():
        expected = ssl(*inputs).frame
    assert distance(ssl(*inputs).frame.detach(), expected) < 1e-5


def example_synthesis() -> Synthesis:
    frame = frames(1, 40, 48)[0].requires_grad_()
    return Synthesis(frame, tuple(torch.rand(2, 1, 4, 40, 48)), tuple(torch.rand(2, 1, 1, 40, 48)))


def test_line_correction_detaches_the_predicted_distances():
    dtm, synthesis = with_seeded_weights(DTM()).train(), example_synthesis()
    frame, _ = dtm(synthesis)
    frame.sum().backward()
    assert all(p.grad is None for p in dtm.net_nedt.parameters())
    assert all(p.grad.isfinite().all() for p in dtm.net_tail.parameters())
    assert synthesis.frame.grad.ne(0).any()


def test_predicted_distances_train_their_own_network_and_the_frame():
    dtm, synthesis = with_seeded_weights(DTM()).train(), example_synthesis()
    _, nedt = dtm(synthesis)
    nedt.sum().backward()
    assert all(p.grad is None for p in dtm.net_tail.parameters())
    assert all(p.grad.isfinite().all() for p in dtm.net_nedt.parameters())
    assert synthesis.frame.grad.ne(0).any()


@pytest.mark.parametrize("mode", [None, "released", "paper"])
def test_flow_network_trains(mode):
    rfr = with_seeded_weights(RFR()).train()
    initial = flows(1, 48, 64)[0] if mode else None
    rfr(*frames(1, 48, 64), 3, initial, mode or "released").square().mean().backward()
    for name, parameter in rfr.named_parameters():
        if not name.startswith("attention2."):
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.ne(0).any(), name
