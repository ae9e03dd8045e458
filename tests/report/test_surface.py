"""Isosurfaces have the right place, area, normals and openness."""

import numpy as np
import pytest

from cryosway.report import build_surface, sample_on_surface


def make_ball(radius, box=40, centre=(0, 0, 0)):
    z, y, x = np.indices((box,) * 3) - box // 2
    distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    return 1 / (1 + np.exp((distance - radius) / 1.2))


def test_a_ball_has_the_area_of_a_sphere():
    surface = build_surface(make_ball(9.0), 2.0, 0.5)
    assert surface.area_angstrom2 == pytest.approx(4 * np.pi * 18.0**2, rel=0.01)


def test_vertices_lie_on_the_sphere_around_the_true_centre():
    """Å from the origin voxel D/2, in (x, y, z)."""
    surface = build_surface(make_ball(6.0, centre=(5, -3, 2)), 2.0, 0.5)
    radii = np.linalg.norm(surface.vertices - [10.0, -6.0, 4.0], axis=1)
    np.testing.assert_allclose(radii, 12.0, atol=0.15)


def test_normals_point_outwards():
    surface = build_surface(make_ball(9.0), 1.0, 0.5)
    outward = surface.vertices / np.linalg.norm(surface.vertices, axis=1, keepdims=True)
    assert np.einsum("vd,vd->v", surface.normals, outward).min() > 0.99


def test_a_ball_is_open_and_a_pocket_is_dark():
    solid = make_ball(14.0) - make_ball(8.0, centre=(0, 0, 12))
    surface = build_surface(solid, 1.0, 0.5)
    pocket = np.linalg.norm(surface.vertices - [0, 0, 5], axis=1) < 2
    outside = surface.vertices[:, 2] < -10
    assert surface.openness[pocket].mean() < surface.openness[outside].mean() - 0.2


def test_a_big_box_is_drawn_from_a_smaller_grid():
    coarse = build_surface(make_ball(20.0, box=64), 1.0, 0.5, finest=30)
    fine = build_surface(make_ball(20.0, box=64), 1.0, 0.5)
    assert len(coarse.vertices) < 0.3 * len(fine.vertices)
    assert coarse.area_angstrom2 == pytest.approx(fine.area_angstrom2, rel=0.03)


def test_dust_is_left_out():
    volume = make_ball(9.0) + make_ball(1.8, centre=(15, 0, 0))
    surface = build_surface(volume, 1.0, 0.5)
    assert surface.vertices[:, 0].max() < 10
    assert build_surface(volume, 1.0, 0.5, dust=0.0).vertices[:, 0].max() > 15


def test_nothing_above_the_threshold_gives_an_empty_surface():
    assert len(build_surface(np.zeros((16, 16, 16)), 1.0, 0.5).faces) == 0


def test_a_molecule_that_touches_the_box_is_closed():
    surface = build_surface(np.ones((16, 16, 16)), 1.0, 0.5)
    assert surface.area_angstrom2 == pytest.approx(6 * 16**2, rel=0.15)


def test_values_are_read_where_the_surface_is():
    surface = build_surface(make_ball(9.0), 2.0, 0.5)
    x_of_voxels = (np.indices((40,) * 3)[2] - 20) * 2.0
    np.testing.assert_allclose(
        sample_on_surface(surface, x_of_voxels, 2.0), surface.vertices[:, 0], atol=1e-3
    )
