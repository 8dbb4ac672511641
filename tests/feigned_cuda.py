"""Tensors that say they are on a GPU while their values are on the CPU: what a GPU would see of our Python.

Inside `feigned_cuda()` whatever is made on or moved to "cuda" takes the ways that CUDA tensors take through the
project, computes on the CPU, and so can be compared with what the CPU's own ways compute. Operations that CUDA would
refuse are refused: those that mix devices, and the way into NumPy. `feigned_mps()` also refuses what Apple's GPUs lack.
To PyTorch's core such a tensor is a wrapper on the device "meta", for which autograd, unlike for "cuda", needs no
driver.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA, MPS, CPU = torch.device("cuda", 0), torch.device("mps", 0), torch.device("cpu")
_aten = torch.ops.aten
# These read or write across devices: copies, and indices on the CPU, which CUDA tensors take too.
_CROSSING = {_aten._to_copy, _aten.copy_, _aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_}


class MixedDevicesError(RuntimeError):
    """An operation got tensors of the CPU and of CUDA."""


class LacksKernelError(RuntimeError):
    """Apple's GPUs do not have this."""


class FeignedTensor(Tensor):
    """A tensor of `CUDA`, by its word; `values` are what it holds."""

    values: Tensor
    device = CUDA
    is_cuda, is_meta = True, False
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values: Tensor) -> "FeignedTensor":
        layout = {"strides": values.stride(), "storage_offset": values.storage_offset(), "dtype": values.dtype}
        feigned = Tensor._make_wrapper_subclass(cls, values.size(), **layout, device="meta")
        feigned.values = values
        return feigned

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return _run(operation, args, kwargs or {}, next(kind for kind in types if issubclass(kind, FeignedTensor)))

    def cpu(self) -> Tensor:
        return self.to(CPU)

    def new_tensor(self, data: Any) -> Tensor:
        return torch.tensor(data, dtype=self.dtype, device=self.device)

    def tolist(self) -> list | float:
        return self.cpu().tolist()


class FeignedMPSTensor(FeignedTensor):
    """A tensor of `MPS`, by its word."""

    device = MPS
    is_cuda = False


class _Generator(torch.Generator):
    def __new__(cls, device: torch.device | str = CPU) -> "_Generator":
        return super().__new__(cls, CPU)


class _Mode(TorchDispatchMode):
    def __init__(self, kind: type[FeignedTensor]):
        super().__init__()
        self._kind = kind

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import the compiler first, which takes seconds

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():  # operations arrive whole that elsewhere arrive as what they consist of
            with self:
                parts = operation.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        return _run(operation, args, kwargs, self._kind)


def _run(operation: Any, args: tuple, kwargs: dict, kind: type[FeignedTensor]) -> Any:
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    feigned = [x for x in tensors if isinstance(x, FeignedTensor)]
    if feigned and operation.overloadpacket not in _CROSSING:
        for tensor in tensors:  # a number may come from the CPU, as everywhere in PyTorch
            if tensor.dim() and not isinstance(tensor, FeignedTensor):
                shapes = ", ".join(f"{x.device.type} {tuple(x.shape)}" for x in tensors)
                raise MixedDevicesError(f"{operation} of {shapes}")
    if kwargs.get("device") is not None:
        on_cuda = torch.device(kwargs["device"]).type != "cpu"
        kwargs = kwargs | {"device": CPU}
    else:
        first_only = operation.overloadpacket in _CROSSING
        on_cuda = isinstance(tensors[0], FeignedTensor) if first_only and tensors else bool(feigned)
    kwargs = kwargs | ({"pin_memory": False} if kwargs.get("pin_memory") else {})
    same = {id(x.values): x for x in feigned}  # what works in place gives back what it got

    def reveal(x: Any) -> Any:
        return x.values if isinstance(x, FeignedTensor) else x

    def feign(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        if on_cuda and kind is FeignedMPSTensor:
            _check_mps(operation, args, x)
        return same.get(id(x)) if id(x) in same else kind(x) if on_cuda else x

    return tree_map(feign, operation(*tree_map(reveal, args), **tree_map(reveal, kwargs)))


def _check_mps(operation: Any, args: tuple, result: Tensor) -> None:
    """Raise `LacksKernelError` for float64, and for reading a border or bicubically, which PyTorch 2.12 refuses."""
    if result.dtype == torch.float64:
        raise LacksKernelError(f"{operation} in float64")
    if operation.overloadpacket is _aten.grid_sampler_2d and (args[2] == 2 or args[3] == 1):
        raise LacksKernelError(f"{operation} with interpolation {args[2]} and padding {args[3]}")


@contextlib.contextmanager
def feigned_cuda() -> Iterator[torch.device]:
    """The device to name; it holds in this block alone."""
    with _feigned(FeignedTensor) as device:
        yield device


@contextlib.contextmanager
def feigned_mps() -> Iterator[torch.device]:
    """As `feigned_cuda`, of Apple's GPUs."""
    with _feigned(FeignedMPSTensor) as device:
        yield device


@contextlib.contextmanager
def _feigned(kind: type[FeignedTensor]) -> Iterator[torch.device]:
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(…, device="cuda") is made on the CPU, then moved
    try:
        with mock.patch("torch.cuda._lazy_init"), mock.patch("torch.Generator", _Generator), _Mode(kind):
            yield kind.device
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
