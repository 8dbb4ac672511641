"""One run at a time writes to a file or folder."""

import importlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from _util.errors import InputError
from _util.files import replacing
from _util.locks import check, holding

HOLD = "import sys, time\nfrom _util.locks import holding\nwith holding(sys.argv[1]): print(flush=True), time.sleep(60)"


@pytest.fixture
def other(tmp_path):
    """A function that starts another process that holds a path."""
    processes = []

    def hold(path: Path) -> subprocess.Popen:
        processes.append(subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE))
        processes[-1].stdout.readline()
        return processes[-1]

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


def test_the_message_names_the_other_run_and_a_dead_one_is_no_obstacle(tmp_path, other):
    out = tmp_path / "out.mp4"
    process = other(out)
    with pytest.raises(InputError, match=rf"out\.mp4 is in use by .*\(process {process.pid} on .*, since 20\d\d-"):  # noqa: SIM117
        with holding(out):
            pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(tmp_path.iterdir())  # what it left
    with holding(out):
        pass
    assert not list(tmp_path.iterdir())


def test_a_check_creates_and_removes_nothing(tmp_path, other):
    out = tmp_path / "new" / "out.mp4"
    check(out)
    assert not list(tmp_path.iterdir())
    out.parent.mkdir()
    process = other(out)
    lock = out.with_name(".out.mp4.lock")
    before = lock.read_bytes()
    with pytest.raises(InputError, match=rf"out\.mp4 is in use by another run \(process {process.pid} on "):
        check(out)
    assert lock.read_bytes() == before
    process.send_signal(signal.SIGKILL)
    process.wait()
    check(out)
    assert lock.exists()


def test_a_link_and_what_it_is_of_are_one(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target", target_is_directory=True)
    with holding(tmp_path / "target"), pytest.raises(InputError, match="in use"), holding(tmp_path / "link"):
        pass


def test_others_are_held_at_once_and_again_afterwards(tmp_path):
    with holding(tmp_path / "a"), holding(tmp_path / "b"):
        pass
    with holding(tmp_path / "a"):
        pass


def test_folders_above_are_made_and_stay_only_if_they_are_used(tmp_path):
    with holding(tmp_path / "refused/deep/out"):
        assert (tmp_path / "refused/deep").is_dir()
    assert not (tmp_path / "refused").exists()
    with holding(tmp_path / "used/out"):
        (tmp_path / "used/out").mkdir()
    assert [path.name for path in tmp_path.rglob("*")] == ["used", "out"]


def test_an_error_within_releases(tmp_path):
    with pytest.raises(KeyError), holding(tmp_path / "a"):
        raise KeyError
    with holding(tmp_path / "a"):
        pass


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "x" * 251 + ".mp4"])
def test_names_as_long_as_names_can_be(tmp_path, name):
    with holding(tmp_path / name):
        (tmp_path / name).touch()
        with pytest.raises(InputError, match="in use"), holding(tmp_path / name):
            pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_whose_parent_may_not_be_written(tmp_path):
    (tmp_path / "out").mkdir()
    tmp_path.chmod(0o500)
    try:
        with holding(tmp_path / "out"), pytest.raises(InputError, match="in use"), holding(tmp_path / "out"):
            pass
        with pytest.raises(InputError, match=r"new cannot be written \(Permission denied\)") as refused:  # noqa: SIM117
            with holding(tmp_path / "new"):
                pass
        check(tmp_path / "out")
        with pytest.raises(InputError) as checked:
            check(tmp_path / "new")
        assert str(checked.value) == str(refused.value)
    finally:
        tmp_path.chmod(0o700)


def test_runs_that_begin_and_end_at_once_never_overlap(tmp_path):
    """Each of four processes adds 1 to a number 25 times, reading and writing it while it holds the file."""
    adds = (
        "import sys\nfrom pathlib import Path\nfrom _util.errors import InputError\nfrom _util.locks import holding\n"
        "done, path = 0, Path(sys.argv[1])\n"
        "while done < 25:\n"
        "    try:\n"
        "        with holding(path):\n"
        "            path.write_text(str(int(path.read_text()) + 1))\n"
        "            done += 1\n"
        "    except InputError: pass\n"
    )
    count = tmp_path / "count"
    count.write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", adds, count]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert re.fullmatch("100", count.read_text())


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_where_no_file_can_be_made_nobody_is_blamed():
    with (
        pytest.raises(InputError, match="/proc/out cannot be written, as no file can be created"),
        holding("/proc/out"),
    ):
        pass


def test_a_whole_disk_is_no_place():
    with pytest.raises(InputError, match="/ has no file name"), holding("/"):
        pass
    with pytest.raises(InputError, match="/ has no file name"), replacing("/"):
        pass


@pytest.mark.parametrize(
    ("module", "before", "after"),
    [
        ("encode_video", ["in.mkv"], []),
        ("duplicate_frame_features", [], []),
        ("rrld_filter", [], ["--device", "cpu"]),
        ("extract_triplet_images", [], []),
        ("extract_triplet_flows", [], ["--device", "cpu"]),
        ("sgm_flows", ["data"], ["--device", "cpu"]),
        ("user_study", ["build", "a", "b"], []),
    ],
)
def test_commands_of_several_steps_hold_their_folder(tmp_path, monkeypatch, module, before, after):
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", [module, *before, str(out), *after])
    main = importlib.import_module(f"_scripts.{module}").main
    with holding(out), pytest.raises(InputError, match="out is in use by another run"):
        main()
    assert not list(tmp_path.iterdir())
