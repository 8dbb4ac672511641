"""Draws a picture deformed by a mesh over a canvas."""

import math

import numpy as np

from _util.compiled import njit


@njit()
def draw(
    canvas: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    cell: float,
    picture: np.ndarray,
    scale: np.ndarray,
    corner: np.ndarray,
    shade: np.ndarray,
) -> None:
    """Draw the two triangles of every cell of a mesh, each pixel once, the picture read between its pixels.

    Args:
        canvas: (h, w, 3) float32 in [0, 255], drawn on.
        x, y: (rows, columns) float64, where each vertex is, in pixels of the canvas from its top left corner.
        cell: the side of a cell, in pixels of the drawing.
        picture: (h, w, 4) float32 RGBA in [0, 255], colours multiplied by alpha: a part of the drawing.
        scale: (2,), x then y, pixels of the picture for each of the drawing.
        corner: (2,), x then y, of the picture, in pixels of the picture, from the drawing's.
        shade: (7,) the share of light that a shadow takes, then a x + b y + c + d sin(e y - f x), in pixels of the
            drawing, is above 0 where it lies.
    """
    h, w = canvas.shape[:2]
    picture_h, picture_w = picture.shape[:2]
    done = np.zeros((h, w), np.bool_)
    for row in range(x.shape[0] - 1):
        if (row + 1) * cell * scale[1] < corner[1] - 1 or row * cell * scale[1] > corner[1] + picture_h + 1:
            continue
        for column in range(x.shape[1] - 1):
            if (column + 1) * cell * scale[0] < corner[0] - 1 or column * cell * scale[0] > corner[0] + picture_w + 1:
                continue
            for half in range(2):  # its right angle in the cell's first corner, then in its last
                i, j, step = row + half, column + half, 1 - 2 * half
                ax, ay = x[i, j], y[i, j]
                bx, by = x[i, j + step] - ax, y[i, j + step] - ay
                cx, cy = x[i + step, j] - ax, y[i + step, j] - ay
                area = bx * cy - cx * by
                if abs(area) < 1e-9:
                    continue
                left = max(0, math.ceil(ax + min(0, bx, cx) - 0.5))
                right = min(w - 1, math.floor(ax + max(0, bx, cx) - 0.5))
                top = max(0, math.ceil(ay + min(0, by, cy) - 0.5))
                bottom = min(h - 1, math.floor(ay + max(0, by, cy) - 0.5))
                for v in range(top, bottom + 1):
                    dy = v + 0.5 - ay
                    for u in range(left, right + 1):
                        if done[v, u]:
                            continue
                        dx = u + 0.5 - ax
                        p, q = (dx * cy - cx * dy) / area, (bx * dy - dx * by) / area
                        if p < -1e-9 or q < -1e-9 or p + q > 1 + 1e-9:
                            continue
                        at_x, at_y = (j + step * p) * cell, (i + step * q) * cell
                        red, green, blue, alpha = _read(
                            picture, at_x * scale[0] - corner[0] - 0.5, at_y * scale[1] - corner[1] - 0.5
                        )
                        if alpha < 0.5:
                            continue
                        done[v, u] = True
                        light, behind = 1.0, 1 - alpha / 255
                        if shade[0] > 0:
                            wave = shade[4] * math.sin(shade[5] * at_y - shade[6] * at_x)
                            depth = shade[1] * at_x + shade[2] * at_y + shade[3] + wave
                            light = 1 - shade[0] * min(1.0, max(0.0, depth + 0.5))
                        canvas[v, u, 0] = canvas[v, u, 0] * behind + red * light
                        canvas[v, u, 1] = canvas[v, u, 1] * behind + green * light
                        canvas[v, u, 2] = canvas[v, u, 2] * behind + blue * light


@njit()
def _read(picture: np.ndarray, x: float, y: float) -> tuple[float, float, float, float]:
    """Sample bilinearly; the picture is transparent outside."""
    left, top = math.floor(x), math.floor(y)
    red, green, blue, alpha = 0.0, 0.0, 0.0, 0.0
    for v in range(max(0, top), min(picture.shape[0], top + 2)):
        for u in range(max(0, left), min(picture.shape[1], left + 2)):
            weight = (1 - abs(v - y)) * (1 - abs(u - x))
            red += weight * picture[v, u, 0]
            green += weight * picture[v, u, 1]
            blue += weight * picture[v, u, 2]
            alpha += weight * picture[v, u, 3]
    return red, green, blue, alpha
