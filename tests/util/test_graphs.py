"""A function and its replay give the same, whatever it is given; on a card, and before that on a feigned GPU."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from _train.frame_interpolation import syntheses
from _train.frame_interpolation.context import Context
from _train.frame_interpolation.flows import Flows
from _train.frame_interpolation.models.animeinterp import AnimeInterp
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.fusion import Fusion
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.sharp_ifnet import SharpIFNet
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _train.frame_interpolation.models.unet import FlowUNet, FrameUNet
from _util import graphs
from _util.checkpoints import seeded
from tests.feigned_gpu import feigned_gpu


@pytest.fixture
def gpu() -> Iterator[torch.device]:
    with torch.inference_mode(), feigned_gpu() as device:
        yield device


class Counted:
    """Twice the first tensor and its sum with the second, and how often that was computed."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x: Tensor, others: tuple[Tensor, ...] = ()) -> list[Tensor]:
        self.calls += 1
        return [2 * x, *(x + y for y in others)]


def test_only_what_comes_again_is_captured(gpu):
    function = Counted()
    replayed = graphs.replayed(function, gpu)
    for i, calls in enumerate([1, 3, 3, 3]):  # captured after a call that warms up
        x, y = (torch.randn(2, 3, device=gpu) for _ in range(2))
        twice, both = replayed(x, (y,))
        assert function.calls == calls, i
        torch.testing.assert_close(twice.cpu(), 2 * x.cpu())
        torch.testing.assert_close(both.cpu(), (x + y).cpu())


def test_results_stay(gpu):
    replayed = graphs.replayed(Counted(), gpu)
    results = [replayed(torch.full((2,), float(i), device=gpu))[0] for i in range(5)]
    assert [x.tolist() for x in results] == [[2.0 * i] * 2 for i in range(5)]


class SlowGraph:
    """Like a graph, has one set of tensors."""

    def __init__(self, function: Callable, arguments: tuple, _: None):
        self.function, self.arguments = function, [x.clone() for x in arguments]

    def __call__(self, tensors: list[Tensor]) -> list[Tensor]:
        for mine, given in zip(self.arguments, tensors, strict=True):
            mine.copy_(given)
        time.sleep(0.001)
        return self.function(*self.arguments)


def test_threads_share_graphs(monkeypatch):
    monkeypatch.setattr(graphs, "_Graph", SlowGraph)
    monkeypatch.setattr(graphs, "_CaptureResources", lambda device: None)
    replayed = graphs.Replayed(lambda x: [2 * x])

    @torch.inference_mode()
    def repeatedly(i: int) -> set[float]:
        return {replayed(torch.tensor(float(i)))[0].item() for _ in range(20)}

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(repeatedly, range(4))) == [{2.0 * i} for i in range(4)]


def test_each_shape_and_type_has_its_graph(gpu):
    function = Counted()
    replayed = graphs.replayed(function, gpu)
    given = [torch.ones(shape, dtype=dtype, device=gpu) for shape in (2, 3) for dtype in (torch.float32, torch.float16)]
    for _ in range(4):
        for x in given:
            (twice,) = replayed(x)
            assert (twice.shape, twice.dtype) == (x.shape, x.dtype)
    assert function.calls == 3 * len(given)


def test_what_is_no_tensor_is_part_of_what_is_captured(gpu):
    def function(x: Tensor, size: tuple[int, ...], more: None) -> tuple:
        return x * size[0], size, more

    replayed = graphs.replayed(function, gpu)
    for _ in range(4):
        for size in ((2, 3), (4, 3)):
            product, same, nothing = replayed(torch.ones(2, device=gpu), size, None)
            assert product.tolist() == 2 * [size[0]]
            assert (same, nothing) == (size, None)


def test_few_graphs_are_kept(gpu):
    function = Counted()
    replayed = graphs.replayed(function, gpu)
    for size in range(1, 41):
        for _ in range(3):
            replayed(torch.ones(size, device=gpu))
    assert len(replayed._graphs) == graphs._KEPT
    before = function.calls
    replayed(torch.ones(40, device=gpu))
    assert function.calls == before
    replayed(torch.ones(1, device=gpu))
    assert function.calls == before + 1


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_graphs_are_for_inference(mode):
    function = Counted()
    with mode(), feigned_gpu() as device:
        replayed = graphs.replayed(function, device)
        for _ in range(4):
            replayed(torch.ones(2, device=device))
    assert function.calls == 4


