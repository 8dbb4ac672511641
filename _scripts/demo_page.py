"""A web page of one pair: two drawings in, the frames between them out, by Gradio.

python -m _scripts.demo_page            # http://127.0.0.1:7860
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from _scripts import drawing
from _util import command, extras
from _util.command import whole
from _util.errors import InputError

if TYPE_CHECKING:
    import numpy as np

_MOST_BETWEEN = 23


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.demo_page",
        description="Serve a web page that draws the frames between two drawings, to this machine alone.",
    )
    parser.add_argument("--port", type=whole(1, 65535), default=7860, help="of the page (default: 7860)")
    drawing.add_options(parser)
    drawing.add_matching(parser, default="auto")
    return parser.parse_args()


def create_page(interpolator):
    """A `gradio.Blocks` in which `interpolator` draws; it is not yet served.

    Raises:
        InputError: Gradio is not installed.
    """
    extras.require("gradio")
    import gradio

    def draw(first: str | None, last: str | None, between: float) -> "list[np.ndarray]":
        if first is None or last is None:
            raise gradio.Error("Choose two drawings.", print_exception=False)
        try:
            return draw_files(interpolator, (Path(first), Path(last)), int(between))
        except InputError as error:
            raise gradio.Error(str(error), print_exception=False) from error

    with gradio.Blocks(title="In-betweens", analytics_enabled=False) as page:
        gradio.Markdown("# In-betweens\nChoose two drawings of one size.")
        with gradio.Row():
            # Gradio would lose transparency, and clip 16 bits of grey.
            first, last = (gradio.Image(label=label, type="filepath", image_mode=None) for label in ("First", "Last"))
        between = gradio.Slider(1, _MOST_BETWEEN, value=3, step=1, label="Frames between")
        button = gradio.Button("Draw", variant="primary")
        frames = gradio.Gallery(label="Frames", format="png", columns=5)
        button.click(draw, [first, last, between], frames)
    return page


def draw_files(interpolator, paths: tuple[Path, Path], between: int) -> "list[np.ndarray]":
    """Two drawings and the frames between them, with 8 bits.

    Raises:
        InputError: a file cannot be read, or the drawings do not fit one another.
    """
    from _train.frame_interpolation.ends import Ends
    from _util import formats
    from _util.pixels import as_8_bits

    ends = Ends.read(*paths)
    times = [i / (between + 1) for i in range(1, between + 1)]
    drawn = map(ends.picture, interpolator(*ends.frames(), times))
    pictures = [ends.pictures[0], *drawn, ends.pictures[1]]
    return [as_8_bits(formats.for_display(picture)) for picture in pictures]


def main() -> None:
    arguments = parse()
    drawing.check(arguments)
    from _train.frame_interpolation.interpolator import Interpolator

    page = create_page(Interpolator(matching=arguments.matching, **drawing.given(arguments)))
    try:
        page.launch(server_name="127.0.0.1", server_port=arguments.port, share=False, show_error=True)
    except OSError as error:
        raise InputError(f"The port {arguments.port} is not available; choose another --port.") from error


if __name__ == "__main__":
    command.run(main)
