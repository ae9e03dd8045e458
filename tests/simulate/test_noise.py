import json

import numpy as np
import pytest
import torch

from cryosway import CryoswayError
from cryosway.optics import fft2_half, half_plane_frequencies
from cryosway.simulate._noise import (
    NoiseSpectrum,
    build_noise_model,
    builtin_spectrum,
    read_spectrum,
)

BOX, PIXEL = 32, 3.0


def measure_power(planes):
    """Mean power on the half plane, relative to white noise of variance 1."""
    return planes.abs().square().mean(dim=0) / BOX**2


@pytest.fixture(scope="module")
def white():
    return fft2_half(torch.randn(4000, BOX, BOX, generator=torch.Generator().manual_seed(0)))


def test_spectrum_is_recovered_and_variance_is_one(white):
    spectrum = builtin_spectrum()
    flat = torch.ones(1, BOX, BOX // 2 + 1)
    model = build_noise_model(spectrum, BOX, PIXEL, flat, ice_fraction=0.0)
    coloured = model.shape(white, flat)
    k = half_plane_frequencies(BOX).norm(dim=-1).numpy()
    measured = measure_power(coloured).numpy()
    expected = spectrum.evaluate(k / PIXEL)
    ratio = measured / expected
    np.testing.assert_allclose(ratio / ratio.mean(), 1.0, atol=0.1)
    inner = measured[:, 1:-1].sum() * 2 + measured[:, 0].sum() + measured[:, -1].sum()
    assert inner / BOX**2 == pytest.approx(1.0, abs=0.01)


def test_builtin_spectrum_is_2_to_5_times_the_floor_at_30_to_80_angstrom():
    spectrum = builtin_spectrum()
    ratio = spectrum.evaluate(1 / np.array([80.0, 50.0, 35.0])) / spectrum.evaluate(np.array([0.4]))
    assert np.all((ratio > 1.9) & (ratio < 5))


def test_ice_part_follows_ctf_squared_and_sums_to_the_spectrum(white):
    half = white.shape[0] // 2
    k = half_plane_frequencies(BOX).norm(dim=-1)
    ctfs = torch.stack([torch.cos(40 * k**2), torch.sin(40 * k**2)])
    model = build_noise_model(builtin_spectrum(), BOX, PIXEL, ctfs, ice_fraction=1.0)
    powers = [
        measure_power(model.shape(part, ctf))
        for part, ctf in zip((white[:half], white[half:]), ctfs, strict=True)
    ]
    both = (powers[0] + powers[1]) / 2
    ratio = both / model.spectrum
    # cos² + sin² = 1: the mean of the two is the spectrum itself.
    assert ratio[1:, 1:-1].std() < 0.1
    assert ratio[1:, 1:-1].mean() == pytest.approx(1.0, abs=0.02)
    low = (k > 0.04) & (k < 0.1)
    assert powers[0][low].mean() > 1.5 * powers[1][low].mean()


def test_reads_the_named_spectrum_of_a_json_file(tmp_path):
    path = tmp_path / "psd.json"
    record = {"freq_1_per_A": [0.0, 0.1, 0.2], "psd_bg": [4.0, None, 1.0]}
    path.write_text(
        json.dumps({"other": {"psd_all": [1.0], "freq_1_per_A": [0.0]}, "mine": record})
    )
    spectrum = read_spectrum(path)
    assert isinstance(spectrum, NoiseSpectrum)
    np.testing.assert_allclose(spectrum.evaluate(np.array([0.0, 0.1, 0.5])), [4.0, 2.5, 1.0])
    assert read_spectrum(path, "other").power.tolist() == [1.0]
    with pytest.raises(CryoswayError, match="has no spectrum 'yours'; it has other, mine"):
        read_spectrum(path, "yours")


def test_says_what_is_wrong_with_a_spectrum_file(tmp_path):
    with pytest.raises(CryoswayError, match="cannot be read as a JSON file"):
        read_spectrum(tmp_path / "absent.json")
    (tmp_path / "odd.json").write_text('{"a": {"psd_bg": [1.0]}}')
    with pytest.raises(CryoswayError, match="needs lists freq_1_per_A and psd_bg"):
        read_spectrum(tmp_path / "odd.json", "a")
