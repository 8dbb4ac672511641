import pytest
import torch
from torch import nn

from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.gridnet import GridNet
from _train.frame_interpolation.models.softsplat_lite import FeatureExtractor, GridNetConverter, Synthesizer
from _train.frame_interpolation.models.splatting import Synthesis
from _util.checkpoints import seeded
from _util.folding import fold_batch_norms


def grid_inputs() -> list[torch.Tensor]:
    return [torch.randn(1, c, 32 // n, 48 // n) for c, n in ((32, 1), (64, 2), (128, 4))]


def synthesis() -> Synthesis:
    return Synthesis(torch.rand(1, 3, 20, 30), tuple(torch.rand(2, 1, 4, 20, 30)), tuple(torch.rand(2, 1, 1, 20, 30)))


@pytest.mark.parametrize(
    ("create", "run"),
    [
        (GridNet, lambda network: [network(grid_inputs())]),
        (lambda: GridNetConverter((4, 5), (6, 7)), lambda network: network([torch.randn(1, c, 8, 9) for c in (4, 5)])),
        (FeatureExtractor, lambda network: network(torch.rand(1, 3, 20, 30))),
        (Synthesizer, lambda network: [network.net(torch.randn(1, 51, 20, 30))]),
        (DTM, lambda network: network(synthesis())),
    ],
    ids=["gridnet", "converter", "resnet", "synthesizer", "dtm"],
)
@torch.no_grad()
def test_outputs_stay(create, run):
    network = create()
    network.load_state_dict(seeded(network.state_dict()))
    network.eval()
    torch.manual_seed(1)
    expected = run(network)
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert fold_batch_norms(network) is network
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    torch.manual_seed(1)
    for ours, before in zip(run(network), expected, strict=True):
        assert (ours - before).norm() < 1e-5 * before.norm()


def test_leaves_alone_a_norm_that_follows_no_convolution():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)).eval()
    names = list(network.state_dict())
    assert list(fold_batch_norms(network).state_dict()) == names
