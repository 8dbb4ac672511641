import numpy as np
import pytest
import torch
from torch import Tensor

from _util import checkpoints
from _util.errors import InputError
from _util.losses import (
    LPIPSLoss,
    Style,
    StyleWeights,
    census,
    feature_l1,
    gaussian_pyramid_l1,
    gram_distance,
    perceptual,
    sequence_loss,
    style_features,
)


def pictures(b: int = 2, size: tuple[int, int] = (48, 64)) -> tuple[Tensor, Tensor]:
    return torch.rand(b, 3, *size), torch.rand(b, 3, *size)


@pytest.mark.parametrize(("protocol", "entry"), [("paper", "metric_lpips_paper"), ("standard", "metric_lpips")])
def test_lpips_is_that_of_the_reference(pair, golden, protocol, entry):
    np.testing.assert_allclose(LPIPSLoss(protocol)(*pair).item(), golden[entry], rtol=1e-4)


@pytest.mark.parametrize("protocol", ["paper", "standard"])
def test_lpips_of_each_image(protocol):
    a, b = pictures()
    lpips = LPIPSLoss(protocol)
    distance = lpips(a, b)
    assert distance.shape == (2,)
    assert (distance > 0.01).all()
    torch.testing.assert_close(distance, torch.cat([lpips(a[:1], b[:1]), lpips(a[1:], b[1:])]))
    assert torch.equal(lpips(a, a), torch.zeros(2))
    torch.testing.assert_close(lpips(b, a), distance)


def test_lpips_protocols_differ_by_the_range_they_are_fed():
    a, b = pictures()
    torch.testing.assert_close(LPIPSLoss("standard")((a + 1) / 2, (b + 1) / 2), LPIPSLoss("paper")(a, b))


def test_lpips_descends_to_the_truth():
    truth = torch.rand(1, 3, 40, 40)
    predicted = torch.rand(1, 3, 40, 40).requires_grad_()
    lpips = LPIPSLoss()
    optimizer = torch.optim.Adam([predicted], lr=0.03)
    first = lpips(predicted, truth).item()
    for _ in range(20):
        optimizer.zero_grad()
        lpips(predicted, truth).sum().backward()
        optimizer.step()
    assert lpips(predicted, truth).item() < 0.7 * first


def test_lpips_gradient_is_finite_on_flat_images():
    for level in (0.0, 0.5, 1.0):
        predicted = torch.full((1, 3, 40, 40), level, requires_grad=True)
        LPIPSLoss()(predicted, torch.rand(1, 3, 40, 40)).sum().backward()
        assert predicted.grad.isfinite().all()


def test_lpips_is_frozen_and_stays_out_of_checkpoints():
    lpips, truth = LPIPSLoss(), torch.rand(1, 3, 40, 40).requires_grad_()
    assert list(lpips.parameters()) == []
    assert lpips.state_dict() == {}
    assert not lpips(torch.rand(1, 3, 40, 40), truth).requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lpips_under_autocast(dtype):
    a, b = pictures()
    lpips = LPIPSLoss()
    with torch.autocast("cpu", dtype):
        distance = lpips(a, b)
    assert distance.dtype == torch.float32
    torch.testing.assert_close(distance, lpips(a, b), rtol=0.01, atol=0)
    torch.testing.assert_close(lpips(a.bfloat16(), b.bfloat16()), lpips(a, b), rtol=0.01, atol=0)


@pytest.mark.cuda
def test_lpips_follows_the_images_to_their_device():
    a, b = pictures()
    lpips = LPIPSLoss()
    expected = lpips(a, b)
    torch.testing.assert_close(lpips(a.cuda(), b.cuda()).cpu(), expected, rtol=0.01, atol=0)
    torch.testing.assert_close(lpips(a, b), expected)


def test_lpips_refuses_what_it_cannot_measure():
    LPIPSLoss()(*pictures(1, (31, 31)))
    with pytest.raises(ValueError, match="31 pixels or more"):
        LPIPSLoss()(*pictures(1, (30, 64)))
    with pytest.raises(ValueError, match="no protocol 'vgg'"):
        LPIPSLoss("vgg")


def test_lpips_without_its_weights_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"no checkpoint .*alexnet_features\.safetensors"):
        LPIPSLoss()


