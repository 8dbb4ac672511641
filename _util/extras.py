"""Optional packages and the extras of pyproject.toml that install them."""

import importlib.util
import itertools
import tomllib
from importlib import metadata

from _util import places
from _util.counts import listed
from _util.errors import InputError

EXTRAS = {
    "av": "video",
    "cupy": "gpu",
    "gradio": "demo",
    "h5py": "dataset",
    "kornia": "methods",
    "lightning": "train",
    "lpips": "evaluate",
    "matplotlib": "train",
    "numba": "methods",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "openvino": "onnx",
    "psd_tools": "layers",
    "pynvml": "gpu",
    "ray": "cluster",
    "resvg_py": "train",
    "rlottie_python": "train",
    "starlette": "studio",
    "tensorboard": "train",
    "torchmetrics": "evaluate",
    "torchvision": "methods",
    "uvicorn": "studio",
}


def how_to_install(extra: str) -> str:
    """How to install the packages of an extra, as the end of a sentence."""
    return f"run make/setup {extra}" if places.IS_REPOSITORY else f'run pip install "inbetween[{extra}]"'


def missing(error: Exception) -> str | None:
    """A sentence about the package that is not installed; None if the error is another one, or no extra installs it."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return _sentence(package) if package in EXTRAS and importlib.util.find_spec(package) is None else None


def require(*packages: str) -> None:
    """Raise InputError unless the packages, all of one extra, are installed; none is imported."""
    absent = [package for package in packages if importlib.util.find_spec(package) is None]
    if absent:
        raise InputError(_sentence(*absent))


def unsupported() -> str | None:
    """A sentence about installed packages whose versions are outside the bounds of pyproject.toml; None if there are
    none, and where the project itself is installed, since pip has verified them.
    """
    if not places.IS_REPOSITORY:
        return None
    from packaging.requirements import Requirement

    project = tomllib.loads((places.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = (texts for extra, texts in project["optional-dependencies"].items() if extra != "dev")
    wanted = {of.name: of for of in map(Requirement, itertools.chain(project["dependencies"], *extras))}
    versions = {name: version for name in wanted if (version := _version(name))}
    wrong = [wanted[name] for name, of in versions.items() if not wanted[name].specifier.contains(of, prereleases=True)]
    if not wrong:
        return None
    found = listed([f"{of.name} {versions[of.name]}" for of in wrong], len(wrong))
    remedy = " ".join(f'"{of}"' for of in wrong)
    are = "is" if len(wrong) == 1 else "are"
    return f"{found} {are} installed, which this does not support: run make/setup, or pip install {remedy}."


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _sentence(*packages: str) -> str:
    are = "is" if len(packages) == 1 else "are"
    remedy = how_to_install(EXTRAS[packages[0]])
    return f"This needs {listed(packages, len(packages))}, which {are} not installed: {remedy}."
