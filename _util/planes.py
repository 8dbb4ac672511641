"""The memory of video frames as arrays."""

import numpy as np
from av.video.plane import VideoPlane


def rows(plane: VideoPlane) -> np.ndarray:
    """The bytes of a plane, (h, bytes of a row), padding included; writing into them changes the frame."""
    return np.frombuffer(memoryview(plane), np.uint8)[: plane.height * plane.line_size].reshape(
        plane.height, plane.line_size
    )


def values(plane: VideoPlane, deep: bool) -> np.ndarray:
    """The values of a plane with one component, (h, w) uint8, or uint16 if `deep`; writing changes the frame."""
    return rows(plane).view(np.uint16 if deep else np.uint8)[:, : plane.width]


def copy(source: VideoPlane, destination: VideoPlane) -> None:
    """Copy the values of a plane to one of the same size and format."""
    length = min(source.line_size, destination.line_size)  # the rows of raw frames are not padded
    rows(destination)[:, :length] = rows(source)[:, :length]
