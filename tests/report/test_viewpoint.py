"""Views are rotations that put the long axis upright and the motion before the eye."""

import numpy as np
import pytest

from cryosway.report import build_surface, choose_view, fit_camera, turn_view


def assert_is_rotation(view):
    np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(view) == pytest.approx(1.0)


def test_the_long_axis_is_upright_and_the_short_one_faces_the_eye(blobs):
    molecule = blobs([(x, y, 0) for x in (-8, -4, 0, 4, 8) for y in (-3, 3)])
    view = choose_view(molecule, 0.5)
    assert_is_rotation(view)
    assert abs(view[1] @ [1, 0, 0]) > 0.99
    assert abs(view[2] @ [0, 0, 1]) > 0.99


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_motion_is_seen_from_the_side(blobs, axis):
    shift = np.eye(3)[axis] * 6
    first, last = blobs([(0, 0, 0), tuple(-shift)]), blobs([(0, 0, 0), tuple(shift)])
    view = choose_view((first + last) / 2, 0.5, last - first)
    assert_is_rotation(view)
    assert abs(view[2] @ (shift / 6)) < 0.35


def test_a_quarter_turn_brings_the_right_to_the_front():
    turned = turn_view(np.eye(3), 90)
    assert_is_rotation(turned)
    np.testing.assert_allclose(turned[2], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(turned[1], [0, 1, 0], atol=1e-12)


def test_the_camera_shows_everything_from_both_sides(blobs):
    surface = build_surface(blobs([(9, 0, 0), (-2, 5, 3)]), 2.0, 0.5)
    camera = fit_camera([surface], np.eye(3))
    for rotation in (camera.rotation, turn_view(camera.rotation, 90)):
        seen = (surface.vertices - camera.centre) @ rotation.T
        assert np.abs(seen[:, :2]).max() <= camera.width_angstrom / 2
