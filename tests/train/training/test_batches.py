"""From sources to batches: augmentation, order, what cannot be read, and flows that are kept."""

import contextlib
import pickle
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from _databacks.folders import Folders
from _databacks.triplet import Source, Triplet
from _train.frame_interpolation import flows
from _train.frame_interpolation.training import augmentation
from _train.frame_interpolation.training.batches import (
    Batch,
    ToonRequest,
    TripletBatches,
    Triplets,
    collate,
    from_toons,
    load,
)
from _train.frame_interpolation.training.cached_flows import CachedFlows
from _util import files
from _util.errors import InputError
from _util.flow import backwarp

TURN = torch.tensor([[0.98, -0.10], [0.07, 1.03]])  # of the scene from time 0 to 1, in x and y
SHIFT = torch.tensor([3.0, -2.0])


def pixels(h: int, w: int) -> Tensor:
    """(2, h, w): x and y of each pixel, from the centre."""
    return torch.stack(
        torch.meshgrid(torch.arange(w) - (w - 1) / 2, torch.arange(h) - (h - 1) / 2, indexing="xy")
    ).float()


def turning(h: int = 64, w: int = 80, time: float = 0.25) -> Triplet:
    """A smooth picture that turns, grows and shifts, and the exact flow of that, as a triplet."""

    def at(t: float) -> tuple[Tensor, Tensor]:
        return torch.eye(2).lerp(TURN, t), t * SHIFT.view(2, 1, 1)

    def draw(t: float) -> Tensor:
        matrix, shift = at(t)
        x, y = torch.einsum("ij,jhw->ihw", matrix.inverse(), pixels(h, w) - shift)
        return 0.5 + 0.5 * torch.stack([(x / 7).sin(), (y / 9 + 1).cos(), ((x + y) / 11).sin()])

    matrix, shift = at(1)
    grid = pixels(h, w)
    flow01 = torch.einsum("ij,jhw->ihw", matrix, grid) + shift - grid
    flow10 = torch.einsum("ij,jhw->ihw", matrix.inverse(), grid - shift) - grid
    return Triplet("turning", torch.stack([draw(0), draw(time), draw(1)]), (flow01, flow10), time)


def mismatch(triplet: Triplet) -> float:
    """The largest difference, away from the border, of either outer frame to the other one warped to it."""
    first, _, last = triplet.frames
    pairs = ((first, last, triplet.flows[0]), (last, first, triplet.flows[1]))
    differences = [backwarp(b[None], flow[None], quirk=False)[0] - a for a, b, flow in pairs]
    return max(float(difference[:, 12:-12, 12:-12].abs().max()) for difference in differences)


class Shades(Source):
    """Triplets of one grey each; those in `bad` cannot be read."""

    def __init__(self, count: int = 5, prefix: str = "shade", bad: tuple[int, ...] = ()):
        self.names, self.path, self.bad = [f"{prefix}{i}" for i in range(count)], Path(prefix), bad

    def __getitem__(self, index: int) -> Triplet:
        if index in self.bad:
            raise InputError(f"{self.names[index]} is damaged.")
        ramp = torch.linspace(0, 1, 40 * 48).view(1, 1, 40, 48)
        return Triplet(self.names[index], (ramp + index / 10).clamp(0, 1).repeat(3, 3, 1, 1))


class Scenes(NamedTuple):
    frames: Tensor
    times: Tensor
    flows: tuple[Tensor, Tensor]
    occlusions: tuple[Tensor, Tensor]


class Toons:
    def batch(self, index: int) -> Scenes:
        field = torch.full((2, 2, 32, 32), float(index))
        return Scenes(
            torch.zeros(2, 3, 3, 32, 32), torch.full((2,), 0.5), (field, -field), (field[:, :1], field[:, :1])
        )


def equal(ours: Batch, theirs: Batch) -> bool:
    return ours.names == theirs.names and ours.frames.equal(theirs.frames) and ours.times.equal(theirs.times)


class TestCollate:
    def test_stacks(self):
        batch = collate([turning(time=0.25), turning(time=0.5)])
        assert batch.frames.shape == (2, 3, 3, 64, 80)
        assert batch.times.tolist() == [0.25, 0.5]
        assert [flow.shape for flow in batch.flows] == [(2, 2, 64, 80)] * 2
        assert batch.flows[1][1].equal(turning().flows[1])
        assert (batch.occlusions, batch.names, batch.exact) == (None, ["turning"] * 2, False)

    def test_has_flows_only_if_all_have(self):
        assert collate([turning(), turning()._replace(flows=None)]).flows is None


