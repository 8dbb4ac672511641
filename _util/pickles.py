"""Read NumPy arrays from pickles without executing anything that a pickle requests.

A pickle is a program; loading an untrusted one can execute arbitrary code. This reader only builds plain containers,
strings, numbers and NumPy arrays of numbers. The few names that a pickled array refers to resolve to stand-ins of this
module, so the file cannot call NumPy's own functions either; every other name is rejected.
"""

import io
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from _util.errors import InputError

_KINDS = "biufc"  # of dtypes: numbers, and nothing that holds references
_PLAIN = (bool, int, float, complex, str, bytes, bytearray)


def read(path: str | Path) -> Any:
    """The content of a pickle of any protocol: NumPy arrays of numbers, alone or in lists, tuples or dicts.

    Raises:
        InputError: no such file, a damaged one, or one that holds or calls anything else.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    try:
        return _finish(_Unpickler(io.BytesIO(content), encoding="latin1").load())
    except _RefusedError as error:
        raise InputError(
            f"{path} holds more than numbers ({error}), which could run code and is never loaded; "
            "ask its author for arrays alone."
        ) from error
    except Exception as error:  # a damaged file can fail in any way
        raise InputError(f"{path} is damaged or is not a pickle of arrays; fetch it again.") from error


class _RefusedError(pickle.UnpicklingError):
    pass


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = _RENAMED.get(module, module), name
        if known not in _STAND_INS:
            raise _RefusedError(f"{module}.{name}")
        return _STAND_INS[known]

    def persistent_load(self, _: Any) -> Any:
        raise _RefusedError("a reference out of the file")


class _Dtype:
    """Of a dtype, the kind, the size and, in what follows, the order of bytes."""

    def __init__(self, code: str, *_: Any):
        dtype = np.dtype(str(code))
        if dtype.kind not in _KINDS:
            raise _RefusedError(f"an array of {dtype}")
        self.dtype = dtype

    def __setstate__(self, state: tuple) -> None:
        if state[1] in ("<", ">", "="):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array whose shape, dtype and content follow."""

    def __init__(self, *_: Any):
        self.array: np.ndarray = np.zeros(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, content = state
        self.array = _from_bytes(content, dtype, shape, "F" if is_fortran else "C").array


class _NotCallable:
    """What a pickle may hand on but not call."""

    def __new__(cls, *_: Any) -> "_NotCallable":
        raise _RefusedError("a call of numpy.ndarray")


def _from_bytes(content: bytes | bytearray | str, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    content = content.encode("latin1") if isinstance(content, str) else content  # protocols of Python 2
    if len(content) != math.prod(shape) * dtype.dtype.itemsize:
        raise ValueError("the array's content does not fill its shape")
    result = _Array()
    array = np.frombuffer(content, dtype.dtype).reshape(tuple(shape), order="F" if order == "F" else "C")
    result.array = array.astype(dtype.dtype.newbyteorder("="))
    return result


def _scalar(dtype: _Dtype, content: bytes | str) -> _Array:
    return _from_bytes(content, dtype, (), "C")


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise _RefusedError(f"text in {encoding}")
    return text.encode("latin1")


def _bytes() -> bytes:
    return b""  # which is all that old protocols call it for


def _bytearray(content: bytes = b"") -> bytearray:
    if not isinstance(content, bytes):  # a number would be a length, of any size
        raise _RefusedError("a call of bytearray")
    return bytearray(content)


_RENAMED = {
    "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric",
    "__builtin__": "builtins",
}
_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_bytes,
    ("numpy", "ndarray"): _NotCallable,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("builtins", "bytes"): _bytes,
    ("builtins", "bytearray"): _bytearray,
}


def _finish(value: Any, inside: tuple[int, ...] = ()) -> Any:
    """The value with arrays in the place of stand-ins."""
    if isinstance(value, _Array):
        return value.array[()]
    if value is None or type(value) in _PLAIN:
        return value
    if type(value) not in (list, tuple, dict):
        raise _RefusedError(f"a {type(value).__name__.strip('_').lower()}")
    if id(value) in inside:
        raise ValueError("a container that holds itself")
    inside = (*inside, id(value))
    if isinstance(value, dict):
        return {_finish(key, inside): _finish(part, inside) for key, part in value.items()}
    return type(value)(_finish(part, inside) for part in value)
