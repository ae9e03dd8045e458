"""The independent coefficients of an image inside a resolution disc."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from cryosway.optics import fft2_half, half_plane_frequencies, ifft2_half, make_disc

discs = st.sampled_from([4, 6, 8, 10, 16]).flatmap(
    lambda box: st.tuples(st.just(box), st.integers(1, box // 2 - 1))
)


def low_pass(image, radius):
    """Drop |k| > radius with a full complex transform."""
    box = image.shape[-1]
    k = np.fft.fftfreq(box, 1 / box)
    keep = k[:, None] ** 2 + k**2 <= radius**2
    return np.fft.ifft2(np.fft.fft2(image) * keep).real


@given(discs)
def test_each_independent_coefficient_is_there_once(size):
    box, radius = size
    points = make_disc(box, radius).points.tolist()
    span = range(-radius, radius + 1)
    disc = {(x, y) for x in span for y in span if x * x + y * y <= radius**2}
    chosen = {tuple(point) for point in points}
    mates = {(-x, -y) for x, y in chosen}
    assert len(chosen) == len(points)
    assert chosen | mates == disc
    assert chosen & mates == {(0, 0)}


@given(discs)
def test_points_are_where_they_are_gathered_from(size):
    box, radius = size
    disc = make_disc(box, radius)
    frequencies = half_plane_frequencies(box)
    gathered = torch.stack([disc.pack(frequencies[..., axis]) for axis in (0, 1)], dim=-1)
    assert_allclose(gathered, disc.points / box, atol=1e-7)
    assert_allclose(disc.frequencies, disc.points / box, atol=1e-7)


@given(discs)
def test_shells_are_rounded_radii(size):
    disc = make_disc(*size)
    expected = np.rint(np.hypot(*disc.points.numpy().T))
    assert_allclose(disc.shell, expected)
    assert disc.shell.max() == disc.radius


@given(discs, st.integers(0, 2**32 - 1))
def test_unpacking_the_packed_transform_of_an_image_low_passes_it(size, seed):
    box, radius = size
    image = np.random.default_rng(seed).normal(size=(2, box, box))
    disc = make_disc(box, radius)
    half_plane = disc.unpack(disc.pack(fft2_half(torch.tensor(image))))
    assert_allclose(ifft2_half(half_plane), low_pass(image, radius), atol=1e-12)
    assert_allclose(fft2_half(torch.tensor(low_pass(image, radius))), half_plane, atol=1e-12)


@given(discs, st.integers(0, 2**32 - 1))
def test_packing_unpacked_values_gives_them_back(size, seed):
    disc = make_disc(*size)
    values = torch.tensor(np.random.default_rng(seed).normal(size=(2, 3, len(disc.points))))
    assert torch.equal(disc.pack(disc.unpack(values)), values)
    half_plane = disc.unpack(values)
    mirrored = torch.roll(half_plane[..., 0].flip(-1), 1, -1)
    assert torch.equal(half_plane[..., 0], mirrored)  # real weights are even in k


def test_power_counts_every_coefficient_but_dc_twice():
    disc = make_disc(12, 5)
    image = torch.tensor(low_pass(np.random.default_rng(0).normal(size=(12, 12)), 5))
    packed = disc.pack(fft2_half(image)).abs() ** 2
    assert packed[0] == packed[disc.shell == 0]
    assert (2 * packed.sum() - packed[0]).item() / 144 == pytest.approx((image**2).sum().item())


def test_packing_works_on_the_device_of_the_data(device):
    disc = make_disc(8, 3)
    half_plane = fft2_half(torch.randn(2, 8, 8, device=device))
    packed = disc.pack(half_plane)
    assert packed.device.type == disc.unpack(packed).device.type == device.type


def test_unpacking_is_differentiable():
    disc = make_disc(6, 2)
    values = torch.randn(2, len(disc.points), dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: ifft2_half(disc.unpack(v)), values)


def test_radius_must_leave_every_point_its_mate():
    with pytest.raises(ValueError, match="radius 4 exceeds box/2 − 1 = 3"):
        make_disc(8, 4)
