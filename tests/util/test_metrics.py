import math

import numpy as np
import pytest
import torch
from torch import Tensor

from _util.errors import InputError
from _util.metrics import DISTS, LPIPS, PSNR, SSIM, Chamfer, EndPointError, Hausdorff, InterpolationError

METRICS = {
    "lpips": LPIPS,
    "lpips_standard": lambda: LPIPS("standard"),
    "psnr": PSNR,
    "ssim": SSIM,
    "ssim_standard": lambda: SSIM("standard"),
    "chamfer": Chamfer,
    "hausdorff": Hausdorff,
    "interpolation_error": InterpolationError,
}
every_metric = pytest.mark.parametrize("create", METRICS.values(), ids=METRICS)


def drawing(x: int | None, h: int = 60, w: int = 80) -> Tensor:
    """White paper, with a black vertical stroke three pixels wide around column x."""
    image = torch.ones(1, 3, h, w)
    if x is not None:
        image[..., x - 1 : x + 2] = 0
    return image


@pytest.mark.parametrize(
    ("create", "entry", "tolerance"),
    [
        (LPIPS, "metric_lpips_paper", 1e-4),
        (METRICS["lpips_standard"], "metric_lpips", 1e-4),
        (PSNR, "metric_psnr", 1e-6),
        (SSIM, "metric_ssim_paper", 1e-6),
        (METRICS["ssim_standard"], "metric_ssim", 1e-6),
        (Chamfer, "metric_chamfer", 1e-6),
        (Hausdorff, "metric_hausdorff", 1e-6),
    ],
)
def test_golden_values(pair, golden, create, entry, tolerance):
    np.testing.assert_allclose(create()(*pair).item(), golden[entry].item(), rtol=tolerance)


@every_metric
def test_the_value_is_the_mean_over_images_however_they_come(create):
    predicted = torch.cat([drawing(x, 40, 50) for x in (10, 20, 35)]) - 0.01 * torch.rand(3, 3, 40, 50)
    truth = drawing(5, 40, 50).repeat(3, 1, 1, 1)
    metric = create()
    each = [metric(predicted[i : i + 1], truth[i : i + 1]).item() for i in range(3)]
    assert metric.compute().item() == pytest.approx(np.mean(each), rel=1e-5)
    assert len(set(each)) == 3
    together = create()
    together.update(predicted[:1], truth[:1])
    together.update(predicted[1:], truth[1:])
    assert together.compute().item() == pytest.approx(np.mean(each), rel=1e-5)


@every_metric
def test_states_of_processes_add_up(create):
    """As torchmetrics joins processes: states are stacked and reduced."""
    predicted, truth = torch.rand(3, 3, 40, 50), torch.rand(3, 3, 40, 50)
    first, second, whole = create(), create(), create()
    first.update(predicted[:2], truth[:2])
    second.update(predicted[2:], truth[2:])
    whole.update(predicted, truth)
    for name, reduce in first._reductions.items():
        setattr(first, name, reduce(torch.stack([getattr(first, name), getattr(second, name)])))
    torch.testing.assert_close(first.compute(), whole.compute())


@every_metric
def test_metrics_ignore_autocast_and_gradients(create):
    predicted, truth = torch.rand(1, 3, 40, 50, requires_grad=True), torch.rand(1, 3, 40, 50)
    with torch.autocast("cpu", torch.bfloat16):
        value = create()(predicted, truth)
    assert not value.requires_grad
    assert value.item() == create()(predicted, truth).item()


@every_metric
def test_equal_images_are_best(create):
    image = torch.rand(1, 3, 40, 50)
    equal, near, far = (create()(other, image).item() for other in (image, image.lerp(1 - image, 0.1), 1 - image))
    if create().higher_is_better:
        assert equal > near > far
    else:
        assert equal == 0
        assert equal < far


@every_metric
def test_a_prepared_truth_serves_several_predictions(create):
    truth = torch.rand(1, 3, 40, 50)
    metric = create()
    prepared = metric.prepare(truth)
    for seed in range(2):
        predicted = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(seed))
        assert metric.compare(predicted, prepared).item() == metric.measure(predicted, truth).item()


