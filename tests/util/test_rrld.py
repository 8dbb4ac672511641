"""The residual of linear displacement: as released, and on motion whose residual is known."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from _util.rrld import SIZE, judge
from tests.conftest import require_shared

H, W = SIZE


def local(to_previous: tuple[float, float], to_next: tuple[float, float], share: float = 0.1) -> tuple[Tensor, Tensor]:
    """Flows, zero but for a share of the rows in the middle of the picture, where they are as given, x then y."""
    flows = torch.zeros(2, 2, H, W)
    rows = round(share * H)
    for flow, (x, y) in zip(flows, (to_previous, to_next), strict=True):
        flow[0, (H - rows) // 2 :][:rows] = x
        flow[1, (H - rows) // 2 :][:rows] = y
    return tuple(flows)


@pytest.fixture(scope="module")
def released() -> dict[str, np.ndarray]:
    with np.load(require_shared("parity/rrld.npz")) as file:
        return dict(file)


@pytest.mark.parametrize("i", range(12))
def test_equals_the_released_computation(released, i):
    to_previous, to_next = (
        F.interpolate(torch.from_numpy(released[name][i : i + 1]), SIZE, mode="bilinear", align_corners=True).flip(1)
        for name in ("flow_to_previous_yx", "flow_to_next_yx")
    )
    found = judge(to_previous, to_next)
    assert found.pan == released["pan"][i]
    assert found.accepted == released["accepted"][i]
    assert found.coverage == pytest.approx(released["coverage"][i], abs=1e-6)
    assert found.rrld == pytest.approx(released["rrld"][i], abs=1e-5, nan_ok=True)


def test_straight_and_even_motion_has_no_residual():
    found = judge(*local((-6, 2), (6, -2)))
    assert found.rrld == pytest.approx(0, abs=1e-6)
    assert found.coverage == pytest.approx(0.1, abs=0.005)  # less what leaves at the sides
    assert not found.pan
    assert found.accepted


@pytest.mark.parametrize(
    ("to_previous", "to_next", "rrld"),
    [
        ((-6, -8), (12, 16), 1 / 6),
        ((-4, 4), (12, -12), 1 / 4),
        ((3, -3), (-12, 12), 3 / 10),
        ((0, 0), (7, 9), 1 / 2),
        ((-4, 1), (1, 4), 1 / 2),
        ((3, 4), (3, -4), 3 / 8),
        ((5, 5), (5, 5), float("inf")),
    ],
)
def test_residual_of_uneven_and_bent_motion(to_previous, to_next, rrld):
    flows = local(to_previous, to_next)
    assert judge(*flows).rrld == pytest.approx(rrld)
    assert judge(*flows, largest_rrld=rrld + 0.01).accepted == (rrld < float("inf"))
    assert not judge(*flows, largest_rrld=rrld - 0.01).accepted


def test_accelerating_motion_is_rejected():
    assert judge(*local((-4, 4), (12, -12))).accepted
    assert not judge(*local((-2.5, 2.5), (12, -12))).accepted


def test_motion_along_one_axis_alone_counts_as_a_pan():
    assert judge(*local((-6, 0), (6, 0))).pan
    assert not judge(*local((-6, 0), (6, 0), share=0.02)).pan  # on average it is too short


def test_nothing_moves():
    found = judge(*local((-1.4, 1.4), (1.4, -1.4)))
    assert np.isnan(found.rrld)
    assert found[1:] == (0, False, False)
    assert judge(*local((-1.4, 1.4), (1.4, -1.4)), moving=1.9).accepted


def test_motion_to_either_frame_counts():
    to_previous, to_next = local((0, 0), (0, 3))
    assert judge(to_previous, to_next).coverage == judge(to_next, to_previous).coverage == pytest.approx(0.1)


def test_what_leaves_the_picture_does_not_count():
    to_previous, to_next = local((-5, 0), (5, 0))
    assert judge(to_previous, to_next).coverage == pytest.approx(0.1 * (W - 5 - 4) / W)  # x = w is still inside
    far = torch.zeros_like(to_next)
    far[1, -20:] = 30
    assert judge(torch.zeros_like(far), far).coverage == 0
    assert judge(torch.zeros_like(far), -far).coverage == pytest.approx(20 / H)


@pytest.mark.parametrize("motion", [(0.5, 0), (0, -0.5), (4, 4), (30, 0)])
def test_a_pan(motion):
    flow = torch.tensor(motion).view(2, 1, 1).expand(2, H, W)
    found = judge(-flow, flow)
    assert found.pan
    assert not found.accepted


@pytest.mark.parametrize("which", [0, 1])
def test_a_pan_in_one_of_the_flows(which):
    flows = list(local((-6, 2), (6, -2)))
    flows[which] = torch.full((2, H, W), 3.0)
    found = judge(*flows)
    assert found.pan
    assert not found.accepted


def test_limits_of_a_pan():
    noise = 0.3 * torch.randn(2, H, W, generator=torch.Generator().manual_seed(0))
    flow = noise + torch.tensor([3.0, 0]).view(2, 1, 1)
    assert judge(flow, flow, pan_deviation=0.31).pan
    assert not judge(flow, flow, largest_share=1).pan
    assert judge(flow / 10, flow / 10, pan_length=0.29).pan
    assert not judge(flow / 10, flow / 10, pan_length=0.4).pan


@pytest.mark.parametrize(("share", "accepted"), [(0.45, True), (0.55, False), (0.005, True), (1 / H, True)])
def test_share_of_the_picture(share, accepted):
    flows = local((2, -3), (-2, 3), share)
    found = judge(*flows)
    assert found.coverage == pytest.approx(share * (W - 3) / W, rel=0.12)
    assert found.pan is not accepted
    assert found.accepted is accepted
    assert judge(*flows, largest_share=0.6).accepted
    assert judge(*flows, largest_share=0.9 * found.coverage).pan
    assert not judge(*flows, smallest_share=1.1 * found.coverage).accepted


def test_too_small_a_share():
    flows = local((2, -3), (-2, 3), share=1 / H)
    for flow in flows:
        flow[:, :, W * 8 // 10 :] = 0
    assert not judge(*flows).accepted
    assert judge(*flows, smallest_share=0.002).accepted


def test_credits():
    flows = local((-6, 2), (6, -2))
    middle = torch.full((3, H, W), 1 / 255)
    middle[1, : H // 4] = 1  # one bright channel is enough to be no dark pixel
    assert judge(*flows, middle).accepted
    middle[1, : H // 10] = 1 / 255
    assert judge(*flows, middle).accepted is False
    assert judge(*flows, middle, dark_share=0.9).accepted
    assert judge(*flows, middle, dark=0).accepted
    assert judge(*flows, middle[None]).accepted is False


def test_an_unknown_threshold():
    with pytest.raises(TypeError, match="largest"):
        judge(*local((0, 0), (0, 0)), largest=1)
