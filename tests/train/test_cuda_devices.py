"""What runs on a GPU without our kernels keeps to one device and computes what the CPU computes; shown without a GPU.

Each piece of work runs twice, on the CPU and on `feigned_cuda`, where mixing devices is an error. What only a card can
tell (kernels, its own rounding, streams) is in `test_cuda.py`.
"""

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from _databacks.toons import atlas
from _databacks.toons.rigs import RIGS
from _databacks.toons.scenes import Toons
from _train.frame_interpolation import flows, syntheses
from _train.frame_interpolation.benchmarks import reference
from _train.frame_interpolation.context import Context
from _train.frame_interpolation.models.animeinterp import AnimeInterp
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.fusion import Fusion
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.sharp_ifnet import SharpIFNet
from _train.frame_interpolation.models.softsplat_lite import FeatureExtractor, SoftsplatLite
from _train.frame_interpolation.models.unet import VARIANTS, FlowUNet, FrameUNet
from _train.frame_interpolation.training import tasks
from _train.frame_interpolation.training.batches import from_toons
from _util import cuda, losses, metrics
from _util.checkpoints import seeded
from _util.correlation import CorrelationPyramid
from _util.distance_transform import edt
from _util.flow import backwarp
from _util.lab import rgb_to_lab
from _util.lines import difference_of_gaussians, nedt
from _util.morphology import opening
from _util.softsplat import softsplat
from tests.feigned_cuda import CPU, MixedDevicesError, feigned_cuda

SIDE = 32
Work = Callable[[torch.device], Any]


@pytest.fixture(autouse=True)
def without_kernels(monkeypatch):
    monkeypatch.setattr(cuda, "available", lambda tensor: False)


@pytest.fixture
def scene() -> tuple[Tensor, ...]:
    """Two frames (1, 3, 32, 40), and flow01 and flow10 between them."""
    return make_scene((SIDE, SIDE + 8))


def make_scene(size: tuple[int, int]) -> tuple[Tensor, ...]:
    frames = F.interpolate(torch.rand(2, 3, 8, 10), size, mode="bilinear")
    return *frames.split(1), *F.interpolate(3 * torch.randn(2, 2, 4, 5), size, mode="bilinear").split(1)


def check(work: Work, tolerance: float = 1e-4) -> None:
    """All tensors that `work` returns are on the device it was given, and equal those of the CPU."""
    expected = tree_leaves(work(CPU))
    with feigned_cuda() as device:
        found = tree_leaves(work(device))
        assert {x.device.type for x in found} == {"cuda"}
        found = [x.cpu() for x in found]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert (ours - theirs).double().norm() <= tolerance * theirs.double().norm() + 1e-6


def test_mixing_devices_is_an_error():
    with feigned_cuda() as device, pytest.raises(MixedDevicesError, match=r"cuda \(3,\), cpu \(3,\)"):
        torch.ones(3, device=device) + torch.ones(3)


def test_way_into_numpy_is_an_error():
    with feigned_cuda() as device, pytest.raises(RuntimeError, match="numpy"):
        torch.ones(3, device=device).numpy()


def test_gradients_arrive():
    with feigned_cuda() as device:
        leaf = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        (leaf * leaf).sum().backward()
        assert leaf.grad.device == device
        assert leaf.grad.tolist() == [2, 4]


def _lookup(frame0: Tensor, frame1: Tensor, stretched: bool = False) -> Tensor:
    maps = [F.avg_pool2d(frame, 4) for frame in (frame0, frame1)]
    places = torch.linspace(-2, 9, 2 * 2 * 8 * 10, device=frame0.device).view(2, 2, 8, 10)
    return CorrelationPyramid(*maps, both_ways=True, stretched=stretched).lookup(places)


def drawn(synthesis: str, frame0: Tensor, frame1: Tensor, *flow: Tensor) -> Tensor:
    synthesiser = syntheses.create(synthesis, Context(frame0.device))
    prepared = synthesiser.prepare(syntheses.Pair(frame0, frame1, frame0, frame1), flows.Flows(*flow))
    return synthesiser.synthesise(prepared, 0.3)


