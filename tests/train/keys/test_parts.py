"""Parts with a timing of their own: how they are written, and that they are drawn at their own time."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.keys import key_drawings, parts, timing
from _train.frame_interpolation.keys.key_drawings import Guides
from _util import image
from _util.errors import InputError

SIMPLE = {"flow": "dis", "synthesis": "splat", "device": "cpu"}
GAP = timing.Gap.on(timing.even(3), 1)


def scene(upper: int, lower: int) -> np.ndarray:
    """RGBA: textured squares, one above the other, at these places."""
    texture = np.random.default_rng(0).integers(0, 256, (5, 5, 3)).repeat(4, 0).repeat(4, 1)
    picture = np.full((64, 80, 4), 255, np.uint8)
    for y, x in ((6, upper), (38, lower)):
        picture[y : y + 20, x : x + 20, :3] = texture
    return picture


def mask_of_upper() -> np.ndarray:
    mask = np.zeros((64, 80), np.uint8)
    mask[4:28, 8:34] = 255
    return mask


@pytest.fixture
def mask(tmp_path):
    image.write(tmp_path / "hair=1.png", mask_of_upper())
    return tmp_path / "hair=1.png"


def test_how_they_are_written(mask):
    assert parts.parse(f"{mask}=0.1, 1/5,0.9", GAP).ticks == (Fraction(1, 10), Fraction(1, 5), Fraction(9, 10))
    eased = parts.parse(f"{mask}=in", GAP)
    assert eased.path == mask
    assert eased.ticks == timing.eased(GAP.ticks, timing.parse_ease("in"))
    listed = mask.with_name("parts.csv")
    listed.write_text("key,mask,ease,ticks\nb,hair=1.png,,0.1 0.2 0.3\n\na,hair=1.png,out,\nb,hair=1.png,in,\n")
    read = parts.read(listed, ["a", "b", "c"], [GAP, GAP, timing.Gap.on((), 1)])
    assert [len(read[i]) for i in (0, 1)] == [1, 2]
    assert read[1][0].ticks == (Fraction(1, 10), Fraction(1, 5), Fraction(3, 10))


@pytest.mark.parametrize(
    "text",
    ["{}", "{}=", "=in", "{}=sideways", "{}=0.1,0.2", "{}=0.3,0.2,0.4", "{}x=in", "{}=0,1,2", "{}=0.1:0.5,0.6,0.7"],
)
def test_what_is_refused(mask, text):
    with pytest.raises(InputError):
        parts.parse(text.format(mask), GAP)


@pytest.mark.parametrize(
    "text",
    ["", "mask,ease\n", "key,mask\na,hair=1.png\n", "key,mask,ease\nx,hair=1.png,in\n", "key,mask,ease\na,no.png,in\n"],
)
def test_files_that_are_refused(mask, text):
    path = mask.with_name("parts.csv")
    path.write_text(text)
    with pytest.raises(InputError, match=r"parts\.csv"):
        parts.read(path, ["a", "b"], [GAP, GAP])


@pytest.mark.parametrize(("channels", "says"), [(3, "is black all over"), (4, "is transparent all over")])
def test_empty_masks_are_named(tmp_path, channels, says):
    pixels = np.zeros((20, 24, channels), np.uint8)
    pixels[..., :3] = 255 * (channels == 4)
    image.write(tmp_path / "a.png", pixels)
    with pytest.raises(InputError, match=says):
        parts.read_mask(parts.parse(f"{tmp_path / 'a.png'}=in", GAP), (20, 24))


def test_a_part_without_an_in_between_is_reported(mask, capsys):
    assert parts.parse(f"{mask}=in", timing.Gap.on((), 1)).ticks == ()
    assert capsys.readouterr().err == f"The part '{mask}=in' has no effect, as its gap has no in-between.\n"


def test_ticks_that_are_no_numbers_are_named(mask):
    with pytest.raises(InputError, match=r"hair=1\.png=0\.1:0\.5': ticks has '0\.1:0\.5', which is not a number"):
        parts.parse(f"{mask}=0.1:0.5", GAP)
    path = mask.with_name("parts.csv")
    path.write_text("key,mask,ticks\na,hair=1.png,0.1:0.5\n")
    with pytest.raises(InputError, match=r"parts\.csv, line 2: ticks has '0\.1:0\.5', which is not a number"):
        parts.read(path, ["a", "b"], [GAP, GAP])


@pytest.mark.parametrize(("row", "says"), [("b,hair=1.png,in,", "the last key"), ("a,,in,", "names no mask")])
def test_rows_without_effect_are_refused(mask, row, says):
    path = mask.with_name("parts.csv")
    path.write_text(f"key,mask,ease,ticks\n{row}\n")
    with pytest.raises(InputError, match=rf"parts\.csv, line 2.*{says}"):
        parts.read(path, ["a", "b"], [GAP, timing.Gap.on((), 1)])


def test_masks_that_are_refused(tmp_path, mask):
    with pytest.raises(InputError, match="80×64"):
        parts.read_mask(parts.parse(f"{mask}=in", GAP), (64, 64))
    image.write(tmp_path / "black.png", np.zeros((64, 80), np.uint8))
    with pytest.raises(InputError, match="black"):
        parts.read_mask(parts.parse(f"{tmp_path / 'black.png'}=in", GAP), (64, 80))


@pytest.mark.parametrize("channels", [3, 4])
def test_a_part_is_drawn_at_its_own_time(channels):
    """As at that time alone; and the rest as without it, far off bit by bit."""
    keys = [np.ascontiguousarray(scene(*at)[:, :, :channels]) for at in ((10, 10), (26, 26))]
    interpolator = Interpolator(**SIMPLE)
    late, early = interpolator(*keys, times=[0.75, 0.25])
    pair = interpolator.prepare(*keys, masks=[mask_of_upper() / 255])
    (wait,) = interpolator.draw(pair, [0.75], [[0.25]])
    drawn = wait()
    assert drawn.shape == keys[0].shape
    np.testing.assert_allclose(drawn[6:26, 14:34], early[6:26, 14:34], atol=1)
    np.testing.assert_array_equal(drawn[36:], late[36:])
    (wait,) = interpolator.draw(pair, [0.75], [[0.75]])
    np.testing.assert_array_equal(wait(), late)


@pytest.mark.parametrize(
    ("masks", "says"),
    [
        ([np.zeros((80, 64))], r"the size of the frames, \(64, 80\), not \(80, 64\)"),
        (np.zeros((64, 80)), r"not \(80,\)"),
        ([np.full((64, 80), 255)], "not from 255 to 255"),
        ([np.full((64, 80), np.nan)], "not from nan to nan"),
        (["hair.png"], "cannot be made an array"),
        (1, "cannot be made an array"),
    ],
)
def test_masks_that_do_not_fit_frames(masks, says):
    with pytest.raises(InputError, match=f"A mask .*{says}"):
        Interpolator(**SIMPLE).prepare(scene(10, 10), scene(26, 26), masks=masks)


@pytest.mark.parametrize(
    ("count", "own", "says"),
    [
        (1, [], "for 0 masks, and there are 1"),
        (1, [[0.2], [0.3]], "for 2 masks, and there are 1"),
        (1, [[0.2, 0.3]], "for 2 frames, and there are 1"),
        (0, [[0.2]], "for 1 mask, and there are 0"),
    ],
)
def test_own_times_that_do_not_fit_masks(count, own, says):
    interpolator = Interpolator(**SIMPLE)
    pair = interpolator.prepare(scene(10, 10), scene(26, 26), masks=[mask_of_upper() / 255] * count)
    with pytest.raises(InputError, match=says):
        list(interpolator.draw(pair, [0.75], own))


def test_sequences_draw_what_changed_anew(tmp_path, mask):
    keys = []
    for i, at in enumerate((10, 18, 26)):
        keys.append(tmp_path / f"k{i}.png")
        image.write(keys[-1], scene(at, at))
    gaps = timing.plan(["k0", "k1", "k2"], between="2")

    def draw(*ticks: str) -> int:
        guides = Guides(parts={0: (parts.parse(f"{mask}={','.join(ticks)}", gaps[0]),)} if ticks else {})
        return key_drawings.interpolate_keys(keys, tmp_path / "out", gaps, guides=guides, **SIMPLE).drawn

    assert [draw(), draw("0.1", "0.2"), draw("0.1", "0.2"), draw("0.1", "0.3"), draw()] == [4, 2, 0, 1, 2]


@pytest.mark.parametrize(
    "change", [lambda path: image.write(path, mask_of_upper()[::-1]), lambda path: path.write_bytes(b""), Path.unlink]
)
def test_a_mask_that_changes_during_the_run_ends_it(tmp_path, mask, monkeypatch, change):
    keys = [tmp_path / f"k{i}.png" for i in range(2)]
    for i, key in enumerate(keys):
        image.write(key, scene(10 + 8 * i, 10))
    gaps, settings = timing.plan(["k0", "k1"], between="2"), Interpolator.settings
    guides = Guides(parts={0: (parts.parse(f"{mask}=in", gaps[0]),)})

    def changed(interpolator):
        change(mask)
        return settings(interpolator)

    monkeypatch.setattr(Interpolator, "settings", changed)
    with pytest.raises(InputError, match=r"hair=1\.png was changed during the run; run again"):
        key_drawings.interpolate_keys(keys, tmp_path / "out", gaps, guides=guides, **SIMPLE)
    assert not list((tmp_path / "out").glob("*+[12]of2.png"))
