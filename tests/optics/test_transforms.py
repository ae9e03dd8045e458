"""Transforms of images and volumes whose origin is pixel D/2."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from cryosway.optics import (
    crop_fourier,
    fft2_half,
    fft3_half,
    half_plane_frequencies,
    ifft2_half,
    ifft3_half,
    shift_images,
)

TRANSFORMS = {2: (fft2_half, ifft2_half), 3: (fft3_half, ifft3_half)}
ndims = pytest.mark.parametrize("ndim", [2, 3])


def make_noise(*shape, seed=0, device="cpu"):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape), device=device)


def sum_directly(array):
    """F(k) = Σ f(x) exp(−2πi k·(x − D/2)/D), axis by axis with a matrix; kx ≥ 0 is kept."""
    box = array.shape[-1]
    x = np.arange(box) - box // 2
    k = np.fft.fftfreq(box, 1 / box)
    matrix = np.exp(-2j * np.pi * np.outer(k, x) / box)
    transform = np.asarray(array, complex)
    for axis in range(array.ndim):
        transform = np.moveaxis(np.tensordot(matrix, transform, (1, axis)), 0, axis)
    return transform[..., : box // 2 + 1]


def make_blob(box, centre, width, scale=1.0):
    """A Gaussian at `centre` = (x, y[, z]) pixels from the origin, sampled every `scale` pixels."""
    axis = (np.arange(box) - box // 2) * scale
    profiles = [np.exp(-0.5 * (axis - c) ** 2 / width**2) for c in reversed(centre)]
    blob = profiles[0]
    for profile in profiles[1:]:
        blob = np.multiply.outer(blob, profile)
    return torch.tensor(blob)


@ndims
@pytest.mark.parametrize("box", [6, 8])
def test_transform_is_the_sum_over_pixels_counted_from_half_the_box(ndim, box, device):
    array = make_noise(*[box] * ndim, device=device)
    transform = TRANSFORMS[ndim][0](array)
    assert transform.device.type == device.type
    assert_allclose(transform.cpu(), sum_directly(array.cpu().numpy()), atol=1e-11)


@ndims
def test_delta_at_the_origin_has_transform_one(ndim):
    delta = torch.zeros([8] * ndim, dtype=torch.float64)
    delta[(4,) * ndim] = 1
    assert_allclose(TRANSFORMS[ndim][0](delta), 1, atol=1e-14)


@ndims
def test_inverse_gives_back_the_array(ndim):
    forward, inverse = TRANSFORMS[ndim]
    array = make_noise(2, 3, *[10] * ndim)
    assert_allclose(inverse(forward(array)), array, atol=1e-13)


@ndims
def test_leading_dimensions_are_a_batch(ndim):
    array = make_noise(2, 3, *[6] * ndim)
    transform = TRANSFORMS[ndim][0](array)
    assert transform.shape == (2, 3, *[6] * (ndim - 1), 4)
    assert_allclose(transform[1, 2], TRANSFORMS[ndim][0](array[1, 2]), atol=1e-13)


@ndims
def test_single_precision_stays_single(ndim):
    forward, inverse = TRANSFORMS[ndim]
    array = make_noise(*[8] * ndim).float()
    assert forward(array).dtype == torch.complex64
    assert inverse(forward(array)).dtype == torch.float32


@ndims
def test_odd_boxes_are_refused(ndim):
    with pytest.raises(ValueError, match="even boxes, not 7"):
        TRANSFORMS[ndim][0](torch.zeros([7] * ndim))


@ndims
def test_parseval(ndim):
    """Σ f² = Σ |F|² / Dⁿ, where columns 0 < kx < D/2 stand for two."""
    array = make_noise(*[8] * ndim)
    power = TRANSFORMS[ndim][0](array).abs() ** 2
    power[..., 1:-1] *= 2
    assert power.sum().item() / 8**ndim == pytest.approx((array**2).sum().item())


@ndims
def test_transforms_are_differentiable(ndim):
    forward, inverse = TRANSFORMS[ndim]
    array = make_noise(*[4] * ndim).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: inverse(forward(a) ** 2), array)


def test_frequencies_are_x_y_in_the_order_of_the_half_plane():
    frequencies = half_plane_frequencies(6, dtype=torch.float64)
    assert frequencies.shape == (6, 4, 2)
    assert_allclose(frequencies[0, :, 0] * 6, [0, 1, 2, 3])
    assert_allclose(frequencies[:, 2, 1] * 6, [0, 1, 2, -3, -2, -1])


def test_wave_along_x_has_its_peak_at_its_frequency():
    x = torch.arange(8, dtype=torch.float64) - 4
    image = torch.cos(2 * torch.pi * 3 * x / 8).expand(8, 8)
    row, column = divmod(int(fft2_half(image).abs().argmax()), 5)
    assert_allclose(half_plane_frequencies(8)[row, column], [3 / 8, 0])


@given(st.integers(-5, 5), st.integers(-5, 5))
def test_whole_shift_moves_the_content_along_x_and_y(x, y):
    image = make_noise(10, 10)
    shifted = ifft2_half(shift_images(fft2_half(image)[None], torch.tensor([[x, y]])))[0]
    assert_allclose(shifted, torch.roll(image, (y, x), (0, 1)), atol=1e-12)


@given(st.floats(-4, 4), st.floats(-4, 4))
def test_fractional_shift_moves_a_blob(x, y):
    blob = make_blob(32, (1.0, -2.0), 2.0)
    shifted = ifft2_half(shift_images(fft2_half(blob)[None], torch.tensor([[x, y]])))[0]
    assert_allclose(shifted, make_blob(32, (1.0 + x, -2.0 + y), 2.0), atol=1e-5)


def test_stored_shift_brings_the_particle_to_the_centre():
    """RELION's origin offset is the shift to apply: the content sits at minus that."""
    offset = torch.tensor([[3.25, -4.5]], dtype=torch.float64)
    image = make_blob(32, (-3.25, 4.5), 2.0)
    centred = ifft2_half(shift_images(fft2_half(image)[None], offset))[0]
    assert_allclose(centred, make_blob(32, (0, 0), 2.0), atol=1e-6)