@every_metric
def test_shapes_are_checked(create):
    with pytest.raises(ValueError, match=r"\(b, 3, h, w\)"):
        create().update(torch.rand(1, 3, 40, 50), torch.rand(1, 3, 40, 51))
    with pytest.raises(ValueError, match=r"\(b, 3, h, w\)"):
        create().update(torch.rand(3, 40, 50), torch.rand(3, 40, 50))


@every_metric
def test_nothing_measured_is_no_number(create):
    with pytest.warns(UserWarning, match="before"):
        assert math.isnan(create().compute())


@pytest.mark.cuda
@every_metric
def test_metrics_on_cuda(create):
    predicted, truth = torch.rand(2, 3, 40, 50), torch.rand(2, 3, 40, 50)
    value = create().cuda()(predicted.cuda(), truth.cuda())
    torch.testing.assert_close(value.cpu(), create()(predicted, truth), rtol=0.01, atol=0)


def test_psnr_of_a_constant_difference():
    grey = torch.full((1, 3, 8, 8), 0.5)
    assert PSNR()(grey + 0.01, grey).item() == pytest.approx(40, abs=1e-3)
    assert PSNR()(grey, grey).item() == 100


def test_ssim_of_flat_images_is_that_of_their_means():
    a, b = 0.4, 0.6
    for protocol, data_range in (("paper", 2), ("standard", 1)):
        c1 = (0.01 * data_range) ** 2
        expected = (2 * a * b + c1) / (a * a + b * b + c1)
        metric = SSIM(protocol)
        assert metric(torch.full((1, 3, 16, 16), a), torch.full((1, 3, 16, 16), b)).item() == pytest.approx(expected)


@pytest.mark.parametrize("protocol", ["paper", "standard"])
def test_compiled_ssim_is_that_of_convolutions(protocol, with_threads):
    predicted, truth = torch.rand(2, 3, 37, 41), torch.rand(2, 3, 37, 41)
    metric, values = SSIM(protocol), []
    for threads in (1, 2):
        with_threads(threads)
        values.append(metric.measure(predicted, truth))
    assert torch.equal(*values)
    a, b = predicted.double(), truth.double()
    n, (c1, c2) = len(metric.window) ** 2, metric._constants()
    mean_a, mean_b = metric._mean(a), metric._mean(b)
    covariance = n / (n - 1) * (metric._mean(a * b) - mean_a * mean_b)
    variances = n / (n - 1) * (metric._mean(a * a) - mean_a**2 + metric._mean(b * b) - mean_b**2)
    expected = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    expected = expected / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))
    torch.testing.assert_close(values[0], expected.mean((1, 2, 3)), rtol=1e-10, atol=0)


@pytest.mark.parametrize(("protocol", "window"), [("paper", 7), ("standard", 11)])
def test_ssim_needs_its_window(protocol, window):
    SSIM(protocol)(torch.rand(1, 3, window, 30), torch.rand(1, 3, window, 30))
    with pytest.raises(ValueError, match=f"{window} pixels or more"):
        SSIM(protocol)(torch.rand(1, 3, window - 1, 30), torch.rand(1, 3, window - 1, 30))


def test_unknown_protocol():
    for create in (LPIPS, SSIM):
        with pytest.raises(ValueError, match="no protocol 'papr'"):
            create("papr")


@pytest.mark.parametrize("shift", [0, 1, 2, 3, 9])
def test_chamfer_of_a_shifted_stroke(shift):
    """Each of the three columns of one stroke is some pixels from the other's nearest column."""
    h, w = 60, 80
    columns = [max(0, shift - i) for i in range(3)]
    expected = sum(columns) / w / math.hypot(h, w)
    assert Chamfer()(drawing(30 + shift), drawing(30)).item() == pytest.approx(expected)
    assert Chamfer()(drawing(30), drawing(30 + shift)).item() == pytest.approx(expected)


def test_chamfer_without_lines():
    assert Chamfer()(drawing(None), drawing(None)).item() == 0
    share = 3 / 80  # of the image is line, a diagonal away from nothing
    assert Chamfer()(drawing(None), drawing(30)).item() == pytest.approx(share / 2)
    assert Chamfer()(drawing(30), drawing(None)).item() == pytest.approx(share / 2)


