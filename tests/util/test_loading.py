"""What a loader's workers cannot read or pass on."""

import pytest
import torch
from torch.utils.data import DataLoader

from _util.errors import InputError
from _util.loading import ErrorsAsItems

resource = pytest.importorskip("resource")  # not on Windows


class Damaged:
    def __getitem__(self, i):
        if i == 1:
            raise InputError(f"Item {i} is damaged.")
        return i, [torch.full((2, 2), i)]


class Large:
    """Items of 8 MB, where a process may write files of 1 MB, as those of shared memory are."""

    def __getitem__(self, i):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return "name", (torch.zeros(1 << 21),)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_item_that_cannot_be_read(workers):
    first, error, last = DataLoader(ErrorsAsItems(Damaged()), batch_size=None, sampler=range(3), num_workers=workers)
    assert isinstance(error, InputError)
    assert str(error) == "Item 1 is damaged."
    for i, item in ((0, first), (2, last)):
        assert item[0] == i
        assert item[1][0].eq(i).all()


def test_an_item_without_room_in_shared_memory():
    (error,) = DataLoader(ErrorsAsItems(Large()), batch_size=None, sampler=range(1), num_workers=1, timeout=60)
    assert isinstance(error, InputError)
    assert str(error).startswith("8 MB from a worker do not fit into shared memory (")
