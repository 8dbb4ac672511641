"""Similarities of the plane: rotation, scale and shift, with points as complex numbers x + iy."""

import cmath
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.complex128]  # x + iy


class Similarity(NamedTuple):
    """z → a z + b: rotates by the argument of a, and scales by its modulus."""

    a: complex
    b: complex

    def __call__(self, z):
        """Map a point, or an array of points."""
        return self.a * z + self.b

    def inverse(self) -> "Similarity":
        """The inverse similarity."""
        return Similarity(1 / self.a, -self.b / self.a)

    def at(self, t: float) -> "Similarity":
        """The fraction t of the motion: on an arc about the fixed point, or straight where there is none."""
        a = power(self.a, t)
        return Similarity(a, self.b * (t if abs(self.a - 1) < 1e-6 else (a - 1) / (self.a - 1)))

    def matrix(self) -> np.ndarray:
        """The matrix (2, 3) for OpenCV."""
        return np.array([[self.a.real, -self.a.imag, self.b.real], [self.a.imag, self.a.real, self.b.imag]])


def power(a: complex, t: float) -> complex:
    """a to the power t: the fraction t of a turn and scale."""
    return abs(a) ** t * cmath.exp(1j * t * cmath.phase(a))


def about(centre: complex, a: complex, to: complex) -> Similarity:
    """The similarity that rotates and scales by a, and takes `centre` to `to`."""
    return Similarity(a, to - a * centre)


def fitted(start: Points, end: Points) -> Similarity:
    """The least-squares similarity from points (n,) to points (n,), its scale within [0.5, 2].

    Where all points coincide, a shift.
    """
    before, after = start - start.mean(), end - end.mean()
    spread = (abs(before) ** 2).sum()
    a = complex((before.conj() * after).sum() / spread) if spread else 1 + 0j
    a *= np.clip(abs(a), 0.5, 2) / max(abs(a), 1e-6) if abs(a) > 1e-6 else 1
    return about(complex(start.mean()), a or 1 + 0j, complex(end.mean()))


def warped(image: np.ndarray, motion: Similarity, size: tuple[int, int], flags: int = cv2.INTER_LINEAR) -> np.ndarray:
    """An image moved by a similarity onto a canvas of (h, w) pixels, 0 outside."""
    return cv2.warpAffine(image, motion.matrix(), size[::-1], flags=flags, borderValue=0)
