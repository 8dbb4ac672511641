"""ATD-12K as published, in small."""

import json
import pickle
import shutil

import numpy as np
import pytest

from _databacks.atd12k import ATD12K
from _util.errors import InputError
from tests import miniature

H, W = miniature.SIZE


@pytest.fixture
def root(tmp_path):
    return miniature.build(tmp_path / "atd12k")


def annotate(root, name: str, **changes) -> None:
    path = miniature.annotation_path(root, name)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def region(x: float, y: float, width: float, height: float) -> dict[str, float]:
    return {"x": x, "y": y, "width": width, "height": height}


def test_frames_and_flows(root):
    data = ATD12K(root)
    assert data.names == [*miniature.NAMES[:3], "Japan_d_9_frame", "Japan_d_10_frame"]
    assert [data.subset(i) for i in range(5)] == ["west", "west", "east", "east", "east"]
    triplet = data[0]
    assert triplet.name == "Disney_a_1_frame"
    assert triplet.time == 0.5
    for k in range(3):
        expected = miniature.picture(np.random.default_rng(0), 4 * k)
        np.testing.assert_array_equal((255 * triplet.frames[k]).round().permute(1, 2, 0), expected)
    stored = pickle.loads(miniature.flow_path(root, triplet.name).read_bytes())
    for flow, expected in zip(triplet.flows, stored, strict=True):
        np.testing.assert_array_equal(flow, expected)
    assert triplet.flows[0][0].mean() == pytest.approx(8, abs=0.1)


def test_without_preprocessed_there_are_no_flows(root):
    shutil.rmtree(root / "preprocessed")
    data = ATD12K(root)
    assert not data.has_flows
    assert data[0].flows is None
    assert len(data.shortages()) == 1  # of the frames


def test_frames_and_annotations_may_lie_at_the_top(root):
    for path in (root / "raw").iterdir():
        path.rename(root / path.name)
    data = ATD12K(root)
    assert len(data) == 5
    assert data.annotation(0, (H, W)).level == "easy"


def test_annotations_are_scaled_to_the_frames(root):
    data = ATD12K(root)
    assert data.annotation(0, (H, W)) == ("easy", (10, 5, 60, 45), "translation", "walking")
    assert data.annotation(1, (H, W))[:3] == ("medium", (12, 5, 62, 46), "rotation")
    assert data.annotation(0, (2 * H, 2 * W)).roi == (20, 10, 120, 90)


@pytest.mark.parametrize(
    "noted", [[2 * W, 2 * H], [2 * H, 2 * W], [2 * H, 2 * W, 3], {"width": 2 * W, "height": 2 * H}]
)
def test_image_sizes_in_any_order(root, noted):
    annotate(root, miniature.NAMES[0], image_size=noted)
    assert ATD12K(root).annotation(0, (H, W)).roi == (10, 5, 60, 45)


def test_regions_may_reach_over_the_border_by_rounding_alone(root):
    annotate(root, miniature.NAMES[0], motion_RoI=region(-1, 0, 2 * W + 2, 2 * H))
    assert ATD12K(root).annotation(0, (H, W)).roi == (0, 0, W, H)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"motion_RoI": region(150, 10, 60, 40)}, "region of 60×40 pixels at \\(150, 10\\), which does not lie in its"),
        ({"motion_RoI": region(-20, 10, 60, 40)}, "does not lie in its image of 192×144"),
        ({"motion_RoI": region(10, 10, 0, 40)}, "does not lie"),
        ({"motion_RoI": region(10, 10, float("nan"), 40)}, "damaged"),
        ({"motion_RoI": {"x": 1}}, "damaged"),
        ({"level": 3}, "damaged"),
        ({"level": -1}, "level -1; it is 0, 1 or 2"),
        ({"image_size": "large"}, "damaged"),
        ({"image_size": {"width": 0, "height": 0}}, "damaged"),
    ],
)
def test_bad_annotations_are_reported(root, changes, says):
    annotate(root, miniature.NAMES[0], **changes)
    with pytest.raises(InputError, match=says):
        ATD12K(root).annotation(0, (H, W))


def test_missing_annotation(root):
    miniature.annotation_path(root, miniature.NAMES[0]).unlink()
    with pytest.raises(InputError, match="There is no annotation"):
        ATD12K(root).annotation(0, (H, W))


@pytest.mark.parametrize(
    ("flows", "says"),
    [
        (np.zeros((2, 2, H, W + 1), np.float32), r"instead of floats \(2, 2, 72, 96\)"),
        (np.zeros((2, 2, H, W), int), "int64"),
        ([1, 2], "is list instead"),
        (np.full((2, 2, H, W), np.nan), "not finite"),
    ],
)
def test_bad_flows_are_reported(root, flows, says):
    miniature.flow_path(root, miniature.NAMES[0]).write_bytes(pickle.dumps(flows))
    data = ATD12K(root)
    with pytest.raises(InputError, match=says):
        data[0]
    assert data[1].flows is not None
    data.reads_flows = False
    assert data[0].flows is None


def test_shortages_name_folder_count_and_home(root):
    miniature.flow_path(root, miniature.NAMES[0]).unlink()
    frames, flows = ATD12K(root).shortages()
    assert "raw/test_2k_540p holds 5 of 2000 triplets" in frames
    assert "preprocessed/rfr_540p/test holds 4 of 2000 flows" in flows
    assert "https://github.com/lisiyao21/AnimeInterp" in frames


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match=r"test_2k_540p holds 0 of 2000 triplets; ATD-12K is at https://"):
        ATD12K(tmp_path / "none")
