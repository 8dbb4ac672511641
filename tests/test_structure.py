"""Imports go one way, `_scripts → _train → _databacks → _util`, without cycles; no two classes share a name."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "_env"))

import class_names  # noqa: E402
import structure  # noqa: E402


@pytest.fixture(scope="module")
def graph() -> structure.Graph:
    files = {}
    for package in structure.PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            files[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
    return structure.imports(files)


def test_imports_go_one_way(graph):
    assert structure.layer_violations(graph) == []


def test_the_training_loop_is_short_enough_to_read():
    folder = ROOT / "_train/frame_interpolation"
    files = folder / "train.py", folder / "training/loop.py"
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) < 350


def test_no_files_import_each_other(graph):
    assert structure.import_cycles(graph) == []


def test_what_goes_up_or_around_is_found():
    files = {
        "_util/a.py": "def f():\n    from _util import b\n",
        "_util/b.py": "from _util.c import C\n",
        "_util/c.py": "import _util.a\nfrom _train import t\n",
        "_util/types.py": "if TYPE_CHECKING:\n    from _train import t\n",
        "_train/t.py": "from _util.a import f\n",
        "_train/__init__.py": "from _train.t import x\n",
    }
    graph = structure.imports(files)
    assert structure.layer_violations(graph) == [("_util/c.py", "_train/t.py")]
    assert structure.import_cycles(graph) == [["_train/t.py", "_util/a.py", "_util/b.py", "_util/c.py"]]
    assert structure.folder_imports(graph) == {"_util": {"_train"}, "_train": {"_util"}}


def test_classes_have_names_of_their_own():
    assert class_names.shared_names(ROOT) == {}


def test_a_shared_name_is_found(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"_util/{name}.py").parent.mkdir(exist_ok=True)
        (tmp_path / f"_util/{name}.py").write_text("class Same:\n    pass\n")
    assert class_names.shared_names(tmp_path) == {"Same": ["_util/a.py:1", "_util/b.py:1"]}
