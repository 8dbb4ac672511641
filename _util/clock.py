"""Times and rates of videos, as exact fractions."""

from fractions import Fraction
from numbers import Rational


def fraction(number: Rational | None) -> Fraction | None:
    """Convert a rational of PyAV, which since version 19 rounds as FFmpeg does, to a `Fraction`; None if unknown."""
    return Fraction(int(number.numerator), int(number.denominator)) if number else None
