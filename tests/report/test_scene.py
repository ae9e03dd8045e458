"""The renderer shows a sphere as a disc of the right size, upright and not mirrored."""

import numpy as np
import pytest

from cryosway.report import Actor, Camera, build_surface, render_scene
from cryosway.report._scene import FILL_LIGHT, KEY_LIGHT, shade

GREY = np.array([0.6, 0.6, 0.6])


@pytest.fixture
def sphere():
    z, y, x = np.indices((40,) * 3) - 20
    distance = np.sqrt(x**2 + y**2 + z**2)
    return build_surface(1 / (1 + np.exp((distance - 10) / 1.2)), 2.0, 0.5)


def test_a_sphere_covers_the_area_of_its_disc(sphere):
    picture = render_scene([Actor(sphere, GREY)], Camera(width_angstrom=60, pixels=120))
    pixels = (picture[..., 3] / 255).sum()
    assert pixels * (60 / 120) ** 2 == pytest.approx(np.pi * 20**2, rel=0.02)


def test_shading_is_symmetric_about_the_plane_of_the_lights():
    """Mirror a normal in the plane of both lamps: the same light."""
    axis = np.cross(KEY_LIGHT, FILL_LIGHT)
    axis /= np.linalg.norm(axis)
    normals = np.random.default_rng(0).normal(size=(100, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    mirrored = normals - 2 * (normals @ axis)[:, None] * axis
    bright, other = (shade(one, np.ones(100), GREY) for one in (normals, mirrored))
    # The highlight's half-way vector lies off that plane, by what the eye adds: small.
    np.testing.assert_allclose(bright, other, atol=0.06)


def test_the_lit_side_is_brighter(sphere):
    picture = render_scene([Actor(sphere, GREY)], Camera(width_angstrom=60, pixels=90))
    upper_left, lower_right = picture[32, 32, :3].mean(), picture[60, 60, :3].mean()
    assert upper_left > lower_right + 20


def test_the_picture_is_upright_and_not_mirrored(blobs):
    """A blob at +x is on the right, one at +y on top; the one at +z hides the one behind."""
    place = {"x": (10, 0, 0), "y": (0, 10, 0)}
    centres = {}
    for name, centre in place.items():
        surface = build_surface(blobs([centre], sd=2.0), 1.0, 0.5)
        picture = render_scene([Actor(surface, GREY)], Camera(width_angstrom=32, pixels=64))
        centres[name] = np.argwhere(picture[..., 3] > 128).mean(axis=0) - 31.5
    np.testing.assert_allclose(centres["x"], [0, 20], atol=1.0)
    np.testing.assert_allclose(centres["y"], [-20, 0], atol=1.0)
    front, back = (build_surface(blobs([(0, 0, z)], sd=2.0), 1.0, 0.5) for z in (8, -8))
    red, blue = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    picture = render_scene(
        [Actor(front, red), Actor(back, blue)], Camera(width_angstrom=32, pixels=64)
    )
    assert picture[32, 32, 0] > 100 > picture[32, 32, 2]


def test_a_rotation_turns_what_is_seen(blobs):
    """Rows of the rotation are right, up and towards the eye: seen from +x, y is right."""
    surface = build_surface(blobs([(0, 10, 0)], sd=2.0), 1.0, 0.5)
    rotation = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], float)
    picture = render_scene([Actor(surface, GREY)], Camera(rotation, 32, 64))
    np.testing.assert_allclose(
        np.argwhere(picture[..., 3] > 128).mean(axis=0) - 31.5, [0, 20], atol=1.0
    )


def test_a_veil_lets_the_inside_show(sphere, blobs):
    inside = build_surface(blobs([(0, 0, 0)], sd=2.0, box=40), 2.0, 0.5)
    actors = [Actor(sphere, GREY, opacity=0.3), Actor(inside, np.array([1.0, 0, 0]))]
    picture = render_scene(actors, Camera(width_angstrom=60, pixels=60))
    middle, veil = picture[30, 30], picture[30, 48]
    assert middle[0] > middle[2] + 60
    assert veil[3] == pytest.approx(0.3 * 255, abs=3)


def test_an_empty_scene_is_transparent():
    assert render_scene([], Camera(pixels=8))[..., 3].max() == 0
    empty = build_surface(np.zeros((16, 16, 16)), 1.0, 0.5)
    assert render_scene([Actor(empty, GREY)], Camera(pixels=8))[..., 3].max() == 0


def test_the_same_scene_gives_the_same_picture(sphere):
    camera = Camera(width_angstrom=60, pixels=40)
    first, second = (render_scene([Actor(sphere, GREY)], camera) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_colours_by_vertex_are_interpolated(sphere):
    colours = np.where(sphere.vertices[:, :1] > 0, [[1.0, 0, 0]], [[0, 0, 1.0]])
    picture = render_scene([Actor(sphere, colours)], Camera(width_angstrom=60, pixels=60))
    assert picture[30, 40, 0] > picture[30, 40, 2]
    assert picture[30, 20, 2] > picture[30, 20, 0]
