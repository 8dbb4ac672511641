"""The device that work is done on, by name."""

import re

import torch

from _util.errors import InputError


def choose(name: str | torch.device) -> torch.device:
    """The device "cpu", "cuda", "cuda:1", …, or for "auto" a GPU if there is one.

    Raises:
        InputError: there is none of that name, or it cannot be used.
    """
    name = str(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if re.fullmatch(r"cpu|cuda(:\d+)?", name) is None:
        raise InputError(f"There is no device {name!r}; it is auto, cpu, cuda or cuda:N.")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"The device {name!r} cannot be used ({str(error).split('. ')[0]}); try cpu.") from error
    return torch.device(name)
