"""Masks: soft, around the molecule, and harmless where there is none."""

import numpy as np
import pytest

from cryosway.validate import (
    add_varying_parts,
    low_pass,
    make_solvent_mask,
    mask_state,
    soften_mask,
    sphere_mask,
)


def distance_from_centre(box):
    x = np.arange(box) - box // 2
    return np.sqrt(x[:, None, None] ** 2 + x[None, :, None] ** 2 + x**2)


def test_sphere_is_one_inside_zero_outside_and_falls_as_a_cosine():
    mask, r = sphere_mask(24, 6, edge=4), distance_from_centre(24)
    assert mask.dtype == np.float32
    assert (mask[r <= 6] == 1).all()
    assert (mask[r >= 10] == 0).all()
    assert mask[12, 12, 12 + 8] == pytest.approx(0.5)
    assert mask[12, 12, 12 + 7] == pytest.approx(0.5 + 0.5 * np.cos(np.pi / 4))


def test_softening_grows_by_the_distance_to_the_set():
    inside = distance_from_centre(32) <= 5
    grown = soften_mask(inside, grow=3, edge=4)
    r = distance_from_centre(32)
    # The nearest voxel of the set is up to a voxel's diagonal further than the sphere.
    assert (grown[r <= 6] == 1).all()
    assert (grown[r >= 13] == 0).all()
    assert 0 < grown[16, 16, 16 + 10] < 1


def test_low_pass_damps_a_wave_by_its_frequency():
    """A wave of period d is damped by exp(−(resolution / d)²)."""
    x = np.arange(32)
    wave = np.cos(2 * np.pi * x / 8) * np.ones((32, 32, 1)) + 5
    smooth = low_pass(wave, pixel_size=2.0, resolution=16.0)
    np.testing.assert_allclose(smooth - 5, (wave - 5) * np.exp(-1), atol=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_solvent_mask_holds_the_molecule_and_little_else(make_phantom, seed, noise):
    """99 % of the density, a share of the box that is near the molecule's own, no specks."""
    density = make_phantom(balls=60, seed=seed).volume(48, 3.0)
    rng = np.random.default_rng(seed)
    noisy = density + noise * density.max() * rng.normal(size=density.shape)
    mask = make_solvent_mask(noisy, 3.0)
    assert mask.min() >= 0
    assert mask.max() == 1
    assert (mask * density).sum() > 0.99 * density.sum()
    assert mask.mean() < 3 * (density > 0.02 * density.max()).mean()
    assert mask[distance_from_centre(48) > 23.5].max() == 0


def test_faint_parts_that_hang_on_strong_ones_are_kept(make_phantom):
    """Noise of 0.3 of the peak drowns most single voxels, but not what they add up to."""
    density = make_phantom(balls=300).volume(48, 3.0)
    rng = np.random.default_rng(0)
    noisy = density + 0.3 * density.max() * rng.normal(size=density.shape)
    mask = make_solvent_mask(noisy, 3.0)
    assert (mask * density).sum() > 0.99 * density.sum()
    assert mask.mean() < 2 * (density > 0.02 * density.max()).mean()


def test_solvent_mask_of_a_molecule_off_centre_follows_it(make_phantom):
    density = make_phantom(radius=15.0, offset=(25.0, -20.0, 10.0)).volume(48, 3.0)
    mask = make_solvent_mask(density, 3.0)
    assert (mask * density).sum() > 0.99 * density.sum()
    centre = np.array(np.nonzero(mask > 0.5)).mean(1) - 24
    np.testing.assert_allclose(centre * 3.0, [10, -20, 25], atol=5)  # (z, y, x)


def test_specks_far_from_the_molecule_are_dropped(make_phantom):
    density = make_phantom(radius=15.0).volume(48, 3.0)
    density[24, 24, 42] += 12 * density.max()
    mask = make_solvent_mask(density, 3.0)
    assert mask[24, 24, 42] == 0
    assert mask[24, 24, 24] == 1


def test_noise_alone_gives_a_ball():
    noise = np.random.default_rng(5).normal(size=(32, 32, 32))
    mask = make_solvent_mask(noise, 3.0)
    np.testing.assert_allclose(mask, sphere_mask(32, 0.40 * 32, 0.06 * 32))


def test_the_solvent_level_does_not_matter(make_phantom):
    density = make_phantom().volume(32, 4.0)
    shifted = make_solvent_mask(density + 7.0 * density.max(), 4.0)
    np.testing.assert_allclose(shifted, make_solvent_mask(density, 4.0), atol=1e-5)


def test_parts_that_vary_are_added_to_the_mask(make_phantom):
    body = make_phantom(radius=15.0).volume(48, 3.0)
    arm = make_phantom(balls=6, radius=8.0, offset=(40.0, 0.0, 0.0)).volume(48, 3.0)
    mask = make_solvent_mask(body + 0.05 * arm, 3.0)
    noise = np.random.default_rng(0).normal(0, 0.01 * (arm**2).max(), arm.shape)
    wider = add_varying_parts(mask, arm**2 + noise, 3.0)

    def missing(found):
        return np.square(arm * (1 - found)).sum() / np.square(arm).sum()

    assert missing(mask) > 0.5
    assert missing(wider) < 0.01
    assert (wider >= mask).all()
    assert wider.mean() < 2 * mask.mean()


def test_noise_alone_adds_nothing_to_the_mask(make_phantom):
    mask = make_solvent_mask(make_phantom().volume(48, 3.0), 3.0)
    noise = np.random.default_rng(1).normal(size=mask.shape)
    assert np.array_equal(add_varying_parts(mask, noise, 3.0), mask)


def test_map_of_a_state_is_cut_out_by_its_own_mask(make_phantom):
    here = make_phantom(radius=18.0, offset=(-15.0, 0.0, 0.0)).volume(48, 3.0)
    there = make_phantom(radius=18.0, offset=(30.0, 0.0, 0.0), seed=1).volume(48, 3.0)
    noise = np.random.default_rng(2).normal(0, 0.05 * here.max(), here.shape)
    both = np.maximum(make_solvent_mask(here, 3.0), make_solvent_mask(there, 3.0))
    given = (here + noise) * both
    found = mask_state(given, 3.0)
    assert np.square(found - here).sum() < 0.8 * np.square(given - here).sum()
