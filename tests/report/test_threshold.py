"""The automatic contour encloses the molecule."""

import numpy as np
import pytest

from cryosway.report import choose_threshold
from cryosway.report._threshold import find_molecule, keep_large_pieces


def make_ball(radius, noise=0.0, box=48):
    z, y, x = np.indices((box,) * 3) - box // 2
    ball = 1 / (1 + np.exp((np.sqrt(x**2 + y**2 + z**2) - radius) / 0.8))
    return ball + noise * np.random.default_rng(0).normal(size=ball.shape)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_the_enclosed_volume_is_that_of_the_molecule(noise, scale):
    volume = scale * make_ball(12.0, noise)
    enclosed = keep_large_pieces(volume > choose_threshold(volume), 0.5).sum()
    assert enclosed == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.12)


def test_a_mask_is_heeded():
    volume = make_ball(12.0) + 5 * np.roll(make_ball(4.0), 18, axis=0)
    mask = make_ball(15.0) > 0.5
    assert 0.3 < choose_threshold(volume, mask) < 0.7


def test_the_molecule_is_found_with_a_margin():
    region = find_molecule(make_ball(10.0, 0.2))
    ball = make_ball(10.0) > 0.5
    assert region[ball].mean() > 0.99
    assert region.sum() < 4 * ball.sum()


def test_a_flat_map_has_a_level_all_the_same():
    assert np.isfinite(choose_threshold(np.zeros((16, 16, 16))))
