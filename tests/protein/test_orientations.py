import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryosway.protein import count_rotations, even_rotations


@pytest.mark.parametrize("step_degrees", [15.0, 25.0])
def test_no_rotation_is_far_from_the_grid(step_degrees, rng):
    """Every rotation has a neighbour within one step, and most within 0.8 of it."""
    step = np.deg2rad(step_degrees)
    grid = even_rotations(count_rotations(step))
    np.testing.assert_allclose(np.linalg.det(grid), 1)
    asked = Rotation.random(300, random_state=1).as_matrix()
    cosine = (np.einsum("nij,mij->nm", asked, grid).max(axis=1) - 1) / 2
    angle = np.arccos(np.clip(cosine, -1, 1))
    assert angle.max() < step
    assert np.percentile(angle, 90) < 0.8 * step
