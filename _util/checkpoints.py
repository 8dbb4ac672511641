"""Verify and load weights: published checkpoints if the user has put them there, else those the project ships.

A file is read as tensors only, never as Python objects that could run code, and a model is modified only after every
name and shape in the file has been verified.
"""

import collections
import contextlib
import warnings
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from _util import files, threads
from _util.counts import listed
from _util.errors import InputError
from _util.weights import FOLDER, NETWORKS, PUBLISHED, find, missing, place_for_more, searched

__all__ = [
    "FOLDER",
    "NETWORKS",
    "PUBLISHED",
    "find",
    "load",
    "place_for_more",
    "read",
    "searched",
    "seeded",
    "skip_initialization",
]

_WRAPPERS = ("model_state_dict", "state_dict")
_RANDOM = (Tensor.uniform_, Tensor.normal_, nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_)


def load(model: nn.Module, name_or_path: str | Path, folder: Path = FOLDER) -> Path:
    """Load weights into `model` in place and return the file they came from.

    Names in the file may carry a common prefix (`module.flownet.fnet.conv1.weight`) and be wrapped in a
    dictionary under `model_state_dict` or `state_dict`; entries without the prefix belong to another network.

    Args:
        name_or_path: one of `NETWORKS`, searched in `folder`, or the path of a file.

    Raises:
        InputError: the file does not exist, is not a file of weights, or has names, shapes or values that do not fit.
            The model is unchanged.
    """
    if name_or_path in NETWORKS:
        path = find(str(name_or_path), folder)
        if path is None:
            raise missing(str(name_or_path), folder)
    else:
        path = Path(name_or_path)
    wanted = model.state_dict()
    state = _strip_prefix(read(path), wanted)
    _verify(state, wanted, path)
    model.load_state_dict(state)
    return path


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, on the CPU, unwrapped from known containers.

    Raises:
        InputError: the file is missing, is not a checkpoint, or holds more than weights.
    """
    if not (files.exists(path) and path.is_file()):
        raise InputError(f"There is no checkpoint {path}.")
    threads.expect_work()
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file from anywhere can fail in any way
        if "unsupported global" in str(error).lower():
            raise InputError(
                f"{path} holds Python objects beside weights, which could run code and are never loaded; "
                "ask its author for the state_dict alone."
            ) from error
        raise InputError(f"{path} is damaged or is not a checkpoint; fetch it again.") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    items = content.items() if isinstance(content, dict) else ()
    tensors = {name: value for name, value in items if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        raise InputError(f"{path} holds no weights by name; a checkpoint is a dictionary of tensors.")
    return tensors


@contextlib.contextmanager
def skip_initialization() -> Iterator[None]:
    """Create networks on the CPU, whatever the caller's default device, and without random initial weights, so that the
    caller's random numbers stay as they are. All their weights must be loaded. Holds in this thread alone."""
    with torch.device("cpu"), _WithoutRandomWeights():
        yield


class _WithoutRandomWeights(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func not in _RANDOM:
            return func(*args, **kwargs)
        return args[0] if args else kwargs["tensor"]


def _strip_prefix(state: dict[str, Tensor], expected: Iterable[str]) -> dict[str, Tensor]:
    expected = set(expected)
    prefixes = collections.Counter(
        name[: len(name) - len(tail)]
        for name in state
        for tail in (name.split(".", i)[-1] for i in range(name.count(".") + 1))
        if tail in expected
    )
    prefix = prefixes.most_common(1)[0][0] if prefixes else ""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _verify(state: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    misshapen = [
        f"{name} is {_shape(state[name])} instead of {_shape(tensor)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    found = {
        "missing": [name for name in expected if name not in state],
        "extra": [name for name in state if name not in expected],
        "misshapen": misshapen,
        "not finite numbers": [
            name for name, tensor in expected.items() if name in state and not _is_finite(state[name], tensor.dtype)
        ],
    }
    wrong = [f"{what}: {listed(names)}" for what, names in found.items() if names]
    if wrong:
        raise InputError(f"{path} does not fit the network ({'; '.join(wrong)}).")


def _is_finite(tensor: Tensor, dtype: torch.dtype) -> bool:
    """Whether a tensor is dense and real, and finite in the dtype that it will be loaded into."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
        return False
    return bool(tensor.to(dtype).isfinite().all())


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


def seeded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Deterministic weights for tests and timings: a tensor's values depend on its name and shape alone."""
    return {name: _seeded(name, tensor) for name, tensor in state.items()}


def _seeded(name: str, like: Tensor) -> Tensor:
    if not like.is_floating_point():
        return torch.zeros_like(like) if name.endswith("num_batches_tracked") else like
    noise = torch.randn(like.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if name.endswith("running_var"):
        return 0.75 + 0.25 * noise.clamp(-2, 2).abs()
    if name.endswith("running_mean"):
        return 0.1 * noise
    if like.dim() >= 2:
        return noise / like[0].numel() ** 0.5
    if name.endswith("bias"):
        return 0.05 * noise
    return 0.25 + 0.05 * noise if like.numel() == 1 else 0.75 + 0.1 * noise
