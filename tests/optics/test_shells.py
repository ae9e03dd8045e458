"""Fourier shells of volumes, and changes of box that keep Fourier values."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from cryosway.optics import (
    fft3_half,
    filter_volumes,
    frequency_radius,
    resize_volumes,
    shell_power,
)


def make_volumes(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


def make_full_radius(box):
    k = np.fft.fftfreq(box, 1 / box)
    return np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)


def test_radius_is_in_fourier_pixels(device):
    radius = frequency_radius(8, device).cpu()
    assert_allclose(radius, make_full_radius(8)[:, :, :5], rtol=1e-6)


def test_power_of_white_noise_is_flat():
    """Noise of unit variance has power D³ in every shell."""
    power = shell_power(make_volumes(3, 24, 24, 24), 11)
    assert power.shape == (3, 11)
    assert_allclose(power[:, 4:] / 24**3, 1, atol=0.25)
    assert_allclose(power[:, 4:].mean() / 24**3, 1, atol=0.03)


def test_power_is_the_mean_over_the_rounded_shell():
    volume = make_volumes(1, 8, 8, 8)
    power = abs(np.fft.fftn(volume[0])) ** 2
    shell = np.rint(make_full_radius(8))
    # the half transform holds the planes kx = 0 and D/2 whole, the others once
    half = np.s_[:, :, :5]
    expected = [power[half][shell[half] == i].mean() for i in range(4)]
    assert_allclose(shell_power(volume, 4)[0], expected, rtol=1e-10)


def test_unit_gains_change_nothing():
    volumes = make_volumes(2, 8, 8, 8)
    assert_allclose(filter_volumes(volumes, torch.ones(5)), volumes, atol=1e-12)


def test_gains_multiply_their_shell_and_the_last_goes_on():
    volumes = make_volumes(2, 8, 8, 8)
    gains = torch.tensor([0.0, 2.0, 3.0], dtype=torch.float64)
    filtered = filter_volumes(volumes, gains)
    index = np.minimum(np.rint(make_full_radius(8)), 2).astype(int)[:, :, :5]
    assert_allclose(fft3_half(filtered), fft3_half(volumes) * gains[index], atol=1e-10)


def test_every_volume_may_have_its_own_gains():
    volumes = make_volumes(2, 8, 8, 8)
    gains = torch.rand(2, 4, dtype=torch.float64)
    together = filter_volumes(volumes, gains)
    for i in range(2):
        assert_allclose(together[i], filter_volumes(volumes[i : i + 1], gains[i])[0], atol=1e-12)


@pytest.mark.parametrize(("old", "new"), [(12, 8), (8, 12)])
def test_resizing_keeps_fourier_values(old, new):
    volume = make_volumes(old, old, old)
    before, after = fft3_half(volume), fft3_half(resize_volumes(volume, new))
    for k in [(0, 0, 0), (1, 2, 3), (-3, 1, 2), (2, -3, 0), (0, 3, 1)]:
        assert_allclose(after[k], before[k], atol=1e-10)
    assert abs(after[:, :, -1]).max() < 1e-10


def test_resizing_keeps_the_place_and_scales_by_the_ratio_cubed():
    def make_blob(box, step):
        x = (torch.arange(box, dtype=torch.float64) - box // 2) * step
        profiles = [torch.exp(-0.5 * (x - c) ** 2 / 2.5**2) for c in (1.0, -1.5, 2.0)]
        return torch.einsum("z,y,x->zyx", *profiles)

    coarse = resize_volumes(make_blob(32, 1.0), 24)
    assert_allclose(coarse * (24 / 32) ** 3, make_blob(24, 32 / 24), atol=1e-5)


def test_resizing_up_and_down_gives_the_volume_back_but_for_its_nyquist_planes():
    volume = make_volumes(2, 8, 8, 8)
    smooth = resize_volumes(resize_volumes(volume, 6), 8)
    assert_allclose(resize_volumes(resize_volumes(smooth, 12), 8), smooth, atol=1e-12)
    assert resize_volumes(volume, 8) is volume
