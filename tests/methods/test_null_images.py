"""Homogeneous copies show the given map, in the given poses, with the given noise."""

import numpy as np
import torch

from cryosway.inference import ImageSource, NoiseModel
from cryosway.methods._validate.null_images import NullImages
from cryosway.optics import fft2_half
from cryosway.particles import read_map, read_particles


def make_null(simulated, count=64, power=1e-6, turn_sd=0.0, move_sd=0.0):
    particles = read_particles(simulated.particles)[:count]
    mean = torch.from_numpy(read_map(simulated.volumes[0])[0].copy())
    noise = NoiseModel(np.full((1, 17), power))
    return NullImages(particles, mean, noise, np.ones(count), turn_sd, move_sd)


def ignore(_):
    """Show no progress."""


def test_without_noise_they_are_the_images_of_the_map(make_set, tmp_path):
    """Shift, CTF and projection are those of the simulation, made by other code."""
    clean = make_set(n=64, snr=None, envelope_bfactor=0.0)
    null = make_null(clean)
    made = null.write(tmp_path / "null.mrcs", 0, ignore)
    disc = ImageSource(made, 15).disc
    a, b = (
        disc.pack(fft2_half(torch.from_numpy(images)))
        for images in (made.images(), null.particles.images())
    )
    assert float(((a - b).abs().square().sum(1) / b.abs().square().sum(1)).max()) < 0.01
    assert (made.contrast_signs == 1).all()


def test_noise_has_the_given_spectrum(one_state, tmp_path):
    null = make_null(one_state, count=200)
    spectrum = 32**2 * np.linspace(4, 1, 17)[None]
    null = NullImages(null.particles, 0 * null.mean, NoiseModel(spectrum), null.contrast, 0.0, 0.0)
    images = null.write(tmp_path / "noise.mrcs", 1, ignore).images()
    power = fft2_half(torch.from_numpy(images)).abs().square().mean(0)
    disc = ImageSource(null.particles, 15).disc
    shells = disc.pack(power)
    for shell in (3, 8, 14):
        assert abs(shells[disc.shell == shell].mean() / spectrum[0, shell] - 1) < 0.05


def test_errors_of_poses_are_as_large_as_asked_for(make_set, tmp_path):
    """The turned copy is less like the images in the given poses; the seed decides how."""
    clean = make_set(n=64, snr=None, envelope_bfactor=0.0)
    exact = make_null(clean).write(tmp_path / "a.mrcs", 0, ignore).images()
    moved = make_null(clean, move_sd=1 / 32).write(tmp_path / "b.mrcs", 0, ignore).images()
    again = make_null(clean, move_sd=1 / 32).write(tmp_path / "c.mrcs", 0, ignore).images()
    other = make_null(clean, move_sd=1 / 32).write(tmp_path / "d.mrcs", 1, ignore).images()
    np.testing.assert_array_equal(moved, again)
    assert np.abs(moved - other).max() > 0
    # A shift by one pixel (sd) along x: where the correlation with the exact image is highest.
    cross = np.fft.ifft2(np.fft.fft2(moved) * np.fft.fft2(exact).conj()).real
    peak = np.array([np.unravel_index(c.argmax(), c.shape) for c in cross])
    peak = (peak + 16) % 32 - 16
    assert 0.7 < peak.std() < 1.4
