"""Shell averages and changes of box: every frequency keeps its value."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosway.optics import (
    fft3_half,
    filter_volumes,
    frequency_radius,
    resize_volumes,
    shell_power,
)


@pytest.fixture
def noise():
    return torch.from_numpy(np.random.default_rng(0).normal(size=(2, 16, 16, 16)))


def test_radius_is_the_length_of_the_integer_frequency():
    radius = frequency_radius(8, torch.device("cpu"))
    assert radius.shape == (8, 8, 5)
    assert radius[0, 0, 0] == 0
    assert radius[-1, 2, 3].item() == pytest.approx(np.sqrt(1 + 4 + 9))
    assert radius[4, 4, 4].item() == pytest.approx(np.sqrt(48))


def test_white_noise_has_flat_power_of_one_per_voxel(noise):
    power = shell_power(noise, 8)
    assert power.shape == (2, 8)
    np.testing.assert_allclose(power[:, 4:] / 16**3, 1, atol=0.15)
    whole = fft3_half(noise).abs().square()
    assert power[0, 0].item() == pytest.approx(whole[0, 0, 0, 0].item())


def test_a_wave_shows_in_its_own_shell_only():
    x = torch.arange(16, dtype=torch.float64)
    wave = torch.cos(2 * np.pi * (3 * x[:, None, None] + 4 * x[None, :, None]) / 16)
    power = shell_power(wave.expand(16, 16, 16)[None], 8)[0]
    assert power.argmax() == 5
    others = torch.cat([power[:5], power[6:]])
    assert others.max() < 1e-20 * power[5]


def test_filter_scales_the_power_of_each_shell(noise):
    gains = torch.linspace(2, 0.5, 8, dtype=torch.float64)
    before, after = shell_power(noise, 8), shell_power(filter_volumes(noise, gains), 8)
    np.testing.assert_allclose(after, before * gains**2, rtol=1e-9)
    np.testing.assert_allclose(filter_volumes(noise, torch.ones(1)), noise, atol=1e-12)


def test_filter_may_differ_between_volumes_and_keeps_the_last_gain_in_the_corners(noise):
    gains = torch.tensor([[1.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    first, second = filter_volumes(noise, gains)
    np.testing.assert_allclose(first, noise[0], atol=1e-12)
    np.testing.assert_allclose(second, noise[1].mean(), atol=1e-12)  # shell 0 is the mean


@settings(max_examples=20, deadline=None)
@given(old=st.sampled_from([8, 12, 16]), new=st.sampled_from([8, 12, 16, 20]), seed=st.integers(0))
def test_resizing_keeps_the_values_of_every_shared_frequency(old, new, seed):
    rng = np.random.default_rng(seed)
    volume = torch.from_numpy(rng.normal(size=(3, old, old, old)))
    a, b = fft3_half(volume), fft3_half(resize_volumes(volume, new))
    if old == new:
        np.testing.assert_array_equal(a, b)
        return
    half = min(old, new) // 2
    shared = torch.cat([torch.arange(half), torch.arange(-half + 1, 0)])

    def low(transform, size):
        at = shared % size
        return transform[:, at][:, :, at][..., :half]

    np.testing.assert_allclose(low(a, old), low(b, new), atol=1e-9)
    total = b.abs().square()[..., 1:].sum() * 2 + b.abs().square()[..., 0].sum()
    kept = low(b, new).abs().square()
    assert total.item() == pytest.approx((kept[..., 1:].sum() * 2 + kept[..., 0].sum()).item())


def test_a_finer_box_samples_the_same_density(make_phantom):
    """The field of view stays, the voxels shrink, and sums over voxels are kept."""
    phantom = make_phantom(radius=24.0, sigma=4.0)
    coarse = torch.from_numpy(phantom.volume(32, 3.0)).double()
    fine = torch.from_numpy(phantom.volume(48, 2.0)).double()
    resized = resize_volumes(coarse, 48) * (48 / 32) ** 3
    assert (resized - fine).abs().max() < 5e-3 * fine.max()
    back = resize_volumes(resize_volumes(coarse, 48), 32)
    assert (back - coarse).abs().max() < 5e-3 * coarse.max()  # but for the Nyquist planes
