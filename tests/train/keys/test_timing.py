"""Timing in closed form: even spacing, curves of CSS, charts, and what is refused."""

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import pytest

from _train.frame_interpolation.keys import timing
from _util.errors import InputError

KEYS = ["a1", "a2", "a3", "a4"]
SMOOTHSTEP = "cubic-bezier(1/3, 0, 2/3, 1)"  # x is the parameter, so that y is 3s² - 2s³


def ticks(**options) -> list[tuple[Fraction, ...]]:
    """Of each gap between keys."""
    return [gap.ticks for gap in timing.plan(KEYS, **options)][: 3 + options.get("is_loop", False)]


def parsed(text: str) -> tuple[Fraction, ...]:
    return tuple(map(Fraction, text.split()))


def test_counts_are_spaced_evenly():
    assert ticks(between="3,1,0") == [parsed("1/4 1/2 3/4"), parsed("1/2"), ()]
    assert ticks(between="2") == [parsed("1/3 2/3")] * 3
    assert ticks() == [parsed("1/2")] * 3


def test_a_loop_has_another_gap():
    assert ticks(between="0,0,0,1", is_loop=True) == [(), (), (), parsed("1/2")]
    assert ticks(between="0,2,1", is_loop=True) == [(), parsed("1/3 2/3"), parsed("1/2"), parsed("1/2")]


@pytest.mark.parametrize("curve", [SMOOTHSTEP, "1/3,0,2/3,1"])
def test_a_curve_whose_time_is_its_parameter(curve):
    for i in range(1, 12):
        s = Fraction(i, 12)
        assert timing.parse_ease(curve)(s) == 3 * s**2 - 2 * s**3


@pytest.mark.parametrize("curve", ["none", "cubic-bezier(0,0,1,1)", "cubic-bezier(1/3,1/3,2/3,2/3)", "0.3,0.3,0.7,0.7"])
def test_straight_lines_leave_ticks_in_place(curve):
    assert ticks(between="6", ease=curve) == ticks(between="6")


def test_named_curves_are_those_of_css():
    """(0.42, 0, 1, 1) at its parameter s has x = 1.26 s (1-s)² + 3 s² (1-s) + s³, y = 3 s² (1-s) + s³."""
    s = Fraction(1, 2)
    x = Fraction("1.26") * s * (1 - s) ** 2 + 3 * s**2 * (1 - s) + s**3
    assert timing.EASES["in"](x) == 3 * s**2 * (1 - s) + s**3
    assert timing.EASES["in-out"](Fraction(1, 2)) == Fraction(1, 2)
    for i in range(1, 8):
        time = Fraction(i, 8)
        assert timing.EASES["out"](time) == 1 - timing.EASES["in"](1 - time)
        assert timing.EASES["in"](time) < time < timing.EASES["out"](time)


def test_ease_crowds_ticks_where_motion_is_slow():
    def steps(ease):
        (marks, *_) = ticks(between="7", ease=ease)
        return [b - a for a, b in pairwise([0, *marks, 1])]

    assert steps("in") == sorted(steps("in"))
    assert steps("out") == sorted(steps("out"), reverse=True)
    assert steps("in-out")[:4] == sorted(steps("in-out")[:4])
    assert steps("in-out") == steps("in-out")[::-1]


def test_ticks_are_exact():
    assert ticks(ticks="0.1,1/3") == [(Fraction(1, 10), Fraction(1, 3))] * 3
    assert ticks(ticks="0.1,0.2::.5") == [parsed("1/10 1/5"), (), parsed("1/2")]


def test_on_exposes_and_draws_no_more():
    once, twice = timing.plan(KEYS, between="3"), timing.plan(KEYS, between="3", on="2")
    assert [gap.ticks for gap in once] == [gap.ticks for gap in twice]
    assert [gap.exposures for gap in once] == [(1, 1, 1, 1)] * 3 + [(1,)]
    assert [gap.exposures for gap in twice] == [(2, 2, 2, 2)] * 3 + [(2,)]


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_chart_overrides_where_it_has_values(tmp_path, separator):
    chart = tmp_path / "chart.csv"
    text = "\ufeffkey,between,ease,ticks,on\r\na1,2,none,,\r\n\r\na3.png,,,0.1 1/4,3\r\n"
    chart.write_text(text.replace(",", separator), "utf-8")
    first, second, third, last = timing.plan(KEYS, between="1", on="2", chart=chart)
    assert first == timing.Gap.on(parsed("1/3 2/3"), 2)
    assert second == timing.Gap.on(parsed("1/2"), 2)
    assert third == timing.Gap.on(parsed("1/10 1/4"), 3)
    assert last == timing.Gap((), (3,))


