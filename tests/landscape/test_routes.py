"""Routes keep to where particles are, and over the passes; every point is where it says."""

import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.landscape import (
    fill_other_coordinates,
    route_by_energy,
    route_by_graph,
    route_straight,
)

RADIUS = 6.0


@pytest.fixture(scope="module")
def half_ring():
    rng = np.random.default_rng(0)
    turn = rng.uniform(0, np.pi, 1500)
    ring = RADIUS * np.stack([np.cos(turn), np.sin(turn), np.zeros(1500)], axis=1)
    return ring + 0.2 * rng.normal(size=ring.shape)


def test_straight_steps_are_even():
    corners = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])
    steps = np.linalg.norm(np.diff(route_straight(corners, 8), axis=0), axis=1)
    np.testing.assert_allclose(steps, 1.0)


@pytest.mark.parametrize("most", [5000, 400])
def test_the_graph_goes_around_the_hole(half_ring, most):
    ends = np.array([[RADIUS, 0, 0], [-RADIUS, 0, 0]])
    way = route_by_graph(half_ring, ends, graph_at_most=most)
    assert np.abs(np.linalg.norm(way[:, :2], axis=1) - RADIUS).max() < 1.0
    assert np.linalg.norm(way[[0, -1]] - ends, axis=1).max() < 1.0
    assert np.linalg.norm(np.diff(way, axis=0), axis=1).max() < 1.5


def test_the_graph_passes_what_it_is_told_to(half_ring):
    places = np.array([[RADIUS, 0, 0], [-RADIUS, 0, 0], [0, RADIUS, 0]])
    way = route_by_graph(half_ring, places)
    assert np.linalg.norm(way - places[1], axis=1).min() < 1.0
    assert np.linalg.norm(way[-1] - places[2]) < 1.0


def test_there_is_a_way_between_islands():
    """Where cryoDRGN's graph says that there is none."""
    rng = np.random.default_rng(1)
    islands = np.concatenate([rng.normal(size=(80, 2)) + np.array([40 * k, 0]) for k in range(4)])
    way = route_by_graph(islands, np.array([[0.0, 0], [120.0, 0]]))
    assert (np.diff(way[:, 0]) > 30).sum() == 3, "each gap is passed once"


def test_the_lowest_pass_is_taken():
    """Two basins, a wall with a low pass away from the straight line."""
    x, y = np.linspace(-3, 3, 61), np.linspace(-2, 4, 61)
    X, Y = np.meshgrid(x, y, indexing="ij")
    energy = 8 * np.exp(-((X / 0.6) ** 2)) * (1 - 0.9 * np.exp(-((Y - 2.5) ** 2)))
    points, level = route_by_energy((x, y), energy, np.array([[-2.0, 0], [2.0, 0]]))
    crossing = points[np.abs(points[:, 0]).argmin()]
    assert crossing[1] == pytest.approx(2.5, abs=0.5)
    assert level.max() < 1.3 < energy[30, 20]
    np.testing.assert_allclose(points[[0, -1]], [[-2, 0], [2, 0]])


@pytest.mark.parametrize("flipped", [False, True])
def test_the_lowest_pass_is_taken_however_high(flipped):
    """A wall of 25 kT with a long pass of 15; one of 70 without; one of 20 with a pass of 5.

    What the last two cost differs by a factor of 10²².
    """
    x, y = np.linspace(-4, 4, 81), np.linspace(-2, 4, 61)
    X, Y = np.meshgrid(x, y, indexing="ij")

    def wall(place, height, gate, lowest):
        open_there = np.exp(-((Y - gate) ** 2))
        top = height - (height - lowest) * open_there
        return top * np.exp(-(((X - place) / (0.5 + 0.7 * open_there)) ** 2))

    energy = wall(-2, 25, 2.5, 15) + wall(0, 70, 0, 70) + wall(2, 20, 2.5, 5)
    anchors = np.array([[-3.5, 0], [3.5, 0]])
    points, _ = route_by_energy((x, y), energy, anchors[::-1] if flipped else anchors)
    for place in (-2, 2):
        assert points[np.abs(points[:, 0] - place).argmin(), 1] == pytest.approx(2.5, abs=0.5)


def test_ends_where_nobody_is_are_refused():
    axis = np.linspace(0, 1, 5)
    with pytest.raises(CryoswayError, match="9 along direction 2, where there is no particle"):
        route_by_energy((axis, axis), np.zeros((5, 5)), np.array([[0.0, 0.0], [0.5, 9.0]]))


def test_other_coordinates_are_those_of_the_particles_there():
    rng = np.random.default_rng(2)
    x = rng.uniform(-5, 5, 3000)
    points = np.stack([x, rng.normal(size=3000), x**2], axis=1)
    path = fill_other_coordinates(np.array([[-3.0, 0.0], [0.0, 0.0], [3.0, 0.0]]), points, 0.3)
    np.testing.assert_allclose(path[:, 2], [9, 0, 9], atol=0.6)
    np.testing.assert_array_equal(path[:, 0], [-3, 0, 3])
