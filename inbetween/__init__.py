"""Frame interpolation for 2D animation: what `import inbetween` gives, and the command `inbetween`.

    from inbetween import Interpolator

The code is in the packages `_util`, `_databacks`, `_train` and `_scripts`. In the repository they are beside this
folder; an installed package contains them, with the shipped weights. Either way, their names are the same, because
their parent folder is added to `sys.path` here. Once installed, that is this folder; names in it begin with an
underscore, so that they hide no module of a host program. Processes started by `multiprocessing` inherit it, so that
functions and classes are pickled under the same names everywhere.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

_PACKAGES = ("_util", "_databacks", "_train", "_scripts")
_NAMES = {
    "Interpolator": "_train.frame_interpolation",
    "InputError": "_util.errors",
    "__version__": "_util.version",
}

__all__ = ["InputError", "Interpolator", "__version__"]


def _find_root() -> Path:
    """The folder that holds the packages."""
    here = Path(__file__).resolve().parent
    return here if (here / _PACKAGES[0]).is_dir() else here.parent


def _put_on_path(root: Path) -> None:
    """Make the packages importable from `root`.

    Raises:
        ImportError: a package of the same name is already imported from elsewhere.
    """
    for name in _PACKAGES:
        taken = sys.modules.get(name)
        if taken is not None and root / name not in [Path(path).resolve() for path in getattr(taken, "__path__", ())]:
            raise ImportError(f"inbetween has a package {name!r}, and another one of that name is imported: {taken!r}")
    if not any(path == str(root) or (path == "" and Path.cwd() == root) for path in sys.path):
        sys.path.insert(0, str(root))


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_NAMES[name])
    value = globals()[name] = getattr(module, "VERSION" if name == "__version__" else name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})


ROOT = _find_root()
_put_on_path(ROOT)
