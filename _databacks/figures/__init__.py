"""Articulated figures that turn, bend and move: triplets whose frames, flow and middle are exact.

A figure has two to five joints, clothes, strands of hair and outlines, stands before a plain or a painted ground, and
turns by up to 120°. Everything is a function of the seed and of the number of the figure.

    rigs       bones, parts, and where they are at any time
    drawing    the picture of a rig before a ground, and which part each pixel shows
"""

import numpy as np
import torch

from _databacks.figures import rigs
from _databacks.figures.drawing import DrawnFigure, draw_ground
from _databacks.triplet import Triplet

SIZE = 270, 480


class Figures:
    """Triplets in a sequence, drawn when they are read: the middle frame at time ½, with exact flows.

    Args:
        count: number of figures.
        size: (h, w), pixels.
        seed: selects other figures.
        line_art: black lines on white instead of colours, and a plain ground.
        passing: two figures that change places, and do not turn.
    """

    def __init__(
        self,
        count: int = 200,
        size: tuple[int, int] = SIZE,
        seed: int = 0,
        line_art: bool = False,
        passing: bool = False,
    ):
        self.size, self.seed, self.line_art, self.passing = size, seed, line_art, passing
        self.names = [f"figure_{i:03d}" for i in range(count)]

    def __len__(self) -> int:
        return len(self.names)

    def figure(self, index: int) -> DrawnFigure:
        random = np.random.default_rng([self.seed, index])
        rig = rigs.figure(random, self.size)
        if self.passing:
            rig = rigs.passing(rig, rigs.figure(random, self.size), random, self.size)
        ground = draw_ground(random, self.size)
        if self.line_art:
            white = (1.0, 1.0, 1.0)
            rig = rig._replace(parts=[part._replace(colour=white) for part in rig.parts], ink=(0.0, 0.0, 0.0))
            ground = np.ones_like(ground)
        return DrawnFigure(rig, ground)

    def __getitem__(self, index: int) -> Triplet:
        figure = self.figure(index)
        frames = np.stack([figure.frame(t) for t in (0, 0.5, 1)])
        flow01, flow10 = (torch.from_numpy(figure.flow(*times)).permute(2, 0, 1) for times in ((0, 1), (1, 0)))
        pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
        return Triplet(self.names[index], pictures, (flow01, flow10))
