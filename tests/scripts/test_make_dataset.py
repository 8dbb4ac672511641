"""The command line that makes data sets: with real extraction, killed, on a cluster."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from _databacks.dataset import workers
from _databacks.sources import open_source
from _scripts import make_dataset
from _util import command
from _util.errors import InputError
from tests.databacks.test_dataset import SIZE, contents, encode, index, shot

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "_scripts.make_dataset")
OPTIONS = ("--flow", "dis", "--device", "cpu")


@pytest.fixture(scope="module")
def shows(tmp_path_factory) -> Path:
    """Five episodes in two shows, of which 1 and 4 share an opening, and one file that is none."""
    folder = tmp_path_factory.mktemp("shows")
    for i in range(5):
        opening = shot(99, 5, SIZE) if i in (1, 4) else []
        encode(folder / f"show {i % 2}" / f"{i}.mp4", opening + shot(i, 5, SIZE))
    (folder / "show 1" / "bad.mp4").write_text("text")
    return folder


def start(*arguments) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments), *OPTIONS], cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(running: subprocess.Popen) -> tuple[int, list[str]]:
    """The exit code and the lines said, without the progress bar."""
    try:
        said = running.communicate(timeout=300)[1]
    finally:
        running.kill()
    lines = (line.rpartition("\r")[2].strip() for line in said.split("\n"))
    return running.returncode, [line for line in lines if line and not line.startswith("make_dataset:")]


def wait_for_prepared(out: Path, count: int, running: subprocess.Popen) -> None:
    while len(list(out.glob(".work/*/triplets.json"))) < count and running.poll() is None:
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(shows, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    code, said = finish(start(shows, out, "--workers", 2))
    assert code == 1
    assert said[0].startswith(f"{shows}/show 1/bad.mp4 ")
    assert said[0].endswith(" It is skipped.")
    assert said[-1] == f"{out} holds {len(index(out))} triplets, {len(index(out))} of them new."
    return out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["shows", "out", "--size", "big"], "not a size"),
        (["shows", "out", "--quality", "101"], "--quality: 101 is out of range"),
        (["shows", "out", "--workers", "0"], "--workers: 0 is out of range"),
        (["shows", "out", "--near-duplicates", "nan"], "--near-duplicates: nan is out of range"),
        (["shows", "out", "--sensitivity", "0"], "--sensitivity: 0 is out of range"),
        (["shows", "out", "--moving", "-1"], "it must be 0 or more"),
        (["shows", "out", "--workers", "2", "--cluster", "auto"], "not allowed with"),
        (["shows", "out", "--flow", "raft"], "no flow 'raft'"),
        (["shows", "out", "--flow", "dis"], "no video or folder shows"),
        (["out"], "required: OUT"),
    ],
)
def test_mistakes_are_one_sentence(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_dataset", *arguments])
    with pytest.raises(SystemExit) as caught:
        command.run(make_dataset.main)
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert says in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_triplets_of_real_extraction(undisturbed):
    rows = index(undisturbed)
    assert len(open_source(undisturbed)) == len(rows) >= 5
    assert all(float(row["rrld"]) < 0.3 for row in rows)
    assert sorted(path.name for path in (undisturbed / "000001").iterdir()) == ["im1.jpg", "im2.jpg", "im3.jpg"]


@pytest.mark.slow
def test_thresholds_of_rrld_are_heeded(shows, tmp_path):
    code, said = finish(start(shows / "show 0/0.mp4", tmp_path / "out", "--largest-rrld", "0"))
    assert code == 0
    assert "holds no triplets" in said[-1]


@pytest.mark.slow
def test_stopped_and_run_again_it_gives_the_same(call, shows, undisturbed, tmp_path):
    out = tmp_path / "out"
    for prepared, how, expected in ((1, signal.SIGKILL, -9), (3, signal.SIGINT, 130)):
        running = start(shows, out, "--workers", 1)
        wait_for_prepared(out, prepared, running)
        running.send_signal(how)
        code, said = finish(running)
        assert code == expected
        assert "Traceback" not in "".join(said)
        assert not (out / "index.csv").exists()
    code, said = finish(start(shows, out, "--workers", 1))
    assert code == 1
    assert contents(out) == contents(undisturbed)
    again = call(make_dataset.main, shows, out, *OPTIONS)
    assert again.code == 1
    assert again.said.splitlines()[-1].endswith("already; nothing to do.")


@pytest.fixture
def ray_cluster():
    """A cluster of two nodes of one core each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 10**8})
    yield cluster, cluster.add_node(num_cpus=1, object_store_memory=10**8)
    cluster.shutdown()


@pytest.mark.slow
def test_a_cluster_that_loses_a_node(ray_cluster, shows, undisturbed, tmp_path):
    cluster, second = ray_cluster
    out = tmp_path / "out"
    running = start(shows, out, "--cluster", cluster.address)
    wait_for_prepared(out, 2, running)
    assert running.poll() is None, finish(running)
    cluster.remove_node(second, allow_graceful=False)
    code, said = finish(running)
    assert code == 1, said
    assert contents(out) == contents(undisturbed)
    triplets = [(row["video"], row["frames"]) for row in index(out)]
    assert len(set(triplets)) == len(triplets)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_no_such_cluster(address):
    pytest.importorskip("ray")
    with pytest.raises(InputError, match=f"There is no Ray cluster at '{address}'"):
        next(workers.cluster(print, [1], print, address=address))


def test_no_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="needs ray, which is not installed"):
        next(workers.cluster(print, [1], print, address="auto"))