def test_hausdorff_is_the_largest_distance():
    two = torch.minimum(drawing(30), drawing(50))
    for pair in ((drawing(30), two), (two, drawing(30))):
        assert Hausdorff()(*pair).item() == pytest.approx(20 / math.hypot(60, 80))  # columns 31 and 51


def test_dists_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(
        InputError, match=r"^DISTS needs VGG-16: download https://[^ ]+vgg16\S+ into [^ ]+checkpoints\.$"
    ):
        DISTS()


def test_interpolation_error_is_a_distance_of_colours():
    truth = torch.zeros(1, 3, 8, 8)
    predicted = truth.clone()
    predicted[:, 0, :4], predicted[:, 1, :4] = 3 / 255, 4 / 255
    assert InterpolationError()(predicted, truth).item() == pytest.approx(2.5)


def moving_block() -> tuple[Tensor, Tensor]:
    """On a still ground 60×80, columns 20…39 move right by 6 and hide columns 40…45: flow and occlusion."""
    flow, occlusion = torch.zeros(1, 2, 60, 80), torch.zeros(1, 1, 60, 80)
    flow[:, 0, :, 20:40] = 6
    occlusion[..., 40:46] = 1
    return flow, occlusion


def end_point_error(*flows: Tensor) -> dict[str, float]:
    metric = EndPointError()
    metric.update(*flows)
    return {name: value.item() for name, value in metric.compute().items()}


def test_end_point_error_is_a_length():
    flow, occlusion = moving_block()
    wrong = flow + torch.tensor([3.0, -4.0]).view(1, 2, 1, 1)
    assert end_point_error(wrong, flow, occlusion) == pytest.approx({"epe": 5, "epe_rim": 5, "epe_rim_ground": 5})
    assert end_point_error(flow, flow, occlusion) == {"epe": 0, "epe_rim": 0, "epe_rim_ground": 0}


def test_end_point_error_far_from_rims():
    flow, occlusion = moving_block()
    wrong = flow.clone()
    wrong[..., 60:] += 1
    errors = end_point_error(wrong, flow, occlusion)
    assert errors["epe"] == pytest.approx(2**0.5 * 20 / 80)
    assert errors["epe_rim"] == errors["epe_rim_ground"] == 0


def test_end_point_error_of_a_halo():
    """The flow of the block reaches 4 pixels too far: an error of the ground by the rim."""
    flow, occlusion = moving_block()
    wrong = flow.clone()
    wrong[:, 0, :, 40:44] = 6
    errors = end_point_error(wrong, flow, occlusion)
    rim, ground = range(31, 55), range(40, 55)  # the edges are columns 39 and 40, 45 and 46
    assert errors["epe"] == pytest.approx(6 * 4 / 80)
    assert errors["epe_rim"] == pytest.approx(6 * 4 / len(rim))
    assert errors["epe_rim_ground"] == pytest.approx(6 * 4 / len(ground))


def test_end_point_error_of_the_block_is_not_the_ground_s():
    flow, occlusion = moving_block()
    wrong = flow.clone()
    wrong[:, 0, :, 20:40] = 0
    errors = end_point_error(wrong, flow, occlusion)
    assert errors["epe_rim"] > 1
    assert errors["epe_rim_ground"] == 0


def test_end_point_error_without_occlusion():
    flow = torch.zeros(1, 2, 20, 20)
    errors = end_point_error(flow + 1, flow, torch.zeros(1, 1, 20, 20))
    assert errors["epe"] == pytest.approx(2**0.5)
    assert math.isnan(errors["epe_rim"])
    assert math.isnan(errors["epe_rim_ground"])


def test_end_point_error_is_a_mean_over_pixels_of_all_updates():
    flow, occlusion = moving_block()
    metric = EndPointError()
    metric.update(flow, flow, occlusion)
    metric.update(flow[..., :40] + 1, flow[..., :40], occlusion[..., :40])
    assert metric.compute()["epe"].item() == pytest.approx(2**0.5 * 40 / 120)


def test_end_point_error_checks_shapes():
    flow, occlusion = moving_block()
    with pytest.raises(ValueError, match="occlusion"):
        EndPointError().update(flow, flow, occlusion[..., 1:])
    with pytest.raises(ValueError, match="occlusion"):
        EndPointError().update(flow[..., 1:], flow, occlusion)
