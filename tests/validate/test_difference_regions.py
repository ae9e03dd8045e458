"""Regions of difference are found where they are, with their sign and size."""

import numpy as np

from cryosway.validate import find_difference_regions


def ball(centre, radius, box=24):
    x = np.arange(box) - box // 2
    away = [(x - c) ** 2 for c in centre]
    return (away[2][:, None, None] + away[1][None, :, None] + away[0] < radius**2).astype(float)


def test_density_that_is_added_and_that_is_missing():
    there, gone = ball((4, 0, -3), 4), ball((-5, 2, 2), 3)
    first, second = find_difference_regions(there - 0.8 * gone, np.ones((24, 24, 24)))
    assert (first.sign, second.sign) == (1, -1)
    np.testing.assert_allclose(first.centre, (4, 0, -3), atol=0.1)
    np.testing.assert_allclose(second.centre, (-5, 2, 2), atol=0.1)
    assert first.voxels == there.sum()
    assert first.weight[there > 0].min() == 1


def test_what_is_outside_of_the_mask_is_no_feature():
    there = ball((4, 0, -3), 4)
    assert find_difference_regions(there, there == 0) == []


def test_specks_and_nothing_are_no_features():
    assert find_difference_regions(ball((0, 0, 0), 1.2), np.ones((24, 24, 24))) == []
    assert find_difference_regions(np.zeros((24, 24, 24)), np.ones((24, 24, 24))) == []
