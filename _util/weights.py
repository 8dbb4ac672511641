"""Where weights are looked for; PyTorch is not needed for that.

checkpoints/
    ssl.pt                    published SoftsplatLite
    dtm.pt                    published DTM
    anime_interp_full.ckpt    published AnimeInterp, which holds the published RFR
    anime_interp_gma.ckpt     published AnimeInterp with global motion aggregation, by whatever name it came
    rife.pkl                  published IFNet of RIFE 4.6; or flownet.pkl
    default/                  shipped with the project
        ifnet.safetensors  fusion.safetensors  …
        alexnet_features.safetensors    for LPIPS
"""

from pathlib import Path

from _util.errors import InputError

FOLDER = Path(__file__).parent.parent / "checkpoints"
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


def expected(name: str) -> str:
    """The file, within a folder of checkpoints, that the weights of one of `NETWORKS` are expected in."""
    return PUBLISHED.get(name, f"default/{name}.safetensors")


def find(name: str, folder: Path = FOLDER) -> Path | None:
    """The file with the weights of one of `NETWORKS`, published before shipped; None if there is neither."""
    published = (folder / file for file in (expected(name), *_OTHER_NAMES.get(name, ())))
    for path in (*published, folder / "default" / f"{name}.safetensors"):
        if path.exists():
            return path
    return None


def missing(name: str, folder: Path = FOLDER) -> InputError:
    """What is raised where one of `NETWORKS` has no weights."""
    return InputError(f"There are no weights for {name}: put {expected(name)} into {folder}.")
