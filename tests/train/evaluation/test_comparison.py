"""What tables say of scores."""

import numpy as np
import pytest

from _train.frame_interpolation.evaluation import comparison
from _train.frame_interpolation.evaluation.comparison import difference
from _train.frame_interpolation.evaluation.scores import Gathered, Row
from _util import runs, tables
from _util.errors import InputError


def rows(**methods: list[float]) -> list[Row]:
    """PSNRs of items a, b, c, …, of which every other one is east."""
    return [
        Row(method, chr(97 + i), {"subset": "west" if i % 2 else "east"}, {"psnr": score})
        for method, scores in methods.items()
        for i, score in enumerate(scores)
    ]


def test_interval_of_a_mean_is_about_two_standard_errors_wide():
    paired = np.random.default_rng(0).normal(0.5, 2, 400)
    found = difference(paired, np.zeros(400), higher_is_better=True)
    error = paired.std(ddof=1) / 20
    assert found.mean == pytest.approx(paired.mean())
    assert found.low == pytest.approx(paired.mean() - 1.966 * error, abs=0.1 * error)
    assert found.high == pytest.approx(paired.mean() + 1.966 * error, abs=0.1 * error)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 60])
def test_intervals_hold_the_truth_as_often_as_they_say(n):
    """Also for few items, of which plain percentiles hold it in less than 91 %."""
    random = np.random.default_rng(n)
    found = [difference(random.normal(3, 1, n), np.zeros(n), True) for _ in range(300)]
    assert 0.92 <= np.mean([one.low <= 3 <= one.high for one in found]) <= 0.98


@pytest.mark.parametrize("n", [3, 11, 40])
def test_intervals_over_clusters_hold_the_truth_as_often_as_they_say(n):
    """Of clusters of 4 to 12 items, with half of the variance between clusters; over items they hold it in 60 %."""
    random = np.random.default_rng(n)
    counts = random.integers(4, 13, n)
    clusters = np.repeat([f"cut {i}" for i in range(n)], counts)

    def holds(clusters) -> bool:
        paired = 3 + np.repeat(random.normal(0, 1, n), counts) + random.normal(0, 1, counts.sum())
        found = difference(paired, np.zeros(len(paired)), True, clusters)
        return found.low <= 3 <= found.high

    assert 0.9 <= np.mean([holds(clusters) for _ in range(300)]) <= 0.99
    assert np.mean([holds(None) for _ in range(100)]) < 0.75


def test_clusters_of_one_item_are_items():
    a, b = np.random.default_rng(0).normal(0, 1, (2, 30))
    assert difference(a, b, True, [f"{i:02d}" for i in range(30)]) == difference(a, b, True)


def test_cuts_are_resampled_whole_and_categories_are_not():
    def over(*subsets: str) -> dict[str, str]:
        found = [
            Row(method, str(i), {"subset": subset}, {"psnr": i * k})
            for k, method in enumerate("ab")
            for i, subset in enumerate(subsets)
        ]
        return {row["subset"]: row["interval over"] for row in comparison.differences(found, {"psnr": True})}

    assert over("cut_1", "cut_1", "cut_2") == {"all": "2 subsets", "cut_1": "2 items", "cut_2": "1 item"}
    assert over("cut_1", "cut_1", "cut_2", "", "")["all"] == "4 subsets"
    assert over("cut_1", "cut_1", "")["all"] == "3 items"
    assert over("east", "west", "west")["all"] == "3 items"
    assert over("easier", "easier", "harder")["all"] == "3 items"


def test_pairing_takes_what_items_share_away():
    hard = np.linspace(10, 40, 50)
    found = difference(hard + 0.1, hard, higher_is_better=True)
    assert found[:3] == pytest.approx((0.1, 0.1, 0.1))


def test_order_turns_the_sign():
    a, b = np.random.default_rng(0).normal(0, 1, (2, 30))
    ab, ba = difference(a, b, True), difference(b, a, True)
    assert ab.mean == -ba.mean
    assert ab.low == pytest.approx(-ba.high, abs=0.05)
    assert ab.wins == pytest.approx(1 - ba.wins)


def test_wins_follow_what_is_better_and_ties_are_halved():
    assert difference([1, 2, 3, 4], [0, 5, 3, 3], higher_is_better=True).wins == (2 + 0.5) / 4
    assert difference([1, 2, 3, 4], [0, 5, 3, 3], higher_is_better=False).wins == (1 + 0.5) / 4


def test_equal_scores_give_equal_intervals():
    a, b = np.random.default_rng(0).normal(0, 1, (2, 30))
    assert difference(a, b, True) == difference(a, b, True)


def test_one_item_tells_nothing_about_the_mean():
    assert difference([2], [1], True) == (1, -np.inf, np.inf, 1)


def test_summary_is_by_subset():
    table = comparison.summary(rows(dis=[30, 20, 10]), ["psnr"])
    assert [tuple(row.values()) for row in table] == [
        ("all", "psnr", "20.00"),
        ("east", "psnr", "20.00"),
        ("west", "psnr", "20.00"),
    ]
    assert list(table[0]) == ["subset", "metric", "score"]
    table = comparison.summary(rows(dis=[30, 20, 10], blend=[3, 2, 1]), ["psnr"])
    assert table[1] == {"subset": "east", "metric": "psnr", "dis": "20.00", "blend": "2.00"}


