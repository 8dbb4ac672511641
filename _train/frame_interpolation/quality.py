"""The quality presets.

fast        a network that estimates motion at a smaller size
balanced    the best method with available weights, in a precision that is fast and accurate on the device (default)
best        the same method, its networks in fp32 throughout
"""

from typing import NamedTuple


class Quality(NamedTuple):
    synthesis: str
    precision: str = "auto"


QUALITIES = {"fast": Quality("ifnet-fast"), "balanced": Quality("auto"), "best": Quality("auto", "fp32")}
