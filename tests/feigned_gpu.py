"""Streams, events and CUDA graphs over `feigned_cuda`: a graph notes each operation, and its replay runs them again.

As on a GPU, a replay runs on the tensors that were there when it was captured, and what Python decided then is decided.
"""

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from _util import transfer
from tests.feigned_cuda import CUDA, FeignedTensor, feigned_cuda

_aten = torch.ops.aten
_LOOKING = {_aten._local_scalar_dense, _aten.nonzero, _aten.masked_select, _aten.equal, _aten.unique_dim}


class CaptureError(RuntimeError):
    """An operation that no graph can hold: it moves something between host and device, or looks at values."""


class Graph(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.operations: list[tuple] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():
            with self:
                parts = operation.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        _check(operation, args, kwargs)
        results = operation(*args, **kwargs)
        self.operations.append((operation, args, kwargs, results))
        return results

    def replay(self) -> None:
        for operation, args, kwargs, results in self.operations:
            for old, new in zip(tree_leaves(results), tree_leaves(operation(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and old is not new:
                    old.copy_(new)


def _check(operation: Any, args: tuple, kwargs: dict) -> None:
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    on_gpu = [isinstance(x, FeignedTensor) for x in tensors]
    packet = operation.overloadpacket
    looks = packet in _LOOKING or (packet is _aten.index and _has_mask(args[1]))
    moves = packet is _aten.copy_ and on_gpu[0] != on_gpu[1]
    if packet is _aten._to_copy and kwargs.get("device") is not None:
        moves = on_gpu[0] == (torch.device(kwargs["device"]).type == "cpu")
    if (looks and any(on_gpu)) or moves:
        raise CaptureError(str(operation))


def _has_mask(indices: list[Tensor | None]) -> bool:
    return any(x is not None and x.dtype == torch.bool for x in indices)


class _Stream:
    def __init__(self, *_: Any):
        pass

    def wait_stream(self, _: "_Stream") -> None:
        pass

    def wait_event(self, _: Any) -> None:
        pass


@contextlib.contextmanager
def feigned_gpu() -> Iterator[torch.device]:
    """The device to name, with streams, events and graphs; it holds in this block alone."""
    nothing = lambda *_, **__: contextlib.nullcontext()  # noqa: E731
    feigned = {
        "is_available": lambda: True,
        "Stream": _Stream,
        "current_stream": _Stream,
        "Event": lambda **_: SimpleNamespace(record=lambda *_: None, synchronize=lambda: None),
        "stream": nothing,
        "device": nothing,
        "graph_pool_handle": lambda: None,
        "CUDAGraph": Graph,
        "graph": lambda graph, *_, **__: graph,
        "get_device_capability": lambda _: (8, 0),
    }
    with contextlib.ExitStack() as stack:
        for name, value in feigned.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stack.enter_context(mock.patch.object(FeignedTensor, "record_stream", create=True))
        stack.enter_context(mock.patch.object(transfer, "_stream", _Stream))
        stack.enter_context(feigned_cuda())
        yield CUDA