def test_what_is_large_runs_as_it_is(gpu, monkeypatch):
    monkeypatch.setattr(graphs, "_LARGEST", 10)
    function = Counted()
    replayed = graphs.replayed(function, gpu)
    for _ in range(4):
        replayed(torch.ones(11, device=gpu))
    assert function.calls == 4


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * x.sum().item(),
        lambda x: x + torch.ones(len(x)).to(x.device),
        lambda x: x[x > 0].sum() + x,
        lambda x: x.cpu().to(x.device),
    ],
    ids=["a value", "from the host", "a mask", "to the host"],
)
def test_what_cannot_be_captured_is_reported_once_and_runs_as_it_is(gpu, capsys, function):
    replayed = graphs.replayed(function, gpu)
    for _ in range(4):
        x = torch.randn(5, device=gpu)
        assert replayed(x).tolist() == function(x).tolist()
    assert capsys.readouterr().err.count("no CUDA graph is used") == 1


def test_a_replay_that_differs_is_not_used(gpu, capsys):
    steps = iter(range(100))
    replayed = graphs.replayed(lambda x: x + next(steps), gpu)
    assert [replayed(torch.zeros(1, device=gpu)).tolist() for _ in range(4)] == [[0], [3], [4], [5]]
    assert "differs" in capsys.readouterr().err


def test_elsewhere_nothing_is_replayed():
    function = Counted()
    assert graphs.replayed(function, torch.device("cpu")) is function


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_constants_are_those_of_new_tensor(dtype):
    like = torch.empty(0, dtype=dtype)
    assert torch.equal(graphs.constant([0.1, 960 / 7, -3], like), like.new_tensor([0.1, 960 / 7, -3]))


def scene(device: torch.device, size: tuple[int, int] = (32, 40)) -> tuple[Tensor, ...]:
    """Two frames and the flow between them in both directions."""
    coarse = size[0] // 4, size[1] // 4
    frames = F.interpolate(torch.rand(2, 3, *coarse), size, mode="bilinear").split(1)
    flow = F.interpolate(3 * torch.randn(2, 2, *coarse), size, mode="bilinear").split(1)
    return tuple(x.to(device) for x in (*frames, *flow))


def with_seeded_weights(network: nn.Module) -> nn.Module:
    network.load_state_dict(seeded(network.state_dict()))
    return network.eval()


def lines_corrected(ssl: nn.Module, device: torch.device) -> Callable[..., Tensor]:
    dtm = with_seeded_weights(DTM()).to(device)
    return lambda prepared, t: dtm(ssl.synthesise(prepared, t))


def check_replay(function: Callable, arguments: list[tuple], replays: bool = True) -> list:
    """The last call's results equal the function's, as far as it repeats itself; gives those of all calls.

    On a card the sums of splatting have no order, and line distances jump where such a sum decides.
    """
    replayed = graphs.Replayed(function)
    found = [replayed(*given) for given in arguments]
    expected, again = (tree_leaves(function(*arguments[-1])) for _ in range(2))
    for ours, theirs, repeated in zip(tree_leaves(found[-1]), expected, again, strict=True):
        if not isinstance(theirs, Tensor):
            assert ours == theirs
            continue
        own = (repeated - theirs).double().norm().item()
        assert (ours - theirs).double().norm().item() <= 1e-3 * theirs.double().norm().item() + 3 * own + 1e-6
    assert replayed._has_failed != replays
    return found


class Intermediate(nn.Module):
    """The project's own, in small, on frames whose flow is left alone."""

    def __init__(self):
        super().__init__()
        self.network = SharpIFNet((16, 12, 8, 8), (1, 1, 1, 1))

    def prepare(self, frame0: Tensor, frame1: Tensor, *_: Tensor):
        return syntheses.Intermediate(self.network, lambda _: 1).prepare(syntheses.Pair(frame0, frame1, frame0, frame1))

    def synthesise(self, prepared, t: Tensor) -> Tensor:
        return syntheses.Intermediate(self.network, lambda _: 1).synthesise(prepared, t, None)


