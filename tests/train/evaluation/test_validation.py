"""A function that draws, judged on folders of keyframes, and flow where it is known."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from _databacks.toons.scenes import Scenes
from _train.frame_interpolation.evaluation.measures import Measures
from _train.frame_interpolation.evaluation.validation import flow_errors, validate
from _util import metrics, paths
from _util.errors import InputError
from _util.image import to_tensor


def picture(shift: int) -> Image.Image:
    """A smooth pattern, moved to the left."""
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    return Image.fromarray(noise).resize((104, 48), Image.Resampling.BICUBIC).crop((shift, 0, shift + 64, 48))


def tensor(shift: int) -> Tensor:
    return to_tensor(np.asarray(picture(shift)))[None]


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir()
    for number in (1, 2, 10, 11):
        picture(2 * number).save(folder / f"key{number}.png")
    return folder


@pytest.mark.parametrize("protocol", ["paper", "standard"])
def test_scores_are_those_of_the_metrics(keys, protocol):
    given = []

    def first(frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        given.append((frame0, frame1, t))
        return frame0

    figures = validate(first, [keys], Measures(protocol=protocol))
    for (*frames, t), shifts in zip(given, [(2, 20), (4, 22)], strict=True):
        assert t == 0.5
        assert all(torch.equal(frame, tensor(shift)) for frame, shift in zip(frames, shifts, strict=True))
    wanted = {
        "lpips": metrics.LPIPS(protocol),
        "chamfer": metrics.Chamfer(),
        "psnr": metrics.PSNR(),
        "ssim": metrics.SSIM(protocol),
    }
    pairs = [(tensor(2), tensor(4)), (tensor(4), tensor(20))]
    expected = {name: np.mean([metric(*pair).item() for pair in pairs]) for name, metric in wanted.items()}
    assert figures == pytest.approx(expected)


def test_the_true_frames_score_best(keys):
    truths = iter([tensor(4), tensor(20)])
    figures = validate(lambda *_: next(truths), [keys], Measures())
    assert figures == {"lpips": 0, "chamfer": 0, "psnr": 100, "ssim": pytest.approx(1)}


def test_each_folder_counts_the_same(keys, tmp_path):
    folders = [keys, tmp_path / "few"]
    folders[1].mkdir()
    for number in (1, 2, 3):
        picture(9 * number).save(folders[1] / f"{number}.png")
    measures = Measures(["psnr"])

    def blend(frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        return (1 - t) * frame0 + t * frame1

    alone = [validate(blend, [folder], measures)["psnr"] for folder in folders]
    assert validate(blend, folders, measures)["psnr"] == pytest.approx(np.mean(alone))
    assert alone[0] != pytest.approx(alone[1])


def test_further_figures_are_of_frames_as_they_are(keys):
    def error(frame: Tensor, truth: Tensor) -> dict[str, float]:
        return {"error": (frame - truth).abs().mean().item()}

    figures = validate(lambda *_: tensor(4) + 0.2 / 255, [keys], Measures(["psnr"]), error)
    away = (tensor(4) + 0.2 / 255 - tensor(20)).abs().mean().item()
    assert figures["error"] == pytest.approx((0.2 / 255 + away) / 2, rel=1e-3)


def test_no_interpolation_starts_before_all_keyframes_are_checked(keys):
    Image.new("RGB", (64, 49)).save(keys / "key12.png")
    with pytest.raises(InputError, match="bring all keyframes to one size"):
        validate(lambda *_: pytest.fail("it interpolates"), [keys], Measures(["psnr"]))


def test_frames_that_are_no_numbers(keys):
    with pytest.raises(InputError, match=r"draws key2\.png with values that are not finite"):
        validate(lambda frame0, *_: frame0 * torch.nan, [keys], Measures(["psnr"]))


def scene(flow01: Tensor, flow10: Tensor) -> Scenes:
    b, _, h, w = flow01.shape
    occlusion = torch.zeros(b, 1, h, w)
    occlusion[..., w // 2 :] = 1
    frames, times = torch.rand(b, 3, 3, h, w), torch.full((b,), 0.5)
    return Scenes(frames, times, occlusion, (flow01, flow10), (occlusion, occlusion), None, None)


def test_flow_is_judged_both_ways():
    right, left = torch.zeros(2, 2, 40, 60), torch.zeros(2, 2, 40, 60)
    right[:, 0], left[:, 0] = 3, -1

    def exact(frame0, frame1):
        return right[:1], left[:1]

    def along_paths(frame0, frame1):
        return paths.straight(right[:1]), paths.straight(left[:1])

    def still(frame0, frame1):
        return torch.zeros(1, 2, 40, 60), torch.zeros(1, 2, 40, 60)

    assert set(flow_errors(exact, [scene(right, left)]).values()) == {0}
    assert set(flow_errors(along_paths, [scene(right, left)]).values()) == {0}
    assert flow_errors(still, [scene(right, left)] * 2)["epe"] == pytest.approx(2)  # of 3 and 1
