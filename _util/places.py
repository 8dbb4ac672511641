"""Locations of files: of the project, of the user, and of results.

In the repository                    Installed
    checkpoints/                         ./checkpoints, the user's data folder, the package     weights
    _data/interpolated/ …                ./interpolated/ …                                      results
    _data/atd12k/ …                      ./atd12k/ …, or else in the user's data folder         data

The user's data folder is the system's, as `platformdirs` knows it: ~/.local/share/inbetween on Linux.
"""

from pathlib import Path

ROOT = Path(__file__).parents[1]
IS_REPOSITORY = (ROOT / "pyproject.toml").is_file()


def user_folder() -> Path:
    """The user's data folder; it need not exist."""
    import platformdirs

    return platformdirs.user_data_path("inbetween", appauthor=False)


def weights() -> list[Path]:
    """Folders of weights, in order of precedence."""
    shipped = ROOT / "checkpoints"
    return [shipped] if IS_REPOSITORY else [Path("checkpoints"), user_folder() / "checkpoints", shipped]


def added_weights() -> Path:
    """The folder in which users put weights."""
    return ROOT / "checkpoints" if IS_REPOSITORY else user_folder() / "checkpoints"


def results(kind: str) -> Path:
    """The default folder for results of a kind, within the current folder."""
    return Path("_data", kind) if IS_REPOSITORY else Path(kind)


def data(name: str) -> Path:
    """The default folder of a data set."""
    here = results(name)
    return here if IS_REPOSITORY or here.exists() else user_folder() / name


def cache(name: str) -> Path:
    """The folder of a cache."""
    return ROOT / "_data" / name if IS_REPOSITORY else user_folder() / name
