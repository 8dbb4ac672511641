"""A metric that is the mean of the drawn frame."""

from torch import Tensor

from _util.metrics import ImageMetric


class Brightness(ImageMetric):
    higher_is_better = True

    def compare(self, predicted: Tensor, truth: Tensor) -> Tensor:
        return predicted.mean((1, 2, 3))
