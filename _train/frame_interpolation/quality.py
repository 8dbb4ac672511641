"""How thoroughly frames are drawn, by three names.

fast        a network that finds motion at a smaller size
balanced    the best method that has weights, in the precision that the device is fast and close enough in: the default
best        the same method, its networks in fp32 throughout
"""

from typing import NamedTuple


class Quality(NamedTuple):
    synthesis: str
    precision: str = "auto"


QUALITIES = {"fast": Quality("ifnet-fast"), "balanced": Quality("auto"), "best": Quality("auto", "fp32")}
