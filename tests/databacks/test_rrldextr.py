"""Folders that the RRLD pipeline leaves behind."""

from pathlib import Path

import numpy as np
import pytest
import torch

from _databacks.rrldextr import RRLDExtract
from _util import image
from _util.errors import InputError

NAMES = ("000009-000010-000012", "000012-000013-000015")


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in NAMES:
        (tmp_path / "images" / name).mkdir(parents=True)
        for k, number in enumerate(name.split("-")):
            image.write(tmp_path / "images" / name / f"{number}.png", np.full((6, 8, 3), 10 * k, np.uint8))
    (tmp_path / "flows").mkdir()
    return tmp_path


def save_flows(folder: Path, flows) -> Path:
    path = folder / "flows" / f"{NAMES[1]}.pt"
    torch.save(flows, path)
    return path


def test_frames_come_in_the_order_of_their_numbers(folder):
    source = RRLDExtract(folder)
    assert source.names == list(NAMES)
    assert len(source) == 2
    assert (source[1].frames[:, 0, 0, 0] * 255).round().tolist() == [0, 10, 20]
    assert source[1].flows is None


def test_flows_turn_from_the_published_order(folder):
    stored = torch.arange(2 * 2 * 6 * 8).view(2, 2, 6, 8).half()  # flow10, flow01; y, x
    save_flows(folder, stored)
    first, second = RRLDExtract(folder)
    assert first.flows is None
    flow01, flow10 = second.flows
    assert flow01.dtype == torch.float32
    assert flow01.equal(torch.stack([stored[1, 1], stored[1, 0]]).float())
    assert flow10.equal(torch.stack([stored[0, 1], stored[0, 0]]).float())


def test_flows_that_are_not_read_do_no_harm(folder):
    save_flows(folder, "damaged")
    source = RRLDExtract(folder)
    source.reads_flows = False
    assert source[1].flows is None


def test_the_listing_decides_what_there_is(folder):
    listing = folder / "rrld.txt"
    listing.write_text(f"frames,linearity,coverage\n{NAMES[1]},0.12,0.3\n1-2-3,0.1,0.2\n")
    source = RRLDExtract(folder)
    assert source.names == [NAMES[1], "1-2-3"]
    assert source[0].name == NAMES[1]
    with pytest.raises(InputError, match="1-2-3 cannot be read"):
        source[1]


@pytest.mark.parametrize(
    "text", ["", "\x00\xff", "frames,linearity\nnonsense,1\n", "frames,linearity\n../../a-b-c,1\n", "a-b-c,0.1,0.2\n"]
)
def test_a_damaged_listing(folder, text):
    (folder / "rrld.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"rrld\.txt"):
        RRLDExtract(folder)


@pytest.mark.parametrize(
    ("flows", "reason"),
    [
        (torch.zeros(2, 2, 3, 4), "is 2×2×3×4 instead of 2×2×6×8"),
        ({"flow": torch.zeros(2, 2, 6, 8)}, "is not a tensor"),
        (Path("/"), "damaged or holds more than a tensor"),
    ],
)
def test_flows_that_do_not_fit(folder, flows, reason):
    save_flows(folder, flows)
    with pytest.raises(InputError, match=reason):
        RRLDExtract(folder)[1]


def test_flows_cut_short(folder):
    path = save_flows(folder, torch.zeros(2, 2, 6, 8))
    path.write_bytes(path.read_bytes()[:100])
    source = RRLDExtract(folder)
    with pytest.raises(InputError, match="is damaged"):
        source[1]
    assert source[0].frames.shape == (3, 3, 6, 8)


def test_no_triplets(tmp_path):
    with pytest.raises(InputError, match="holds no triplets"):
        RRLDExtract(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match="holds no triplets"):
        RRLDExtract(tmp_path)
