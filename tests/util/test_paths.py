"""Flow that knows its way: arcs, order, and what is covered."""

import numpy as np
import pytest
import torch

from _train.frame_interpolation.models.splatting import SplatSource, splat_in_order, splat_together
from _util import paths
from _util.flow import resize


def test_a_path_follows_an_arc_and_a_flow_is_straight():
    angle, radius = np.radians(120), 100.0
    times = (*paths.KNOTS, 1.0)
    ways = [radius * np.array([np.cos(t * angle) - 1, np.sin(t * angle)]) for t in times]
    bows = [way - t * ways[-1] for way, t in zip(ways, times, strict=True)][:-1]
    path = torch.tensor(np.concatenate([ways[-1], *bows, [2.0]])).view(1, -1, 1, 1)
    assert path.shape[1] == paths.CHANNELS
    for t in np.linspace(0, 1, 9):
        truth = radius * np.array([np.cos(t * angle) - 1, np.sin(t * angle)])
        np.testing.assert_allclose(paths.at(path, t).flatten(), truth, atol=0.002 * radius)
        np.testing.assert_allclose(paths.at(path[:, :2], t).flatten(), t * ways[-1])


def test_what_lies_in_front_hides_what_lands_on_the_same_pixel():
    values = torch.tensor([[[[1.0, 5.0]]]])
    way = torch.stack([torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2)])[None]
    path = torch.cat([way, torch.zeros(1, 6, 1, 2), torch.tensor([[[[1.0, 0.0]]]])], 1)
    sums, covered = splat_in_order(values, path, way)
    assert sums.flatten().tolist() == [0, 1]
    assert covered.flatten().tolist() == [0, 1]


def test_what_is_not_drawn_lands_nowhere():
    still = torch.zeros(1, 2, 1, 2)
    sums, covered = splat_in_order(torch.ones(1, 1, 1, 2), paths.straight(still, paths.NOT_DRAWN), still)
    assert not sums.any()
    assert not covered.any()


def test_a_pixel_that_is_half_covered_in_front_shows_what_lies_behind():
    way = torch.zeros(1, 2, 1, 3)
    way[0, 0, 0, 0] = 1.5  # half on the second pixel, half on the third
    path = paths.straight(way)
    path[0, -1, 0, 0] = 2
    sums, covered = splat_in_order(torch.tensor([[[[8.0, 3.0, 3.0]]]]), path, way)
    share = 0.5 / 0.75
    np.testing.assert_allclose(sums.flatten(), [0, 4 + (1 - share) * 3, 4 + (1 - share) * 3], rtol=1e-6)
    np.testing.assert_allclose(covered.flatten(), [0, 1, 1])


def resting(orders, values):
    """Both images of a pair at rest, 1×3 pixels, with the depth order and the value of each pixel."""
    path = paths.straight(torch.zeros(2, 2, 1, 3))
    path[:, -1, 0] = torch.tensor(orders)
    return SplatSource(torch.tensor(values)[:, None, None], path, torch.zeros(2, 1, 1, 3))


@pytest.mark.parametrize("t", [0.25, 0.5, torch.tensor([0.25, 0.75])])
def test_both_images_are_mixed_by_nearness_where_they_show_the_same_layer(t):
    source = resting([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]], [[0.0, 0.4, 0.8], [1.0, 0.8, 0.8]])
    (first, second, third) = splat_together(source, torch.zeros(2, 1, 1, 3), t)[:, 0, 0].unbind(1)
    t = torch.as_tensor(t).view(-1)
    torch.testing.assert_close(first, t)
    torch.testing.assert_close(second, 0.4 + 0.4 * t)
    torch.testing.assert_close(third, torch.full_like(t, 0.8))


