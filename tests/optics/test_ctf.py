"""The CTF: RELION's sign, astigmatism from the x axis, any order of U and V."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import constants
from torch_ctf import calculate_ctf_2d

from cryosway.optics import CtfParams, compute_ctf, electron_wavelength, half_plane_frequencies

COLUMNS = (
    "defocus_u",
    "defocus_v",
    "defocus_angle",
    "voltage",
    "cs",
    "amplitude_contrast",
    "phase_shift",
    "pixel_size",
    "scale",
    "bfactor",
)
TYPICAL = dict(
    zip(COLUMNS, (15_000.0, 14_000.0, 30.0, 300.0, 2.7, 0.1, 0.0, 1.5, 1.0, 0.0), strict=True)
)


def make_params(dtype=torch.float64, device="cpu", **changes):
    """Typical parameters with some changed, each a number or a list with one value per particle."""
    values = TYPICAL | changes
    n = max(np.size(value) for value in values.values())
    table = pd.DataFrame({name: np.broadcast_to(value, n) for name, value in values.items()})
    return CtfParams.from_table(table, dtype=dtype, device=device)


def make_random_table(n, seed):
    rng = np.random.default_rng(seed)
    ranges = (
        (3_000, 40_000),
        (3_000, 40_000),
        (-180, 180),
        (80, 300),
        (0.01, 2.7),
        (0.0, 0.3),
        (-90, 180),
        (0.5, 6),
        (0.5, 1.5),
        (-20, 150),
    )
    return pd.DataFrame(
        {name: rng.uniform(*limits, n) for name, limits in zip(COLUMNS, ranges, strict=True)}
    )


def transcribe_conventions(frequencies, row):
    """The formulas of the project's conventions, literally, with the angle and in NumPy."""
    sx, sy = np.asarray(frequencies).T / row["pixel_size"]
    s, theta = np.hypot(sx, sy), np.arctan2(sy, sx)
    volts = row["voltage"] * 1000
    wavelength = 12.2639 / np.sqrt(volts + 0.97845e-6 * volts**2)
    u, v, theta0 = row["defocus_u"], row["defocus_v"], np.radians(row["defocus_angle"])
    df = 0.5 * (u + v + (u - v) * np.cos(2 * (theta - theta0)))
    cs = row["cs"] * 1e7
    gamma = 2 * np.pi * (-0.5 * df * wavelength * s**2 + 0.25 * cs * wavelength**3 * s**4)
    gamma -= np.radians(row["phase_shift"])
    w = row["amplitude_contrast"]
    ctf = w * np.cos(gamma) - np.sqrt(1 - w**2) * np.sin(gamma)
    return row["scale"] * np.exp(-row["bfactor"] * s**2 / 4) * ctf


def evaluate(params, *points):
    """CTF of the particles at single frequencies (x, y), cycles/pixel."""
    return compute_ctf(torch.tensor(points, dtype=torch.float64), params)


@given(st.integers(0, 2**32 - 1))
def test_agrees_with_the_written_conventions(seed):
    table = make_random_table(3, seed)
    frequencies = half_plane_frequencies(16, dtype=torch.float64).reshape(-1, 2)
    ctf = compute_ctf(frequencies, CtfParams.from_table(table, dtype=torch.float64)).numpy()
    for i, row in table.iterrows():
        assert_allclose(ctf[i], transcribe_conventions(frequencies, row), atol=1e-9)


@pytest.mark.parametrize("angle", [-70.0, 0.0, 25.0, 90.0, 160.0])
@pytest.mark.parametrize("phase_shift", [0.0, 60.0])
def test_agrees_with_torch_ctf(angle, phase_shift):
    """torch-ctf has the same sign; it needs U ≥ V (else NaN) and takes µm, half U − V."""
    u, v = 16_000.0, 14_500.0
    params = make_params(
        defocus_u=u, defocus_v=v, defocus_angle=angle, phase_shift=phase_shift, pixel_size=2.0
    )
    expected = calculate_ctf_2d(
        defocus=torch.tensor((u + v) / 2e4, dtype=torch.float64),
        astigmatism=(u - v) / 2e4,
        astigmatism_angle=angle,
        voltage=300.0,
        spherical_aberration=2.7,
        amplitude_contrast=0.1,
        phase_shift=phase_shift,
        pixel_size=2.0,
        image_shape=(64, 64),
        rfft=True,
        fftshift=False,
    )
    ctf = compute_ctf(half_plane_frequencies(64, dtype=torch.float64), params)[0]
    # On the Nyquist column the two may take different members of the pair ± 1/2.
    assert_allclose(ctf[:, :32], expected[:, :32], atol=5e-3)
    assert abs(ctf).max() > 0.9


