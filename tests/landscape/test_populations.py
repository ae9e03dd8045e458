"""Mixtures and densities of latents with errors: the truth behind them, and intervals that hold."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from cryosway import CryoswayError
from cryosway.landscape import (
    LatentEvidence,
    Mixture,
    Populations,
    choose_mixture,
    cluster_by_density,
    cover_cells,
    deconvolve,
    fit_mixture,
    join_components,
    measure_populations,
    reweigh,
    weigh_evidence,
)
from cryosway.landscape._mixture import _gather, class_blocks

SHARES = np.array([0.6, 0.3, 0.1])
CENTRES = np.array([[-4.0, 0.0], [0.0, 3.0], [4.0, 0.0]])


def draw(n=2500, seed=0):
    """Three states 0.4 wide, seen with errors of about 1, as posteriors under their prior."""
    rng = np.random.default_rng(seed)
    state = rng.choice(3, n, p=SHARES)
    z = CENTRES[state] + 0.4 * rng.normal(size=(n, 2))
    sd = np.exp(0.3 * rng.normal(size=(n, 2)))
    prior = z.var(axis=0)
    variance = 1 / (1 / sd**2 + 1 / prior)
    means = variance * (z + sd * rng.normal(size=z.shape)) / sd**2
    return means, variance, (np.zeros(2), np.diag(prior)), state


@pytest.fixture(scope="module")
def evidence():
    means, variance, prior, _ = draw()
    return weigh_evidence(means, variance, prior)


@pytest.fixture(scope="module")
def mixture(evidence):
    return choose_mixture(evidence, 5)


def test_dividing_by_the_prior_undoes_it():
    rng = np.random.default_rng(0)
    covariance = np.array([[2.0, 0.6], [0.6, 1.0]])
    outer, start = np.diag([9.0, 4.0]), np.array([1.0, -2.0])
    seen = rng.normal(size=(50, 2)) * 3
    posterior = np.linalg.inv(np.linalg.inv(covariance) + np.linalg.inv(outer))
    means = (np.linalg.solve(covariance, seen.T) + np.linalg.solve(outer, start)[:, None]).T
    means = means @ posterior.T
    found = weigh_evidence(means, np.broadcast_to(posterior, (50, 2, 2)), (start, outer))
    np.testing.assert_allclose(found.centres, seen, atol=1e-9)
    np.testing.assert_allclose(found.covariances, covariance[None], atol=1e-9)


def test_an_image_that_says_nothing_moves_nothing_far():
    found = weigh_evidence(
        np.zeros((3, 1)), np.full((3, 1), 4.0), (np.zeros(1), np.full((1, 1), 4.0))
    )
    assert np.isfinite(found.centres).all()
    assert found.covariances.max() > 100


def test_the_number_places_and_widths_of_states_are_found(mixture):
    assert len(mixture) == 3
    np.testing.assert_allclose(mixture.centres, CENTRES, atol=0.35)
    assert np.sqrt(np.einsum("kdd->kd", mixture.covariances)).max() < 0.9, "not the errors' width"


def test_intervals_hold(evidence, mixture):
    intervals = measure_populations(mixture, evidence).intervals(0.99)
    assert ((intervals[:, 0] < SHARES) & (intervals[:, 1] > SHARES)).all()
    assert (intervals[:, 1] - intervals[:, 0]).max() < 0.12


def test_errors_cost_certainty(evidence, mixture):
    """Intervals are wider than those of particles that are surely of their states."""
    found = measure_populations(mixture, evidence)
    least = np.sqrt(SHARES * (1 - SHARES) / len(evidence))
    assert (np.sqrt(np.diag(found.covariance)) > 1.02 * least).all()


def test_a_step_of_the_kernel_is_that_of_plain_sums(evidence, mixture):
    blurred = mixture.covariances + evidence.covariances[:, None]
    n, s, q, total = _gather(mixture, evidence, blurred)
    again = 0.0
    for number, (rows, error) in enumerate(class_blocks(evidence)):
        points = evidence.centres[rows]
        scores = mixture.log_densities(points, error)
        again += logsumexp(scores, axis=1).sum()
        r = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
        away = points[:, None] - mixture.centres
        np.testing.assert_allclose(n[number], r.sum(0), atol=1e-6)
        np.testing.assert_allclose(s[number], np.einsum("nk,nkd->kd", r, away), atol=1e-6)
        np.testing.assert_allclose(
            q[number], np.einsum("nk,nkd,nke->kde", r, away, away), atol=1e-6
        )
    assert total == pytest.approx(again)


def test_without_errors_it_is_the_mixture_of_sklearn():
    from sklearn.mixture import GaussianMixture

    rng = np.random.default_rng(1)
    points = np.concatenate([rng.normal(size=(600, 2)), [6, 0] + rng.normal(size=(200, 2)) * 0.5])
    nothing = LatentEvidence(
        points, np.zeros(800, int), np.full((1, 2, 2), 0.0) + 1e-10 * np.eye(2)
    )
    ours = fit_mixture(nothing, 2)
    theirs = GaussianMixture(2, random_state=0, tol=1e-8).fit(points)
    order = theirs.means_[:, 0].argsort()
    np.testing.assert_allclose(ours.shares, theirs.weights_[order], atol=2e-3)
    np.testing.assert_allclose(ours.centres, theirs.means_[order], atol=5e-3)
    np.testing.assert_allclose(ours.covariances, theirs.covariances_[order], atol=2e-2)


def test_held_out_likelihood_finds_the_number_too(evidence):
    halves = np.arange(len(evidence)) % 2 == 0
    assert len(choose_mixture(evidence, 4, halves=halves)) in (3, 4)


def test_a_bent_landscape_is_one_state():
    turn = np.linspace(0.3, np.pi - 0.3, 6)
    centres = 5 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    along = np.stack([-np.sin(turn), np.cos(turn)], axis=1)
    covariances = 0.1 * np.eye(2) + 1.2 * along[:, :, None] * along[:, None]
    bent = Mixture(np.full(6, 1 / 6), centres, covariances)
    assert join_components(bent).tolist() == [0] * 6
    apart = Mixture(np.full(2, 0.5), np.array([[0.0, 0], [4.0, 0]]), np.array([np.eye(2)] * 2))
    assert join_components(apart).tolist() == [0, 1]
    assert join_components(apart, barrier=3.0).tolist() == [0, 0]


def test_joining_adds_shares_and_their_errors():
    covariance = np.array([[4.0, -3.0, -1.0], [-3.0, 5.0, -2.0], [-1.0, -2.0, 3.0]]) * 1e-4
    joined = Populations(SHARES, covariance).join(np.array([0, 1, 0]))
    np.testing.assert_allclose(joined.shares, [0.7, 0.3])
    np.testing.assert_allclose(joined.covariance, [[5e-4, -5e-4], [-5e-4, 5e-4]], atol=1e-12)
    everything = Populations(SHARES, covariance).join(np.zeros(3, int))
    np.testing.assert_allclose(everything.intervals(), [[1.0, 1.0]], atol=1e-6)


def test_the_interval_of_all_molecules_holds_all():
    """A rounded logit would leave 1 out."""
    alone = Populations(np.array([1.0]), np.zeros((1, 1)))
    np.testing.assert_array_equal(alone.intervals(), [[1.0, 1.0]])


def test_free_energies_are_of_shares():
    found = Populations(SHARES, np.diag([1e-4] * 3))
    energy, ends = found.free_energies()
    np.testing.assert_allclose(energy, -np.log(SHARES / 0.6))
    assert (ends[1:, 0] < energy[1:]).all() and (ends[0] == 0).all()


def test_a_rare_state_is_found_beside_junk():
    """One particle in fifty, which a wide component has taken in with the junk."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(3000, 2)) * [4.0, 0.5]
    z[:60] = [0.0, 9.0] + 0.3 * rng.normal(size=(60, 2))
    z[-30:] = 12 * rng.normal(size=(30, 2))
    evidence = weigh_evidence(z + rng.normal(size=z.shape), np.ones_like(z))
    wide = Mixture(np.array([0.97, 0.03]), np.array([[0.0, 0.0], [0.0, 6.0]]),
                   np.array([np.diag([16.0, 0.25]), 60 * np.eye(2)]))  # fmt: skip
    mixture = fit_mixture(evidence, 3, smaller=wide)
    assert mixture.log_likelihood >= fit_mixture(evidence, 3).log_likelihood
    (near,) = np.flatnonzero(np.linalg.norm(mixture.centres - [0, 9], axis=1) < 1)
    assert mixture.shares[near] == pytest.approx(0.02, rel=0.2)
    assert (join_components(mixture) == join_components(mixture)[near]).sum() == 1


