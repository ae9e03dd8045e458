"""Metrics against a truth: limits that are known, and independent programs where there are any."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from cryosway import CryoswayError
from cryosway.validate import (
    MapScorer,
    auc_fsc,
    compare_scores,
    earth_mover_distance,
    fsc,
    judge_latents,
    make_union_mask,
    score_clusters,
    score_indices,
    standardise,
    summarise_scores,
    total_variation,
)

SHARES = st.lists(st.integers(0, 20), min_size=2, max_size=7).filter(any)


@given(SHARES, SHARES)
@settings(max_examples=25, deadline=None)
def test_on_a_line_the_earth_mover_is_wasserstein_distance(p, q):
    x, y = np.arange(len(p)), np.arange(len(q)) + 0.5
    expected = wasserstein_distance(x, y, np.array(p, float), np.array(q, float))
    found = earth_mover_distance(p, q, np.abs(x[:, None] - y))
    assert found == pytest.approx(expected, abs=1e-7)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=6))
@settings(max_examples=25, deadline=None)
def test_total_variation_is_the_earth_mover_where_all_states_are_one_apart(pairs):
    p, q = np.array(pairs).T + 1
    distances = 1 - np.eye(len(p))
    assert total_variation(p, q) == pytest.approx(earth_mover_distance(p, q, distances), abs=1e-7)


def test_images_are_chosen_as_cryobench_does():
    np.testing.assert_array_equal(score_indices(1000, 100), np.arange(0, 1000, 10))
    assert len(score_indices(335_240, 100)) == 100  # where N // n leaves a remainder, too
    np.testing.assert_array_equal(score_indices(3, 100), [0, 1, 2])


def test_the_mask_holds_every_state():
    axis = np.arange(24) - 12
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    states = [np.exp(-((x - c) ** 2 + y**2 + z**2) / 6).astype(np.float32) for c in (-6, 6)]
    mask = make_union_mask(states, 4.0)
    assert min(mask[12, 12, 6], mask[12, 12, 18]) == 1
    assert mask[0, 0, 0] == 0
    scorer = MapScorer(states, mask)
    limit = auc_fsc(np.ones(12))
    assert scorer.score(states[1], 1) == (pytest.approx(limit), pytest.approx(limit))
    assert scorer.score(states[0], 1) == pytest.approx(
        (auc_fsc(fsc(states[0], states[1], mask)), auc_fsc(fsc(states[0], states[1])))
    )
    both = scorer.score_all(lambda i: states[i], np.array([0, 1]))
    assert summarise_scores(both)["masked_sd"] == pytest.approx(0, abs=1e-6)


def test_scores_are_compared_in_pairs():
    ours, other = np.full((4, 2), 0.4), np.array([[0.3, 0], [0.3, 0], [0.1, 0], [0.1, 0]])
    found = compare_scores(ours, other)
    assert found["difference"] == pytest.approx(0.2)
    assert found["standard_error"] == pytest.approx(0.1154700 / 2)


def test_latents_know_what_they_were_made_of():
    rng = np.random.default_rng(0)
    truth, pose, ctf = rng.normal(size=(3, 300, 2))
    found = judge_latents(np.column_stack([3 * truth, 0.01 * pose]), truth, pose, standardise(ctf))
    assert found["neighbourhood_similarity"] > 95
    assert found["state"][0] < 0.1
    assert min(found["pose"][0], found["ctf"][0]) > 0.8


def test_classes_are_the_same_whatever_their_names():
    truth = np.repeat([0, 1, 2], 20)
    assert score_clusters(7 - truth, truth) == {"ari": 1.0, "ami": pytest.approx(1)}
    assert abs(score_clusters(np.tile([0, 1], 30), truth)["ari"]) < 0.05


def test_mistakes_are_said():
    with pytest.raises(CryoswayError, match="not all zero"):
        total_variation([0, 0], [1, 1])
    with pytest.raises(CryoswayError, match=r"shape \(2, 2\); populations of 2 and 3"):
        earth_mover_distance([1, 1], [1, 1, 1], np.ones((2, 2)))
