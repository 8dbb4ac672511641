"""The list of methods, and the README's copy of it."""

from pathlib import Path

from _scripts import methods as listing
from _train.frame_interpolation import methods
from _train.frame_interpolation.methods import Method

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_holds_the_table():
    assert f"-->\n{listing.table()}\n<!-- /methods -->" in README.read_text(encoding="utf-8")


def test_one_entry_is_one_row(monkeypatch):
    monkeypatch.setitem(methods.SYNTHESES, "toy", Method("draws nothing", "toys:create", ("toy",)))
    assert "| `--synthesis toy` | draws nothing | `toy` |" in listing.table().splitlines()


def test_writes_between_the_marks_alone(call, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- methods -->\nold\n<!-- /methods -->\nafter\n")
    assert call(listing.main, "--write", str(page))[0] == 0
    assert page.read_text() == f"before\n<!-- methods -->\n{listing.table()}\n<!-- /methods -->\nafter\n"


def test_a_page_without_marks_is_left_as_it_is(call, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    code = call(listing.main, "--write", str(page))[0]
    assert code == 2
    assert page.read_text() == "nothing\n"