def test_junk_is_no_bridge_between_states():
    """A wide, low component goes to one of two peaks that it lies under; they stay two."""
    shares, centres = np.array([0.6, 0.38, 0.02]), np.array([[-5.0, 0.0], [5.0, 0.0], [0.0, 2.0]])
    covariances = np.stack([np.eye(2), np.eye(2), 60 * np.eye(2)])
    states = join_components(Mixture(shares, centres, covariances))
    assert states[0] != states[1]
    assert states[2] in states[:2]


def test_a_way_over_shoulders_is_one_state():
    """From a peak over components that are each lower than the last, without a barrier."""
    centres = np.array([[0.0, 0.0], [2.0, 0.5], [4.0, 2.0], [5.0, 4.0]])
    chain = Mixture(np.array([0.6, 0.25, 0.1, 0.05]), centres, np.stack([np.eye(2)] * 4))
    assert set(join_components(chain)) == {0}


def test_weights_undo_a_bias(evidence, mixture):
    """State 1 seen three times too often: weights of a third give its share back."""
    state = draw()[3]
    rows = np.concatenate([np.arange(len(state)), np.repeat(np.flatnonzero(state == 0), 2)])
    weights = np.where(state[rows] == 0, 1 / 3, 1.0)
    biased = evidence.take(rows)
    assert reweigh(mixture, biased).shares[0] > 0.75
    weighed = reweigh(mixture, biased, weights)
    np.testing.assert_allclose(weighed.shares, mixture.shares, atol=0.01)
    wide = measure_populations(weighed, biased, weights).intervals()
    assert (wide[:, 0] < SHARES + 0.03).all() and (wide[:, 1] > SHARES - 0.03).all()


