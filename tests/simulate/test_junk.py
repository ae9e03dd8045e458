import numpy as np
import pytest
import torch

from cryosway.optics import ifft2_half
from cryosway.simulate import Potential
from cryosway.simulate._junk import make_junk
from cryosway.simulate._project import DirectProjector


@pytest.fixture
def projected(blob):
    projector = DirectProjector([Potential().group(blob)], 32, 3.0)
    return projector, torch.from_numpy(projector.project(np.array([0]), np.eye(3)[None])[0])


def make(projected, label, seed=0):
    projector, signal = projected
    junk = make_junk(label, signal, 0, projector, np.random.default_rng(seed))
    return signal, junk


def test_noise_holds_nothing(projected):
    assert make(projected, "noise")[1].abs().max() == 0


def test_overlap_adds_another_particle_of_the_same_mass_off_centre(projected):
    signal, junk = make(projected, "overlap")
    assert junk[0, 0].real == pytest.approx(2 * float(signal[0, 0].real), rel=1e-4)
    other = ifft2_half(junk - signal).clamp_min(0)
    axis = torch.arange(32.0) - 16
    centre = torch.stack([(other * axis[None]).sum(), (other * axis[:, None]).sum()]) / other.sum()
    assert centre.norm() > 4


def test_broken_lost_about_half(projected):
    signal, junk = make(projected, "broken")
    assert 0.2 < float(junk[0, 0].real / signal[0, 0].real) < 0.8


def test_ice_is_strong_where_the_particle_is_and_unlike_it(projected):
    signal, junk = make(projected, "ice")
    a, b = ifft2_half(signal), ifft2_half(junk)
    assert b.std() > a.std() * 0.5
    assert abs(np.corrcoef(a.flatten(), b.flatten())[0, 1]) < 0.7


def test_every_image_has_its_own_junk(projected):
    assert not torch.equal(make(projected, "ice", 0)[1], make(projected, "ice", 1)[1])
    assert torch.equal(make(projected, "ice", 1)[1], make(projected, "ice", 1)[1])
