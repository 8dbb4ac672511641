"""Names of keys and drawings: order, corrections, and names that sort."""

import itertools
from fractions import Fraction

import pytest

from _train.frame_interpolation.keys import key_names, timing


def drawn(keys: list[str], *counts: int) -> list[str]:
    return [
        key_names.drawing(name, number, count, ".png")
        for name, count in zip(key_names.of_drawings(keys, counts), counts, strict=True)
        for number in range(count + 1)
    ]


@pytest.mark.parametrize(
    "keys",
    [
        ["K1", "K2", "K10"],
        ["A_001", "A_001+1of3", "A_001+1of1", "A_001+3of3", "A_001+fixed", "A_002"],
        ["A_001", "A_001+0of3+3of3", "A_001+2of3", "A_001+2of3+1of3", "A_001+2of3_v2", "A_002"],
        ["walk", "walk+1of1", "walk+fixed", "walk 2", "walk 10"],
        ["cat+dog1", "cat+dog2", "cat+dog10"],
        ["K1", "K01+2of3", "K2"],
    ],
)
def test_order(keys):
    for shuffled in itertools.islice(itertools.permutations(keys), 50):
        assert sorted(shuffled, key=key_names.order) == keys


def test_corrections_divide_the_gap_of_the_key_whose_name_they_begin_with():
    keys = ["K1", "K01+2of3", "K1+fixed", "K2", "K10", "K10+x", "cat+1", "cat+2"]
    assert key_names.divided(keys) == [0, 0, 0, 3, 4, 4, 6, 7]


def test_names_are_those_of_keys_where_these_sort():
    assert drawn(["key_1", "key_2+fixed", "key_3"], 1, 10, 0) == [
        "key_1+0of1.png",
        "key_1+1of1.png",
        *(f"key_2+fixed+{i:02d}of10.png" for i in range(11)),
        "key_3+0of0.png",
    ]


def test_numbers_are_brought_to_one_length():
    assert drawn(["K1", "K2", "K10"], 1, 0, 0) == ["K01+0of1.png", "K01+1of1.png", "K02+0of0.png", "K10+0of0.png"]
    assert drawn(["c1_9", "c1_10", "c2_1"], 0, 0, 0) == ["c1_09+0of0.png", "c1_10+0of0.png", "c2_01+0of0.png"]


def test_a_correction_under_the_name_it_was_drawn_by_keeps_its_place():
    assert drawn(["A_001", "A_001+2of3", "A_002"], 1, 2, 0) == [
        "A_001+0of3+0of1.png",
        "A_001+0of3+1of1.png",
        "A_001+2of3+0of2.png",
        "A_001+2of3+1of2.png",
        "A_001+2of3+2of2.png",
        "A_002+0of0.png",
    ]
    assert key_names.of_drawings(["A", "A+1of3", "A+1of1", "A+fixed", "B"], [1] * 5) == [
        *("A+0of3", "A+1of3", "A+2of3", "A+fixed", "B")
    ]


def test_any_drawing_may_become_a_key_again_and_again():
    """Whatever is put among the keys lies where it was drawn, and all drawings of them sort."""
    keys = ["K9", "K10"]
    for choice in (2, 1, 7, 3, 10, 20, 5, 30):
        counts = [3] * (len(keys) - 1) + [0]
        names = [name.removesuffix(".png") for name in drawn(keys, *counts)]
        assert [f"{name}.png" for name in names] == sorted(f"{name}.png" for name in names)
        begins = list(itertools.accumulate([0, *(count + 1 for count in counts[:-1])]))
        inner = [i for i in range(len(names)) if i not in begins]
        place = inner[choice % len(inner)]
        before = sum(begin < place for begin in begins)
        assert sorted([*keys, names[place]], key=key_names.order) == [*keys[:before], names[place], *keys[before:]]
        keys.insert(before, names[place])


def test_keys_in_an_order_of_their_own_are_numbered():
    assert drawn(["start", "end"], 1, 0) == ["1_start+0of1.png", "1_start+1of1.png", "2_end+0of0.png"]
    assert drawn(["b", "b+2of3", "a"], 0, 0, 0) == ["1_b+0of3+0of0.png", "2_b+2of3+0of0.png", "3_a+0of0.png"]
    many = [f"{chr(97 + 11 * i % 26)}" for i in range(12)]
    assert drawn(many, *[0] * 12)[::11] == ["01_a+0of0.png", "12_r+0of0.png"]


def test_names_that_cannot_sort_stay_as_they_are():
    for keys in (["a", "B"], ["K1", "K01"], ["K", "K 2"]):
        assert key_names.of_drawings(keys, [1, 0]) == keys
        assert not key_names.are_sorted([f"{keys[0]}+0of1", f"{keys[0]}+1of1", f"{keys[1]}+0of0"])


@pytest.mark.parametrize(
    ("name", "is_drawn"),
    [("K1+0of3", True), ("a+fixed+3of3", True), ("K1", False), ("K+fixed", False), ("1of3", False)],
)
def test_names_of_drawings_are_known(name, is_drawn):
    assert key_names.is_drawn(name) == is_drawn


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["k1", "k1+1of3", "k1+2of3", "k2"], ["0", "1/4", "1/2", "0"]),
        (["k1", "k1+0of3+1of3", "k1+2of3", "k1+2of3+1of3", "k2"], ["0", "1/8", "1/2", "5/8", "0"]),
        (["k1", "k1+2of3+1of1", "k1+3of3"], ["0", "5/8", "3/4"]),
        (["k1", "k1+2of3", "k1+4of7", "k1+fixed", "k1+fixed+1of1"], ["0", "1/2", "2/3", "5/6", "11/12"]),
        (["k1", "k1+0of3", "k1+1of2"], ["0", "1/6", "1/3"]),
        (["k1", "k2", "K02", "K02+1of1", "k3+1of1"], ["0", "0", "0", "1/2", "0"]),
    ],
)
def test_positions_of_corrections(keys, expected):
    even = [timing.even(3)] * len(keys)
    assert key_names.positions(keys, even) == list(map(Fraction, expected))


def test_a_correction_has_the_tick_of_the_drawing_that_it_corrects():
    ticks = [Fraction("0.1"), Fraction("0.2"), Fraction("0.9")]
    assert key_names.positions(["k1", "k1+2of3", "k1+5of5"], [ticks] * 3) == [0, Fraction("0.2"), Fraction(5, 6)]
