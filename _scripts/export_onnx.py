"""Write the default synthesis as ONNX, for `--backend onnxruntime` and for other programs.

checkpoints/default/ifnet.safetensors   →   checkpoints/onnx/ifnet-1.onnx   for frames of up to 800 lines
                                                             ifnet-2.onnx   up to 1600
                                                             ifnet-4.onnx   larger

Each is compared with PyTorch by ONNX Runtime, if that is installed.
"""

import argparse
import sys
from pathlib import Path

from _util import command


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.export_onnx", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: onnx in the checkpoints)")
    parser.add_argument(
        "--precision", choices=("fp32", "fp16"), default="fp32", help="of weights and convolutions (default: fp32)"
    )
    parser.add_argument("--checkpoints", type=Path, metavar="DIR", help="folder of weights (default: checkpoints)")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    import torch

    from _train.frame_interpolation import onnx_models
    from _util import checkpoints
    from _util.errors import InputError
    from _util.files import making_folder

    folder = arguments.checkpoints or checkpoints.FOLDER
    if not folder.is_dir():
        raise InputError(f"There is no folder of weights {folder}; correct --checkpoints, or leave it out.")
    out = arguments.out or onnx_models.place(folder)
    precision = torch.float16 if arguments.precision == "fp16" else torch.float32
    with making_folder(out):
        pass  # else what is wrong with it would be known only minutes later
    for coarser in onnx_models.COARSENESSES:
        path = out / onnx_models.file_name(coarser)
        print(f"Exporting {path}; this may take minutes.", file=sys.stderr)
        onnx_models.export(path, coarser, precision, folder)
        difference = onnx_models.difference(path, coarser, folder)
        compared = "" if difference is None else f", differs from PyTorch by {difference:.1e}"
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB{compared}")


if __name__ == "__main__":
    command.run(main)
