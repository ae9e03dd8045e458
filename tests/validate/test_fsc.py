"""FSC: shells as stated, invariances, CryoBench's area, and masks that do not flatter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosway import CryoswayError
from cryosway.validate import (
    auc_fsc,
    corrected_fsc,
    fsc,
    fsc_of_transforms,
    fsc_resolution,
    low_pass,
    randomise_phases,
    sphere_mask,
)


def noise(seed, box=16):
    return np.random.default_rng(seed).normal(size=(box,) * 3).astype(np.float32)


def fsc_written_out(a, b):
    """Loop over the shells {i−1 ≤ |k| < i} of the whole, unhalved transform."""
    box = len(a)
    k = np.fft.fftfreq(box, 1 / box)
    radius = np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None, :] ** 2)
    transform_a, transform_b = np.fft.fftn(a), np.fft.fftn(b)
    curve = [1.0]
    for i in range(1, box // 2):
        shell = (radius >= i - 1) & (radius < i)
        x, y = transform_a[shell], transform_b[shell]
        curve.append(np.vdot(y, x).real / (np.linalg.norm(x) * np.linalg.norm(y)))
    return np.array(curve)


@pytest.mark.parametrize("box", [8, 15, 16, 22])
def test_agrees_with_the_definition_written_out(box):
    a = noise(0, box)
    b = 0.5 * a + noise(1, box)
    curve = fsc(a, b)
    assert curve.shape == (box // 2,)
    assert curve.dtype == np.float64
    assert curve[0] == 1
    np.testing.assert_allclose(curve, fsc_written_out(a, b), atol=1e-5)


def test_a_shell_ends_below_its_number():
    """|k| = 5 counts in shell 6 = {5 ≤ |k| < 6}, not in shell 5."""
    x = np.arange(16)
    wave = np.cos(2 * np.pi * 5 * x / 16)[None, None, :] * np.ones((16, 16, 1))
    small = 1e-3 * noise(0)
    curve = fsc(wave + small, wave + 1e-3 * noise(1))
    assert curve[6] > 0.99
    assert np.abs(curve[[5, 7]]).max() < 0.5


seeds = st.integers(0, 1000)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, scale_a=st.floats(0.01, 1e4), scale_b=st.floats(0.01, 1e4))
def test_scale_and_order_do_not_matter_but_contrast_does(seed, scale_a, scale_b):
    a, b = noise(seed), noise(seed) + noise(seed + 1)
    curve = fsc(a, b)
    np.testing.assert_allclose(fsc(b * scale_b, a * scale_a), curve, atol=1e-5)
    np.testing.assert_allclose(fsc(a, -b)[1:], -curve[1:], atol=1e-6)
    assert np.abs(curve).max() <= 1 + 1e-6


@settings(max_examples=25, deadline=None)
@given(
    seed=seeds,
    axes=st.sampled_from([(0, 1), (0, 2), (1, 2)]),
    turns=st.integers(1, 3),
    roll=st.integers(-5, 5),
)
def test_turning_or_moving_both_volumes_alike_does_not_matter(seed, axes, turns, roll):
    a, b = noise(seed), noise(seed) + noise(seed + 1)

    def move(volume):
        return np.roll(np.rot90(volume, turns, axes), roll, axes)

    np.testing.assert_allclose(fsc(move(a), move(b)), fsc(a, b), atol=1e-5)


def test_the_mask_is_multiplied_onto_both():
    a, b, mask = noise(0), noise(1), sphere_mask(16, 4)
    np.testing.assert_array_equal(fsc(a, b, mask), fsc(a * mask, b * mask))


def test_transforms_and_volumes_give_the_same_curve():
    a, b = noise(0), noise(1)
    of_transforms = fsc_of_transforms(np.fft.rfftn(a), np.fft.rfftn(b), 16)
    np.testing.assert_allclose(of_transforms, fsc(a, b), atol=1e-5)


def test_an_empty_shell_correlates_with_nothing():
    curve = fsc(np.zeros((8, 8, 8)), noise(0, 8))
    np.testing.assert_array_equal(curve, [1, 0, 0, 0])


@pytest.mark.parametrize("other", [(8, 8, 10), (10, 10, 10), (8, 8)])
def test_unequal_volumes_are_named(other):
    with pytest.raises(CryoswayError, match=r"\(8, 8, 8\)"):
        fsc(np.zeros((8, 8, 8)), np.zeros(other))


@pytest.mark.parametrize(("box", "largest"), [(128, 0.4922), (64, 0.4844)])
def test_largest_area_is_that_of_cryobench(box, largest):
    assert auc_fsc(np.ones(box // 2)) == pytest.approx(largest, abs=5e-5)
    assert auc_fsc(np.ones(box // 2)) == pytest.approx((box // 2 - 1) / box)


def test_area_is_of_the_absolute_value_by_trapezoids():
    curve = np.array([1, 0.5, -0.5, 0.0])
    assert auc_fsc(curve) == pytest.approx((0.75 + 0.5 + 0.25) / 8)


@pytest.mark.parametrize(
    ("curve", "threshold", "shell"),
    [
        ([1, 1, 0.8, 0.2, 0, 0, 0, 0], 0.5, 2.5),
        ([1, 1, 1, 0.343, -0.057, 0, 0, 0], 0.143, 3.5),
        ([1, 1, 0.4, 0.9, 0.9, 0.9, 0.9, 0.9], 0.5, 1 + 0.5 / 0.6),  # the first fall counts
        ([1, 0, 0, 0, 0, 0, 0, 0], 0.143, 1),  # never worse than the field of view
        ([1] * 8, 0.143, 8),  # Nyquist
    ],
)
def test_resolution_is_read_between_shells_by_a_line(curve, threshold, shell):
    assert fsc_resolution(curve, 1.5, threshold) == pytest.approx(16 * 1.5 / shell)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, start=st.integers(1, 7))
def test_randomised_phases_keep_every_amplitude_and_the_coarse_shells(seed, start):
    volume = noise(seed) + 0.3
    scrambled = randomise_phases(volume, start, seed)
    assert scrambled.dtype == np.float32
    a, b = np.fft.fftn(volume), np.fft.fftn(scrambled)
    np.testing.assert_allclose(np.abs(b), np.abs(a), atol=2e-3)  # real and of equal amplitudes
    curve = fsc(volume, scrambled)
    np.testing.assert_allclose(curve[: start + 1], 1, atol=1e-5)


def test_randomised_phases_have_nothing_to_do_with_the_old_ones():
    volume = noise(0, 32)
    curve = fsc(volume, randomise_phases(volume, 4, seed=1))
    assert np.abs(curve[8:]).max() < 0.15
    other = fsc(randomise_phases(volume, 4, seed=1), randomise_phases(volume, 4, seed=2))
    assert np.abs(other[8:]).max() < 0.15


@pytest.fixture(scope="module")
def coarse_halves(make_phantom):
    """Half-maps that share a blurred molecule and nothing finer than 20 Å, and a tight mask."""
    truth = low_pass(make_phantom().volume(48, 3.0), 3.0, 20.0)
    mask = (truth > 0.2 * truth.max()).astype(np.float32)
    sigma = 0.02 * truth.max()
    return truth + sigma * noise(0, 48), truth + sigma * noise(1, 48), mask


def test_a_tight_mask_inflates_the_fsc_and_the_correction_takes_it_back(coarse_halves):
    curves = corrected_fsc(*coarse_halves)
    fine = slice(14, None)  # beyond 10 Å
    assert np.abs(curves["unmasked"][fine]).max() < 0.1
    assert curves["masked"][fine].mean() > 0.25
    assert curves["randomised"][fine].mean() > 0.25
    assert abs(curves["corrected"][fine].mean()) < 0.06
    assert fsc_resolution(curves["corrected"], 3.0) > 10
    assert fsc_resolution(curves["masked"], 3.0) < 8


def test_the_correction_leaves_what_is_real(make_phantom):
    truth = make_phantom().volume(32, 3.0)
    sigma = 0.02 * truth.max()
    mask = sphere_mask(32, 10)
    halves = truth + sigma * noise(0, 32), truth + sigma * noise(1, 32)
    curves = corrected_fsc(*halves, mask)
    real = curves["masked"] > 0.9
    assert real.sum() > 9
    np.testing.assert_allclose(curves["corrected"][real], curves["masked"][real], atol=0.1)
    assert set(curves) == {"unmasked", "masked", "randomised", "corrected"}
