"""A process that renders Lottie animations, so that a file which crashes the renderer does not affect other processes.

A request on stdin is a line of JSON: {"path": FILE, "frames": [numbers], "size": [h, w]}. The answer on stdout is a
line of JSON, {"error": why} or {"count": frames in all, "rate": frames per second}; after the latter come, for each
frame, h · w pixels of 4 bytes: blue, green, red and alpha, colours multiplied by alpha. Frames are counted in steps of
1 / `STEPS` of the animation's own.
"""

import json
import os
import sys
from typing import Any

STEPS = 16  # the renderer draws whole frames only, so animations are stretched and their rate raised by this factor


def stretch(node, is_keyframe: bool = False):
    """A part of an animation with all its times in frames multiplied by `STEPS`."""
    if isinstance(node, list):
        return [stretch(item, is_keyframe) for item in node]
    if not isinstance(node, dict):
        return node
    times = ("ip", "op", "st", "t") if is_keyframe else ("ip", "op", "st")  # elsewhere t is text, or a gradient's kind
    return {
        name: value * STEPS if name in times and isinstance(value, (int, float)) else stretch(value, name == "k")
        for name, value in node.items()
    }


def load(path: str):
    """The stretched animation in a file.

    Raises:
        Exception: of any kind, for a file that is none.
    """
    from rlottie_python import LottieAnimation

    with open(path, encoding="utf-8-sig") as file:  # noqa: PTH123
        animation: Any = stretch(json.load(file))
    animation["fr"] *= STEPS
    loaded = LottieAnimation.from_data(json.dumps(animation))
    if not loaded.animation_p or loaded.lottie_animation_get_totalframe() < 1:
        raise ValueError("the renderer does not take it")
    return loaded


def serve(requests, answers) -> None:
    path, animation = None, None
    for line in requests:
        request = json.loads(line)
        try:
            if request["path"] != path:
                path, animation = None, None
                path, animation = request["path"], load(request["path"])
            assert animation is not None
            rate = animation.lottie_animation_get_framerate()
            count = animation.lottie_animation_get_totalframe()
            h, w = request["size"]
            pixels = [animation.lottie_animation_render(n, width=w, height=h) for n in request["frames"]]
            answers.write(json.dumps({"count": count, "rate": rate}).encode() + b"\n" + b"".join(pixels))
        except Exception as error:  # whatever is wrong is the file's fault
            answers.write(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the renderer itself prints must not come between the answers
    serve(sys.stdin, own)
