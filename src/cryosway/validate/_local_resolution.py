"""Local resolution from half-maps: FSC in soft windows, shell by shell."""

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage


def local_resolution(
    half_a: ArrayLike,
    half_b: ArrayLike,
    pixel_size: float,
    *,
    threshold: float = 0.5,
    window: float | None = None,
) -> NDArray[np.float32]:
    """Estimate the resolution around every voxel.

    In each band of shells the half-maps are band-passed, and their correlation is taken in a
    Gaussian window around each voxel; the resolution is where it first falls below `threshold`.
    A local FSC has few independent points, hence the threshold of 0.5 rather than 0.143.

    Parameters
    ----------
    half_a, half_b
        Shape (D, D, D).
    pixel_size
        Å per voxel.
    threshold
        Of the local correlation.
    window
        Standard deviation of the window, Å; a sixteenth of the box, at least 3 voxels, by default.

    Returns
    -------
    Shape (D, D, D), float32, Å.
    """
    a, b = np.asarray(half_a, np.float32), np.asarray(half_b, np.float32)
    box = a.shape[0]
    sigma = max(3.0, box / 16) if window is None else window / pixel_size
    k = np.fft.fftfreq(box, 1 / box)
    radius = np.sqrt(
        k[:, None, None] ** 2 + k[None, :, None] ** 2 + np.arange(box // 2 + 1) ** 2
    ).astype(np.float32)
    transform_a, transform_b = scipy.fft.rfftn(a, workers=-1), scipy.fft.rfftn(b, workers=-1)
    # A window of σ voxels blurs frequency by D / (2πσ): finer bands would hold no more.
    width = max(2.0, box / (2 * np.pi * sigma))
    centres = np.arange(width, box // 2, width / 2)
    step = _coarsening(box, sigma)
    coarse = (box // step,) * 3
    result = np.full(coarse, box * pixel_size / centres[0], np.float32)
    alive = np.ones(coarse, bool)
    previous = np.ones(coarse, np.float32)
    for i, centre in enumerate(centres):
        band = np.exp(-0.5 * ((radius - centre) / (0.5 * width)) ** 2)
        local = _local_correlation(transform_a * band, transform_b * band, sigma, step)
        ends = alive & (local < threshold)
        if i > 0:
            fraction = (previous - threshold) / np.maximum(previous - local, 1e-6)
            at = centres[i - 1] + np.clip(fraction, 0, 1) * (centre - centres[i - 1])
            result[ends] = box * pixel_size / at[ends]
        alive &= ~ends
        if not alive.any():
            break
        previous = local
    result[alive] = 2 * pixel_size
    return _refine(result, step, box)


def _coarsening(box: int, sigma: float) -> int:
    """Voxels per side of the blocks on which a window of σ voxels loses nothing: up to σ / 2."""
    fitting = [n for n in range(1, max(1, int(sigma / 2)) + 1) if box % n == 0]
    return fitting[-1]


def _refine(coarse: NDArray[np.float32], step: int, box: int) -> NDArray[np.float32]:
    """Interpolate values at block centres to voxels, linearly."""
    if step == 1:
        return coarse
    at = (np.arange(box) - 0.5 * (step - 1)) / step
    grid = np.meshgrid(at, at, at, indexing="ij")
    return np.asarray(ndimage.map_coordinates(coarse, grid, order=1, mode="nearest"), np.float32)


def _local_correlation(
    band_a: NDArray[np.complex64], band_b: NDArray[np.complex64], sigma: float, step: int
) -> NDArray[np.float32]:
    box = band_a.shape[0]
    a = scipy.fft.irfftn(band_a, s=(box,) * 3, workers=-1)
    b = scipy.fft.irfftn(band_b, s=(box,) * 3, workers=-1)
    count = box // step

    def blur(values: NDArray[np.float32]) -> NDArray[np.float32]:
        blocks = values.reshape(count, step, count, step, count, step).mean((1, 3, 5))
        return np.asarray(ndimage.gaussian_filter(blocks, sigma / step, mode="wrap"), np.float32)

    power = blur(a * a) * blur(b * b)
    return np.asarray(blur(a * b) / np.sqrt(np.maximum(power, 1e-30)), np.float32)
