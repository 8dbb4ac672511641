"""What the kernel benchmark measures is one and the same, and its table shows it."""

import math
import shutil

import pytest
import torch

from _train.frame_interpolation.benchmarks import kernels
from _util import cuda
from _util.errors import InputError
from tests.cuda_on_host import Host


@pytest.fixture
def small(monkeypatch) -> None:
    monkeypatch.setattr(kernels, "SPLATS", ((1, 17, 9, 20), (2, 5, 13, 18)))
    monkeypatch.setattr(kernels, "DRAWING", (27, 48))
    monkeypatch.setattr(kernels, "FEATURES", (1, 8, 9, 12))


def test_ours_and_the_published_design_compute_the_same(small, monkeypatch, tmp_path):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    monkeypatch.setattr(cuda, "launch", Host(compiler, tmp_path).launch)
    monkeypatch.setattr(cuda, "available", lambda tensor: tensor.dtype == torch.float32)
    monkeypatch.setattr(kernels, "DTYPES", {"fp32": torch.float32})  # fp16 is converted by a GPU alone
    cases = list(kernels.cases("cpu"))
    assert len(cases) == 7
    for case in cases:
        assert kernels.difference(case) < 1e-4, case.kernel
    moved = {case.kernel: case.moved for case in cases}
    pixels = 13 * 18 * 2
    assert moved["softmax splat (2, 5, 13, 18), forward"] == 4 * pixels * (5 + 2 + 1 + 5)
    assert moved["distance transform (27, 48), a single point"] == 27 * 48 * 5


def test_drawings_have_as_many_lines_as_real_frames():
    assert 0.05 < kernels._drawing(1080, 1920).float().mean() < 0.1


def test_needs_a_gpu():
    with pytest.raises(InputError, match="CUDA GPU and CuPy"):
        kernels.compare("cpu")


def test_table():
    row = {"kernel": "splat", "dtype": "fp32", "seconds": 2e-5, "published": 1e-4, "ratio": 5.0, "difference": 1e-6}
    lines = kernels.table([row | {"bytes": 40_000_000, "bandwidth": 4e12, "share": 0.5}]).splitlines()
    assert lines[0] == "Copy bandwidth: 4000 GB/s."
    assert len({line.count("|") for line in lines[2:]}) == 1
    assert lines[-1] == "| splat | fp32 | 20.0 | 100.0 | 5.00× | 1.0e-06 | 40.0 | 50% |"


@pytest.mark.cuda
@pytest.mark.slow
def test_measures_on_the_card():
    pytest.importorskip("cupy")
    rows = kernels.compare("cuda")
    assert len(rows) == 11
    for row in rows:
        assert row["difference"] < (1e-3 if row["dtype"] == "fp32" else 1e-2), row
        assert 0 < row["seconds"] < 1
        assert math.isclose(row["share"], row["bytes"] / row["bandwidth"] / row["seconds"])
