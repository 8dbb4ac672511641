"""Times and rates of videos, as exact fractions."""

from fractions import Fraction
from numbers import Rational


def fraction(number: Rational | None) -> Fraction | None:
    """What PyAV gives, from version 19 on as a type that rounds as FFmpeg does; None where it is unknown."""
    return Fraction(int(number.numerator), int(number.denominator)) if number else None
