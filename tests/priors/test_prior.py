"""What holds for every prior: molecules feel no force from nowhere, and gradients are exact."""

import numpy as np
import pytest
import torch

from cryosway import CryoswayError
from cryosway.priors import ChainContinuity, Clash, ElasticNetwork, Smoothness

PRIORS = {
    "continuity": ChainContinuity.of,
    "clash": Clash.of,
    "network": lambda model: ElasticNetwork.of(model, keep=1.0),
    "smoothness": Smoothness.of,
}


def shake(model, n=2, size=1.0, seed=0):
    noise = np.random.default_rng(seed).normal(size=(n, *model.coordinates.shape)) * size
    return torch.from_numpy(model.coordinates + noise)


@pytest.mark.parametrize("name", PRIORS)
def test_a_model_at_rest_pays_nothing_and_a_shaken_one_does(name, globule):
    prior = PRIORS[name](globule)
    rest = prior(torch.from_numpy(globule.coordinates)[None])
    torch.testing.assert_close(rest, torch.zeros(1).to(rest), atol=1e-6, rtol=0)
    energies = prior(shake(globule, n=3))
    assert energies.shape == (3,)
    assert (energies > 1).all()


@pytest.mark.parametrize("name", ["continuity", "clash", "network"])
def test_rotation_and_translation_change_nothing(name, complex_model, turn):
    prior = PRIORS[name](complex_model)
    x = shake(complex_model, n=1)
    moved = torch.from_numpy(turn(x[0].numpy()))[None]
    torch.testing.assert_close(prior(moved), prior(x), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", PRIORS)
def test_there_is_no_net_force_or_torque(name, complex_model):
    x = shake(complex_model).requires_grad_()
    PRIORS[name](complex_model)(x).sum().backward()
    force = x.grad
    assert force.abs().max() > 1
    scale = force.abs().sum()
    assert force.sum(1).abs().max() < 1e-10 * scale
    if name != "smoothness":  # turning as a whole is no smooth displacement
        torque = torch.linalg.cross(x.detach(), force).sum(1)
        assert torque.abs().max() < 1e-9 * scale


@pytest.mark.parametrize("name", PRIORS)
def test_gradients_are_those_of_finite_differences(name, globule):
    prior = PRIORS[name](globule)
    x = shake(globule, n=1).requires_grad_()
    prior(x).sum().backward()
    draw = np.random.default_rng(3)
    for _ in range(5):
        way = torch.from_numpy(draw.normal(size=x.shape))
        step = 1e-6
        with torch.no_grad():
            rise = (prior(x + step * way) - prior(x - step * way)) / (2 * step)
        torch.testing.assert_close((x.grad * way).sum(), rise[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PRIORS)
def test_images_do_not_feel_each_other(name, globule):
    prior = PRIORS[name](globule)
    x = shake(globule, n=3)
    torch.testing.assert_close(prior(x)[1:2], prior(x[1:2]))


@pytest.mark.parametrize("name", PRIORS)
def test_the_spread_is_in_angstrom_and_the_energy_in_nats(name, globule):
    """Twice the spread, a quarter of the energy."""
    make = {"network": ElasticNetwork, "continuity": ChainContinuity}.get(name)
    make = make or {"clash": Clash, "smoothness": Smoothness}[name]
    x = shake(globule)
    narrow, wide = make.of(globule, spread=0.3), make.of(globule, spread=0.6)
    torch.testing.assert_close(narrow.eval()(x), 4 * wide.eval()(x))


def test_a_spread_can_be_changed_and_is_part_of_the_state(globule):
    x = shake(globule)
    prior = ChainContinuity.of(globule, spread=0.3)
    before = prior(x)
    prior.set_spread(0.6)
    torch.testing.assert_close(prior(x), before / 4)
    resumed = ChainContinuity.of(globule, spread=0.3)
    resumed.load_state_dict(prior.state_dict())
    torch.testing.assert_close(resumed(x), before / 4)


@pytest.mark.parametrize("prior", [ChainContinuity, Clash, ElasticNetwork, Smoothness])
@pytest.mark.parametrize("spread", [0.0, -1.0, float("nan"), float("inf")])
def test_a_spread_that_is_none_is_refused(prior, spread, globule):
    with pytest.raises(CryoswayError, match="must be positive"):
        prior.of(globule, spread=spread)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", PRIORS)
def test_energies_and_forces_on_a_gpu_are_those_of_the_cpu(name, complex_model):
    found = []
    for device in ("cpu", "cuda"):
        x = shake(complex_model).to(device).requires_grad_()
        energies = PRIORS[name](complex_model).to(device)(x)
        energies.sum().backward()
        found.append([energies.detach().cpu(), x.grad.cpu()])
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-6)