OPERATORS = {
    "sum": lambda f0, f1, f01, f10: softsplat(f0, f01, mode="sum"),
    "average": lambda f0, f1, f01, f10: softsplat(f0, f01, mode="average"),
    "linear": lambda f0, f1, f01, f10: softsplat(f0, f01, f1[:, :1], "linear"),
    "softmax": lambda f0, f1, f01, f10: softsplat(f0, f01, f1[:, :1]),
    "edt": lambda f0, f1, f01, f10: edt(f0[:, :1] > 0.7),
    "edt of nothing": lambda f0, f1, f01, f10: edt(f0[:, :1] > 2),
    "lines": lambda f0, f1, f01, f10: difference_of_gaussians(f0, 1.5),
    "nedt": lambda f0, f1, f01, f10: nedt(f0),
    "opening": lambda f0, f1, f01, f10: opening((f0 > 0.4).float()),
    "lab": lambda f0, f1, f01, f10: rgb_to_lab(f0),
    "backwarp": lambda f0, f1, f01, f10: [backwarp(f0, f01), backwarp(f0, f01, quirk=False)],
    "correlation": lambda f0, f1, f01, f10: _lookup(f0, f1),
    "stretched correlation": lambda f0, f1, f01, f10: _lookup(f0, f1, stretched=True),
    "dis": lambda f0, f1, f01, f10: flows.create("multidis", Context(f0.device))(f0, f1),
    "sgm": lambda f0, f1, f01, f10: flows.create("sgm+dis", Context(f0.device))(f0, f1),
    "splat": lambda f0, f1, f01, f10: drawn("splat", f0, f1, f01, f10),
    "style": lambda f0, f1, f01, f10: losses.Style(losses.style_features("alexnet"))(
        f0, f1, losses.StyleWeights(1, 1, 1)
    ),
    "census": lambda f0, f1, f01, f10: losses.census(f0, f1, f0[:, :1]),
    "pyramid": lambda f0, f1, f01, f10: losses.gaussian_pyramid_l1(f0, f1),
    "sequence": lambda f0, f1, f01, f10: losses.sequence_loss([f01, f10], f10),
    "literal nedt": lambda f0, f1, f01, f10: reference.nedt(f0),
}


@pytest.mark.parametrize("name", OPERATORS)
@torch.no_grad()
def test_operators(scene, name):
    check(lambda device: OPERATORS[name](*(x.to(device) for x in scene)))


NETWORKS = {
    "rfr": (RFR, lambda rfr, f0, f1, f01, f10: rfr.both_ways(f0, f1, 2)),
    "rfr as in the paper": (RFR, lambda rfr, f0, f1, f01, f10: rfr(f0, f1, 2, f01, "paper")),
    "fusion": (Fusion, lambda fusion, *scene: fusion(*scene, 0.4)),
    "ifnet": (partial(SharpIFNet, (16, 12, 8, 8), (1, 1, 1, 1)), lambda ifnet, f0, f1, *_: ifnet(f0, f1, 0.4)),
    "animeinterp-gma": (
        lambda: AnimeInterp(aggregate=True),
        lambda network, f0, f1, *initial: network(f0, f1, 0.4, *initial, "paper"),
    ),
    **{f"flow of {name}": (partial(FlowUNet, name), lambda net, f0, f1, *_: net(f0, f1)) for name in VARIANTS},
    **{f"frame of {name}": (partial(FrameUNet, name), lambda net, *scene: net(*scene, 0.4)) for name in VARIANTS},
}


def with_seeded_weights(network: nn.Module) -> nn.Module:
    network.load_state_dict(seeded(network.state_dict()))
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_networks(scene, name):
    create, run = NETWORKS[name]
    network = with_seeded_weights(create())
    check(lambda device: run(network.to(device), *(x.to(device) for x in scene)))


@torch.no_grad()
def test_ssldtm(scene):
    ssl, dtm = with_seeded_weights(SoftsplatLite()), with_seeded_weights(DTM())

    def work(device: torch.device) -> Any:
        synthesis = ssl.to(device)(*(x.to(device) for x in scene), 0.4)
        return synthesis, dtm.to(device)(synthesis)

    check(work)


