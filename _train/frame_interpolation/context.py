"""What a method is created with: where it runs, in which precision, and where its weights are."""

from pathlib import Path
from typing import NamedTuple

import torch

from _train.frame_interpolation.methods import BACKENDS
from _util import checkpoints, cpu
from _util.errors import InputError

_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Context(NamedTuple):
    device: torch.device = torch.device("cpu")
    flow_dtype: torch.dtype = torch.float32  # of networks that estimate flow for others
    dtype: torch.dtype = torch.float32  # of networks that draw
    folder: Path = checkpoints.FOLDER
    backend: str = "pytorch"  # of `methods.BACKENDS`

    @property
    def precisions(self) -> tuple[str, str]:
        """Names of the data types of flow and of synthesis: ("float32", "bfloat16")."""
        return str(self.flow_dtype).removeprefix("torch."), str(self.dtype).removeprefix("torch.")


def create_context(device: torch.device, precision: str, folder: Path, backend: str = "pytorch") -> Context:
    """The context for a precision by name: "fp32", "bf16", "fp16", or "auto", what the device is fast and close enough
    in.

    Raises:
        InputError: an unknown precision or backend.
    """
    if backend not in BACKENDS:
        raise InputError(f"There is no backend {backend!r}; it is {', '.join(BACKENDS)}.")
    if precision == "auto":
        # Flow gains little from half precision on the CPU, and rounding adds up over its iterations.
        return Context(device, torch.float32, _fast_precision(device), folder, backend)
    if precision not in _PRECISIONS:
        raise InputError(f"There is no precision {precision!r}; it is auto, {', '.join(_PRECISIONS)}.")
    return Context(device, _PRECISIONS[precision], _PRECISIONS[precision], folder, backend)


def _fast_precision(device: torch.device) -> torch.dtype:
    if device.type == "cpu":
        return torch.bfloat16 if cpu.multiplies_bf16() else torch.float32
    if device.type != "cuda":
        return torch.float32
    generation, _ = torch.cuda.get_device_capability(device)
    if generation >= 8:
        return torch.bfloat16
    # GTX 16, of generation 7 too, has no units for products in fp16, and its convolutions in it are known to fail.
    return torch.float16 if generation == 7 and "GTX 16" not in torch.cuda.get_device_name(device) else torch.float32
