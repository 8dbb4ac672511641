"""Errors of a loader's workers as one sentence."""

from typing import Any, Protocol

from torch.utils.data import Dataset

from _util.errors import InputError


class _Indexable(Protocol):
    def __getitem__(self, key: Any, /) -> Any: ...


class ErrorsAsItems(Dataset):
    """The items of a dataset; an `InputError` in the place of one that cannot be read.

    A `DataLoader` would raise it with the traceback of its worker in its message.
    """

    def __init__(self, items: _Indexable):
        self._items = items

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._items[key]
        except InputError as error:
            return error
