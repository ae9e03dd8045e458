"""Bring density maps to another voxel size and box."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cryosway.optics import crop_fourier, fft3_half, ifft3_half

FloatingArray = NDArray[np.floating[Any]]

_TOLERANCE = 1e-3


def resample_volume(volume: FloatingArray, ratio: float) -> FloatingArray | None:
    """Resample a cube by Fourier cropping or padding; the origin stays voxel D/2.

    Parameters
    ----------
    volume
        Shape (D, D, D), D even.
    ratio
        Old voxel size / new voxel size. The cube is padded with zeros until a whole even
        number of new voxels spans it within 0.1 %.

    Returns
    -------
    A cube of another even size, its values on the same level; None where no padding to twice
    the size would do.
    """
    box = volume.shape[0]
    for padded in range(box, 2 * box + 1, 2):
        size = 2 * round(padded * ratio / 2)
        if size > 0 and abs(size - padded * ratio) < _TOLERANCE * size:
            return _resize(fit_cube(volume, padded), size)
    return None


def _resize(volume: FloatingArray, size: int) -> FloatingArray:
    if size > volume.shape[0]:
        return _pad_fourier(volume, size)
    transform = fft3_half(torch.from_numpy(np.ascontiguousarray(volume, np.float64)))
    return np.asarray(ifft3_half(crop_fourier(transform, size, 3)).numpy())


def _pad_fourier(volume: FloatingArray, size: int) -> FloatingArray:
    box = volume.shape[0]
    whole = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(volume)))
    whole[0] = whole[:, 0] = whole[:, :, 0] = 0
    padded = np.pad(whole, (size - box) // 2)
    resized = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(padded)).real)
    return np.asarray(resized * (size / box) ** 3)


def fit_cube(volume: FloatingArray, box: int) -> FloatingArray:
    """Crop or zero-pad a cube about its centre, voxel D/2."""
    start = volume.shape[0] // 2 - box // 2
    if start >= 0:
        return volume[(slice(start, start + box),) * 3]
    return np.pad(volume, (-start, box - volume.shape[0] + start))
