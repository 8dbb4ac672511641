"""Times and rates of videos, as exact fractions."""

from fractions import Fraction
from numbers import Rational

# Of animations, in frames per second: browsers show frames of 10 ms and less for 100 ms, and GIF counts hundredths.
LARGEST_RATES = {".gif": 50, ".webp": 90, ".apng": 90}
_FINEST = 10**6  # denominator; rates are 1000 at most
_SAME = 1e-8
_LONGEST = 32  # characters of a number


def fraction(number: Rational | None) -> Fraction | None:
    """Convert a rational of PyAV, which since version 19 rounds as FFmpeg does, to a `Fraction`; None if unknown."""
    return Fraction(int(number.numerator), int(number.denominator)) if number else None


def representable(rate: Fraction) -> Fraction:
    """The nearest rate that FFmpeg's fractions of 32 bits hold; decimals such as 59.94005994 become NTSC rates."""
    ntsc = rate.limit_denominator(1001)
    return ntsc if abs(ntsc / rate - 1) < _SAME else rate.limit_denominator(_FINEST)


def parse(text: str) -> Fraction:
    """Parse a number or a quotient, such as 29.97 or 30000/1001.

    Raises:
        ValueError: the text is neither, is too long, or has an exponent of more than two digits.
        ZeroDivisionError: a quotient by 0.
    """
    exponent = text.lower().partition("e")[2].lstrip("+-0")
    if len(text) > _LONGEST or len(exponent) > 2:  # such as 1e999999999, which would take forever
        raise ValueError(f"{text[:_LONGEST]} is too long a number")
    return Fraction(text)
