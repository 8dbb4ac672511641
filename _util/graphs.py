"""CUDA graphs: the kernels that a function launches are captured once, then replayed together.

A network of small layers leaves a GPU waiting for Python, which launches one kernel after another. A graph is a single
launch. What is captured must not depend on the values of tensors, only on their shapes and types, and must not move
anything between host and device; `constant` is for numbers that would be.

In: a function of tensors, or of named tuples, tuples and lists of them; what else is among them, a size or None, is a
part of what is captured. Out: a function that gives the same. Where no graph is available, the function runs as it
is.
"""

import collections
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

_KEPT = 6  # graphs of one function
_LARGEST = 2**26  # elements of all arguments together; more keep the GPU busy anyway, and graphs hold memory
_TOLERANCE, _NOTHING = 1e-2, 1e-5  # of the mean, and beside it; atomic additions have no order


def replayed(function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """`function` as a `Replayed` one on a GPU, and as it is on other devices."""
    return Replayed(function) if device.type == "cuda" and torch.cuda.is_available() else function


def constant(values: Sequence[float], like: Tensor) -> Tensor:
    """`like.new_tensor(values)`, made on the device: nothing is copied from the host, and nobody waits."""
    return torch.stack([like.new_full((), value) for value in values])


class Replayed:
    """A function on a GPU whose first call for some shapes and types runs as it is, whose second is captured, and
    whose later ones are replays.

    Results are copies, so they stay as they are when the graph runs again. Graphs are used in inference mode alone, and
    no more than a few are kept, those used last. A capture that fails, or a first replay that differs from the
    function, is reported once on stderr, and the function runs as it is from then on.

    Args:
        function: called with tensors, or named tuples, tuples and lists of them, all on one device and, from call to
            call, on one stream. Leaves its arguments as they are. What is not a tensor among them is hashable.
    """

    def __init__(self, function: Callable[..., Any]):
        self._function = function
        self._graphs: collections.OrderedDict[tuple, _Graph | None] = collections.OrderedDict()
        self._place: _Place | None = None
        self._has_failed = False

    def __call__(self, *arguments: Any) -> Any:
        leaves, structure = pytree.tree_flatten(arguments)
        tensors = _tensors(leaves)
        if self._has_failed or not torch.is_inference_mode_enabled() or sum(x.numel() for x in tensors) > _LARGEST:
            return self._function(*arguments)
        key = structure, *((x.shape, x.dtype, x.device) if isinstance(x, Tensor) else x for x in leaves)
        if key not in self._graphs:
            if len(self._graphs) == _KEPT:
                self._graphs.popitem(last=False)
            self._graphs[key] = None
            return self._function(*arguments)
        self._graphs.move_to_end(key)
        try:
            graph = self._graphs[key]
            if graph is None:
                self._place = self._place or _Place(tensors[0].device)
                graph = self._graphs[key] = _Graph(self._function, arguments, self._place)
        except RuntimeError as error:
            self._has_failed = True
            self._graphs.clear()
            _leave_capture(tensors[0].device)
            print(f"no CUDA graph is used ({str(error).splitlines()[0]})", file=sys.stderr)
            return self._function(*arguments)
        return graph(tensors)


def _leave_capture(device: torch.device) -> None:
    """Let random numbers be drawn again: after a capture that failed, PyTorch's generator takes itself for captured."""
    for generator in torch.cuda.default_generators:
        if generator.device == device:
            generator.graphsafe_set_state(generator.clone_state())


class _Place:
    """Where the graphs of one function are captured. They share memory for what is between arguments and results,
    since no two run at a time, and results are copied before the next one runs."""

    def __init__(self, device: torch.device):
        self.device = device
        with torch.cuda.device(device):
            self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()


class _Graph:
    """One graph, with the tensors that it reads and writes.

    Raises:
        RuntimeError: it cannot be captured, or does not give what the function gives.
    """

    def __init__(self, function: Callable[..., Any], arguments: tuple, place: _Place):
        arguments = pytree.tree_map_only(Tensor, torch.clone, arguments)
        self._arguments = _tensors(pytree.tree_leaves(arguments))
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(place.device):
            # What libraries set up at their first call on a stream must not be captured.
            place.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(place.stream):
                expected = _tensors(pytree.tree_leaves(function(*arguments)))
            torch.cuda.current_stream().wait_stream(place.stream)
            # Threads that encode and decode a video may use the device meanwhile.
            with torch.cuda.graph(self._graph, place.pool, place.stream, capture_error_mode="thread_local"):
                results = function(*arguments)
        self._results, self._structure = pytree.tree_flatten(results)
        for found, wanted in zip(_tensors(pytree.tree_leaves(self(self._arguments))), expected, strict=True):
            if not (found - wanted).abs().mean() <= _TOLERANCE * wanted.abs().mean() + _NOTHING:
                raise RuntimeError("its replay differs from what was captured")

    def __call__(self, tensors: list[Tensor]) -> Any:
        for mine, given in zip(self._arguments, tensors, strict=True):
            mine.copy_(given)
        self._graph.replay()
        results = (x.clone() if isinstance(x, Tensor) else x for x in self._results)
        return pytree.tree_unflatten(list(results), self._structure)


def _tensors(leaves: list[Any]) -> list[Tensor]:
    return [x for x in leaves if isinstance(x, Tensor)]