@pytest.mark.parametrize(
    ("voltage", "wavelength"), [(100, 0.03701), (200, 0.02508), (300, 0.01969)]
)
def test_wavelength_is_relativistic(voltage, wavelength):
    """Textbook values in Å, and de Broglie's formula from the constants of nature."""
    found = electron_wavelength(torch.tensor(float(voltage), dtype=torch.float64)).item()
    energy = voltage * 1e3 * constants.e
    rest = constants.m_e * constants.c**2
    momentum = np.sqrt(energy * (energy + 2 * rest)) / constants.c
    assert found == pytest.approx(wavelength, abs=5e-6)
    assert found == pytest.approx(constants.h / momentum * 1e10, rel=5e-5)


@pytest.mark.parametrize("w", [0.0, 0.07, 0.1, 1.0])
def test_value_at_zero_frequency_is_plus_amplitude_contrast(w):
    assert evaluate(make_params(amplitude_contrast=w), (0.0, 0.0)).item() == pytest.approx(w)


def test_underfocus_is_positive_up_to_the_first_zero():
    params = make_params(defocus_u=10_000, defocus_v=10_000, cs=0, amplitude_contrast=0)
    zero = 1.5 / np.sqrt(electron_wavelength(params.voltage).item() * 10_000)
    below, at, above = evaluate(params, (0.9 * zero, 0.0), (zero, 0.0), (0.0, 1.1 * zero))[0]
    assert below > 0.3
    assert abs(at) < 1e-9
    assert above < -0.3


@pytest.mark.parametrize("angle", [0.0, 30.0, 110.0])
def test_defocus_u_lies_along_the_astigmatism_angle_from_the_x_axis(angle):
    params = make_params(
        defocus_u=12_000, defocus_v=9_000, defocus_angle=angle, cs=0, amplitude_contrast=0
    )
    wavelength = electron_wavelength(params.voltage).item()
    for defocus, turn in ((12_000, 0), (9_000, 90)):
        zero = 1.5 / np.sqrt(wavelength * defocus)
        theta = np.radians(angle + turn)
        value = evaluate(params, (zero * np.cos(theta), zero * np.sin(theta)))
        assert abs(value.item()) < 1e-9


def test_spherical_aberration_takes_the_opposite_sense_of_underfocus():
    """At Scherzer's defocus √(Cs λ) … the phase −½ df λ s² + ¼ Cs λ³ s⁴ is stationary and −¼."""
    wavelength = electron_wavelength(torch.tensor(300.0, dtype=torch.float64)).item()
    cs = 2.7e7
    df = np.sqrt(cs * wavelength)
    params = make_params(defocus_u=df, defocus_v=df, amplitude_contrast=0, pixel_size=0.5)
    s = np.sqrt(df / (cs * wavelength**2)) * 0.5  # cycles/pixel
    values = evaluate(params, (0.99 * s, 0.0), (s, 0.0), (1.01 * s, 0.0))[0]
    assert values[1].item() == pytest.approx(np.sin(np.pi / 2))
    assert_allclose(values[0], values[2], atol=1e-3)


@given(st.integers(0, 2**32 - 1))
def test_swapping_u_and_v_with_a_quarter_turn_changes_nothing(seed):
    table = make_random_table(2, seed)
    swapped = table.rename(columns={"defocus_u": "defocus_v", "defocus_v": "defocus_u"})
    swapped["defocus_angle"] += 90
    frequencies = half_plane_frequencies(12, dtype=torch.float64)
    ctf = compute_ctf(frequencies, CtfParams.from_table(table, dtype=torch.float64))
    other = compute_ctf(frequencies, CtfParams.from_table(swapped, dtype=torch.float64))
    assert_allclose(ctf, other, atol=1e-8)


def test_swapping_u_and_v_alone_changes_much():
    frequencies = half_plane_frequencies(32, dtype=torch.float64)
    ctf = compute_ctf(frequencies, make_params())
    swapped = compute_ctf(frequencies, make_params(defocus_u=14_000, defocus_v=15_000))
    assert abs(ctf - swapped).max() > 0.5


