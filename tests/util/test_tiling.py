import pytest
import torch
import torch.nn.functional as F
from torch import nn

from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.softsplat_lite import Synthesizer
from _train.frame_interpolation.models.splatting import Synthesis, Warp
from _util import tiling
from _util.checkpoints import seeded
from _util.image import resize_rows
from _util.tiling import in_bands


def with_seeded_weights(network: nn.Module) -> nn.Module:
    network.load_state_dict(seeded(network.state_dict()))
    return network.eval()


@pytest.mark.parametrize("band", [1, 40, 7 * 40, 1000 * 40])
@pytest.mark.parametrize("h", [1, 2, 13, 50])
@torch.no_grad()
def test_bands_equal_the_whole(monkeypatch, band, h):
    monkeypatch.setattr(tiling, "BAND_PIXELS", band)
    image = torch.randn(2, 3, h, 40)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 5, padding=2)).eval()
    network.halo, rows = 3, []

    def on_rows(start: int, stop: int) -> torch.Tensor:
        rows.append(stop - start)
        return network(image[:, :, start:stop])

    torch.testing.assert_close(in_bands(network, on_rows, image), network(image), atol=1e-6, rtol=1e-5)
    assert max(rows) <= max(1, band // 40) + 2 * 3


@pytest.mark.parametrize("rows", [1, 5, 16])
@torch.no_grad()
def test_synthesizer_in_bands(monkeypatch, rows):
    h, w = 45, 30
    monkeypatch.setattr(tiling, "BAND_PIXELS", rows * w)
    network = with_seeded_weights(Synthesizer())
    image, mask, flow = torch.rand(4, 2, 4, h, w), torch.rand(2, 2, 1, h, w), torch.randn(2, 2, 2, h, w)
    warp = Warp(tuple(image[:2]), tuple(image[2:]), tuple(mask), tuple(flow))
    features = torch.randn(2, 32, 19, 24)
    whole = network.rows(warp, features, 0, h)
    torch.testing.assert_close(network(warp, features), whole, atol=2e-6, rtol=1e-5)
    with torch.enable_grad():
        torch.testing.assert_close(network(warp, features).detach(), whole, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 5, 16])
@torch.no_grad()
def test_dtm_in_bands(monkeypatch, rows):
    h, w = 45, 30
    monkeypatch.setattr(tiling, "BAND_PIXELS", rows * w)
    network = with_seeded_weights(DTM())
    synthesis = Synthesis(torch.rand(2, 3, h, w), tuple(torch.rand(2, 2, 4, h, w)), tuple(torch.rand(2, 2, 1, h, w)))
    banded = network(synthesis)
    with torch.enable_grad():
        whole = network(synthesis)
    for ours, expected in zip(banded, whole, strict=True):
        torch.testing.assert_close(ours, expected.detach(), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("source", [(1, 1), (5, 7), (64, 40), (33, 100)])
@pytest.mark.parametrize("size", [(1, 9), (64, 40), (20, 31), (131, 17)])
def test_resized_rows_equal_rows_of_the_resized(source, size):
    image, h = torch.randn(2, 3, *source), size[0]
    whole = F.interpolate(image, size, mode="bilinear", align_corners=False)
    for start, stop in {(0, h), (0, (h + 1) // 2), (h // 3, h // 3 + 1), (h - 1, h), (h // 2, h)}:
        torch.testing.assert_close(resize_rows(image, size, start, stop), whole[:, :, start:stop], atol=2e-5, rtol=1e-5)