def test_a_density_is_freed_of_errors():
    rng = np.random.default_rng(2)
    z = np.where(rng.random(4000) < 0.7, -2.0, 2.0) + 0.5 * rng.normal(size=4000)
    sd = np.full((4000, 1), 1.2)
    found = deconvolve(weigh_evidence((z[:, None] + sd * rng.normal(size=sd.shape)), sd**2))
    axis = found.axes[0]
    share, low, high = found.population(cover_cells(axis, -np.inf, 0.0))
    assert low < 0.7 < high and high - low < 0.1 and low < share < high
    energy, least, most = found.free_energy()
    barrier = np.interp(0.0, axis, energy)
    assert barrier > 2.0, "the errors alone leave a barrier of less than 1 kT"
    assert (least <= most).all() and np.interp(-2.0, axis, energy) < 0.3
    assert found.left_out < 40


def test_half_a_million_particles_leave_no_ripples():
    """A start far from the answer must not send the penalty's weight to nothing."""
    rng = np.random.default_rng(5)
    z = np.where(rng.random(500_000) < 0.15, 5.0, 6 * np.sin(3 * rng.random(500_000)) - 3)
    sd = np.exp(0.3 * rng.normal(size=(500_000, 1)))
    seen = (z + 0.4 * rng.normal(size=500_000))[:, None] + sd * rng.normal(size=sd.shape)
    found = deconvolve(weigh_evidence(seen, sd**2, classes=8))
    truth = np.histogram(z, np.linspace(-7, 7, 15))[0] / 500_000
    edges = np.linspace(-7, 7, 15)
    shares = [found.population(cover_cells(found.axes[0], low, low + 1))[0] for low in edges[:-1]]
    assert np.abs(np.array(shares) - truth).sum() < 0.6, "as far as 0.4 of blur moves them"
    energy, low, high = found.free_energy()
    inside = energy < 3
    assert (low[inside] <= energy[inside]).all() and (energy[inside] <= high[inside]).all()
    assert (high - low)[inside].max() < 1.5


@pytest.mark.parametrize(("stops", "order"), [(True, 1), (False, 3)])
def test_what_a_density_looks_like_decides_how_it_is_smoothed(stops, order):
    """A pendulum piles up where it turns; intervals must know it. A Gaussian is smooth."""
    rng = np.random.default_rng(4)
    z = 3 * np.sin(rng.uniform(-np.pi / 2, np.pi / 2, 8000)) if stops else rng.normal(size=8000)
    sd = np.full((8000, 1), 0.6)
    found = deconvolve(weigh_evidence(z[:, None] + sd * rng.normal(size=sd.shape), sd**2))
    assert max(found.orders, key=found.orders.__getitem__) == order
    edges = [-np.inf, -1.8, -0.6, 0.6, 1.8, np.inf]
    held = 0
    for low, high in itertools.pairwise(edges):
        _, least, most = found.population(cover_cells(found.axes[0], low, high))
        held += least <= ((low <= z) & (z < high)).mean() <= most
    assert held >= 4


def test_a_plane_is_that_of_its_directions():
    means, variance, prior, _ = draw()
    found = deconvolve(weigh_evidence(means, variance, prior, classes=3))
    assert found.shares.sum() == pytest.approx(1)
    x, y = np.meshgrid(*found.axes, indexing="ij")
    for share, centre in zip(SHARES, CENTRES, strict=True):
        near = np.hypot(x - centre[0], y - centre[1]) < 2.2
        assert found.population(near)[0] == pytest.approx(share, abs=0.06)


def test_three_coordinates_are_too_many():
    with pytest.raises(CryoswayError, match="of one or two coordinates, not of 3"):
        deconvolve(LatentEvidence(np.zeros((4, 3)), np.zeros(4, int), np.eye(3)[None]))


@given(st.floats(-3, 3), st.floats(0, 3))
def test_parts_of_an_axis_add_up(low, width):
    axis = np.linspace(-5, 5, 41)
    parts = [cover_cells(axis, *ends).sum() for ends in
             ((-np.inf, low), (low, low + width), (low + width, np.inf))]  # fmt: skip
    assert sum(parts) == pytest.approx(41)


def test_clusters_of_any_shape_are_found_by_density():
    rng = np.random.default_rng(3)
    turn = rng.uniform(0, np.pi, 1500)
    moons = np.where((np.arange(1500) % 2 == 0)[:, None],
                     np.stack([np.cos(turn), np.sin(turn)], 1),
                     np.stack([1 - np.cos(turn), 0.3 - np.sin(turn)], 1))  # fmt: skip
    points = moons + 0.06 * rng.normal(size=moons.shape)
    for most in (2000, 700):
        found = cluster_by_density(points, fit_at_most=most)
        assert found.max() == 2
        for part in (0, 1):
            numbers = found[part::2]
            assert (numbers == np.bincount(numbers).argmax()).mean() > 0.95
    assert (cluster_by_density(points[:8]) == 1).all()
