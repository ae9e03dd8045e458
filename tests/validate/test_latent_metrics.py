"""Latent metrics: the definitions written out, their limits, and what they must not see."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryosway import CryoswayError
from cryosway.validate import _latent_metrics, information_imbalance, neighbourhood_similarity


def draw(seed, count=400, dimensions=3):
    return np.random.default_rng(seed).normal(size=(count, dimensions))


def similarity_written_out(a, b, k, subsets):
    shared = []
    for start in range(subsets):
        x, y = a[start::subsets], b[start::subsets]
        for i in range(len(x)):
            near = [set(np.argsort(np.linalg.norm(p - p[i], axis=1))[: k + 1]) for p in (x, y)]
            shared.append(len(near[0] & near[1]) / (k + 1))
    return 100 * np.mean(shared)


def imbalance_written_out(a, b, k):
    ranks = []
    for i in range(len(a)):
        order_a, order_b = (np.argsort(np.linalg.norm(p - p[i], axis=1)).tolist() for p in (a, b))
        ranks += [order_b.index(j) for j in order_a[1 : k + 1]]
    return 2 * np.mean(ranks) / len(a)


def test_identical_descriptions_share_all_neighbours_and_all_information():
    points = draw(0)
    found = neighbourhood_similarity(points, points)
    np.testing.assert_array_equal(found.percent, 100)
    imbalance = information_imbalance(points, points)
    # The k nearest have the ranks 1 … k, whose mean is (k + 1) / 2.
    np.testing.assert_allclose(imbalance.forward, (imbalance.neighbours + 1) / len(points))
    np.testing.assert_array_equal(imbalance.forward, imbalance.backward)


def test_unrelated_descriptions_are_at_chance():
    a, b = draw(1, 2000), draw(2, 2000)
    found = neighbourhood_similarity(a, b, [5, 40, 200])
    np.testing.assert_allclose(found.percent, found.chance, atol=0.7)
    np.testing.assert_allclose(found.chance, [100 / 6 * (1 + 25 / 399), *found.chance[1:]])
    imbalance = information_imbalance(a, b)
    np.testing.assert_allclose(imbalance.forward, 1, atol=0.05)
    np.testing.assert_allclose(imbalance.backward, 1, atol=0.05)


def test_small_example_by_hand():
    # On a line 0, 1, 3, 7; in the other description the last two change places. The nearest of
    # each point in a: 1, 0, 1, 3→2; in b (0, 1, 7, 3): 1, 0, 3, 1. Shared beside themselves:
    # points 0 and 1, and none for points 2 (1 against 3) and 3 (2 against 1).
    a, b = np.array([0.0, 1.0, 3.0, 7.0]), np.array([0.0, 1.0, 7.0, 3.0])
    found = neighbourhood_similarity(a, b, [1], subsets=1)
    assert found.percent[0] == pytest.approx(100 * (2 + 2 + 1 + 1) / 4 / 2)
    # Ranks in b of those nearest in a: 1, 1, and of point 1 seen from 2 in b (4, 6, 7): 2, of
    # point 2 seen from 3 in b (1→2, 0→3, 2→4): 3.
    imbalance = information_imbalance(a, b, [1])
    assert imbalance.forward[0] == pytest.approx(2 / 4 * (1 + 1 + 2 + 3) / 4)


@pytest.mark.parametrize("k", [1, 7, 30])
def test_agrees_with_the_definitions_written_out(k):
    a = draw(3, 203)
    b = a + 0.7 * draw(4, 203)
    found = neighbourhood_similarity(a, b, [k], subsets=1)
    assert found.percent[0] == pytest.approx(similarity_written_out(a, b, k, 1))
    imbalance = information_imbalance(a, b, [k])
    assert imbalance.forward[0] == pytest.approx(imbalance_written_out(a, b, k))
    assert imbalance.backward[0] == pytest.approx(imbalance_written_out(b, a, k))


def test_subsets_share_neighbours_only_among_themselves():
    """A point's neighbours in another subset do not count; every point counts once."""
    a, b = draw(3, 203), draw(4, 203)
    b = b + a
    found = neighbourhood_similarity(a, b, [4], subsets=5)
    assert found.percent[0] == pytest.approx(similarity_written_out(a, b, 4, 5))


def test_rotations_shifts_and_scales_of_latents_do_not_matter():
    truth, latents = draw(5), draw(6)
    latents = latents + truth
    moved = 3 * Rotation.random(random_state=0).apply(latents) + 5
    for metric in (neighbourhood_similarity, information_imbalance):
        plain, other = metric(truth, latents, [10]), metric(truth, moved, [10])
        name = "percent" if metric is neighbourhood_similarity else "forward"
        np.testing.assert_allclose(getattr(plain, name), getattr(other, name), atol=0.05)


def test_a_projection_is_known_from_the_whole_but_not_the_reverse():
    whole = draw(7, 1000)
    found = information_imbalance(whole, whole[:, :1])
    assert found.mean_forward < 0.25 < 0.4 < found.mean_backward


def test_points_of_one_state_are_in_no_order():
    """Latents that know nothing must not profit from the order of particles within states."""
    states = np.repeat(np.arange(4.0), 250)
    drift = np.linspace(0, 1, 1000) % 0.25  # the same within each state
    found = neighbourhood_similarity(states, drift, [20], subsets=1)
    # A quarter of the nearest in latents are of one state; of these, 20 of 249 are picked.
    expected = 100 * (1 + 20 * 20 / 999) / 21
    assert found.percent[0] == pytest.approx(expected, abs=1)
    assert information_imbalance(states, drift, [20]).forward[0] == pytest.approx(1, abs=0.05)


def test_blocks_change_nothing(monkeypatch):
    a, b = draw(8), draw(9)
    whole = neighbourhood_similarity(a, b, [10]), information_imbalance(a, b)
    monkeypatch.setattr(_latent_metrics, "_ELEMENTS", 4096)
    parts = neighbourhood_similarity(a, b, [10]), information_imbalance(a, b)
    np.testing.assert_array_equal(whole[0].percent, parts[0].percent)
    np.testing.assert_allclose(whole[1].forward, parts[1].forward)


def test_defaults_are_those_of_cryobench_at_its_size():
    counts = neighbourhood_similarity(draw(0, 2000), draw(1, 2000)).neighbours
    np.testing.assert_array_equal(counts * 50, np.arange(200, 4001, 200))
    np.testing.assert_array_equal(
        information_imbalance(draw(0), draw(1)).neighbours, [1, 3, 10, 30]
    )


def test_says_what_is_wrong():
    with pytest.raises(CryoswayError, match="there are 400 and 10 of them"):
        information_imbalance(draw(0), draw(0, 10))
    with pytest.raises(CryoswayError, match="give numbers from 1 to 79"):
        neighbourhood_similarity(draw(0), draw(1), [80])
    with pytest.raises(CryoswayError, match="30 neighbours are asked for among 20 points"):
        information_imbalance(draw(0, 20), draw(1, 20))