@torch.no_grad()
def test_the_published_computation(scene, monkeypatch):
    monkeypatch.setattr(FeatureExtractor, "forward", features_at_the_size_given)
    rfr, ssl, dtm = (with_seeded_weights(create()) for create in (RFR, SoftsplatLite, DTM))
    larger = make_scene((128, 128))[:2]  # for flow: smaller, its coarsest correlations have no extent

    def work(device: torch.device) -> Any:
        synthesis = reference.synthesise(ssl.to(device), *(x.to(device) for x in scene), 0.4)
        flow = reference.estimate_flow(rfr.to(device), *(x.to(device) for x in larger), 1)
        return flow, reference.correct(dtm.to(device), synthesis)

    check(work)


@pytest.mark.parametrize("name", ["LPIPS", "PSNR", "SSIM", "Chamfer", "Hausdorff", "InterpolationError"])
def test_metrics(scene, name):
    def work(device: torch.device) -> Tensor:
        metric = getattr(metrics, name)().to(device)
        metric.update(*(frame.to(device) for frame in scene[:2]))
        return metric.compute()

    check(work)


def test_end_point_error(scene):
    def work(device: torch.device) -> dict[str, Tensor]:
        metric = metrics.EndPointError().to(device)
        metric.update(*(x.to(device) for x in (scene[2], scene[3], (scene[0][:, :1] > 0.7).float())))
        return metric.compute()

    check(work)


def toons(device: torch.device, batch_size: int, index: int = 0) -> Any:
    random = np.random.default_rng(0)
    parts = {kind: (len(rig.parts),) for kind, rig in RIGS.items()}
    pictures = {
        kind: torch.from_numpy(random.integers(0, 256, (5, *parts.get(kind, ()), 4, SIDE, SIDE), np.uint8))
        for kind in atlas.KINDS
    }
    return Toons((SIDE, SIDE), batch_size, 0, device, pictures=pictures).batch(index)


def test_toons():
    check(lambda device: [toons(device, 8, index) for index in range(2)])  # of so many, some suffer each damage


def train_once(device: torch.device, model: str, task: str | None, **changed: Any) -> Any:
    """The loss of a first step, what is logged, and how long the gradient is, after the step of the optimiser."""
    options = Namespace(model=model, flow="exact", features="random", style_features="alexnet", stages=("frozen",))
    options.self_supervise, options.start = False, None
    vars(options).update(changed)
    trained = tasks.choose(model, task)(options, device)
    trained.iterations = 2  # of RFR
    for network in trained.networks.values():
        network.load_state_dict(seeded(network.state_dict()))
    trained.to(device)
    trained.plan(None)
    trained.begin_step(0)
    optimizer = trained.optimizer(1e-4)
    batch = from_toons(toons(device, 1))
    if options.self_supervise:
        batch = batch._replace(flows=None)
    loss, figures = trained.training_loss(batch)
    loss.backward()
    weights = [weight for weight in trained.networks.parameters() if weight.grad is not None]
    norm = nn.utils.clip_grad_norm_(weights, trained.gradient_norm)
    optimizer.step()
    return loss.detach(), {name: figure.detach() for name, figure in figures.items()}, norm, weights[0].detach()


def features_at_the_size_given(network: FeatureExtractor, image: Tensor) -> list[Tensor]:
    """In the place of `FeatureExtractor.forward`, which enlarges images to 256 pixels."""
    conv1 = network.bn1(network.conv1(image.to(network.conv1.weight.dtype))).relu()
    layer1 = network.layer1(F.max_pool2d(conv1, 3, stride=2, padding=1))
    return [conv1, layer1, network.layer2(layer1)]


@pytest.mark.parametrize(
    ("model", "task", "changed"),
    [
        ("rfr", None, {}),
        ("rfr", None, {"self_supervise": True}),
        ("ssldtm", None, {"flow": "dis"}),
        ("fusion", None, {}),
        ("animeinterp", None, {}),
        ("resunet", "vfi", {}),
    ],
)
def test_steps_of_training(monkeypatch, model, task, changed):
    monkeypatch.setattr(FeatureExtractor, "forward", features_at_the_size_given)
    check(lambda device: train_once(device, model, task, **changed), 1e-3)