def splatting() -> SimpleNamespace:
    synthesis = syntheses.create("splat", Context())

    def prepare(frame0: Tensor, frame1: Tensor, *flow: Tensor):
        return synthesis.prepare(syntheses.Pair(frame0, frame1, frame0, frame1), Flows(*flow))

    return SimpleNamespace(prepare=prepare, synthesise=synthesis.synthesise)


NETWORKS = {
    "splat": splatting,
    "ifnet": Intermediate,
    "ssldtm": SoftsplatLite,
    "fusion": Fusion,
    "resunet": lambda: FrameUNet("resunet"),
    "transunet": lambda: FrameUNet("transunet"),
    "animeinterp": AnimeInterp,
}


def check_synthesis(name: str, device: torch.device, size: tuple[int, int]) -> None:
    network = NETWORKS[name]()
    if isinstance(network, nn.Module):
        network = with_seeded_weights(network).to(device)
    prepared = check_replay(network.prepare, [scene(device, size) for _ in range(3)])
    synthesise = lines_corrected(network, device) if name == "ssldtm" else network.synthesise
    times = (graphs.constant([t, 0.8], torch.empty(0, device=device)) for t in (0.2, 0.5, 0.7))
    check_replay(synthesise, list(zip(prepared, times, strict=True)))


def mostly_slow(*names: str) -> list:
    quick = "splat", "ifnet", "resunet", "rfr"
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", mostly_slow(*NETWORKS))
def test_syntheses_can_be_captured(gpu, name):
    check_synthesis(name, gpu, (32, 40))


@pytest.mark.parametrize("name", mostly_slow("rfr", "sgm+rfr", "animeinterp-gma", "flow of resunet"))
def test_flow_can_be_captured(gpu, name):
    if name == "flow of resunet":
        function = with_seeded_weights(FlowUNet("resunet")).to(gpu)
        check_replay(function, [scene(gpu)[:2] for _ in range(3)])
        return
    network = AnimeInterp(aggregate=True).flownet if name == "animeinterp-gma" else RFR()
    network = with_seeded_weights(network).to(gpu)

    def refine(frame0: Tensor, frame1: Tensor, *initial: Tensor) -> tuple[Tensor, Tensor]:
        return network.both_ways(frame0, frame1, 2, initial or None, "paper")

    check_replay(refine, [scene(gpu, (34, 41))[: 4 if name == "sgm+rfr" else 2] for _ in range(3)])


@pytest.fixture
def card() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device())


@pytest.mark.cuda
@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_syntheses_are_captured(card, name):
    check_synthesis(name, card, (128, 200))


@pytest.mark.cuda
@torch.inference_mode()
def test_flow_is_captured(card):
    network = with_seeded_weights(RFR()).to(card)
    check_replay(lambda *frames: network.both_ways(*frames, 4), [scene(card, (128, 200))[:2] for _ in range(4)])


@pytest.mark.cuda
@torch.inference_mode()
def test_after_a_failed_capture_all_goes_on(card, capsys):
    check_replay(lambda x: x * x.sum().item(), [(torch.randn(5, device=card),) for _ in range(4)], replays=False)
    assert "no CUDA graph is used" in capsys.readouterr().err
    check_replay(lambda x: x * x.sum(), [(torch.randn(5, device=card),) for _ in range(4)])


@pytest.mark.cuda
@torch.inference_mode()
def test_graphs_that_share_memory_do_not_disturb_each_other(card):
    function = graphs.Replayed(lambda x: (x.sin() @ x.cos()).relu() + x)
    squares = [torch.randn(n, n, device=card) for n in (50, 300, 120)]
    expected = [(x.sin() @ x.cos()).relu() + x for x in squares]
    for _ in range(3):
        found = [function(x) for x in squares]
    for i in (2, 0, 1, 1, 2, 0):
        torch.testing.assert_close(function(squares[i]), expected[i])
    for ours, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, wanted)
