"""Agreement of latents: an affine map changes nothing, permuted particles leave nothing."""

import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.validate import compare_latents, share_neighbours


def draw(seed, count=600, dimensions=2):
    return np.random.default_rng(seed).normal(size=(count, dimensions))


def test_an_affine_map_of_latents_says_the_same():
    z = draw(0)
    found = compare_latents(z, z @ [[1.0, 2.0, 0.0], [0.5, -1.0, 0.0]] + 3)
    np.testing.assert_allclose(found.canonical, 1)  # the column that does not vary is left out
    assert found.forward == pytest.approx(1)
    assert found.by_chance < 0.2


def test_one_of_two_directions_in_common():
    z, other = draw(1), draw(2)
    found = compare_latents(z, np.column_stack([z[:, 0], other[:, 1]]))
    assert found.canonical[0] > 0.99
    assert found.canonical[1] < 0.2
    assert found.forward == pytest.approx(0.5, abs=0.05)


def test_unrelated_latents_agree_by_chance():
    found = compare_latents(draw(3), draw(4))
    assert found.canonical[0] < 0.2
    assert found.forward < 0.01
    shared, chance = share_neighbours(draw(3), draw(4), 30)
    assert chance == pytest.approx(30 / 599)
    assert shared.mean() == pytest.approx(chance, abs=0.01)


def test_neighbours_written_out():
    a, b = draw(5, 40), draw(6, 40)
    shared, _ = share_neighbours(a, b, 5)
    for i in range(40):
        near = [set(np.argsort(np.linalg.norm(p - p[i], axis=1))[1:6]) for p in (a, b)]
        assert shared[i] == pytest.approx(len(near[0] & near[1]) / 5)


def test_a_particle_that_two_methods_place_differently_stands_out():
    z = draw(7)
    moved = z.copy()
    moved[17] += 6
    shared, _ = share_neighbours(z, 2 * moved, 20)
    assert shared[17] == 0
    assert np.delete(shared, 17).mean() > 0.95


def test_neighbours_among_a_sample():
    z = draw(8)
    shared, chance = share_neighbours(z, z, 10, sample=200)
    np.testing.assert_array_equal(shared, 1)
    assert chance == pytest.approx(10 / 199)


def test_other_numbers_of_particles_are_refused():
    with pytest.raises(CryoswayError, match="of 3 and 4 particles"):
        compare_latents(np.zeros((3, 1)), np.zeros((4, 1)))
