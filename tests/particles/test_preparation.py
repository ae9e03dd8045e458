"""Geometry of mixed sets, backgrounds, noise and windows."""

import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.particles import make_whitening, measure_noise
from cryosway.particles._preparation import (
    GroupGeometry,
    PreparationSteps,
    circular_window,
    measure_background,
    plan_geometry,
    prepare_images,
)


def plan(sizes, pixels, crop=None, box=None, pixel_size=None):
    groups = range(1, len(sizes) + 1)
    return plan_geometry(
        dict(zip(groups, sizes, strict=True)),
        dict(zip(groups, pixels, strict=True)),
        crop=crop,
        box=box,
        pixel_size=pixel_size,
    )


def test_one_group():
    assert plan([256], [1.0])[:2] == (256, 1.0)
    assert plan([256], [1.0], box=128)[:2] == (128, 2.0)
    assert plan([256], [1.0], pixel_size=3.0)[:2] == (86, pytest.approx(256 / 86))
    assert plan([320], [1.3], crop=256, box=128) == (
        128,
        2.6,
        {1: GroupGeometry(320, 256, 128, 2.6)},
    )
    box, pixel, groups = plan([255], [1.0])
    assert (box, groups[1].fourier_box, pixel) == (256 - 2, 254, pytest.approx(255 / 254))


def test_mixed_groups_come_within_one_percent():
    sizes, pixels = [196, 196, 300], [1.25, 1.24, 0.83]
    box, pixel, groups = plan(sizes, pixels, box=128)
    assert box == 128
    for group, (size, before) in enumerate(zip(sizes, pixels, strict=True), 1):
        after = groups[group]
        assert after.pixel_size * after.fourier_box == pytest.approx(size * before)  # the same Å
        assert after.pixel_size == pytest.approx(pixel, rel=0.01)
        assert after.fourier_box % 2 == 0 and after.fourier_box <= size


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"box": 300}, "box 300 would need more detail than the images have; give 256 px or less"),
        ({"pixel_size": 0.5}, "pixel size 0.5 Å would need more detail .* give 1 Å or more"),
        ({"box": 127}, "box must be even and at least 8, not 127; use 128"),
        ({"box": 0}, "box must be even and at least 8, not 0; use 8"),
        ({"crop": 300}, "crop 300 is larger than the images"),
    ],
)
def test_wishes_that_cannot_be(options, sentence):
    with pytest.raises(CryoswayError, match=sentence):
        plan([256], [1.0], **options)


def test_background_is_measured_outside_and_robustly():
    rng = np.random.default_rng(0)
    images = rng.normal(5, 2, (50, 64, 64)).astype(np.float32)
    images[:, 20:44, 20:44] += 1000  # the particle
    images[:, 2, 3] = 1e5  # a hot pixel
    mean, sd = measure_background(images)
    np.testing.assert_allclose(mean, 5, atol=0.4)
    np.testing.assert_allclose(sd, 2, rtol=0.15)


def test_normalised_images_have_quiet_backgrounds():
    rng = np.random.default_rng(0)
    images = (rng.normal(0, 1, (40, 64, 64)) * rng.uniform(1, 9, (40, 1, 1)) + 30).astype("f4")
    geometry = GroupGeometry(64, 64, 32, 2.0)
    result = prepare_images(
        images,
        np.zeros((40, 2)),
        np.ones(40, np.int8),
        1,
        geometry,
        PreparationSteps(32, True, False, {}),
    )
    outside = np.hypot(*np.mgrid[-16:16, -16:16]) > 13
    np.testing.assert_allclose(result.images[:, outside].mean(axis=1), 0, atol=0.1)
    np.testing.assert_allclose(result.images[:, outside].std(axis=1), 1, rtol=0.1)
    np.testing.assert_allclose(result.background_mean, 30, atol=1.0)


def test_window_comes_after_the_shift():
    """A particle 20 px off centre of 64 would be cut by a window applied first."""
    along = np.arange(64) - 32
    image = np.exp(-((along - 20) ** 2)[:, None] / 30 - along[None, :] ** 2 / 30).astype("f4")
    geometry = GroupGeometry(64, 64, 64, 1.0)
    result = prepare_images(
        image[None],
        np.array([[0.0, -20.0]]),
        np.ones(1, np.int8),
        1,
        geometry,
        PreparationSteps(64, False, True, {}),
    )
    assert result.images[0, 32, 32] == pytest.approx(1.0, abs=1e-3)
    assert result.images[0].sum() == pytest.approx(image.sum(), rel=0.01)


def test_crop_in_real_space_follows_the_shift():
    image = np.zeros((1, 64, 64), np.float32)
    image[0, 32 + 24, 32 - 10] = 1.0
    geometry = GroupGeometry(64, 32, 32, 1.0)
    result = prepare_images(
        image,
        np.array([[10.0, -24.0]]),
        np.ones(1, np.int8),
        1,
        geometry,
        PreparationSteps(32, False, False, {}),
    )
    assert result.images[0, 16, 16] == pytest.approx(1.0, abs=1e-3)


def test_sign_and_padding():
    images = np.ones((2, 16, 16), np.float32)
    geometry = GroupGeometry(16, 16, 16, 1.0)
    signs = np.array([1, -1], np.int8)
    result = prepare_images(
        images, np.zeros((2, 2)), signs, 1, geometry, PreparationSteps(24, False, False, {})
    )
    assert result.images[0].sum() == 256 and result.images[1].sum() == -256
    assert result.images[0, 12, 12] == 1 and result.images[0, 0, 0] == 0
    assert images.min() == 1  # the stored images are left alone


def test_window():
    window = circular_window(64)
    assert window[32, 32] == 1 and window[0, 0] == 0 and window[32, 0] == 0
    assert window[32, 32 + 26] == 1 and 0 < window[32, 32 + 30] < 1


def coloured(rng, count, box, amplitude):
    half = np.fft.rfft2(rng.normal(size=(count, box, box)))
    ky, kx = np.fft.fftfreq(box, 1 / box), np.arange(box // 2 + 1)
    radius = np.hypot(ky[:, None], kx[None, :])
    return np.fft.irfft2(half * amplitude(radius), s=(box, box)).astype(np.float32)


def test_noise_spectrum_is_measured():
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(
        measure_noise(rng.normal(0, 3, (300, 64, 64)).astype("f4"))[2:], 9, rtol=0.1
    )
    amplitude = lambda r: 1 + 2 * np.exp(-((r / 12) ** 2))  # noqa: E731
    images = coloured(rng, 400, 64, amplitude)
    images[:, 24:40, 24:40] += 30  # the particle does not count
    expected = amplitude(np.arange(33)) ** 2
    np.testing.assert_allclose(measure_noise(images)[4:31], expected[4:31], rtol=0.2)


def test_whitened_noise_is_white():
    rng = np.random.default_rng(0)
    images = coloured(rng, 400, 64, lambda r: 1 + 2 * np.exp(-((r / 12) ** 2)))
    geometry = GroupGeometry(64, 64, 64, 1.0)
    whitening = {1: make_whitening(measure_noise(images), 64)}
    result = prepare_images(
        images,
        np.zeros((400, 2)),
        np.ones(400, np.int8),
        1,
        geometry,
        PreparationSteps(64, True, False, whitening),
    )
    before, after = measure_noise(images)[3:31], measure_noise(result.images)[3:31]
    assert before.max() / before.min() > 5
    assert after.max() / after.min() < 1.3