def test_pyramid_of_a_constant_difference_counts_once_per_level():
    image = torch.rand(2, 1, 33, 47)
    for levels in (1, 2, 3):
        torch.testing.assert_close(gaussian_pyramid_l1(image + 0.25, image, levels).item(), 0.25 * levels)


def test_pyramid_lets_fine_differences_fade():
    """A checkerboard is gone after one blur; a difference as wide as the image is not."""
    checkerboard = (torch.arange(64)[:, None] + torch.arange(64)) % 2 - 0.5
    checkerboard, flat = checkerboard[None, None], torch.zeros(1, 1, 64, 64)
    assert gaussian_pyramid_l1(checkerboard, flat).item() == pytest.approx(0.5, abs=0.05)


def test_pyramid_is_that_of_burt_and_adelson():
    """One pixel of 16 in the middle of 9: its level above holds the products of 1 4 6 4 1 at every second pixel."""
    spike = torch.zeros(1, 1, 9, 9)
    spike[0, 0, 4, 4] = 16
    level_above = np.outer([0, 1, 6, 1, 0], [0, 1, 6, 1, 0]) / 16
    expected = 16 / 81 + level_above.mean()
    assert gaussian_pyramid_l1(spike, torch.zeros_like(spike), levels=2).item() == pytest.approx(expected)


def test_pyramid_keeps_channels_and_images_apart():
    a, b = pictures()
    planes = zip(a.view(6, 1, 1, 48, 64), b.view(6, 1, 1, 48, 64), strict=True)
    expected = torch.stack([gaussian_pyramid_l1(*pair) for pair in planes])
    torch.testing.assert_close(gaussian_pyramid_l1(a, b), expected.mean())


def test_pyramid_does_not_lose_precision_under_autocast():
    a, b = pictures()
    with torch.autocast("cpu", torch.bfloat16):
        loss = gaussian_pyramid_l1(a, b)
    torch.testing.assert_close(loss, gaussian_pyramid_l1(a, b), rtol=1e-6, atol=0)


def test_census_does_not_see_a_change_of_brightness():
    image = torch.rand(2, 3, 20, 24)
    assert census(image, image).item() == 0
    assert census(image, 0.5 * image + 0.2).item() < 0.05
    assert census(image, image + 0.1).item() < 1e-6
    assert census(image, torch.rand(2, 3, 20, 24)).item() > 0.3
    assert census(image, 1 - image).item() > 0.8


def test_census_of_one_dot():
    """A dot far above the flat ground differs from each of 48 neighbours, and each of these from one neighbour."""
    flat, dot = torch.zeros(1, 3, 13, 13), torch.zeros(1, 3, 13, 13)
    dot[..., 6, 6] = 1
    one = 1 / 1.1  # s = 1, s² / (0.1 + s²)
    expected = (48 * one + 48 * one) / 49 / 49  # 7×7 centres have a whole window
    assert census(flat, dot).item() == pytest.approx(expected, rel=1e-4)


def test_census_counts_only_the_mask():
    a, b = pictures(1, (20, 24))
    b[..., :12] = a[..., :12]
    mask = torch.zeros(1, 1, 20, 24)
    mask[..., :9] = 1
    assert census(a, b, mask).item() == 0
    assert census(a, b, 1 - mask).item() > census(a, b).item() > 0.1
    torch.testing.assert_close(census(a, b, torch.ones_like(mask)), census(a, b))
    assert census(a, b, torch.zeros_like(mask)).item() == 0


def test_census_gradient_is_finite_where_images_are_equal():
    a = torch.rand(1, 3, 12, 12, requires_grad=True)
    census(a, a.detach()).backward()
    assert a.grad.isfinite().all()
    b = torch.rand(1, 3, 12, 12, requires_grad=True)
    census(a, b).backward()
    assert b.grad.abs().max() > 0


def test_sequence_weighs_late_flows_most():
    truth = torch.randn(2, 2, 6, 8)
    errors = (3.0, 2.0, 0.5)
    loss = sequence_loss([truth + error for error in errors], truth, gamma=0.8)
    assert loss.item() == pytest.approx(0.64 * 3 + 0.8 * 2 + 0.5, rel=1e-5)
    assert sequence_loss([truth], truth).item() == 0


