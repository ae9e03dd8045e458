"""K-means finds planted clusters, and its centres lie among particles."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from cryosway.landscape import choose_cluster_count, cluster_particles


def test_planted_clusters_are_recovered(planted):
    latents, truth = planted
    clusters = cluster_particles(latents, 3)
    assert adjusted_rand_score(truth, clusters.labels) > 0.98
    assert clusters.populations.sum() == len(truth)


def test_clusters_are_numbered_from_one_along_the_first_direction(planted):
    clusters = cluster_particles(planted[0], 3)
    assert set(clusters.labels) == {1, 2, 3}
    assert np.all(np.diff(clusters.centres[:, 0]) > 0)


def test_ten_starts_one_by_one_are_those_of_scikit_learn():
    noise = np.random.default_rng(5).normal(size=(300, 3))
    together = KMeans(5, n_init=10, random_state=3).fit(noise)
    labels = cluster_particles(noise, 5, seed=3).labels
    assert adjusted_rand_score(together.labels_, labels) == 1


def test_the_same_seed_gives_the_same_clusters(planted):
    noise = np.random.default_rng(5).normal(size=(500, 4))
    first, second = (cluster_particles(noise, 6, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.centres, second.centres)


def test_the_centre_of_a_bent_cluster_lies_among_its_particles():
    """The mean of a ring is empty; the centre is not."""
    angle = np.linspace(0, 1.6 * np.pi, 800)
    noise = np.random.default_rng(0).normal(size=(800, 2)) * 0.2
    ring = 10 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + noise
    centre = cluster_particles(ring, 1).centres[0]
    nearest = np.linalg.norm(ring - ring.mean(axis=0), axis=1).min()
    assert np.linalg.norm(ring - centre, axis=1).min() < 0.35 * nearest


def test_the_default_count_leaves_particles_for_every_map():
    assert [choose_cluster_count(n) for n in (1, 10, 1000, 10_000_000)] == [1, 2, 5, 8]
