"""Frame interpolation for 2D animation: networks, the pipeline they draw in, training, video, evaluation, benchmarks.

>>> from _train.frame_interpolation import Interpolator
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _train.frame_interpolation.interpolator import Interpolator

__all__ = ["Interpolator"]


def __getattr__(name: str):
    if name == "Interpolator":  # lazy, so that method names can be read without importing PyTorch
        from _train.frame_interpolation.interpolator import Interpolator

        return Interpolator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
