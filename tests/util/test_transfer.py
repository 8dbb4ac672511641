"""Pictures arrive as they were sent, bytes as bytes; on a card, and before that on a feigned GPU."""

import itertools

import numpy as np
import pytest
import torch

from _util import image, transfer
from tests.feigned_gpu import feigned_gpu

KINDS = list(itertools.product([(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)], [np.uint8, np.uint16, np.float32]))


def picture(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    values = np.random.default_rng(0).random(shape)
    return (values * np.iinfo(dtype).max).astype(dtype) if np.issubdtype(dtype, np.integer) else values.astype(dtype)


def check(device: torch.device, shape: tuple[int, ...], dtype: type) -> None:
    pixels = picture(shape, dtype)
    pixels.flags.writeable = False  # as decoders may give them
    tensor = transfer.upload(pixels, device)
    assert tensor.device.type == device.type
    torch.testing.assert_close(tensor.cpu(), image.to_tensor(pixels), atol=1e-6, rtol=0)
    found, expected = transfer.download(tensor, np.dtype(dtype))(), image.to_array(image.to_tensor(pixels), dtype)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    beyond = transfer.download(2 * tensor - 0.5, np.dtype(dtype))()
    np.testing.assert_allclose(beyond, image.to_array((2 * tensor - 0.5).cpu(), dtype), atol=1e-6)


@pytest.mark.parametrize(("shape", "dtype"), KINDS)
def test_there_and_back(shape, dtype):
    check(torch.device("cpu"), shape, dtype)
    with feigned_gpu() as device:
        check(device, shape, dtype)


@pytest.mark.cuda
@pytest.mark.parametrize(("shape", "dtype"), KINDS)
def test_there_and_back_on_a_card(shape, dtype):
    check(torch.device("cuda", torch.cuda.current_device()), shape, dtype)


@pytest.mark.cuda
def test_what_is_on_its_way_is_not_overwritten():
    device = torch.device("cuda", torch.cuda.current_device())
    frames = [np.full((1080, 1920, 3), i, np.uint8) for i in range(40)]
    waiting = [transfer.download(transfer.upload(frame, device), np.dtype(np.uint8)) for frame in frames]
    for frame, wait in zip(frames, waiting, strict=True):
        np.testing.assert_array_equal(wait(), frame)
