"""Toons: exact flow, exact occlusion, determinism, variety."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from _databacks.toons import atlas, degradation, drawings, motion
from _databacks.toons import scenes as scenes_
from _databacks.toons.motion import Motion, Pose
from _databacks.toons.rigs import RIGS
from _databacks.toons.scenes import Toons
from _databacks.toons.show import rate, sheet
from _util.errors import InputError
from _util.flow import backwarp

pytest.importorskip("resvg_py", reason="toons are drawn by resvg (make/setup train)")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    path = tmp_path_factory.mktemp("toons") / "atlas.zip"
    atlas.build(path, drawings=10, icons=0, rigs=4, backgrounds=4, captions=2, seed=1)
    return atlas.load(path)


@pytest.fixture(scope="session")
def smooth() -> dict[str, Tensor]:
    """Pictures whose colours and edges change so slowly that interpolation between pixels cannot err by much."""
    y, x = torch.meshgrid(torch.linspace(0, 3, 256), torch.linspace(0, 3, 256), indexing="ij")
    waves = [0.5 + 0.5 * torch.sin(a * x + b * y) for a, b in ((1, 2), (2, 1), (1, -1), (-2, 1))]
    discs = (1.7 - (x - 1.5) ** 2 - (y - 1.5) ** 2).clamp(0, 1)
    colours = torch.stack([torch.stack([waves[i - j] for j in range(3)]) for i in range(4)])
    filled = torch.cat([colours * discs, discs.expand(4, 1, -1, -1)], 1)
    opaque = torch.cat([colours, torch.ones(4, 1, 256, 256)], 1)
    scaled = {"drawing": filled, "background": opaque, "caption": filled}
    scaled |= {kind: torch.stack([filled.roll(i, 0) for i in range(len(rig.parts))], 1) for kind, rig in RIGS.items()}
    return {kind: (255 * values).round().byte() for kind, values in scaled.items()}


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (75, 51)])
def test_flow_leads_to_the_same_colour_wherever_it_is_seen(smooth, size):
    for seed in range(100):
        scenes = Toons(size, 1, seed, degraded=False, pictures=smooth).batch(0)
        first, middle, last = scenes.frames.unbind(1)
        to_first, to_last = scenes.motion.split(2, 1)
        seen_first, seen_last = scenes.seen.split(1, 1)
        for here, there, flow, seen in (
            (first, last, scenes.flows[0], 1 - scenes.occlusions[0]),
            (last, first, scenes.flows[1], 1 - scenes.occlusions[1]),
            (middle, first, to_first, seen_first),
            (middle, last, to_last, seen_last),
        ):
            error = (backwarp(there, flow, quirk=False) - here).abs().amax(1, keepdim=True) * seen
            assert error.mean() < 0.004, seed
            assert (error > 0.1).float().mean() < 0.02, seed


def test_flow_of_detailed_scenes_is_exact_too(pictures):
    errors = {0: [], 1: []}
    for index in range(10):
        scenes = Toons((128, 128), 2, seed=3, degraded=False, pictures=pictures).batch(index)
        seen = backwarp(scenes.frames[:, 2], scenes.flows[0], quirk=False)
        error = (seen - scenes.frames[:, 0]).abs().amax(1, keepdim=True)
        for hidden in (0, 1):
            errors[hidden].append(error[scenes.occlusions[0] == hidden])
    visible, hidden = (torch.cat(errors[i]).mean() for i in (0, 1))
    assert visible < 0.02
    assert hidden > 10 * visible


def test_flows_undo_each_other_where_both_are_seen(pictures):
    scenes = Toons((96, 96), 8, seed=5, degraded=False, pictures=pictures).batch(0)
    flow01, flow10 = scenes.flows
    gap = (flow01 + backwarp(flow10, flow01, quirk=False)).norm(dim=1, keepdim=True)
    seen = (scenes.occlusions[0] == 0) & (backwarp(scenes.occlusions[1], flow01, quirk=False) == 0)
    assert gap[seen].median() < 0.05
    assert (gap[seen] > 1).float().mean() < 0.01


def test_a_scene_without_flow_is_still_and_hides_nothing(smooth, monkeypatch):
    monkeypatch.setattr(scenes_, "DRAWINGS", 1)
    drawing = smooth["drawing"] * (smooth["drawing"][:, 3:] > 127)
    toons = Toons((64, 64), 8, seed=2, degraded=False, pictures=smooth | {"drawing": drawing})
    still = 0
    for scenes in map(toons.batch, range(8)):
        for frames, flow, occlusion in zip(scenes.frames, scenes.flows[0], scenes.occlusions[0], strict=True):
            if flow.abs().max() < 1e-3:
                still += 1
                # What covers less than half of a pixel moves unseen.
                assert ((frames[0] - frames[2]).abs() > 0.01).float().mean() < 0.01
                assert occlusion.mean() < 0.01
    assert still > 0


def test_a_batch_depends_on_seed_and_index_alone(pictures):
    toons = Toons((48, 64), 3, seed=7, pictures=pictures)
    toons.batch(0)
    later, fresh = toons.batch(5), Toons((48, 64), 3, seed=7, pictures=pictures).batch(5)
    assert later.motion.shape == (3, 4, 48, 64)
    for ours, theirs in zip(tree_leaves(later), tree_leaves(fresh), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(later.frames, toons.batch(6).frames)
    assert not torch.equal(later.frames, Toons((48, 64), 3, seed=8, pictures=pictures).batch(5).frames)


@pytest.mark.parametrize(("between_ends", "from_middle"), [(True, False), (False, True)])
def test_what_is_not_wanted_is_not_made(pictures, between_ends, from_middle):
    given = {"between_ends": between_ends, "from_middle": from_middle}
    scenes, whole = (Toons((32, 48), 2, seed=7, pictures=pictures, **more).batch(0) for more in (given, {}))
    assert torch.equal(scenes.frames, whole.frames)
    assert torch.equal(scenes.progress, whole.progress)
    assert (scenes.flows is None) == (scenes.occlusions is None) == from_middle
    assert (scenes.motion is None) == (scenes.seen is None) == between_ends
    if from_middle:
        assert torch.equal(scenes.motion, whole.motion)


class Straight(Motion):
    """Everything shifts along straight lines, and nothing turns, grows or bends on its way."""

    def _time(self, k: int) -> None:
        super()._time(k)
        for quantity in (self.growth, self.turn, self.bending, self.waving, self.part_turn, self.camera[..., 2:]):
            quantity.zero_()


def test_progress_is_how_far_each_thing_has_come(smooth, monkeypatch):
    monkeypatch.setattr(scenes_, "Motion", Straight)
    toons = Toons((64, 64), 8, seed=4, degraded=False, pictures=smooth)
    even, farthest = [], []
    for index in range(6):
        scenes = toons.batch(index)
        to_first, to_last = scenes.motion.split(2, 1)
        p = scenes.progress
        assert ((1 - p) * to_first + p * to_last).abs().max() < 0.01
        farthest.append(to_first.abs().max())
        even += [(q - t).abs().max() < 1e-6 for q, t in zip(p, scenes.times, strict=True)]
    assert 0.5 < np.mean(even) < 0.95
    assert max(farthest) > 3


def test_scenes_that_move_evenly_are_at_their_time(smooth, monkeypatch):
    monkeypatch.setattr(motion, "EVEN", 1.0)
    scenes = Toons((32, 32), 16, seed=4, pictures=smooth).batch(0)
    torch.testing.assert_close(scenes.progress, scenes.times.view(-1, 1, 1, 1).expand_as(scenes.progress))


def test_parts_of_a_rig_stay_joined():
    """Where a part turns, its own map and that of what carries it lead to the same pixel, at all times."""
    moved, found = Motion(torch.Generator().manual_seed(0), 64, 6, (96, 128)), {kind: [] for kind in RIGS}
    for t in (0.0, 0.3, 1.0):
        pose = moved.at(torch.full((64,), t))
        for i, (kind, parts) in enumerate(zip(moved.rigs, moved.parts, strict=True)):
            for j, part in enumerate(RIGS[kind].parts[: parts.stop - parts.start] if kind else ()):
                carrier = j - 1 if kind == "limb" else 1  # the face, the body
                if j == carrier or carrier < 0 or part.parallax:
                    continue
                ends = [(j, part.joint), (carrier, part.hangs or part.joint)]
                found[kind].append([to_frame(pose, i, parts.start + 1 + layer, point) for layer, point in ends])
    for kind in ("limb", "figure"):
        own, carried = torch.stack([torch.stack(places) for places in found[kind]]).unbind(1)
        assert len(own) > 20
        torch.testing.assert_close(own, carried, atol=0.01, rtol=0)
        assert own.std(0).min() > 10


def to_frame(pose: Pose, scene: int, layer: int, point: tuple[float, float]) -> Tensor:
    """Where a pose of one layer has a point of its picture."""
    one = Pose(*(x[scene : scene + 1, layer : layer + 1] for x in pose))
    return scenes_._to_frame(torch.tensor(point).view(1, 1, 2, 1, 1), one).flatten()


def test_rigs_are_their_seed(pictures):
    for kind, rig in RIGS.items():
        assert drawings.rig(kind, np.random.default_rng(4)) == drawings.rig(kind, np.random.default_rng(4))
        drawn = pictures[kind]
        assert drawn.shape == (4, len(rig.parts), 4, 256, 256)
        assert (drawn[:, :, :3] <= drawn[:, :, 3:]).all()
        assert (drawn[:, :, 3] > 0).any((2, 3)).all()  # no part is empty
        assert (drawn[:, :, 3] == 0).any((2, 3)).all()


def test_motion_is_varied(pictures):
    scenes = [Toons((96, 96), 8, seed=11, pictures=pictures).batch(i) for i in range(8)]
    lengths = torch.cat([s.flows[0].norm(dim=1).flatten() for s in scenes])
    assert (lengths < 0.05).float().mean() > 0.15  # parts that stay still
    assert lengths.quantile(0.98) > 10
    assert lengths.max() < 96
    occluded = torch.stack([s.occlusions[0].mean() for s in scenes]).mean()
    assert 0.03 < occluded < 0.4
    times = torch.cat([s.times for s in scenes])
    assert 0.3 < (times == 0.5).float().mean() < 0.7
    assert times.min() > 0
    assert times.max() < 1


def test_the_middle_of_a_linear_scene_lies_half_way(smooth):
    """Where everything keeps an even pace, the middle is frame 0 read back along half the flow."""
    toons = Toons((96, 96), 8, seed=1, times=(0.5, 0.5), degraded=False, pictures=smooth)
    errors = []
    for index in range(6):
        scenes = toons.batch(index)
        inside = (scenes.occlusions[0] + scenes.occlusions[1]) == 0
        seen = backwarp(scenes.frames[:, 0], -scenes.flows[0] / 2, quirk=False)
        error = (seen - scenes.frames[:, 1]).abs().mean(1, keepdim=True)
        errors += [error[i][inside[i]].median() for i in range(8)]
    errors = torch.stack(errors)
    half_way = (errors < 0.003).float().mean()
    assert 0.5 < half_way < 1  # the others are eased


def test_degradation_keeps_the_picture():
    frames = torch.rand(16, 3, 3, 1, 1).expand(-1, -1, -1, 41, 50) * 0.8 + 0.1
    random = torch.Generator().manual_seed(0)
    degraded = degradation.degrade(frames, torch.full((16,), 0.5), random)
    assert degraded.shape == frames.shape
    assert (degraded - frames).abs().mean() < 0.05
    assert not torch.equal(degraded, frames)


def test_coding_is_lossless_at_fine_steps_and_not_at_coarse_ones():
    frames = torch.rand(2, 3, 3, 21, 30)
    fine, coarse = (degradation._code(frames, torch.full((2, 1, 1, 1, 1), step), 8) for step in (1e-5, 0.1))
    torch.testing.assert_close(fine, frames, atol=1e-4, rtol=0)
    assert (coarse - frames).abs().mean() > 0.01


def test_drawings_are_their_seed(pictures):
    assert drawings.drawing(np.random.default_rng(4)) == drawings.drawing(np.random.default_rng(4))
    assert drawings.background(np.random.default_rng(4)) != drawings.background(np.random.default_rng(5))
    drawn = pictures["drawing"]
    assert drawn.shape[1:] == (4, 256, 256)
    assert (drawn[:, :3] <= drawn[:, 3:]).all()  # colours are multiplied by alpha
    assert (drawn[:, 3] == 0).float().mean((1, 2)).min() > 0.05
    assert (pictures["background"][:, 3] == 255).all()


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_icons_change_no_other_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(atlas, "_icon_sets", lambda: [{"a": '<rect width="200" height="200" fill="red"/>'}])
    for icons in (0, 2):
        atlas.build(tmp_path / f"{icons}.zip", drawings=1, icons=icons, rigs=0, backgrounds=1, captions=1)
    without, with_icons = (contents(tmp_path / f"{icons}.zip") for icons in (0, 2))
    assert with_icons.items() > without.items()
    assert [name[:8] for name in with_icons.keys() - without.keys()] == 2 * ["drawing/"]


@pytest.mark.parametrize("at", [0, 3])
def test_an_interrupted_atlas_resumes(tmp_path, monkeypatch, at):
    sizes = {"drawings": 2, "icons": 0, "rigs": 1, "backgrounds": 1, "captions": 1}
    atlas.build(tmp_path / "whole.zip", **sizes)
    expected, drawn = contents(tmp_path / "whole.zip"), []

    def stored(part, encode):
        def counted():
            drawn.append(part)
            if len(drawn) == at + 1:
                raise KeyboardInterrupt
            return encode()

        return right(part, counted)

    right, path = atlas._stored, tmp_path / "atlas.zip"
    monkeypatch.setattr(atlas, "_stored", stored)
    with pytest.raises(KeyboardInterrupt):
        atlas.build(path, **sizes)
    assert not path.exists()
    assert sorted((tmp_path / "atlas.parts").glob("*")) == drawn[:-1]
    atlas.build(path, **sizes)
    assert contents(path) == expected
    assert len(drawn) == 1 + len(expected)
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "whole.zip"]


def test_an_atlas_does_not_resume_from_another(tmp_path, monkeypatch):
    sizes = {"drawings": 1, "icons": 0, "rigs": 0, "backgrounds": 1, "captions": 1}
    with monkeypatch.context() as patched:
        patched.setattr(atlas, "remove", lambda folder: None)
        atlas.build(tmp_path / "atlas.zip", **sizes, seed=1)
    atlas.build(tmp_path / "atlas.zip", **sizes)
    atlas.build(tmp_path / "whole.zip", **sizes)
    assert contents(tmp_path / "atlas.zip") == contents(tmp_path / "whole.zip")
    assert not (tmp_path / "atlas.parts").exists()


def test_npm_is_found_where_it_is_a_batch_file(monkeypatch):
    asked = []
    monkeypatch.setattr(atlas.shutil, "which", lambda name: f"C:/{name}.cmd")
    monkeypatch.setattr(atlas.subprocess, "run", lambda command, **_: asked.append(command))
    assert atlas._icon_sets() == []
    assert asked == [["C:/npm.cmd", "pack", *atlas.ICON_SETS]]


def test_seeds_of_any_size(pictures):
    first, other = (Toons((32, 48), 1, seed, pictures=pictures).batch(0).frames for seed in (10**20, 10**20 + 1))
    assert not torch.equal(first, other)


def test_a_damaged_atlas_is_reported(tmp_path):
    path = tmp_path / "atlas.zip"
    path.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(InputError, match="not an atlas"):
        atlas.load(path)


def test_sheet_and_rate(pictures):
    toons = Toons((32, 48), 2, pictures=pictures)
    assert sheet(toons).shape == (2 * 34, 7 * 50, 3)
    assert rate(toons, seconds=0.1) > 0


@pytest.mark.cuda
def test_a_gpu_composes_the_same_motion(smooth):
    there = Toons((64, 64), 4, seed=3, device="cuda", degraded=False, pictures=smooth).batch(2)
    here = Toons((64, 64), 4, seed=3, degraded=False, pictures=smooth).batch(2)
    torch.testing.assert_close(there.flows[0].cpu(), here.flows[0], atol=1e-2, rtol=0)
    assert (there.frames.cpu() - here.frames).abs().mean() < 1e-3