def test_columns_of_a_chart_come_in_any_order(tmp_path):
    chart = tmp_path / "chart.csv"
    chart.write_text(f'ease,key\n"{SMOOTHSTEP}",a2\n')
    assert ticks(between="3", chart=chart)[1] == parsed("5/32 1/2 27/32")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"between": "3,1"}, "--between has 2 counts for 3 gaps"),
        ({"between": "-1"}, "from 0 to"),
        ({"between": "99999999"}, "from 0 to"),
        ({"between": "1.5"}, "whole number"),
        ({"between": "two"}, "'two', which is not a number"),
        ({"between": ""}, "'', which is not a number"),
        ({"ticks": "0.5,0.5"}, "a tick at 1/2 follows one at 1/2"),
        ({"ticks": "0.5,0.25"}, "ticks must rise"),
        ({"ticks": "0"}, "a tick is at 0"),
        ({"ticks": "1"}, "a tick is at 1"),
        ({"ticks": "nan"}, "not a number"),
        ({"ticks": "1/0"}, "not a number"),
        ({"ticks": "1e999999999"}, "not a number"),
        ({"ticks": "0.5:0.5"}, "2 lists"),
        ({"ease": "bounce"}, "no ease 'bounce'"),
        ({"ease": "cubic-bezier(0,0,1,1"}, "no ease 'cubic-bezier"),
        ({"ease": "0,0,1,1)"}, "no ease"),
        ({"ease": "1.5,0,0,1"}, "both x lie in"),
        ({"ease": "0,2,0,2", "between": "3"}, "cannot be drawn"),
        ({"ease": "0.5,-1,0.5,2", "between": "9"}, "cannot be drawn"),
        ({"on": "0"}, "--on has 0; it must be from 1 to 9999"),
        ({"on": "x"}, "--on has 'x', which is not a number"),
        ({"on": "x"}, "not a number"),
    ],
)
def test_what_cannot_be_timed_is_one_sentence(options, says):
    with pytest.raises(InputError) as caught:
        timing.plan(KEYS, **options)
    assert says.lower() in str(caught.value).lower()
    assert "\n" not in str(caught.value)


def test_a_correction_divides_a_gap_and_has_its_timing(tmp_path):
    keys = ["a1", "a2", "a2+fixed", "a3", "a30+x"]
    chart = tmp_path / "chart.csv"

    def counts(**options):
        return [len(gap.ticks) for gap in timing.plan(keys, **options)][:-1]

    assert counts(between="3,2,1") == [3, 2, 2, 1]
    assert counts(between="3,2,5,1") == [3, 2, 5, 1]
    chart.write_text("key,between\na2,4\n")
    assert counts(chart=chart) == [1, 4, 4, 1]
    chart.write_text("key,between\na2,4\na2+fixed.png,0\n")
    assert counts(chart=chart) == [1, 4, 0, 1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("gap,between\n1,2\n", "has a column 'gap'"),
        ("between\n2\n", "no column key"),
        ("key,key\na1,a1\n", "twice"),
        ("key,between\nb7,2\n", r"line 2: there is no key 'b7'; the keys are a1, a2"),
        ("key,between\na4,2\n", "line 2: no gap begins at a4"),
        ("key,between\na1,2\na1.png,3\n", r"line 3: a1\.png has line 2 already"),
        ("key,between,ticks\na1,2,0.5\n", "line 2: a gap has both"),
        ("key,ticks\na1,0.5 0.4\n", "line 2: A tick at 2/5 follows"),
        ("key,ticks\na1,0.5,0.6\n", "line 2 has 3 values for 2 columns"),
        ("key,between\na1,x\n", "line 2: the column between has 'x'"),
        ("key,on\na1,x\n", "line 2: the column on has 'x'"),
        ('key,ease\na1,"0,2,0,2"\n', "line 2: The ease cannot be drawn"),
    ],
)
def test_charts_that_cannot_be_used_are_named_with_their_line(tmp_path, text, says):
    chart = tmp_path / "chart.csv"
    chart.write_text(text)
    with pytest.raises(InputError, match=says):
        timing.plan(KEYS, chart=chart, between="3")


def test_files_that_are_no_charts(tmp_path):
    chart = tmp_path / "chart.csv"
    with pytest.raises(InputError, match="No such file"):
        timing.plan(KEYS, chart=chart)
    chart.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        timing.plan(KEYS, chart=chart)


def test_timing_needs_no_pytorch():
    code = "import sys, _train.frame_interpolation.keys.timing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
