"""Compile the functions of matching and splatting now, which Numba compiles when they are first used otherwise.

make/setup does so at its end. Nothing is compiled twice, unless the project is updated.
"""

import time

from _util import command, extras

_METHODS = (("auto", "ifnet"), ("pieces+dis", "splat"), ("sgm+dis", "fusion"))


def main() -> None:
    command.Parser(
        prog="python -m _scripts.compile",
        description="Compile now what is compiled when it is first used otherwise: the functions of matching and "
        "splatting. It takes about a minute.",
    ).parse_args()
    extras.require("numba")
    import numpy as np
    from tqdm import tqdm

    from _databacks.figures import Figures
    from _train.frame_interpolation import Interpolator
    from _util import image

    started = time.monotonic()
    # A flat drawing and a line drawing, whose parts turn: they need every function.
    drawings = [Figures(1, line_art=line_art, seed=1)[0].frames for line_art in (False, True)]
    jobs = [(frames, *names) for frames in drawings for names in _METHODS]
    for (frame0, _, frame1), flow, synthesis in tqdm(jobs, unit="pair", leave=False, disable=None):
        ends = [image.to_array(frame, np.uint8) for frame in (frame0, frame1)]
        Interpolator(flow, synthesis, "cpu", matching="auto")(ends[0], ends[1])
    print(f"Compiled in {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    command.run(main)
