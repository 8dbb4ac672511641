"""The small benchmark that anyone can make."""

import numpy as np
import pytest
import torch
from torch import Tensor

from _databacks import benchmark_set
from _databacks.folders import Folders
from _databacks.triplet import read_frames
from _util.errors import InputError

pytest.importorskip("rlottie_python", reason="Lottie animations are rendered by rlottie (make/setup train)")


@pytest.fixture(autouse=True)
def squares(monkeypatch):
    """In the place of toons, whose atlas takes long to draw: a square that moves 0, 1, 2, … pixels, in any order."""

    def squares(size: tuple[int, int], seed: int, place) -> list[Tensor]:
        triplets = torch.zeros(30, 3, 3, *size)
        for i, distance in enumerate(np.random.default_rng(seed).permutation(30)):
            for k in range(3):
                left = distance * k // 2
                triplets[i, k, :, 4:12, left : left + 30] = 1
        return list(triplets)

    monkeypatch.setattr(benchmark_set, "_toons", squares)


def test_benchmark(tmp_path):
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    for folder, seed in ((first, 0), (again, 0), (other, 1)):
        benchmark_set.build(folder, (48, 64), seed)
    assert benchmark_set.digest(first) == benchmark_set.digest(again) != benchmark_set.digest(other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "first", "other"]
    names = Folders(first).names
    assert len(names) == 60
    for kind, count in benchmark_set.COUNTS.items():
        changes = {
            difficulty: [
                float((frames[2] - frames[0]).abs().mean())
                for frames in map(read_frames, sorted((first / difficulty).glob(f"{kind}_*")))
            ]
            for difficulty in ("easier", "harder")
        }
        assert len(changes["easier"]) == len(changes["harder"]) == count
        assert 0 < max(changes["easier"]) < min(changes["harder"])


def test_what_is_there_is_kept(tmp_path):
    (tmp_path / "note").write_text("mine")
    with pytest.raises(InputError, match="already exists"):
        benchmark_set.build(tmp_path)
    assert (tmp_path / "note").read_text() == "mine"
