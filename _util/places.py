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
    """Folders of weights, those that come first taking precedence."""
    shipped = ROOT / "checkpoints"
    return [shipped] if IS_REPOSITORY else [Path("checkpoints"), user_folder() / "checkpoints", shipped]


def added_weights() -> Path:
    """Where a user puts weights."""
    return ROOT / "checkpoints" if IS_REPOSITORY else user_folder() / "checkpoints"


def results(kind: str) -> Path:
    """Where results of a kind go if no other place is given: within the current folder."""
    return Path("_data", kind) if IS_REPOSITORY else Path(kind)


def data(name: str) -> Path:
    """Where a data set is looked for if no other place is given."""
    here = results(name)
    return here if IS_REPOSITORY or here.exists() else user_folder() / name


def cache(name: str) -> Path:
    """Where something is kept that is made once and read again."""
    return ROOT / "_data" / name if IS_REPOSITORY else user_folder() / name
