"""The noise spectrum of images, measured in their backgrounds, and the filter that flattens it."""

import numpy as np
import numpy.typing as npt

from cryosway.particles._preparation import BACKGROUND_RADIUS, measure_background
from cryosway.particles._recentre import radius_grid

Images = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

_MOST_WHITENING = 20.0


def measure_noise(images: Images) -> FloatArray:
    """Measure the noise power per Fourier shell from the backgrounds of images.

    Each image is multiplied by 1 − a soft disc, which leaves the corners and the ring; the power
    of its transform is divided by the sum of the squared mask.

    Parameters
    ----------
    images : numpy.ndarray
        Shape (n, box, box), centred.

    Returns
    -------
    numpy.ndarray
        Shape (box//2 + 1,): variance per pixel that shell i = {i − ½ ≤ |k| < i + ½} carries, such
        that white noise of variance 1 gives 1.
    """
    box = images.shape[-1]
    start = BACKGROUND_RADIUS * box / 2
    mask = 0.5 - 0.5 * np.cos(np.pi * np.clip((radius_grid(box) - start) / (0.1 * box), 0, 1))
    mean, _ = measure_background(images)
    transforms = np.fft.rfft2((images - mean[:, None, None]) * mask)
    power = np.mean(np.abs(transforms) ** 2, axis=0) / np.sum(mask**2)
    shells = half_plane_shells(box)
    weights = np.full(power.shape, 2.0)
    weights[:, [0, -1]] = 1.0
    total = np.bincount(shells.ravel(), (power * weights).ravel())
    return np.asarray((total / np.bincount(shells.ravel(), weights.ravel()))[: box // 2 + 1])


def half_plane_shells(box: int) -> npt.NDArray[np.int64]:
    """Return the nearest whole radius of each half-plane frequency, shape (box, box//2+1)."""
    ky, kx = np.fft.fftfreq(box, 1 / box), np.arange(box // 2 + 1)
    return np.asarray(np.rint(np.hypot(ky[:, None], kx[None, :])), np.int64)


def make_whitening(power: FloatArray, box: int) -> npt.NDArray[np.float32]:
    """Make the filter 1/√power on the half plane from a noise spectrum per shell.

    The spectrum is smoothed over three shells, interpolated between them, constant beyond the
    last and limited to a factor 20 about its mean; the filter keeps the mean noise power. The
    first shell, whose mean was removed, and the last, which cropping empties, take the values of
    their neighbours.
    """
    inner = np.pad(power[1:-1], 2, mode="edge")
    smooth = np.convolve(inner, np.ones(3) / 3, mode="valid")
    level = float(smooth.mean())
    bounded = np.clip(smooth / level, 1 / _MOST_WHITENING**2, _MOST_WHITENING**2)
    ky, kx = np.fft.fftfreq(box, 1 / box), np.arange(box // 2 + 1)
    radius = np.hypot(ky[:, None], kx[None, :])
    return np.asarray(np.interp(radius, np.arange(len(bounded)), bounded) ** -0.5, np.float32)
