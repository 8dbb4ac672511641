"""Numbered pictures come in their order with their numbers; files appear whole or not at all."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from _util import files
from _util.errors import InputError
from _util.files import index_of, natural, numbered, replacing


@pytest.mark.parametrize(
    "names",
    [
        ["-10.png", "-2.png", "0.png", "1.png", "9.png", "10.png"],
        ["shot_-1.png", "shot_0.png", "shot_12.png"],
        ["shot-1.png", "shot-2.png", "shot-10.png"],
        ["A2.png", "a10.png", "B1.png"],
        ["2024-11-9 a.png", "2024-11-10 a.png"],
        ["a.-3.png", "a.-2.png", "a.1.png"],
    ],
)
def test_natural_order(names):
    backwards = names[::-1]
    assert sorted(backwards, key=natural) == names


@pytest.mark.parametrize(
    ("written", "index"), [("a1", 0), ("a1.png", 0), ("a1.5", 1), ("k\u00e4", 2), ("ka\u0308.PNG", 2), ("a", None)]
)
def test_names_in_tables(written, index):
    assert index_of(written, ["a1", "a1.5", "ka\u0308"]) == index
    assert index_of(written, ["a1", "a1.5", "k\u00e4"]) == index


@pytest.mark.parametrize(
    ("written", "index"), [("k1.tif", 1), ("k1.png", 0), ("k1", 0), ("k\u00e4.tif", 3), ("k\u00e4", 2)]
)
def test_a_whole_name_in_a_table_precedes_one_without_its_suffix(written, index):
    assert index_of(written, ["k1", "k1.tif", "k\u00e4", "ka\u0308.tif"]) == index


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        ("0001.png 0002.png 0005.png", [1, 2, 5]),
        ("-2.png -1.png 0.PNG 1.jpg", [-2, -1, 0, 1]),
        ("sc1_0003.png sc1_0004.png", [3, 4]),
        ("sc1_0003.png sc2_0001.png", [0, 1]),
        ("12_00.png 12_01.png 12_12.png", [0, 1, 12]),
        ("a.png b.png c.png", [0, 1, 2]),
        ("1.png 1b.png 2.png", [0, 1, 2]),
        ("take-7.png take-8.png", [7, 8]),
    ],
)
def test_numbers_of_pictures(tmp_path, names, numbers):
    for name in [*names.split(), "notes.txt", ".hidden.png"]:
        (tmp_path / name).touch()
    assert [(path.name, number) for path, number in numbered(tmp_path)] == list(
        zip(names.split(), numbers, strict=True)
    )


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["000.jpg", "000.png"], r"000\.jpg and 000\.png are one picture"),
        (["a1.png", "a01.png", "a2.png"], r"a01\.png and a1\.png are one"),
        (["a.png", "a.tif"], r"a\.png and a\.tif are one"),
        (["1.png", "2.png", "cover.png"], r"cover\.png has no number"),
    ],
)
def test_pictures_without_an_order_are_named(tmp_path, names, says):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=says):
        numbered(tmp_path)


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, InputError])
def test_nothing_is_left_of_a_file_that_fails(tmp_path, error):
    def fail():
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_link_is_followed(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there/a.txt", tmp_path / "link.txt"
    link.symlink_to(target)
    for text in ("first", "second"):  # the first time, the link is of nothing
        with replacing(link) as temporary:
            temporary.write_text(text)
        assert link.is_symlink()
        assert target.read_text() == text


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "é" * 125 + ".png", os.fsdecode(b"\xff" * 251 + b".png")])
def test_names_as_long_as_names_can_be(tmp_path, name):
    with replacing(tmp_path / name) as temporary:
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_folders_that_cannot_be_made_say_why(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    for name, why in (
        ("file", "it is a file"),
        ("file/more", f"{tmp_path / 'file'} is a file"),
        ("dangling", "it is a symbolic link that leads nowhere"),
        ("circle", "it is a symbolic link that leads nowhere"),
    ):
        with pytest.raises(InputError) as raised:
            files.make_folder(tmp_path / name)
        assert str(raised.value) == f"{tmp_path / name} cannot be created ({why}); choose another place."


def test_only_where_there_is_no_room_it_is_to_be_made(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"\(it is a folder\); choose another place"):
        files.check_writable(tmp_path / "folder")
    with pytest.raises(InputError, match="; make room or choose another place"), files.writing(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_errors_within_a_folder_that_is_replaced_name_its_final_place(tmp_path):
    with pytest.raises(InputError) as raised, replacing(tmp_path / "a") as folder:
        raise InputError(f"{folder / 'b'} is bad; mend it.")
    assert str(raised.value) == f"{tmp_path / 'a' / 'b'} is bad; mend it."
    other = InputError("c is bad; mend it.")
    with pytest.raises(InputError) as raised, replacing(tmp_path / "a"):
        raise other
    assert raised.value is other


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    dies = "import os, sys\nfrom _util.files import replacing\nwith replacing(sys.argv[1]) as temporary:\n"
    dies += "    (temporary.mkdir() if 'folder' in sys.argv[1] else temporary.touch()), os.kill(os.getpid(), 9)"
    for name in ("a.png", "folder"):
        subprocess.run([sys.executable, "-c", dies, tmp_path / name], check=False)
        assert len(list(tmp_path.iterdir())) == 1  # its own; it has removed that of the one before
    living, other = (tmp_path / f".b.tmp-{host}-{pid}.png" for host, pid in ((files._HOST, 1), ("0" * 8, 2**30)))
    living.touch()
    other.touch()  # of another machine, which alone knows whether its process lives
    with replacing(tmp_path / "c.png") as temporary:
        temporary.touch()
    assert {path.name for path in tmp_path.iterdir()} == {"c.png", living.name, other.name}


def test_a_file_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    path, steps = tmp_path / "a.txt", []
    monkeypatch.setattr(os, "fsync", lambda descriptor: steps.append(path.exists()))
    with replacing(path) as temporary:
        temporary.write_text("whole")
    assert steps == [False, True]  # the file, then the folder


def test_text_is_read_with_or_without_a_mark(tmp_path):
    path = tmp_path / "a.csv"
    for mark in ("", "\ufeff"):
        path.write_text(f"{mark}Schlüssel\n", encoding="utf-8")
        assert files.read_text(path, "a chart") == "Schlüssel\n"


@pytest.mark.parametrize(
    ("content", "says"), [(b"\xff\xfe", "not a text in UTF-8"), (b" " * 10_000_001, "longer than 10 MB")]
)
def test_what_is_no_text_is_reported(tmp_path, content, says):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=f"{says}; a chart is needed"):
        files.read_text(tmp_path / "a.csv", "a chart")
    with pytest.raises(InputError, match=r"b\.csv cannot be read .*; a chart is needed"):
        files.read_text(tmp_path / "b.csv", "a chart")


def test_json_holds_names_that_are_not_utf8(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"Schl\xc3\xbcssel": "key_\xff.png"}')
    assert files.read_json(tmp_path / "a.json", "a chart") == {"Schlüssel": os.fsdecode(b"key_\xff.png")}


@pytest.mark.parametrize("content", [b"", b"{", b"\x00\xff", b"[" * 100_000])
def test_what_is_no_json_is_reported(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json is damaged, or no JSON .*; a chart is needed"):
        files.read_json(tmp_path / "a.json", "a chart")


def test_folders_are_published_on_windows(tmp_path, monkeypatch):
    """Windows neither opens folders, as to sync them, nor renames onto one, be it empty."""
    opened, replaced = os.open, Path.replace

    def open_file(path, *arguments) -> int:
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments)

    def rename(path: Path, target: Path) -> Path:
        if path.is_dir() and target.exists():
            raise PermissionError(13, "Access is denied")
        return replaced(path, target)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(Path, "replace", rename)
    (tmp_path / "temporary").mkdir()
    (tmp_path / "temporary" / "0.png").touch()
    (tmp_path / "out").mkdir()
    files.publish(tmp_path / "temporary", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["0.png"]


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="this system has no other users")
def test_what_may_not_be_looked_at_is_not_missing(tmp_path):
    there, closed = tmp_path / "there", tmp_path / "closed"
    there.touch()
    closed.mkdir()
    assert [files.exists(path) for path in (there, closed, tmp_path / "x", there / "x")] == [True, True, False, False]
    assert not files.exists(tmp_path / ("x" * 300))
    closed.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # who may look everywhere
            os.seteuid(65534)
        with pytest.raises(PermissionError):
            files.exists(closed / "x")
    finally:
        os.seteuid(user)
        closed.chmod(0o700)
