import importlib.util
import subprocess
import sys
from pathlib import Path

from _scripts import compile

PROGRAM = """
import sys
import numpy as np
from numba.core.dispatcher import Dispatcher
from _databacks.figures import Figures
from _scripts import compile
from _train.frame_interpolation import Interpolator
from _util import image

def compiled():
    modules = [module for name, module in sys.modules.items() if name.startswith("_util")]
    functions = {one for module in modules for one in vars(module).values() if isinstance(one, Dispatcher)}
    return {(one.py_func.__qualname__, str(signature)) for one in functions for signature in one.signatures}

compile.main()
before = compiled()
pairs = [Figures(1, seed=3, **of)[0].frames[::2] for of in ({"line_art": True}, {"passing": True}, {})]
pairs = [[image.to_array(frame, np.uint8) for frame in pair] for pair in pairs]
empty, one, moved = np.full((3, 96, 128, 3), 230, np.uint8)
one[30:60, 20:50] = moved[30:60, 40:70] = 60, 90, 180
for frame0, frame1 in [*pairs, (empty, one), (one, empty), (one, moved)]:
    Interpolator("auto", "ifnet", "cpu", matching="auto")(frame0, frame1)
assert len(before) > 20, len(before)
print(*(compiled() - before), sep="\\n")
"""


def test_later_drawings_compile_nothing():
    root = Path(__file__).parents[2]
    finished = subprocess.run([sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    said, *more = finished.stdout.splitlines()
    assert said.startswith("Compiled in ")
    assert more in ([], [""])


def test_without_numba_it_says_how_to_install_it(call, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "numba" else found(name))
    finished = call(compile.main)
    assert finished.code == 2
    assert finished.said.startswith("This needs numba, which is not installed: run make/setup methods.")
