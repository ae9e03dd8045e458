"""Fourier shell correlation, its area and the resolution it states."""

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from cryosway._errors import CryoswayError

FloatArray = NDArray[np.float64]


@lru_cache(maxsize=8)
def _shells(box: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Shell index {i−1 ≤ |k| < i} → i on the half transform, and how often each point counts."""
    k = np.fft.fftfreq(box, 1 / box)
    kx = np.arange(box // 2 + 1)
    radius = np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + kx**2)
    index = np.floor(radius + 1e-9).astype(np.int64) + 1
    count = np.full(index.shape, 2.0)
    count[:, :, 0] = 1
    if box % 2 == 0:
        count[:, :, -1] = 1
    return np.minimum(index, box // 2).ravel(), count.ravel()


def _check_pair(a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
    if a.shape != b.shape or a.ndim != 3 or len(set(a.shape)) != 1:
        msg = f"FSC needs two cubic volumes of one size, not shapes {a.shape} and {b.shape}"
        raise CryoswayError(msg)


def fsc_of_transforms(a: NDArray[np.complex64], b: NDArray[np.complex64], box: int) -> FloatArray:
    """FSC of two half transforms (D, D, D//2+1), shells as `fsc`."""
    index, count = _shells(box)

    def total(values: NDArray[np.floating]) -> FloatArray:
        sums = np.bincount(index, values.ravel() * count, minlength=box // 2 + 1)
        return np.asarray(sums[: box // 2], np.float64)

    cross = total((a * b.conj()).real)
    power = total(np.abs(a) ** 2) * total(np.abs(b) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        curve = np.where(power > 0, cross / np.sqrt(power), 0.0)
    curve[0] = 1.0
    return np.asarray(curve, np.float64)


def fsc(volume_a: ArrayLike, volume_b: ArrayLike, mask: ArrayLike | None = None) -> FloatArray:
    """Fourier shell correlation of two volumes.

    Parameters
    ----------
    volume_a, volume_b
        Shape (D, D, D), real.
    mask
        Shape (D, D, D), multiplied onto both volumes in real space as it is.

    Returns
    -------
    Shape (D // 2,), float64: entry i is the shell {i−1 ≤ |k| < i} in Fourier pixels, i.e. up to
    i / D cycles/pixel; entry 0 is 1 (CryoBench's definition).

    Raises
    ------
    CryoswayError
        When the volumes are not cubic or not of one size.

    Examples
    --------
    >>> ball = np.random.default_rng(0).normal(size=(8, 8, 8))
    >>> fsc(ball, ball).round(6)
    array([1., 1., 1., 1.])
    """
    a, b = np.asarray(volume_a, np.float32), np.asarray(volume_b, np.float32)
    _check_pair(a, b)
    if mask is not None:
        weights = np.asarray(mask, np.float32)
        a, b = a * weights, b * weights
    return fsc_of_transforms(
        scipy.fft.rfftn(a, workers=-1), scipy.fft.rfftn(b, workers=-1), a.shape[0]
    )


def auc_fsc(curve: ArrayLike) -> float:
    """Area under |FSC| over cycles/pixel (trapezoid), CryoBench's score.

    The largest value is (D/2 − 1) / D for a curve of D/2 shells.

    Examples
    --------
    >>> round(auc_fsc(np.ones(64)), 4)
    0.4922
    """
    values = np.abs(np.asarray(curve, np.float64))
    return float(np.trapezoid(values, np.arange(len(values)) / (2 * len(values))))


def fsc_resolution(curve: ArrayLike, pixel_size: float, threshold: float = 0.143) -> float:
    """Resolution in Å where the FSC first falls below a threshold, between shells by line.

    A curve that never falls below it states the Nyquist resolution, 2 · pixel size.

    Parameters
    ----------
    curve
        Shape (D // 2,), from `fsc`.
    pixel_size
        Å per pixel.
    threshold
        0.143 between half-maps, 0.5 against a known map.
    """
    values = np.asarray(curve, np.float64)
    below = np.flatnonzero(values < threshold)
    box = 2 * len(values)
    if len(below) == 0:
        return 2 * pixel_size
    i = int(below[0])
    if i == 0:
        return box * pixel_size
    fraction = (values[i - 1] - threshold) / (values[i - 1] - values[i])
    return float(box * pixel_size / max(i - 1 + fraction, 1.0))


def randomise_phases(volume: ArrayLike, from_shell: int, seed: int = 0) -> NDArray[np.float32]:
    """Replace the phases of a volume beyond a shell by random ones, amplitudes kept."""
    density = np.asarray(volume, np.float32)
    box = density.shape[0]
    transform = scipy.fft.rfftn(density, workers=-1)
    noise = np.random.default_rng(seed).normal(size=density.shape).astype(np.float32)
    random = scipy.fft.rfftn(noise, workers=-1)  # Hermitian by construction
    phases = random / np.maximum(np.abs(random), 1e-20)
    beyond = (_shells(box)[0] > from_shell).reshape(transform.shape)
    scrambled = np.where(beyond, np.abs(transform) * phases, transform)
    return np.asarray(scipy.fft.irfftn(scrambled, s=density.shape, workers=-1), np.float32)


def corrected_fsc(
    half_a: ArrayLike, half_b: ArrayLike, mask: ArrayLike, seed: int = 0
) -> dict[str, FloatArray]:
    """FSC of half-maps without mask, with it, phase-randomised, and corrected for the mask.

    Phases are randomised beyond the shell where the unmasked FSC falls below 0.8; there
    FSC_true = (FSC_masked − FSC_random) / (1 − FSC_random) (Chen et al., Ultramicroscopy 2013).

    Returns
    -------
    Curves by name: ``unmasked``, ``masked``, ``randomised``, ``corrected``; each (D // 2,).
    """
    unmasked, masked = fsc(half_a, half_b), fsc(half_a, half_b, mask)
    low = np.flatnonzero(unmasked < 0.8)
    start = int(low[0]) if len(low) else len(unmasked)
    start = max(start, 2)
    random = fsc(
        randomise_phases(half_a, start, seed), randomise_phases(half_b, start, seed + 1), mask
    )
    corrected = masked.copy()
    shells = np.arange(len(masked)) > start + 1
    corrected[shells] = (masked[shells] - random[shells]) / np.maximum(1 - random[shells], 1e-3)
    return {"unmasked": unmasked, "masked": masked, "randomised": random, "corrected": corrected}
