"""AnimeInterp and its variant with global motion aggregation, with seeded weights: as networks and by command line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from _scripts import interpolate
from _train.frame_interpolation import flows as estimation
from _train.frame_interpolation import syntheses
from _train.frame_interpolation.context import Context
from _train.frame_interpolation.evaluation import candidates
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.methods import SYNTHESES
from _train.frame_interpolation.models import gma
from _train.frame_interpolation.models.animeinterp import AnimeInterp, SplatFeatures
from _util import checkpoints, image
from _util.correlation import CorrelationPyramid
from _util.errors import InputError

VARIANTS = {"animeinterp": False, "animeinterp-gma": True}


def seeded(aggregate: bool) -> AnimeInterp:
    network = AnimeInterp(aggregate).eval()
    network.load_state_dict(checkpoints.seeded(network.state_dict()))
    return network


def smooth(b: int, c: int, h: int, w: int) -> Tensor:
    return F.interpolate(torch.rand(b, c, 5, 7), (h, w), mode="bilinear", align_corners=True)


def frames(b: int, h: int, w: int) -> tuple[Tensor, Tensor]:
    image = (smooth(b, 3, h, w) * 4).round() / 4
    return image, image.roll(2, 3)


def flows(b: int, h: int, w: int, size: float = 6.0) -> tuple[Tensor, Tensor]:
    return tuple(size * (smooth(b, 2, h, w) - 0.5) for _ in range(2))


def distance(result: Tensor, expected: Tensor) -> float:
    return float((result - expected).norm() / expected.norm())


@pytest.fixture(scope="module", params=VARIANTS)
def network(request) -> AnimeInterp:
    return seeded(VARIANTS[request.param])


@pytest.fixture(scope="module")
def plain() -> AnimeInterp:
    return seeded(False)


@pytest.mark.parametrize(("size", "t"), [((16, 16), 0.5), ((17, 31), 0.125), ((50, 35), 0.9)], ids=str)
@torch.no_grad()
def test_any_size_and_time(network, size, t):
    synthesis = network(*frames(1, *size), t, *flows(1, *size))
    assert synthesis.frame.shape == (1, 3, *size)
    assert all(base.shape == (1, 3, *size) for base in synthesis.bases)
    assert all(mask.unique().tolist() in ([0, 1], [1]) for mask in synthesis.masks)
    assert synthesis.frame.isfinite().all()
    assert synthesis.frame.std() > 0


@torch.no_grad()
def test_a_batch_is_its_images_at_their_times(network):
    inputs, initial, times = frames(2, 24, 40), flows(2, 24, 40), torch.tensor([0.2, 0.7])
    together = network(*inputs, times, *initial).frame
    for i, t in enumerate(times.tolist()):
        alone = network(*(x[i : i + 1] for x in inputs), t, *(x[i : i + 1] for x in initial)).frame
        assert distance(together[i : i + 1], alone) < 1e-4


@pytest.mark.parametrize("mode", [None, "released", "paper"])
@torch.no_grad()
def test_both_directions_at_once_are_each_alone(network, mode):
    (frame0, frame1), initial = frames(1, 32, 48), flows(1, 32, 48) if mode else None
    options = (initial, mode) if mode else ()
    flow01, flow10 = network.refine(frame0, frame1, *options, iterations=3)
    alone = [(x,) if mode is None else (x, mode) for x in initial or (None, None)]
    for flow, pair, begin in ((flow01, (frame0, frame1), alone[0]), (flow10, (frame1, frame0), alone[1])):
        images = (2 * frame - 1 for frame in pair)
        assert distance(flow, network.flownet(*images, 3, *(begin if mode else ()))) < 1e-4


@torch.no_grad()
def test_the_initial_flow_and_its_mode_matter(network):
    inputs, initial = frames(1, 32, 48), flows(1, 32, 48, size=20.0)
    without, released, paper = (
        network.refine(*inputs, *options, iterations=2) for options in ((), (initial,), (initial, "paper"))
    )
    for one, other in ((without, released), (released, paper), (without, paper)):
        assert all(distance(a, b) > 1e-3 for a, b in zip(one, other, strict=True))


def prepared_at_rest(network: AnimeInterp, size: tuple[int, int]) -> tuple[tuple[Tensor, Tensor], SplatFeatures]:
    pair, still = frames(1, *size), torch.zeros(1, 2, *size)
    return pair, network.prepare(*pair, still, still)


@pytest.mark.parametrize("t", [1e-6, 0.3, 1 - 1e-6])
@torch.no_grad()
def test_what_rests_lands_where_it_was(plain, t):
    pair, prepared = prepared_at_rest(plain, (33, 50))
    synthesis = plain.synthesise(prepared, t)
    for base, mask, frame in zip(synthesis.bases, synthesis.masks, pair, strict=True):
        torch.testing.assert_close(base, frame)
        assert mask.all()


@torch.no_grad()
def test_frames_tend_to_rest_towards_their_own_time(plain):
    pair, flow = frames(1, 32, 48), flows(1, 32, 48)
    prepared = plain.prepare(*pair, *flow)
    for t, i in ((1e-4, 0), (1 - 1e-4, 1)):
        assert distance(plain.synthesise(prepared, t).bases[i], pair[i]) < 0.01
        assert distance(plain.synthesise(prepared, 1 - t).bases[i], pair[i]) > 0.05


@torch.no_grad()
def test_half_precision_is_not_far_off(plain):
    pair, flow = frames(1, 32, 48), flows(1, 32, 48)
    expected = plain.synthesise(plain.prepare(*pair, *flow), 0.5).frame
    half = seeded(False)
    half.feat_ext.bfloat16(), half.synnet.bfloat16()
    result = half.synthesise(half.prepare(*pair, *flow), 0.5).frame
    assert result.dtype == torch.float32
    assert distance(result, expected) < 0.03


def test_training_reaches_what_is_used(network):
    network.zero_grad()
    network(*frames(1, 16, 24), torch.tensor([0.4]), *flows(1, 16, 24), "paper").frame.square().mean().backward()
    unused = ("flownet.cnet.", "flownet.att.pos_emb.")
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == name.startswith(unused), name
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    network.zero_grad()


def test_attention_is_softmax_of_scaled_products():
    queries, keys, values = torch.randn(3, 2, 37, 128).unbind()
    expected = (queries @ keys.transpose(1, 2) / 128**0.5).softmax(2) @ values
    attention = gma.QueriesAndKeys(queries, keys)
    for found in (attention.weights().attend(values), *(attention.attend(values, n) for n in (1, 1000, 2**24))):
        torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_attention_of_large_pictures_is_never_held_for_all_pairs(monkeypatch):
    seen, attend = [], F.scaled_dot_product_attention

    def observed(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        seen.append(queries.shape[0] * queries.shape[1] * keys.shape[1])
        return attend(queries, keys, values)

    monkeypatch.setattr(gma.F, "scaled_dot_product_attention", observed)
    module, context, values = gma.Attention(), torch.randn(2, 128, 20, 35), torch.randn(2, 700, 128)
    kept, large = module(context, kept=2 * 700**2), module(context, kept=2 * 700**2 - 1)
    expected = kept.attend(values)
    assert not seen
    torch.testing.assert_close(large.attend(values, at_once=100_000), expected)
    assert max(seen) <= 100_000
    assert sum(seen) == 2 * 700**2


@torch.no_grad()
def test_aggregation_adds_motion_seen_elsewhere():
    """Where all places are alike, each sees the mean of what moves."""
    aggregator, motion = gma.Aggregator(), torch.randn(1, 128, 4, 5)
    alike = gma.QueriesAndKeys(torch.ones(1, 20, 128), torch.ones(1, 20, 128))
    torch.testing.assert_close(aggregator(motion, alike), torch.cat([motion, motion], 1))
    aggregator.gamma.fill_(0.5)
    mean = aggregator.to_v(motion).mean((2, 3), keepdim=True)
    torch.testing.assert_close(aggregator(motion, alike)[:, 128:], motion + 0.5 * mean)


@pytest.mark.parametrize("size", [(2, 2), (2, 9), (9, 12), (16, 24)], ids=str)
@pytest.mark.parametrize("both_ways", [False, True])
@torch.no_grad()
def test_released_lookup(size, both_ways):
    """As `grid_sample` reads what was meant for aligned corners; exactly, where a map has one pixel."""
    h, w = size
    features, n = torch.randn(2, 2, 32, *size), 4 if both_ways else 2
    pyramid = CorrelationPyramid(*features, both_ways, stretched=True)
    y, x = torch.meshgrid(torch.arange(h).float(), torch.arange(w).float(), indexing="ij")
    places = torch.stack([x, y]) + 5 * torch.randn(n, 2, h, w)
    found = pyramid.lookup(places)
    offset = torch.arange(-4, 5).float()
    window = torch.stack(torch.meshgrid(offset, offset, indexing="ij"), -1)
    maps = (features[0].flatten(2).transpose(1, 2) @ features[1].flatten(2) / 32**0.5).view(2 * h * w, 1, h, w)
    centres = places[:2].permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
    grid = 2 * (centres + window) / torch.tensor([w - 1, h - 1]) - 1
    expected = F.grid_sample(maps, grid, align_corners=False).view(2, h, w, 81).permute(0, 3, 1, 2)
    torch.testing.assert_close(found[:2, :81], expected, atol=1e-4, rtol=1e-4)
    with torch.enable_grad():
        torch.testing.assert_close(pyramid.lookup(places), found, atol=1e-4, rtol=1e-4)


REFINING = [name for name, method in SYNTHESES.items() if method.refines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Files as they are published, with seeded weights."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for (name, aggregate), wrapper in zip(VARIANTS.items(), ("model_state_dict", "state_dict"), strict=True):
        state = {f"module.{key}": tensor for key, tensor in seeded(aggregate).state_dict().items()}
        torch.save({"epoch": 3, wrapper: state}, folder / checkpoints.PUBLISHED[name])
    return folder


@pytest.fixture
def run(call, tmp_path, monkeypatch, folder) -> Callable:
    """Runs `interpolate` on two small pictures; returns its exit code and what it said on stderr."""
    monkeypatch.chdir(tmp_path)
    for name, frame in zip("ab", frames(1, 24, 33), strict=True):
        image.write(Path(f"{name}.png"), image.to_array(frame[0], np.dtype(np.uint8)))
    arguments = "a.png", "b.png", "--times", 0.25, 0.5, "--device", "cpu", "--checkpoints", folder, "--out", "out"
    return lambda *more: call(interpolate.main, *arguments, *more)[:2]


@pytest.mark.parametrize("synthesis", REFINING)
def test_by_command_line(run, synthesis):
    code, said = run("--synthesis", synthesis, "--flow", "dis", "--show-flow")
    assert code == 0, said
    pictures = [image.read(Path("out") / f"{name}.png") for name in ("t0.25", "t0.50", "flow01")]
    assert all(picture.shape == (24, 33, 3) for picture in pictures)
    assert not np.array_equal(*pictures[:2])


def test_the_file_of_the_other_variant_is_refused(run, folder, tmp_path):
    (tmp_path / "anime_interp_gma.ckpt").write_bytes((folder / "anime_interp_full.ckpt").read_bytes())
    code, said = run("--synthesis", "animeinterp-gma", "--flow", "dis", "--checkpoints", tmp_path)
    assert code == 2
    assert "anime_interp_gma.ckpt does not fit the network (missing: flownet." in said
    code, said = run("--synthesis", "animeinterp", "--flow", "dis", "--checkpoints", tmp_path)
    assert code == 2
    assert "put anime_interp_full.ckpt into" in said


@pytest.mark.parametrize("flow", ["rfr", "sgm+rfr", "sgm+rfr-paper"])
@pytest.mark.parametrize("synthesis", REFINING)
def test_refined_flow_is_not_refined_again(folder, flow, synthesis):
    with pytest.raises(InputError, match=rf"{synthesis} refines .* take --flow sgm"):
        Interpolator(flow, synthesis, "cpu", folder=folder)


def test_auto_begins_with_segments_and_is_never_chosen_by_itself(folder):
    assert Interpolator("auto", "animeinterp", "cpu", folder=folder).flow == "sgm"
    assert Interpolator("dis", "auto", "cpu", folder=folder).synthesis == "splat"


def test_judged_with_a_coarse_flow_even_where_data_come_with_refined_ones(folder):
    method = candidates.create("auto+animeinterp", ["a"], True, device="cpu", folder=folder)
    assert method.name == "sgm+animeinterp"
    assert candidates.create("precomputed+animeinterp", ["a"], True, device="cpu", folder=folder).is_precomputed


@pytest.mark.parametrize("channels", [1, 4])
def test_frames_of_every_kind(folder, channels):
    frame = (255 * np.random.default_rng(0).random((20, 33, channels))).astype(np.uint8)
    interpolator = Interpolator("dis", "animeinterp", "cpu", folder=folder)
    (middle,) = interpolator(frame, np.roll(frame, 1, 1))
    assert (middle.shape, middle.dtype) == (frame.shape, frame.dtype)


def test_large_frames_are_refined_at_a_moderate_size(folder, monkeypatch):
    monkeypatch.setattr("_train.frame_interpolation.flows.LARGEST_AREA", 32 * 48)
    synthesiser, network = syntheses.create("animeinterp", Context(folder=folder)), AnimeInterp().eval()
    checkpoints.load(network, "animeinterp", folder)
    pair, initial = frames(1, 64, 96), flows(1, 64, 96)
    with torch.no_grad():
        prepared = synthesiser.prepare(syntheses.Pair(*pair, *pair), estimation.Flows(*initial))
        small = [
            F.interpolate(x, (32, 48), mode="bilinear", align_corners=False, antialias=x.shape[1] == 3)
            for x in (*pair, *initial)
        ]
        expected = network.refine(*small[:2], tuple(flow / 2 for flow in small[2:]))
    resized = F.interpolate(2 * torch.cat(expected), (64, 96), mode="bilinear", align_corners=False)
    assert distance(prepared.image.flow, resized) < 1e-4