def test_levels_come_by_difficulty_and_names_have_no_blanks():
    levels = ["hard", "easy", "medium", "easy"]
    scored = [
        Row("dis", str(i), {"subset": "", "level": level, "motion": "zoom and pan"}, {"psnr": i})
        for i, level in enumerate(levels)
    ]
    assert comparison.groups(scored) == {
        "all": {"0", "1", "2", "3"},
        "easy": {"1", "3"},
        "medium": {"2"},
        "hard": {"0"},
        "motion:zoom_and_pan": {"0", "1", "2", "3"},
    }


def test_subsets_of_any_name_stay_apart():
    names = "all", "a b", "a_b", "a_b"
    scored = [Row("dis", str(i), {"subset": name}, {"psnr": i}) for i, name in enumerate(names)]
    assert comparison.groups(scored) == {
        "all": {"0", "1", "2", "3"},
        "a_b": {"1"},
        "subset:a_b": {"2", "3"},
        "subset:all": {"0"},
    }


def test_every_two_methods_are_compared():
    table = comparison.differences(rows(a=[3, 2, 1], b=[1, 1, 1], c=[0, 0, 0]), {"psnr": True})
    whole = [row for row in table if row["subset"] == "all"]
    assert [(row["difference"], row["mean"], row["first better"]) for row in whole] == [
        ("a − b", "+1.00", "83.3 %"),
        ("a − c", "+2.00", "100.0 %"),
        ("b − c", "+1.00", "100.0 %"),
    ]
    assert whole[2]["95 % interval"] == "[+1.00, +1.00]"


def test_figures_are_shown_as_published():
    assert comparison.shown("lpips", 0.034943) == "3.4943e-2"
    assert comparison.shown("chamfer", 4.35049e-5) == "4.3505e-5"
    assert comparison.shown("psnr", 29.2861) == "29.29"
    assert comparison.shown("ssim", 0.95149) == "95.15"
    assert comparison.shown("ssim", 0.001, signed=True) == "+0.10"
    assert comparison.shown("lpips", -0.001, signed=True) == "-1.0000e-3"
    assert comparison.shown("lpips", float("inf")) == "inf"
    assert comparison.shown("a new metric", 0.01234) == "1.2340e-2"
    for metric in ("ie", "roi_ie", "roi_psnr", "aligned_psnr", "aligned_time", "unevenness", "flicker"):
        assert comparison.shown(metric, 0.123) == "0.12"


def test_columns_line_up():
    lines = tables.aligned(
        [{"subset": "all", "score": "1.00"}, {"subset": "western", "score": "12.00"}], ["subset"]
    ).splitlines()
    assert lines == ["subset   score", "all       1.00", "western  12.00"]
    assert tables.markdown([{"a": "1", "b": "2|3"}]) == "| a | b |\n| --- | --- |\n| 1 | 2\\|3 |"


@pytest.fixture
def gathered(tmp_path):
    def gathered(**options) -> Gathered:
        return Gathered(tmp_path / "out.csv", options, ["subset"], ["psnr"])

    return gathered


def test_rows_survive_a_kill_to_the_last_bit(gathered, tmp_path):
    (row,) = rows(dis=[0.1 + 0.2])
    gathered().append([row], "stamp")
    assert gathered().read() == {("dis", "a", "stamp"): row}
    assert gathered(precision="bf16").read() == {}
    (part,) = tmp_path.glob(".out-*")
    whole = part.read_bytes()
    for length in range(len(whole) - 1):
        part.write_bytes(whole[:length])
        assert gathered().read() == {}


def test_a_partial_file_that_cannot_be_read_is_named(gathered, tmp_path):
    gathered().append(rows(dis=[1]), "stamp")
    (part,) = tmp_path.glob(".out-*")
    part.unlink()
    part.mkdir()
    with pytest.raises(InputError, match=f"{part.name} cannot be read"):
        gathered().read()


def test_rows_of_several_processes_come_together(gathered, tmp_path):
    first, second = rows(dis=[1, 2])
    gathered().append([first], "x")
    gathered().append([second], "y")
    assert gathered().read() == {("dis", "a", "x"): first, ("dis", "b", "y"): second}
    gathered().write([first, second])
    gathered().remove()
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert (tmp_path / "out.csv").read_text() == "method,name,subset,psnr\ndis,a,east,1.0\ndis,b,west,2.0\n"


def test_a_table_leaves_no_partial_file_of_runs_that_it_replaces(gathered, tmp_path):
    row = rows(dis=[1])
    gathered(precision="bf16").append(row, "x")
    Gathered(tmp_path / "out-2.csv", {}, ["subset"], ["psnr"]).append(row, "x")
    assert len(list(tmp_path.iterdir())) == 2
    gathered().write(row)
    gathered().remove()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2
    assert names[0].startswith(".out-2-")
    assert names[1] == "out.csv"


def test_stamps_tell_of_changes(tmp_path):
    path = tmp_path / "file"
    stamps = [runs.stamp_of([path])]
    for content in ("a", "bc"):
        path.write_text(content)
        stamps.append(runs.stamp_of([path]))
    assert len(set(stamps)) == 3
    assert runs.stamp_of([path]) == stamps[-1]
