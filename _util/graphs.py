"""CUDA graphs: capture the kernels that a function launches once, then replay them together.

A network of small layers leaves a GPU waiting for Python, which launches one kernel after another. A graph is a single
launch. Captured work may depend only on the shapes and types of tensors, not on their values, and must not copy between
host and device; `constant` creates numbers without such a copy.

Arguments are tensors, or named tuples, tuples and lists of them. Anything else among them, such as a size or None, is a
constant of the graph. If graphs are unavailable, the function runs eagerly.
"""

import collections
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

_KEPT = 6  # largest number of graphs per function
_LARGEST = 2**26  # elements of all arguments; larger ones keep the GPU busy anyway, and graphs occupy memory
_RTOL, _ATOL = 1e-2, 1e-5  # relative and absolute, of the mean; atomic additions have no fixed order


def replayed(function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """Wrap `function` in `Replayed` on a GPU; return it unchanged on other devices."""
    return Replayed(function) if device.type == "cuda" and torch.cuda.is_available() else function


def constant(values: Sequence[float], like: Tensor) -> Tensor:
    """`like.new_tensor(values)`, created on the device without a copy from the host or a synchronization."""
    return torch.stack([like.new_full((), value) for value in values])


class Replayed:
    """A function on a GPU. For each combination of shapes and types, the first call runs eagerly, the second is
    captured, and later ones are replayed.

    Results are copies, so later replays do not overwrite them. Graphs are used only in inference mode, and only the few
    most recently used are kept. A failed capture, or a first replay that differs from the function, is reported once on
    stderr, and the function runs eagerly from then on.

    Args:
        function: takes tensors, or named tuples, tuples and lists of them, all on one device. It must not modify its
            arguments. Arguments other than tensors must be hashable.

    Several threads may call it, on any streams: a graph has one set of tensors, so one replay follows another.
    """

    def __init__(self, function: Callable[..., Any]):
        self._function = function
        self._graphs: collections.OrderedDict[tuple, _Graph | None] = collections.OrderedDict()
        self._resources: _CaptureResources | None = None
        self._has_failed = False
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any) -> Any:
        leaves, structure = pytree.tree_flatten(arguments)
        tensors = _tensors(leaves)
        if self._has_failed or not torch.is_inference_mode_enabled() or sum(x.numel() for x in tensors) > _LARGEST:
            return self._function(*arguments)
        autocast = torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda")
        key = structure, autocast, *((x.shape, x.dtype, x.device) if isinstance(x, Tensor) else x for x in leaves)
        with self._lock:
            return self._replay(key, arguments, tensors)

    def _replay(self, key: tuple, arguments: tuple, tensors: list[Tensor]) -> Any:
        if self._has_failed:  # meanwhile, in another thread
            return self._function(*arguments)
        if key not in self._graphs:
            if len(self._graphs) == _KEPT:
                self._graphs.popitem(last=False)
            self._graphs[key] = None
            return self._function(*arguments)
        self._graphs.move_to_end(key)
        try:
            graph = self._graphs[key]
            if graph is None:
                self._resources = self._resources or _CaptureResources(tensors[0].device)
                graph = self._graphs[key] = _Graph(self._function, arguments, self._resources)
        except RuntimeError as error:
            self._has_failed = True
            self._graphs.clear()
            _leave_capture(tensors[0].device)
            print(f"no CUDA graph is used ({str(error).splitlines()[0]})", file=sys.stderr)
            return self._function(*arguments)
        return graph(tensors)


def _leave_capture(device: torch.device) -> None:
    """Make random numbers available again: a failed capture leaves PyTorch's generator in its capturing state."""
    for generator in torch.cuda.default_generators:
        if generator.device == device:
            generator.graphsafe_set_state(generator.clone_state())


class _CaptureResources:
    """The stream and memory pool in which the graphs of one function are captured. They can share memory for
    intermediate results, since no two run at a time, and results are copied before the next one runs."""

    def __init__(self, device: torch.device):
        self.device = device
        with torch.cuda.device(device):
            self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()
            self._finished = torch.cuda.Event()

    @contextlib.contextmanager
    def in_turn(self) -> Iterator[None]:
        """A block whose work waits for that of the block before, which may be on another stream."""
        current = torch.cuda.current_stream(self.device)
        current.wait_event(self._finished)
        yield
        self._finished.record(current)


class _Graph:
    """One graph, with its input and output tensors.

    Raises:
        RuntimeError: the capture failed, or its replay differs from the function.
    """

    def __init__(self, function: Callable[..., Any], arguments: tuple, resources: _CaptureResources):
        arguments = pytree.tree_map_only(Tensor, torch.clone, arguments)
        self._arguments = _tensors(pytree.tree_leaves(arguments))
        self._graph, self._resources = torch.cuda.CUDAGraph(), resources
        with torch.cuda.device(resources.device):
            # Warm up: what libraries set up at their first call on a stream must not be captured.
            resources.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(resources.stream):
                expected = _tensors(pytree.tree_leaves(function(*arguments)))
            torch.cuda.current_stream().wait_stream(resources.stream)
            # Other threads, such as those that encode and decode a video, may use the device meanwhile.
            with torch.cuda.graph(self._graph, resources.pool, resources.stream, capture_error_mode="thread_local"):
                results = function(*arguments)
        self._results, self._structure = pytree.tree_flatten(results)
        for found, wanted in zip(_tensors(pytree.tree_leaves(self(self._arguments))), expected, strict=True):
            if not (found - wanted).abs().mean() <= _RTOL * wanted.abs().mean() + _ATOL:
                raise RuntimeError("its replay differs from what was captured")

    def __call__(self, tensors: list[Tensor]) -> Any:
        with self._resources.in_turn():
            for mine, given in zip(self._arguments, tensors, strict=True):
                mine.copy_(given)
            self._graph.replay()
            results = [x.clone() if isinstance(x, Tensor) else x for x in self._results]
        return pytree.tree_unflatten(results, self._structure)


def _tensors(leaves: list[Any]) -> list[Tensor]:
    return [x for x in leaves if isinstance(x, Tensor)]