def test_ctf_is_even():
    frequencies = half_plane_frequencies(16, dtype=torch.float64)
    assert_allclose(
        compute_ctf(-frequencies, make_params()),
        compute_ctf(frequencies, make_params()),
        atol=1e-12,
    )


def test_quarter_wave_phase_plate_gives_full_contrast_at_zero_frequency():
    value = evaluate(make_params(phase_shift=90.0, amplitude_contrast=0.1), (0.0, 0.0))
    assert value.item() == pytest.approx(np.sqrt(1 - 0.1**2))


def test_bfactor_damps_by_a_quarter_of_b_s_squared():
    s = 0.2 / 1.5
    plain, damped, sharpened = evaluate(make_params(bfactor=[0.0, 80.0, -80.0]), (0.0, 0.2))[:, 0]
    assert (damped / plain).item() == pytest.approx(np.exp(-80 * s**2 / 4))
    assert (sharpened / plain).item() == pytest.approx(np.exp(80 * s**2 / 4))


def test_scale_multiplies():
    one, other = evaluate(make_params(scale=[1.0, -0.7]), (0.1, 0.03))[:, 0]
    assert other.item() == pytest.approx(-0.7 * one.item())


@pytest.mark.parametrize("astigmatism", [0.0, 600.0, -600.0])
def test_gradients_are_right_also_at_zero_frequency_and_without_astigmatism(astigmatism):
    frequencies = torch.tensor(
        [[0.0, 0.0], [0.02, 0.0], [0.0, -0.03], [0.01, 0.04]], dtype=torch.float64
    ).requires_grad_()
    # Defocus in Å changes the phase by 1e-3 per Å: finite differences need units near one.
    units = torch.tensor([1e4, 1e4, 90, 300, 2, 0.1, 90, 4, 1, 100], dtype=torch.float64)
    start = [TYPICAL[name] for name in COLUMNS]
    start[1] = start[0] - astigmatism
    values = (torch.tensor(start, dtype=torch.float64) / units)[:, None].requires_grad_()

    def evaluate_scaled(frequencies, values):
        return compute_ctf(
            frequencies, CtfParams(**dict(zip(COLUMNS, values * units[:, None], strict=True)))
        )

    assert torch.autograd.gradcheck(evaluate_scaled, (frequencies, values), atol=1e-4)


def test_batch_is_each_particle_by_itself():
    table = make_random_table(5, seed=1)
    params = CtfParams.from_table(table, dtype=torch.float64)
    frequencies = half_plane_frequencies(8, dtype=torch.float64)
    batch = compute_ctf(frequencies, params)
    assert batch.shape == (5, 8, 5)
    assert len(params) == 5
    for i in range(5):
        alone = compute_ctf(frequencies, params[i : i + 1])[0]
        assert_allclose(batch[i], alone, atol=1e-14)
    picked = compute_ctf(frequencies, params[torch.tensor([4, 0])])
    assert_allclose(picked, batch[[4, 0]], atol=1e-14)


def test_list_of_points_and_plane_of_points_agree():
    frequencies = half_plane_frequencies(8, dtype=torch.float64)
    plane = compute_ctf(frequencies, make_params())
    points = compute_ctf(frequencies.reshape(-1, 2), make_params())
    assert points.shape == (1, 40)
    assert_allclose(points, plane.reshape(1, -1), atol=0)


def test_missing_columns_mean_no_phase_shift_no_damping_unit_scale():
    table = pd.DataFrame([TYPICAL])
    short = table.drop(columns=["phase_shift", "scale", "bfactor"])
    frequencies = half_plane_frequencies(8)
    assert_allclose(
        compute_ctf(frequencies, CtfParams.from_table(short)),
        compute_ctf(frequencies, CtfParams.from_table(table)),
        atol=0,
    )


def test_single_precision_is_good_to_a_thousandth(device):
    table = make_random_table(50, seed=2).assign(pixel_size=1.5)
    double = compute_ctf(
        half_plane_frequencies(64, dtype=torch.float64),
        CtfParams.from_table(table, dtype=torch.float64),
    )
    single = compute_ctf(
        half_plane_frequencies(64, device=device), CtfParams.from_table(table, device=device)
    )
    assert single.dtype == torch.float32
    assert single.device.type == device.type
    assert_allclose(single.cpu(), double, atol=1e-3)
