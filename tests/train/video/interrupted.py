"""Videos that are interrupted."""

import contextlib
from collections.abc import Iterator

import pytest

from _train.frame_interpolation.video.parts import Parts


@contextlib.contextmanager
def interrupted_after_a_part(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within this block, videos are interrupted when their first part is finished."""
    keep = Parts.keep

    def keep_and_interrupt(parts: Parts, number: int, frames: int) -> None:
        keep(parts, number, frames)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Parts, "keep", keep_and_interrupt)
        yield
