"""Selection of the device for computation, by name, and what devices can do."""

import re
from typing import TYPE_CHECKING

from _util.errors import InputError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
NAMES = "auto, cpu, cuda or cuda:N, mps (Apple), xpu or xpu:N (Intel); auto is CUDA if there is any, else the CPU"
CUDA_NAMES = "auto, cpu, cuda or cuda:N; auto is CUDA if there is any, else the CPU"


def check_name(name: str) -> None:
    """Raise InputError unless it names a device, whether or not there is one."""
    if re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", name) is None:
        raise InputError(f"There is no device {name!r}; it is {NAMES}.")


def check_cuda_name(name: str) -> None:
    """As `check_name`, for commands that run on CUDA or the CPU alone."""
    check_name(name)
    if name.startswith(("mps", "xpu")):
        raise InputError(f"This command does not run on {name!r}; choose {CUDA_NAMES}.")


def lacks_float64(device: "torch.device") -> bool:
    """Whether a device, such as Apple's GPUs, cannot compute in float64."""
    return device.type == "mps"


def multiplies_bf16() -> bool:
    """Whether the CPU has bf16 multiply instructions (AVX-512 BF16, AMX); without them, bf16 is slower than fp32."""
    import torch

    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return torch.backends.mkldnn.is_available() and any(check() for check in checks if check is not None)


def choose(name: "str | torch.device") -> "torch.device":
    """The device "cpu", "cuda", "cuda:1", …, "mps" (Apple's GPUs), "xpu" (Intel's), or for "auto" CUDA if there is any.

    Raises:
        InputError: there is none of that name, or it cannot be used.
    """
    import torch

    name = str(name)
    check_name(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"The device {name!r} cannot be used ({str(error).split('. ')[0]}); try cpu.") from error
    return torch.device(name)
