"""The rasteriser against its slow twin and plain geometry."""

import numpy as np
import pytest

from cryosway.report._raster import rasterise_triangles


def rasterise(points, faces, size=12):
    return rasterise_triangles(np.array(points, np.float32), np.array(faces, np.int32), size, size)


def test_a_right_triangle_covers_the_pixels_inside_it():
    _, face, _ = rasterise([(0, 0, 0), (8, 0, 0), (0, 8, 0)], [(0, 1, 2)])
    rows, columns = np.indices((12, 12))
    np.testing.assert_array_equal(face == 0, rows + columns <= 8)


def test_the_nearer_surface_hides_the_farther_in_any_order():
    points = [(0, 0, 1), (11, 0, 1), (0, 11, 1), (0, 0, 2), (11, 0, 2), (0, 11, 2)]
    for faces in ([(0, 1, 2), (3, 4, 5)], [(3, 4, 5), (0, 1, 2)]):
        depth, face, _ = rasterise(points, faces)
        assert depth[0, 0] == 2
        assert faces[face[3, 3]] == (3, 4, 5)


def test_depth_is_interpolated_in_the_plane_of_the_triangle():
    depth, _, _ = rasterise([(0, 0, 0), (10, 0, 10), (0, 10, 20)], [(0, 1, 2)])
    assert depth[2, 3] == pytest.approx(3 + 2 * 2, abs=1e-5)


def test_neighbours_leave_no_crack():
    rng = np.random.default_rng(0)
    middle = rng.uniform(4, 8, size=2)
    points = [(0, 0, 0), (11, 0, 0), (11, 11, 0), (0, 11, 0), (*middle, 0)]
    _, face, _ = rasterise(points, [(0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)])
    assert np.all(face >= 0)


def test_the_compiled_kernel_agrees_with_its_slow_twin():
    rng = np.random.default_rng(1)
    points = rng.uniform(-3, 15, size=(30, 3)).astype(np.float32)
    faces = rng.integers(0, 30, size=(20, 3)).astype(np.int32)
    fast = rasterise_triangles(points, faces, 12, 12)
    slow = rasterise_triangles.py_func(points, faces, 12, 12)
    for one, other in zip(fast, slow, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
