"""Shifting and Fourier cropping, against closed forms."""

import numpy as np
import pytest

from cryosway.particles._recentre import recentre_and_crop, resize_canvas, to_images


def blob(size, centre, width):
    """A Gaussian around a pixel (x, y), periodic images included."""
    along = np.arange(size)
    wraps = (-size, 0, size)
    gx, gy = (sum(np.exp(-0.5 * ((along - c + w) / width) ** 2) for w in wraps) for c in centre)
    return (gy[:, None] * gx[None, :]).astype(np.float32)


@pytest.mark.parametrize("size", [32, 33])
def test_shifted_delta_comes_to_the_centre(size):
    """Content at centre − shift comes to the centre: the sign of RELION and cryoSPARC."""
    image = np.zeros((1, size, size), np.float32)
    image[0, size // 2 + 4, size // 2 - 3] = 1.0  # y + 4, x − 3
    box = 32
    moved = to_images(recentre_and_crop(image, np.array([[3.0, -4.0]]), box))
    assert np.unravel_index(moved[0].argmax(), (box, box)) == (box // 2, box // 2)
    wrong = to_images(recentre_and_crop(image, np.array([[-3.0, 4.0]]), box))
    assert np.unravel_index(wrong[0].argmax(), (box, box)) == (box // 2 + 8, box // 2 - 6)


@pytest.mark.parametrize("size", [48, 49])
@pytest.mark.parametrize("box", [48, 32, 20])
def test_fractional_shift_and_crop_of_a_gaussian(size, box):
    """A smooth blob, shifted and resampled, is the blob drawn there: place and height kept."""
    shift, width = np.array([2.3, -5.6]), 4.5
    image = blob(size, size // 2 - shift, width)
    moved = to_images(recentre_and_crop(image[None], shift[None], box))[0]
    expected = blob(box, np.full(2, box / 2), width * box / size)
    np.testing.assert_allclose(moved, expected, atol=2e-3)
    assert moved.mean() == pytest.approx(image.mean(), rel=1e-5)


def test_nothing_to_do_changes_nothing():
    images = np.random.default_rng(0).normal(size=(3, 16, 16)).astype(np.float32)
    same = to_images(recentre_and_crop(images, np.zeros((3, 2)), 16))
    np.testing.assert_allclose(same, images, atol=1e-5)


def test_agrees_with_the_transforms_of_optics():
    import torch

    from cryosway.optics import crop_fourier, fft2_half, ifft2_half, shift_images

    rng = np.random.default_rng(1)
    images = rng.normal(size=(4, 24, 24)).astype(np.float32)
    shifts = rng.normal(0, 3, (4, 2))
    half = shift_images(fft2_half(torch.from_numpy(images).double()), torch.from_numpy(shifts))
    expected = ifft2_half(crop_fourier(half, 16, 2)).numpy()
    np.testing.assert_allclose(
        to_images(recentre_and_crop(images, shifts, 16)), expected, atol=1e-5
    )


def test_white_noise_keeps_its_power_per_frequency():
    images = np.random.default_rng(2).normal(size=(200, 32, 32)).astype(np.float32)
    cropped = to_images(recentre_and_crop(images, np.zeros((200, 2)), 16))
    assert cropped.var() == pytest.approx((15 / 32) ** 2, rel=0.03)  # 15: Nyquist is dropped


@pytest.mark.parametrize("box", [8, 16, 20])
def test_canvas_keeps_the_centre(box):
    image = np.zeros((1, 16, 16), np.float32)
    image[0, 8, 8] = 1.0
    assert resize_canvas(image, box)[0, box // 2, box // 2] == 1.0
    assert resize_canvas(image, box).shape == (1, box, box)
