"""The map of views is a density on the sphere."""

import numpy as np
import pytest

from cryosway.report._views import map_view_density


def make_even_views(count=60_000, seed=0):
    rng = np.random.default_rng(seed)
    tilt = np.rad2deg(np.arccos(rng.uniform(-1, 1, count)))
    return rng.uniform(-180, 180, count), tilt


def test_even_views_have_density_one_everywhere_also_at_the_poles():
    density, _, _ = map_view_density(*make_even_views())
    np.testing.assert_allclose(density, 1.0, atol=0.2)


def test_the_mean_over_the_sphere_is_one():
    rot, tilt = make_even_views()
    density, _, latitude = map_view_density(rot[tilt < 60], tilt[tilt < 60])
    weights = np.cos(latitude)
    mean = (density[:, :-1].mean(axis=1) * weights).sum() / weights.sum()
    assert mean == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize(("rot", "tilt"), [(30.0, 60.0), (-170.0, 120.0), (179.9, 90.0)])
def test_a_single_view_is_where_its_angles_say(rot, tilt):
    density, longitude, latitude = map_view_density(np.array([rot]), np.array([tilt]))
    row, column = np.unravel_index(density.argmax(), density.shape)
    assert np.rad2deg(latitude[row]) == pytest.approx(90 - tilt, abs=3.1)
    assert abs((np.rad2deg(longitude[column]) - rot + 180) % 360 - 180) < 3.1


def test_the_seam_is_seamless():
    density, _, _ = map_view_density(np.array([180.0]), np.array([90.0]))
    np.testing.assert_allclose(density[:, 0], density[:, -1], rtol=1e-4)


def test_angles_outside_the_usual_range_are_wrapped():
    usual, _, _ = map_view_density(np.array([10.0]), np.array([40.0]))
    wrapped, _, _ = map_view_density(np.array([370.0]), np.array([40.0]))
    np.testing.assert_array_equal(usual, wrapped)
