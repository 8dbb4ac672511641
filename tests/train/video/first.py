"""An interpolator for tests of what a video holds besides its in-betweens."""


class First:
    """Draws the first of two frames again."""

    def prepare(self, frame0, frame1):
        return frame0

    def draw(self, pair, times):
        for _ in times:
            yield lambda: pair