class TestAugmentation:
    def test_the_triplet_under_test_is_consistent(self):
        assert mismatch(turning()) < 0.02
        wrong = turning()._replace(flows=turning().flows[::-1])
        assert mismatch(wrong) > 0.2

    @pytest.mark.parametrize(
        "change", [augmentation.mirror, augmentation.reverse, lambda t: augmentation.crop(t, 5, 9, (48, 56))]
    )
    def test_flows_follow_frames(self, change):
        changed = change(turning())
        assert not changed.frames.equal(turning().frames)
        assert mismatch(changed) < 0.02

    @pytest.mark.parametrize("size", [(96, 96), (64, 150), (130, 60)])
    def test_small_frames_are_enlarged(self, size):
        larger = augmentation.enlarge(turning(), size)
        h, w = larger.frames.shape[2:]
        assert h >= size[0]
        assert w >= size[1]
        assert h / w == pytest.approx(64 / 80, rel=0.02)
        assert mismatch(larger) < 0.03
        assert larger.flows[0].mean() / turning().flows[0].mean() == pytest.approx(h / 64, rel=0.05)

    def test_large_frames_stay(self):
        assert augmentation.enlarge(turning(), (64, 80)).frames.equal(turning().frames)

    def test_reversal_counts_time_from_the_other_end(self):
        changed = augmentation.reverse(turning())
        assert changed.time == 0.75
        assert changed.frames[0].equal(turning().frames[2])
        assert changed.frames[1].equal(turning().frames[1])

    def test_all_is_tried_and_stays_consistent(self):
        drawn = [augmentation.augment(turning(), (48, 56), torch.Generator().manual_seed(seed)) for seed in range(40)]
        assert all(triplet.frames.shape == (3, 3, 48, 56) for triplet in drawn)
        assert max(map(mismatch, drawn)) < 0.02
        is_reversed = [triplet.time == 0.75 for triplet in drawn]
        forward = [triplet.flows[backward] for triplet, backward in zip(drawn, is_reversed, strict=True)]
        is_mirrored = [
            bool(flow[0, 20:30].diff(dim=1).mean() * flow[1, 20:30].diff(dim=1).mean() > 0) for flow in forward
        ]
        assert len(set(zip(is_reversed, is_mirrored, strict=True))) == 4
        assert len({float(triplet.frames[0, 0, 0, 0]) for triplet in drawn}) > 30

    def test_the_generator_decides(self):
        first, again, other = (
            augmentation.augment(turning(), (32, 32), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
        )
        assert first.frames.equal(again.frames)
        assert not first.frames.equal(other.frames)

    def test_without_flows(self):
        assert augmentation.augment(turning()._replace(flows=None), (99, 32), torch.Generator()).flows is None


class TestBatches:
    @pytest.fixture
    def batches(self) -> TripletBatches:
        return TripletBatches([(Shades(5), 1), (Shades(3, "other"), 1)], batch_size=2, size=(32, 24), seed=7)

    def test_an_item_is_a_batch_from_one_source(self, batches):
        for i in range(8):
            assert batches[i].frames.shape == (2, 3, 3, 32, 24)
            assert len({name[:5] for name in batches[i].names}) == 1

    def test_an_item_does_not_depend_on_those_before(self, batches):
        backward = [batches[i] for i in reversed(range(8))][::-1]
        again = TripletBatches([(Shades(5), 1), (Shades(3, "other"), 1)], 2, (32, 24), 7)
        assert all(equal(again[i], backward[i]) for i in range(8))
        differently = TripletBatches([(Shades(5), 1), (Shades(3, "other"), 1)], 2, (32, 24), 8)
        assert not all(equal(differently[i], backward[i]) for i in range(8))

    def test_workers_and_a_late_start_give_the_same(self, batches):
        loader = DataLoader(batches, batch_size=None, sampler=range(4, 12, 2), num_workers=2)
        loaded = list(loader)
        assert len(loaded) == 4
        assert all(equal(batch, batches[i]) for batch, i in zip(loaded, range(4, 12, 2), strict=True))

    def test_each_pass_sees_all_in_another_order(self):
        batches = TripletBatches([(Shades(6), 1)], 3, (32, 24))
        passes = [batches[2 * i].names + batches[2 * i + 1].names for i in range(4)]
        assert all(sorted(names) == Shades(6).names for names in passes)
        assert len(set(map(tuple, passes))) > 1

    def test_a_triplet_is_augmented_anew_each_time(self):
        batches = TripletBatches([(Shades(1), 1)], 4, (32, 24))
        frames = torch.cat([batches[0].frames, batches[1].frames])
        assert len({frame.numpy().tobytes() for frame in frames}) > 4

    def test_weights_say_how_often(self):
        batches = TripletBatches([(Shades(2), 0.5), (Shades(2, "other"), 1.5)], 1, (32, 24))
        seen = Counter(batches[i].names[0][:5] for i in range(400))
        assert seen["other"] / 400 == pytest.approx(0.75, abs=0.06)

    def test_toons_are_ordered_and_drawn_elsewhere(self):
        toons = Toons()
        batches = TripletBatches([(Shades(), 1), (toons, 1)], 2, (32, 32))
        orders = [item for i, item in enumerate(map(batches.__getitem__, range(20))) if isinstance(item, ToonRequest)]
        assert 4 < len(orders) < 16
        assert {order.source for order in orders} == {1}
        order = next(DataLoader(batches, batch_size=None, sampler=[orders[0].index], num_workers=1).__iter__())
        assert order == orders[0]
        batch = from_toons(toons.batch(order.index))
        assert batch.exact
        assert batch.names == ["toons", "toons"]
        assert batch.flows[0].eq(order.index).all()

    def test_pickles(self, batches):
        assert equal(pickle.loads(pickle.dumps(batches))[3], batches[3])


class TestWhatCannotBeRead:
    def test_the_next_takes_its_place_and_it_is_named_once(self, capsys):
        triplets = Triplets(Shades(5, bad=(1, 2, 4)), (32, 24))
        assert [triplets[i, 0].name for i in (0, 1, 2, 3, 4, 1, 2, 4)] == [
            f"shade{i}" for i in (0, 3, 3, 3, 0, 3, 3, 0)
        ]
        assert capsys.readouterr().err == "".join(f"Skipped: shade{i} is damaged.\n" for i in (1, 2, 4))

    def test_it_is_named_once_by_all_workers(self, capfd):
        batches = TripletBatches([(Shades(4, bad=(0, 2)), 1)], 2, (32, 24))
        for _ in range(2):  # workers of their own each time, one after the other
            # A server of forks would keep the stderr of the test that started it.
            loader = DataLoader(
                batches, batch_size=None, sampler=range(6), num_workers=1, multiprocessing_context="fork"
            )
            assert len(list(loader)) == 6
        said = capfd.readouterr().err.splitlines()
        assert sorted(said) == ["Skipped: shade0 is damaged.", "Skipped: shade2 is damaged."]

    def test_nothing_can_be_read(self):
        with pytest.raises(InputError, match=r"None of 3 triplets can be read; the first: shade0 is damaged\.$"):
            TripletBatches([(Shades(3, bad=(0, 1, 2)), 1)], 2, (32, 24))

    @pytest.mark.parametrize("workers", [0, 1])
    def test_nothing_can_be_read_any_more(self, workers, capfd):
        shades = Shades(3)
        batches = TripletBatches([(shades, 1)], 2, (32, 24))
        shades.bad = (0, 1, 2)
        with pytest.raises(InputError, match=r"^None of 3 triplets can be read; the first: shade\d is damaged\.$"):
            list(load(batches, range(2), workers, pinned=False))

    def test_files(self, tmp_path, capsys):
        for i in range(3):
            (tmp_path / f"{i}").mkdir()
            for name in "abc":
                noise = np.random.default_rng(i).integers(0, 256, (40, 40, 3), np.uint8)
                cv2.imwrite(str(tmp_path / f"{i}" / f"{name}.png"), noise)
        (tmp_path / "0" / "b.png").unlink()
        (tmp_path / "1" / "c.png").write_bytes((tmp_path / "1" / "c.png").read_bytes()[:900])
        batches = TripletBatches([(Folders(tmp_path), 1)], 3, (32, 32))
        assert batches[0].names == batches[1].names == ["2", "2", "2"]
        said = capsys.readouterr().err
        assert said.count("\n") == 2
        assert f"Skipped: {tmp_path}/0 holds 2 pictures" in said
        assert f"Skipped: {tmp_path}/1/c.png is damaged" in said


class TestCachedFlows:
    @pytest.fixture
    def calls(self) -> list[int]:
        return []

    @pytest.fixture
    def estimate(self, calls):
        def estimate(frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
            assert frame0.shape == frame1.shape == (1, 3, 40, 48)
            calls.append(len(calls))
            return torch.full((1, 2, 40, 48), 1.5), torch.full((1, 2, 40, 48), -2.5)

        return estimate

    def files(self, folder: Path) -> list[Path]:
        return sorted(folder.iterdir())

    def test_are_computed_once(self, tmp_path, estimate, calls):
        for _ in range(2):
            source = CachedFlows(Shades(2), estimate, tmp_path / "new/flows", "dis")
            flow01, flow10 = source[1].flows
            assert flow01.equal(torch.full((2, 40, 48), 1.5))
            assert flow10.equal(torch.full((2, 40, 48), -2.5))
            assert source[1].frames.equal(Shades(2)[1].frames)
        assert len(calls) == 1
        assert (len(source), source.names) == (2, Shades(2).names)
        (path,) = self.files(tmp_path / "new/flows")
        assert path.stat().st_size < 2 * 2 * 40 * 48 * 2 + 300

    @pytest.mark.parametrize("content", [b"", b"nonsense", None])
    def test_damaged_files_are_computed_anew(self, tmp_path, estimate, calls, content):
        source = CachedFlows(Shades(1), estimate, tmp_path, "dis")
        expected = source[0].flows
        (path,) = self.files(tmp_path)
        whole = path.read_bytes()
        path.write_bytes(whole[:-50] if content is None else content)
        for _ in range(2):
            assert source[0].flows[0].equal(expected[0])
        assert len(calls) == 2
        assert path.read_bytes() == whole

    def test_belong_to_their_frames(self, tmp_path, estimate, calls):
        first, second = Shades(2), Shades(2)
        second.names = first.names[::-1]
        CachedFlows(first, estimate, tmp_path, "dis")[0]
        CachedFlows(second, estimate, tmp_path, "dis")[1]
        assert len(calls) == 2
        assert len(self.files(tmp_path)) == 1

    def test_belong_to_their_estimator(self, tmp_path, estimate, calls):
        for name in ("dis", "sgm"):
            CachedFlows(Shades(1), estimate, tmp_path, name)[0]
        assert len(calls) == 2

    def test_any_name_is_a_file(self, tmp_path, estimate):
        shades = Shades(4)
        shades.names = ["../a", "a/b", "long " * 100, "a b"]
        source = CachedFlows(shades, estimate, tmp_path / "flows", "dis")
        for i in range(4):
            source[i]
        assert len(self.files(tmp_path / "flows")) == 4
        assert self.files(tmp_path) == [tmp_path / "flows"]

    def test_a_full_disk_is_reported_once(self, tmp_path, estimate, monkeypatch, capsys):
        source = CachedFlows(Shades(1), estimate, tmp_path, "dis")

        @contextlib.contextmanager
        def full(path):
            raise InputError(f"{path.parent} cannot be written (No space left on device); make room.")
            yield

        monkeypatch.setattr(files, "replacing", full)
        assert source[0].flows[0].eq(1.5).all()
        assert source[0].flows[0].eq(1.5).all()
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "No space left on device" in said
        assert not self.files(tmp_path)

    def test_what_cannot_be_read_stays_so(self, tmp_path, estimate):
        with pytest.raises(InputError, match="shade0 is damaged"):
            CachedFlows(Shades(1, bad=(0,)), estimate, tmp_path, "dis")[0]

    def test_once_all_are_computed_the_estimator_is_done_without(self, tmp_path, estimate, calls):
        source = CachedFlows(Shades(2), estimate, tmp_path, "dis")
        source.compute_all()
        self.files(tmp_path)[0].unlink()
        found = [source[i].flows for i in range(2)]
        assert [flows is None for flows in found].count(True) == 1
        assert len(calls) == 2
        assert collate(list(source)).flows is None

    def test_workers_compute_them(self, tmp_path):
        batches = TripletBatches([(CachedFlows(Shades(3), flows.dis, tmp_path, "dis"), 1)], 2, (32, 24))
        for _ in range(2):
            loaded = list(DataLoader(batches, batch_size=None, sampler=range(3), num_workers=2))
            assert all(batch.flows[0].shape == (2, 2, 32, 24) for batch in loaded)
            assert not any(batch.exact for batch in loaded)
        assert len(self.files(tmp_path)) == 3
