"""Settings that a run was begun with: what differs is named, and what JSON changes does not count."""

import os

import pytest

from _util import places, runs
from _util.errors import InputError


def test_what_differs_is_named_with_both_values():
    before, now = {"fps": "48", "crf": None, "codec": "libx264"}, {"fps": "60", "crf": 30, "size": 2}
    assert runs.changed(before, now) == ["fps", "crf", "codec", "size"]
    said = runs.changes({"fps": "48", "crf": None}, {"fps": "60", "crf": 30})
    assert said == "fps 48 instead of 60, crf None instead of 30"
    assert runs.changes(before, dict(before)) == ""


def test_settings_are_read_as_they_were_written(tmp_path):
    settings = {"size": (2, 3), "name": "é", "deep": {"a": [1.5, None]}}
    runs.write(tmp_path / "run.json", settings)
    assert runs.read(tmp_path / "run.json", "delete it") == runs.plain(settings) != settings


@pytest.mark.parametrize("content", [None, b"", b"[1]", b"{", b"\xff\xfe"])
def test_what_cannot_be_read_is_one_sentence_with_the_remedy(tmp_path, content):
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(InputError, match=r"run\.json is (missing or )?damaged; delete it\."):
        runs.read(tmp_path / "run.json", "delete it")


def test_digests_tell_contents_and_names_apart(tmp_path):
    for folder, name, content in (("a", "x", b"1"), ("b", "x", b"1"), ("c", "y", b"1"), ("d", "x", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(content)
    a, b, c, d = (runs.digest(tmp_path / folder) for folder in "abcd")
    assert a == b
    assert len({a, c, d}) == 3
    assert runs.digest(tmp_path / "a/x") == runs.digest(tmp_path / "c/y")
    assert runs.digest_of({"a": 1, "b": 2}) == runs.digest_of({"b": 2, "a": 1})


def test_a_digest_of_a_folder_stays_what_it_was(tmp_path):
    """Stored settings hold such digests: another one would refuse to resume."""
    (tmp_path / "é").mkdir()
    for name in ("é/x", "2", "10"):
        (tmp_path / name).write_text(name)
    assert runs.digest(tmp_path) == "8c5bf3e4b4509e0223646b5795cfedf0db6347d6b4a7d2a557e766d8bc2dc62d"


def test_files_with_names_that_are_no_text_have_digests(tmp_path, monkeypatch):
    for package, name in (("_util", b"\xe9\xff.py"), ("_train", b"\xe9\xfe.py")):
        (tmp_path / package).mkdir()
        (tmp_path / package / os.fsdecode(name)).touch()
    assert runs.digest(tmp_path / "_util") != runs.digest(tmp_path / "_train")
    monkeypatch.setattr(places, "ROOT", tmp_path)
    runs.digest_of_code.cache_clear()
    assert len(runs.digest_of_code()) == 64
    runs.digest_of_code.cache_clear()


def test_a_broken_link_has_no_digest(tmp_path, monkeypatch):
    (tmp_path / "_util").mkdir()
    (tmp_path / "_util/a.py").symlink_to("nothing")
    with pytest.raises(
        InputError, match=r"_util/a\.py cannot be read \(No such file or directory\); repair or remove it\."
    ):
        runs.digest(tmp_path)
    monkeypatch.setattr(places, "ROOT", tmp_path)
    runs.digest_of_code.cache_clear()
    without = runs.digest_of_code()  # editors leave such links beside what is edited
    runs.digest_of_code.cache_clear()
    (tmp_path / "_util/a.py").unlink()
    assert runs.digest_of_code() == without
    runs.digest_of_code.cache_clear()


def test_a_stamp_changes_with_size_and_time(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"1")
    before, of_all = runs.stamp(path), runs.stamp_of([path])
    os.utime(path, ns=(0, 12345))
    assert runs.stamp(path) == "1 bytes of 12345" != before
    assert runs.stamp_of([path]) != of_all


def test_edited_code_has_another_digest(tmp_path, monkeypatch):
    digests = set()
    monkeypatch.setattr(places, "ROOT", tmp_path)
    for package, content in (("_util", "1"), ("_train", "1"), ("_train", "2"), ("_scripts", "1")):
        (tmp_path / package / "inner").mkdir(parents=True, exist_ok=True)
        (tmp_path / package / "inner/a.py").write_text(content)
        runs.digest_of_code.cache_clear()
        digests.add(runs.digest_of_code())
    runs.digest_of_code.cache_clear()
    assert len(digests) == 3