def test_shifts_differ_from_image_to_image_and_are_differentiable():
    images = make_noise(2, 6, 6)
    shifts = torch.tensor([[0.3, 1.1], [-0.7, 0.2]], dtype=torch.float64, requires_grad=True)
    transforms = fft2_half(images)
    both = shift_images(transforms, shifts)
    assert_allclose(
        both[1].detach(), shift_images(transforms[1:], shifts[1:])[0].detach(), atol=1e-14
    )
    assert torch.autograd.gradcheck(lambda s: shift_images(transforms, s), shifts)


@ndims
def test_cropping_samples_the_same_function_more_coarsely(ndim):
    """A blob with nothing beyond the new Nyquist frequency keeps its values and its place."""
    forward, inverse = TRANSFORMS[ndim]
    centre, width = (2.3, -3.1, 1.7)[:ndim], 3.0
    fine = make_blob(32, centre, width)
    coarse = inverse(crop_fourier(forward(fine), 20, ndim))
    assert coarse.shape == (20,) * ndim
    assert_allclose(coarse, make_blob(20, centre, width, scale=32 / 20), atol=2e-5)


@ndims
def test_cropping_is_the_trigonometric_polynomial_without_its_high_terms(ndim):
    """Band-limited resampling of anything: Σ over |k| < d/2 of F(k) exp(2πi k·x/D) / Dⁿ."""
    forward, inverse = TRANSFORMS[ndim]
    old, new = 8, 6
    array = make_noise(*[old] * ndim)
    x = (np.arange(new) - new // 2) * old / new
    xs = np.arange(old) - old // 2
    k = np.arange(-(new // 2) + 1, new // 2)
    kernel = np.exp(2j * np.pi * (x[:, None, None] - xs[:, None]) * k / old).sum(-1) / old
    expected = array.numpy()
    for axis in range(ndim):
        expected = np.moveaxis(np.tensordot(kernel, expected, (1, axis)), 0, axis)
    assert_allclose(inverse(crop_fourier(forward(array), new, ndim)), expected.real, atol=1e-12)


@ndims
def test_cropped_transform_is_that_of_a_real_array(ndim):
    forward, inverse = TRANSFORMS[ndim]
    cropped = crop_fourier(forward(make_noise(3, *[12] * ndim)), 8, ndim)
    assert_allclose(forward(inverse(cropped)), cropped, atol=1e-12)


@ndims
def test_cropping_keeps_the_mean_level_and_the_original(ndim):
    forward, inverse = TRANSFORMS[ndim]
    transform = forward(make_noise(*[12] * ndim) + 5)
    before = transform.clone()
    cropped = inverse(crop_fourier(transform, 6, ndim))
    assert_allclose(cropped.mean(), inverse(transform).mean(), atol=1e-12)
    assert torch.equal(transform, before)


@ndims
def test_cropping_to_the_same_box_does_nothing(ndim):
    transform = TRANSFORMS[ndim][0](make_noise(*[8] * ndim))
    assert torch.equal(crop_fourier(transform, 8, ndim), transform)


@ndims
@pytest.mark.parametrize(("box", "complaint"), [(10, "larger than 8"), (5, "even boxes, not 5")])
def test_cropping_refuses_larger_and_odd_boxes(ndim, box, complaint):
    transform = TRANSFORMS[ndim][0](make_noise(*[8] * ndim))
    with pytest.raises(ValueError, match=complaint):
        crop_fourier(transform, box, ndim)
