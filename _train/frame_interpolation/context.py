"""Settings that methods are created with: device, precision, backend and the folder of the weights."""

from pathlib import Path
from typing import NamedTuple

import torch

from _train.frame_interpolation.methods import BACKENDS
from _util import checkpoints
from _util.device import multiplies_bf16
from _util.errors import InputError

_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Context(NamedTuple):
    device: torch.device = torch.device("cpu")
    flow_dtype: torch.dtype = torch.float32  # of networks that estimate flow for a synthesis
    dtype: torch.dtype = torch.float32  # of synthesis networks
    folder: Path = checkpoints.FOLDER
    backend: str = "pytorch"  # one of `methods.BACKENDS`

    @property
    def precisions(self) -> tuple[str, str]:
        """Names of the dtypes of flow and of synthesis, such as ("float32", "bfloat16")."""
        return str(self.flow_dtype).removeprefix("torch."), str(self.dtype).removeprefix("torch.")


def create_context(device: torch.device, precision: str, folder: Path, backend: str = "pytorch") -> Context:
    """Create a context for a precision: "fp32", "bf16", "fp16", or "auto", one that is fast and accurate on the device.

    Raises:
        InputError: an unknown precision or backend.
    """
    if backend not in BACKENDS:
        raise InputError(f"There is no backend {backend!r}; it is {', '.join(BACKENDS)}.")
    if precision == "auto":
        # Flow gains little speed from half precision on the CPU, and its iterations accumulate rounding errors.
        return Context(device, torch.float32, _fast_precision(device), folder, backend)
    if not isinstance(precision, str) or precision not in _PRECISIONS:
        raise InputError(f"There is no precision {precision!r}; it is auto, {', '.join(_PRECISIONS)}.")
    return Context(device, _PRECISIONS[precision], _PRECISIONS[precision], folder, backend)


def _fast_precision(device: torch.device) -> torch.dtype:
    if device.type == "cpu":
        return torch.bfloat16 if multiplies_bf16() else torch.float32
    if device.type != "cuda":
        return torch.float32
    generation, _ = torch.cuda.get_device_capability(device)
    if generation >= 8:
        return torch.bfloat16
    # GTX 16 cards are also of generation 7, but lack fp16 tensor cores, and their fp16 convolutions are known to fail.
    return torch.float16 if generation == 7 and "GTX 16" not in torch.cuda.get_device_name(device) else torch.float32
