"""Several times of a pair at once: the frames that each time gives alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from _train.frame_interpolation import syntheses
from _train.frame_interpolation.context import Context
from _train.frame_interpolation.flows import Flows
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.models.animeinterp import AnimeInterp
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.fusion import Fusion
from _train.frame_interpolation.models.ifnet import IFNet
from _train.frame_interpolation.models.sharp_ifnet import SharpIFNet
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _train.frame_interpolation.models.unet import FrameUNet
from _train.frame_interpolation.pipeline import Pipeline
from _train.frame_interpolation.syntheses import Intermediate, Pair, Splatting
from _util.checkpoints import seeded
from _util.errors import InputError

TIMES = 0.2, 0.5, 0.9


def with_seeded_weights(network: nn.Module) -> nn.Module:
    network.load_state_dict(seeded(network.state_dict()))
    return network.eval()


def splatting(create) -> Splatting:
    network = with_seeded_weights(create())
    return Splatting(network.prepare, lambda prepared, t: network.synthesise(prepared, t).frame)


def ssldtm() -> Splatting:
    network, dtm = with_seeded_weights(SoftsplatLite()), with_seeded_weights(DTM())
    return Splatting(network.prepare, lambda prepared, t: dtm(network.synthesise(prepared, t))[0])


def intermediate(network: nn.Module) -> Intermediate:
    return Intermediate(with_seeded_weights(network), lambda size: 1)


SYNTHESES = {
    "splat": lambda: syntheses.create("splat", Context()),
    "ssldtm": ssldtm,
    "fusion": lambda: splatting(Fusion),
    "resunet": lambda: splatting(FrameUNet),
    "animeinterp": lambda: splatting(AnimeInterp),
    "rife": lambda: intermediate(IFNet((16, 12, 8, 8), (1, 1, 1, 1))),
    "ifnet": lambda: intermediate(SharpIFNet((16, 12, 8, 8), (1, 1, 1, 1))),
}


@pytest.mark.parametrize("name", SYNTHESES)
@torch.inference_mode()
def test_several_times_at_once_with_alpha(name):
    frames = F.interpolate(torch.rand(2, 3, 8, 10), (33, 40), mode="bilinear").split(1)
    flow = F.interpolate(3 * torch.randn(2, 2, 4, 5), (33, 40), mode="bilinear").split(1)
    alpha = F.interpolate(torch.rand(2, 1, 8, 10), (33, 40), mode="bilinear")
    synthesis = SYNTHESES[name]()
    prepared = synthesis.prepare(Pair(*frames, *frames), Flows(*flow))
    together = synthesis.synthesise(prepared, torch.tensor(TIMES), alpha)
    alone = [synthesis.synthesise(prepared, t, alpha) for t in TIMES]
    assert together.shape == (3, 4, 33, 40)
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(synthesis.synthesise(prepared, TIMES[0]), alone[0][:, :3])
    assert [x.shape for x in synthesis.flow(prepared)] == 2 * [(1, 2, 33, 40)]


def test_a_map_of_times_needs_a_method_that_finds_motion():
    pipeline = Interpolator("dis", "splat", "cpu").pipeline
    prepared = pipeline.prepare(*torch.rand(2, 1, 3, 32, 40))
    with pytest.raises(InputError, match="A map of times needs a method that finds motion itself"):
        pipeline.frames(prepared, torch.full((1, 1, 32, 40), 0.5))


class Counting(Intermediate):
    calls = 0

    def interpolate(self, prepared, t):
        self.calls += 1
        return super().interpolate(prepared, t)


@torch.inference_mode()
def test_a_small_pair_is_estimated_once(monkeypatch):
    plain = Counting(with_seeded_weights(SharpIFNet((16, 12, 8, 8), (1, 1, 1, 1))), lambda size: 1)
    remembering = syntheses.CachedIntermediate(plain)
    (frame0, frame1), alpha = torch.rand(2, 1, 3, 32, 40), torch.rand(2, 1, 32, 40)
    pairs = Pair(frame0, frame1, frame0, frame1), Pair(frame1, frame0, frame1, frame0)

    def count(pair, times) -> int:
        before = plain.calls
        for t in times:
            drawn = remembering.synthesise(remembering.prepare(pair), t, alpha)
            counted = plain.calls
            torch.testing.assert_close(drawn, plain.synthesise(plain.prepare(pair), t, alpha), rtol=0, atol=0)
            plain.calls = counted
        return plain.calls - before

    assert count(pairs[0], [0.5, 0.5, 0.3, 0.3, 0.5]) == 3
    assert count(pairs[1], [0.5, 0.5]) == count(pairs[0], [0.5]) == 1
    assert count(pairs[0], [torch.tensor([0.5]), torch.tensor([0.3])]) == 2
    monkeypatch.setattr(syntheses.flows, "LARGEST_AREA", 32 * 40 - 1)
    assert count(pairs[1], [0.5, 0.5]) == 2


@torch.inference_mode()
def test_a_pair_is_told_by_its_content():
    """A caller may fill the same tensors with one pair after another."""
    plain = intermediate(IFNet((16, 12, 8, 8), (1, 1, 1, 1)))
    remembering = syntheses.CachedIntermediate(plain)
    first, second = (Pair(*frames, *frames) for frames in torch.rand(2, 2, 1, 3, 32, 40))
    refilled = Pair(*(frame.clone() for frame in first))

    def check(pair) -> None:
        drawn, expected = (one.synthesise(one.prepare(pair), 0.5) for one in (remembering, plain))
        torch.testing.assert_close(drawn, expected, rtol=0, atol=0)

    check(refilled)
    for frame, other in zip(refilled, second, strict=True):
        frame.copy_(other)
    check(refilled)
    check(first)


def test_several_maps_of_times_are_several_frames():
    pipeline = Pipeline(None, intermediate(IFNet((16, 12, 8, 8), (1, 1, 1, 1))))
    prepared, maps = pipeline.prepare(*torch.rand(2, 1, 3, 32, 40)), torch.rand(2, 1, 32, 40)
    alone = [pipeline.frames(prepared, times) for times in maps.split(1)]
    torch.testing.assert_close(pipeline.frames(prepared, maps), torch.cat(alone))


@torch.inference_mode()
def test_what_is_carried_moves_with_the_drawing():
    """Alpha that equals a colour is drawn as that colour is, by whichever synthesis mixes what it reads."""
    frames = F.interpolate(torch.rand(2, 3, 8, 10), (33, 40), mode="bilinear")
    synthesis = intermediate(IFNet((16, 12, 8, 8), (1, 1, 1, 1)))
    drawn = synthesis.synthesise(synthesis.prepare(Pair(*frames.split(1), *frames.split(1))), 0.3, frames[:, :1])
    torch.testing.assert_close(drawn[:, 3], drawn[:, 0])