def test_what_one_image_alone_shows_is_opaque_and_other_things_are_mixed():
    """A piece of value 1 that image 0 shows before a ground of value 0: hidden in image 1, or no longer there."""
    source = resting([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    alone = torch.zeros(2, 1, 1, 3)
    alone[0, :, :, 0] = 1
    for t in (0.25, 0.75):
        mixed = splat_together(source, alone, t)[0, 0, 0]
        torch.testing.assert_close(mixed, torch.tensor([1.0, 1 - t, 0.0]))


def test_what_lies_in_front_in_one_image_hides_what_the_other_shows():
    source = resting([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0]], [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0]])
    assert splat_together(source, torch.ones(2, 1, 1, 3), 0.5)[0, 0, 0].tolist() == [1, 1, 0]


def test_a_resized_path_keeps_its_order_and_scales_its_vectors():
    path = paths.straight(torch.full((1, 2, 4, 6), 3.0), 2.0)
    path[:, 2:8] = 1.0
    large = resize(path, (8, 18))
    expected = torch.tensor([9, 6, 3, 2, 3, 2, 3, 2, 2.0]).view(1, -1, 1, 1)
    torch.testing.assert_close(large, expected.expand_as(large))


def test_a_resized_path_is_not_mixed_with_its_neighbours():
    path = torch.cat([paths.straight(torch.full((1, 2, 4, 3), 8.0), 2.0), paths.straight(torch.zeros(1, 2, 4, 3))], 3)
    large = resize(path, (8, 12))
    assert large[0, 0].unique().tolist() == [0, 16]
    assert large[0, -1].unique().tolist() == [0, 2]
    assert (large[0, 0, :, :6] == 16).all()


@pytest.mark.parametrize("factor", [2, 4])
def test_a_resized_path_of_what_rotates_is_smooth(factor):
    """A piece that rotates by 60 degrees on ground at rest, at a size and at a multiple of it."""

    def rotating(h: int, w: int) -> tuple[torch.Tensor, torch.Tensor]:
        y, x = torch.meshgrid(torch.arange(h) + 0.5 - h / 2, torch.arange(w) + 0.5 - w / 2, indexing="ij")
        path = torch.zeros(1, 9, h, w)
        for channel, time in ((0, 1.0), (2, 0.25), (4, 0.5), (6, 0.75)):
            angle = torch.tensor(time * torch.pi / 3)
            moved = torch.stack([x * angle.cos() - y * angle.sin() - x, x * angle.sin() + y * angle.cos() - y])
            path[0, channel : channel + 2] = moved - (0 if channel == 0 else time * path[0, :2])
        is_piece = (x / w).square() + (y / h).square() < 0.1
        path[:, 8] = 1
        return torch.where(is_piece, path, torch.zeros(())), is_piece

    small, _ = rotating(45, 60)
    large, is_piece = rotating(45 * factor, 60 * factor)
    rim = (torch.nn.functional.max_pool2d((~is_piece).float()[None, None], 6 * factor + 1, 1, 3 * factor) > 0)[0, 0]
    resized = resize(small, large.shape[2:])
    torch.testing.assert_close(resized[0, :, ~rim], large[0, :, ~rim], atol=1e-3, rtol=0)
    assert set(resized[0, 8].unique().tolist()) == {0, 1}


@pytest.mark.parametrize("layers", [1, 3])
def test_what_layers_touch_is_splatted_as_whole_images(layers):
    values, path = torch.rand(2, 3, 24, 32), 3 * torch.randn(2, paths.CHANNELS, 24, 32)
    path[:, -1] = paths.NOT_DRAWN
    for layer in range(layers):
        path[:, -1, 4 * layer : 20, 6 * layer : 25] = layer
    source, hidden = SplatSource(values, path, torch.zeros(2, 1, 24, 32)), torch.zeros(2, 1, 24, 32)
    whole = *splat_in_order(values, path, paths.flow(path)), splat_together(source, hidden, 0.4)
    with torch.no_grad():
        parts = *splat_in_order(values, path, paths.flow(path)), splat_together(source, hidden, 0.4)
    assert all(map(torch.equal, whole, parts))
