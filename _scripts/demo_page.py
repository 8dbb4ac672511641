"""A web page of one pair: two drawings in, the frames between them out, by Gradio.

python -m _scripts.demo_page            # http://127.0.0.1:7860
"""

import argparse
from typing import TYPE_CHECKING

from _scripts import drawing
from _util import command, extras
from _util.command import number
from _util.errors import InputError

if TYPE_CHECKING:
    import numpy as np

_MOST_BETWEEN = 23


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.demo_page",
        description="Serve a web page that draws the frames between two drawings, to this machine alone.",
    )
    parser.add_argument("--port", type=number(1, 65535), default=7860, help="of the page (default: 7860)")
    drawing.add_options(parser)
    return parser.parse_args()


def create_page(interpolator):
    """A `gradio.Blocks` in which `interpolator` draws; it is not yet served.

    Raises:
        InputError: Gradio is not installed.
    """
    extras.require("gradio")
    import gradio

    def draw(first: "np.ndarray | None", last: "np.ndarray | None", between: float) -> "list[np.ndarray]":
        if first is None or last is None:
            raise gradio.Error("Choose two drawings.")
        if first.shape != last.shape:
            raise gradio.Error("The drawings have different sizes; scale them to one.")
        times = [i / (between + 1) for i in range(1, int(between) + 1)]
        try:
            return [first, *interpolator(first, last, times), last]
        except InputError as error:
            raise gradio.Error(str(error)) from error

    with gradio.Blocks(title="In-betweens", analytics_enabled=False) as page:
        gradio.Markdown("# In-betweens\nChoose two drawings of one size.")
        with gradio.Row():
            first, last = (gradio.Image(label=label, type="numpy", image_mode="RGB") for label in ("First", "Last"))
        between = gradio.Slider(1, _MOST_BETWEEN, value=3, step=1, label="Frames between")
        button = gradio.Button("Draw", variant="primary")
        frames = gradio.Gallery(label="Frames", format="png", columns=5)
        button.click(draw, [first, last, between], frames)
    return page


def main() -> None:
    arguments = parse()
    drawing.check(arguments)
    from _train.frame_interpolation.interpolator import Interpolator

    page = create_page(Interpolator(**drawing.chosen(arguments)))
    page.launch(server_name="127.0.0.1", server_port=int(arguments.port), share=False)


if __name__ == "__main__":
    command.run(main)
