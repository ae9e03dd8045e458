"""The schedule around the EM steps: from coarse to fine, settled early, resumed exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cryosway.inference import (
    ImageSource,
    NoiseModel,
    Stage,
    fit_consensus,
    make_setting,
    plan_stages,
    relative_variances,
    run_stages,
    split_halves,
    start_fit,
)
from cryosway.volumes import BasisGrid

BOX, PIXEL, COUNT = 32, 3.0, 500
STAGES = [Stage(6, 3), Stage(9, 2)]


@pytest.fixture(scope="module")
def setting(make_phantom, simulate):
    body = make_phantom(balls=40, radius=20.0)
    domain = make_phantom(balls=12, radius=8.0, offset=(24.0, 0.0, 0.0), seed=1)
    there = np.random.default_rng(0).random(COUNT) < 0.5
    amounts = np.stack([np.ones(COUNT), there], axis=1).astype(float)
    truth = simulate([body, domain], COUNT, amounts=amounts, noise=2.0)
    half = split_halves(COUNT, None, 0)
    consensus = fit_consensus(ImageSource(truth.particles, 15), half)
    noise = consensus.noise.power

    def open_source(radius):
        return ImageSource(truth.particles, radius, noise=NoiseModel(noise[:, : radius + 1]))

    return consensus, half, open_source, there


@pytest.fixture(scope="module")
def states(setting):
    consensus, half, open_source, _ = setting
    start = start_fit(consensus, STAGES, 2, contrast=False, seed=0)
    return [start, *run_stages(start, STAGES, open_source, consensus, half)]


def test_stages_grow_and_shorten():
    coarse, fine = plan_stages(31, 12)
    radii = [stage.radius for stage in coarse + fine]
    assert radii == sorted(set(radii))
    assert radii[-1] == 31
    steps = [stage.iterations for stage in coarse + fine]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] == 12
    assert min(steps) >= 2


@pytest.mark.parametrize("radius", [3, 6, 7])
def test_small_images_have_few_stages(radius):
    coarse, fine = plan_stages(radius, 10)
    assert (coarse + fine)[-1].radius == radius


def test_the_state_knows_where_it_stands(states):
    final = states[-1]
    assert final.stage == len(STAGES)
    assert len(final.history) == len(states) - 1
    assert final.history[0]["radius"] == 6
    assert final.history[-1]["radius"] == 9
    assert final.basis.box == 20
    variances = [final.history[-1][f"variance_{k}"] for k in (1, 2)]
    np.testing.assert_allclose(variances, relative_variances(final.basis))


def test_evidence_rises_within_each_stage(states):
    for radius in (6, 9):
        evidence = [row["evidence"] for row in states[-1].history if row["radius"] == radius]
        assert (np.diff(evidence) > -1e-3).all()


def test_the_latent_says_whether_the_domain_is_there(states, setting):
    z = states[-1].posterior.mean[:, 0]
    assert abs(np.corrcoef(z, setting[3])[0, 1]) > 0.9


@pytest.mark.parametrize("done", [1, 3, 4])
def test_an_interrupted_fit_ends_with_the_same_answer(states, setting, done):
    consensus, half, open_source, _ = setting
    if done >= len(states) - 1:
        pytest.skip("the fit settled before")
    resumed = list(run_stages(states[done], STAGES, open_source, consensus, half))
    assert len(resumed) == len(states) - 1 - done
    final, again = states[-1], resumed[-1]
    np.testing.assert_allclose(again.basis.variances, final.basis.variances, rtol=1e-5)
    assert (again.basis.volumes - final.basis.volumes).abs().max() < 1e-5
    assert again.history == final.history


def test_a_settled_stage_ends_early(states, setting):
    """With both states of the domain known, many more steps change nothing and are not made."""
    consensus, half, open_source, _ = setting
    start = replace(states[-1], stage=0, iteration=0)
    steps = list(run_stages(start, [Stage(9, 60)], open_source, consensus, half))
    assert len(steps) < 60
    assert steps[-1].stage == 1


def test_the_prior_grants_every_component_the_power_of_the_mean(setting):
    consensus, half, _, _ = setting
    made = make_setting(consensus, half, 9, 3, 0.1)
    assert made.inverse_prior.shape == (4, 10)
    np.testing.assert_allclose(made.inverse_prior[2], 1 / consensus.signal_power[:10], rtol=1e-5)
    assert made.mask.shape == (20, 20, 20)
    assert made.mask.min() >= 0
    assert made.mask.max() <= 1
    share = float(consensus.mask.mean())
    assert float(made.mask.mean()) == pytest.approx(share, rel=0.05)


def test_relative_variances_do_not_depend_on_the_norm_of_components():
    volumes = torch.zeros(2, 2, 2, 2)
    volumes[0, 0, 0, 0], volumes[1, 1, 1, 1] = 5.0, 2.0
    np.testing.assert_allclose(relative_variances(BasisGrid(volumes, np.array([0.5]))), 2 / 25)
