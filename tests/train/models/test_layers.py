"""Layers that several families of networks share."""

import numpy as np
import pytest
import torch

from _train.frame_interpolation import Interpolator
from _train.frame_interpolation.models.layers import StridedConv2d


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (7, 2), (3, 3)])
def test_narrow_inputs_are_convolved_in_bf16_as_in_fp32(kernel, stride, layout):
    torch.manual_seed(0)
    exact = StridedConv2d(16, 24, kernel, stride, padding=kernel // 2)
    layer = StridedConv2d(16, 24, kernel, stride, padding=kernel // 2).to(torch.bfloat16, memory_format=layout)
    layer.load_state_dict(exact.state_dict())
    with torch.inference_mode():
        for h in (1, 2, 16, 33, 64, 300):
            for w in (1, 2, 3, 4, 5, 40):
                x = torch.randn(2, 16, h, w)
                for _ in range(3):  # memory that is not written differs from call to call
                    found = layer(x.bfloat16().contiguous(memory_format=layout))
                    torch.testing.assert_close(found.float(), exact(x), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("size", [(128, 16), (512, 24), (1000, 40)])
@pytest.mark.parametrize("synthesis", ["ifnet", "ifnet-fast", "fusion"])
def test_narrow_frames_are_drawn_in_bf16_as_in_fp32(synthesis, size):
    h, w = size
    rows = np.linspace(0, 12 * np.pi, h)[:, None, None]
    frames = [
        np.rint(128 + 90 * np.sin(rows + shift + np.arange(3)) * np.ones((1, w, 1))).astype(np.uint8)
        for shift in (0, 0.2)
    ]
    flow = "dis" if synthesis == "fusion" else "auto"
    exact, found = (
        Interpolator(flow, synthesis, "cpu", precision=precision)(*frames, 0.5)[0] for precision in ("fp32", "bf16")
    )
    assert np.abs(found.astype(int) - exact).mean() < 2
