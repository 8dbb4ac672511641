"""Errors of a loader's workers as one sentence."""

from typing import Any, Protocol

from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from _util.errors import InputError


class _Indexable(Protocol):
    def __getitem__(self, key: Any, /) -> Any: ...


class ErrorsAsItems(Dataset):
    """The items of a dataset; an `InputError` in the place of one that cannot be read.

    A `DataLoader` would raise it with the traceback of its worker in its message. Without shared memory for the
    tensors of a worker, it would wait for them forever; here, that is an `InputError` too.
    """

    def __init__(self, items: _Indexable):
        self._items = items

    def __getitem__(self, key: Any) -> Any:
        try:
            item = self._items[key]
            if get_worker_info() is not None:
                _share(item)
            return item
        except InputError as error:
            return error


def _share(item: Any) -> None:
    """Move tensors, also those in tuples and lists, to the shared memory in which a worker passes them on."""
    if isinstance(item, Tensor):
        try:
            item.share_memory_()
        except RuntimeError as error:
            raise InputError(
                f"{item.nbytes >> 20} MB from a worker do not fit into shared memory ({error}); use fewer workers or "
                "none, or give the system more, in Docker by --ipc=host or --shm-size."
            ) from error
    elif isinstance(item, tuple | list):
        for part in item:
            _share(part)
