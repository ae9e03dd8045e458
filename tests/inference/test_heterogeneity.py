"""The verdict: only what noise alone would not give counts as heterogeneity."""

import json

import numpy as np
import pytest

from cryosway.inference import judge_heterogeneity

NULL = [np.array([0.010, 0.008]), np.array([0.011, 0.009]), np.array([0.0095, 0.008])]


def test_what_stands_out_is_heterogeneous():
    judged = judge_heterogeneity([0.1, 0.0101], NULL)
    assert judged.verdict == "heterogeneous"
    assert judged.significant == 1
    assert judged.p_value[0] < 0.01 < judged.p_value[1]
    np.testing.assert_allclose(judged.noise_alone, np.mean(NULL, axis=0))


@pytest.mark.parametrize("top", [0.002, 0.01, 0.0125])
def test_what_noise_gives_too_is_homogeneous(top):
    judged = judge_heterogeneity([top, 0.001], NULL)
    assert judged.verdict == "homogeneous"
    assert judged.significant == 0


def test_two_simulations_cannot_tell_what_three_can():
    """Six times what noise gives; the spread of two values is hardly known."""
    assert judge_heterogeneity([0.115, 0.05], NULL[:2]).verdict == "undecided"
    assert judge_heterogeneity([0.115, 0.05], NULL).verdict == "heterogeneous"
    assert judge_heterogeneity([0.012, 0.05], NULL[:2]).verdict == "homogeneous"


def test_directions_after_a_gap_do_not_count():
    assert judge_heterogeneity([0.1, 0.01, 0.1], [np.full(3, 0.01)] * 4).significant == 1


def test_values_that_agree_by_chance_do_not_make_everything_significant():
    judged = judge_heterogeneity([0.0105], [np.array([0.01])] * 3)
    assert judged.verdict == "homogeneous"


def test_p_values_are_uniform_under_the_null():
    rng = np.random.default_rng(0)
    draws = np.exp(0.3 * rng.normal(size=(3000, 5, 1)))
    p = np.array([judge_heterogeneity(d[0], list(d[1:])).p_value[0] for d in draws])
    for level in (0.05, 0.2, 0.5):
        assert (p < level).mean() == pytest.approx(level, abs=0.03)


def test_the_description_is_plain_json():
    described = judge_heterogeneity([0.1, 0.01], NULL).describe()
    assert json.loads(json.dumps(described)) == described
    assert described["verdict"] == "heterogeneous"
    assert set(described["directions"][0]) == {"variance_explained", "noise_alone", "p_value"}
