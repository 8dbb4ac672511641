"""Several times of a pair at once: the frames that each time gives alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from _train.frame_interpolation import syntheses
from _train.frame_interpolation.models.animeinterp import AnimeInterp
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.fusion import Fusion
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _train.frame_interpolation.models.unet import FrameUNet
from _util.checkpoints import seeded

TIMES = 0.2, 0.5, 0.9


def with_seeded_weights(network: nn.Module) -> nn.Module:
    network.load_state_dict(seeded(network.state_dict()))
    return network.eval()


@pytest.mark.parametrize("create", [syntheses.Splat, SoftsplatLite, Fusion, FrameUNet, AnimeInterp])
@torch.inference_mode()
def test_several_times_at_once(create):
    frames = F.interpolate(torch.rand(2, 3, 8, 10), (33, 40), mode="bilinear").split(1)
    flow = F.interpolate(3 * torch.randn(2, 2, 4, 5), (33, 40), mode="bilinear").split(1)
    network = create() if create is syntheses.Splat else with_seeded_weights(create())
    prepared = network.prepare(*frames, *flow)
    together = network.synthesise(prepared, torch.tensor(TIMES))
    alone = [network.synthesise(prepared, t) for t in TIMES]
    if create is SoftsplatLite:
        dtm = with_seeded_weights(DTM())
        together, alone = dtm(together)[0], [dtm(synthesis)[0] for synthesis in alone]
    elif not isinstance(together, torch.Tensor):
        together, alone = together.frame, [synthesis.frame for synthesis in alone]
    assert together.shape == (3, 3, 33, 40)
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)
