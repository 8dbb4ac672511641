"""A generated pair gives what it gave (`tests/parity/synthetic.npz`), fp32 on the CPU, from the repository alone."""

import numpy as np
import pytest

from tests.parity import synthetic


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(synthetic.PATH) as file:
        return dict(file)


def test_the_drawings_are_those_that_are_drawn(expected):
    difference = expected["frames"].astype(int) - synthetic.draw()
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("name", synthetic.RESULTS)
def test_a_pair_gives_what_it_gave(expected, name):
    found = synthetic.compute(name, synthetic.as_pair(expected["frames"]))
    for i, ours in enumerate(found):
        theirs = expected[f"{name}{i}"]
        assert ours.shape == theirs.shape
        assert np.linalg.norm(ours - theirs) <= 1e-4 * np.linalg.norm(theirs), (name, i)
    assert f"{name}{len(found)}" not in expected
