"""Arrays are read from pickles, and nothing that a pickle asks for is done."""

import codecs
import collections
import os
import pickle

import numpy as np
import pytest

from _util import pickles
from _util.errors import InputError

protocols = pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))


@pytest.fixture
def reread(tmp_path):
    """Writes bytes, or a value as a pickle, and reads them back."""

    def reread(value, protocol: int = 4):
        path = tmp_path / "value.pkl"
        path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
        return pickles.read(path)

    return reread


class Call:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


@protocols
@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.asfortranarray(np.random.default_rng(0).random((3, 5))),
        np.arange(10, dtype=np.int16)[::3],
        np.zeros((0, 4), np.float16),
        np.array([True, False]),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.array(3.5),
    ],
    ids=["float32", "fortran", "strided", "empty", "bool", "big-endian", "scalar"],
)
def test_arrays(reread, array, protocol):
    result = reread(array, protocol)
    np.testing.assert_array_equal(result, array)
    assert result.dtype == array.dtype.newbyteorder("=")


@protocols
def test_containers(reread, protocol):
    result = reread({"flows": [np.ones(2), (np.float32(2), None, 3, 1.5, "a", True)]}, protocol)
    np.testing.assert_array_equal(result["flows"][0], [1, 1])
    assert result["flows"][1] == (2, None, 3, 1.5, "a", True)


def test_arrays_that_python_2_wrote(reread):
    """Protocol 2, whose strings are bytes: three 16-bit integers."""
    written = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x03\x85cnumpy\n"
        b"dtype\nU\x02i2K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06\x01\x00\x02\x00"
        b"\xff\xfftb."
    )
    np.testing.assert_array_equal(reread(written), np.array([1, 2, -1], np.int16))


@protocols
@pytest.mark.parametrize(
    "value",
    [
        Call(os.system, "touch ran"),
        np.array([Call(os.system, "touch ran")], object),
        [np.ones(2), {"x": Call(eval, "open('ran', 'w')")}],
        Call(codecs.encode, "ab", "rot13"),
        Call(bytearray, 2**40),
        Call(np.ndarray, (2**40,)),
        Call(getattr, "a", "upper"),
        np.zeros(2, "f4,i4"),
        collections.OrderedDict(a=1),
        os.path.join,
        np.ndarray,
        np.dtype("f4"),
        {1, 2},
    ],
    ids=lambda value: type(value).__name__,
)
def test_all_else_is_refused(reread, monkeypatch, tmp_path, value, protocol):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="holds more than numbers"):
        reread(value, protocol)
    assert [path.name for path in tmp_path.iterdir()] == ["value.pkl"]


def test_damage_is_reported(reread, tmp_path):
    whole = pickle.dumps(np.arange(1000.0))
    for content in (whole[:-100], whole[:40], b"", b"text", whole.replace(b"f8", b"f4")):
        with pytest.raises(InputError, match="damaged or is not a pickle"):
            reread(content)
    holds_itself = []
    holds_itself.append(holds_itself)
    with pytest.raises(InputError, match="damaged or is not a pickle"):
        reread(holds_itself)
    with pytest.raises(InputError, match=r"none\.pkl cannot be read"):
        pickles.read(tmp_path / "none.pkl")