def activations(b: int = 2) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.gamma(0.5, size=(b, c, 24 // c, 30 // c)).astype(np.float32) for c in (2, 3, 4, 5, 6)]


def test_vgg_term_is_the_weighted_mean_difference_of_activations():
    ours, theirs = activations(), [2 * x for x in activations()[::-1]][::-1]
    weights = (1 / 2.6, 1 / 4.8, 1 / 3.7, 1 / 5.6, 10 / 1.5)
    expected = sum(weight * np.abs(a - b).mean() for a, b, weight in zip(ours, theirs, weights, strict=True))
    loss = feature_l1([torch.tensor(x) for x in ours], [torch.tensor(x) for x in theirs])
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_gram_term_is_the_squared_norm_of_the_difference_of_gram_matrices():
    random = np.random.default_rng(4)
    ours = activations()
    theirs = [x * random.uniform(0.5, 1.5, x.shape).astype(np.float32) for x in ours]
    weights, expected = (1 / 2.6, 1 / 4.8, 1 / 3.7, 1 / 5.6, 10 / 1.5), 0.0
    for a, b, weight in zip(ours, theirs, weights, strict=True):
        for image in range(2):
            c, h, w = a.shape[1:]
            for i in range(c):
                for j in range(c):
                    grams = [(x[image, i].astype(float) * x[image, j]).sum() / (c * h * w) for x in (a, b)]
                    expected += weight * (grams[0] - grams[1]) ** 2 / 2
    loss = gram_distance([torch.tensor(x) for x in ours], [torch.tensor(x) for x in theirs])
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_gram_term_does_not_ask_where_things_are():
    features = [torch.tensor(x) for x in activations()]
    moved = [x.roll((1, 2), (2, 3)) for x in features]
    assert gram_distance(features, moved).item() < 1e-12
    assert feature_l1(features, moved).item() > 0.1


def test_perceptual_distance_is_that_of_directions():
    random = np.random.default_rng(5)
    ours = activations()
    theirs = [x * random.uniform(0.5, 1.5, x.shape).astype(np.float32) for x in ours]
    cosines = [
        (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        for a, b in zip(ours, theirs, strict=True)
    ]
    expected = np.mean([(2 - 2 * cosine).mean() for cosine in cosines])
    tensors = [[torch.tensor(x) for x in features] for features in (ours, theirs)]
    assert perceptual(*tensors).item() == pytest.approx(expected, rel=1e-4)
    assert perceptual(tensors[0], [3 * x for x in tensors[0]]).item() < 1e-10


@pytest.mark.parametrize("weights", [StyleWeights(1, 0, 0), StyleWeights(1, 1, 0), StyleWeights(1, 0.25, 40)])
def test_style_is_the_sum_of_its_terms(weights):
    predicted, truth = pictures()
    predicted.requires_grad_()
    seen = []

    def features(image: Tensor) -> list[Tensor]:
        seen.append(image)
        return [(image * i).cos() for i in range(1, 6)]

    loss, terms = Style(features)(predicted, truth, weights)
    ours, theirs = features(predicted), features(truth)
    expected = {
        "l1": (predicted - truth).abs().mean(),
        "vgg": feature_l1(ours, theirs),
        "gram": gram_distance(ours, theirs),
    }
    assert terms.keys() == {name for name, weight in zip(expected, weights, strict=True) if weight}
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name])
    torch.testing.assert_close(loss, sum(w * x for w, x in zip(weights, expected.values(), strict=True)))
    assert len(seen) == (2 if weights.vgg == 0 else 4)  # with the two of this test
    loss.backward()
    assert predicted.grad.abs().max() > 0


def test_style_gradient_is_finite_on_flat_images():
    predicted = torch.full((1, 3, 40, 40), 0.5, requires_grad=True)
    features = style_features("alexnet")
    loss, _ = Style(features)(predicted, torch.rand(1, 3, 40, 40), StyleWeights(1, 0.25, 40))
    (loss + perceptual(features(predicted), features(torch.rand(1, 3, 40, 40)))).backward()
    assert predicted.grad.isfinite().all()


def test_style_features_are_five_layers_of_a_name_or_a_file(tmp_path):
    assert style_features("alexnet").layers == ("relu1", "relu2", "relu3", "relu4", "relu5")
    assert style_features(str(checkpoints.FOLDER / "default/alexnet_features.safetensors")).architecture == "alexnet"
    with pytest.raises(InputError, match=r"nothing\.pth"):
        style_features(str(tmp_path / "nothing.pth"))
