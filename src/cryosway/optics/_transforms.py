"""Fourier transforms of images and volumes whose origin is pixel D/2.

The half plane keeps kx ≥ 0 (Friedel's law gives the rest): arrays (..., ky, kx) or
(..., kz, ky, kx) with ky, kz in FFT order and kx = 0 … D/2, as ``torch.fft.rfftn`` lays them
out, times the sign (−1)^(kx+ky+kz) that moves the origin from pixel 0 to pixel D/2.
"""

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=32)
def _origin_sign(box: int, ndim: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(−1)^(sum of indices) on the half plane; FFT order keeps parity because box is even."""
    parity = torch.arange(box, device=device) % 2
    half = torch.arange(box // 2 + 1, device=device) % 2
    total = half
    for axis in range(1, ndim):
        total = parity.reshape(-1, *(1,) * axis) + total
    return (1 - 2 * (total % 2)).to(dtype)


def _require_even(box: int) -> None:
    if box % 2:
        msg = f"transforms are defined for even boxes, not {box}"
        raise ValueError(msg)


def _forward(array: Tensor, ndim: int) -> Tensor:
    box = array.shape[-1]
    _require_even(box)
    axes = tuple(range(-ndim, 0))
    transform: Tensor = torch.fft.rfftn(array, dim=axes)
    return transform * _origin_sign(box, ndim, array.dtype, array.device)


def _inverse(transform: Tensor, ndim: int) -> Tensor:
    box = 2 * (transform.shape[-1] - 1)
    axes = tuple(range(-ndim, 0))
    sign = _origin_sign(box, ndim, transform.real.dtype, transform.device)
    array: Tensor = torch.fft.irfftn(transform * sign, s=(box,) * ndim, dim=axes)
    return array


def fft2_half(images: Tensor) -> Tensor:
    """Transform images (..., D, D) with origin at pixel D/2 to (..., D, D//2+1), complex.

    F(k) = Σₓ f(x) exp(−2πi k·(x − D/2)/D), unnormalised.
    """
    return _forward(images, 2)


def ifft2_half(transform: Tensor) -> Tensor:
    """Invert `fft2_half`: (..., D, D//2+1) to real images (..., D, D)."""
    return _inverse(transform, 2)


def fft3_half(volumes: Tensor) -> Tensor:
    """Transform volumes (..., D, D, D) with origin at voxel D/2 to (..., D, D, D//2+1)."""
    return _forward(volumes, 3)


def ifft3_half(transform: Tensor) -> Tensor:
    """Invert `fft3_half`: (..., D, D, D//2+1) to real volumes (..., D, D, D)."""
    return _inverse(transform, 3)


def half_plane_frequencies(
    box: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Tensor:
    """Frequencies (x, y) in cycles/pixel of the half plane, shape (D, D//2+1, 2)."""
    ky = torch.fft.fftfreq(box, dtype=dtype, device=device)
    kx = torch.fft.rfftfreq(box, dtype=dtype, device=device)
    return torch.stack([kx.expand(box, -1), ky[:, None].expand(-1, len(kx))], dim=-1)


def shift_images(transform: Tensor, shifts_px: Tensor) -> Tensor:
    """Move the content of images by (x, y) pixels: multiply by exp(−2πi k·shift).

    Parameters
    ----------
    transform
        Shape (N, D, D//2+1), complex, from `fft2_half`.
    shifts_px
        Shape (N, 2), pixels. With a particle's stored shift, its content comes to the centre.
    """
    box = transform.shape[-2]
    real = transform.real.dtype
    ky = torch.fft.fftfreq(box, dtype=real, device=transform.device)
    kx = torch.fft.rfftfreq(box, dtype=real, device=transform.device)
    shifts = shifts_px.to(dtype=real, device=transform.device)
    phase_x = torch.exp(-2j * torch.pi * shifts[:, :1] * kx)
    phase_y = torch.exp(-2j * torch.pi * shifts[:, 1:] * ky)
    return transform * phase_y[:, :, None] * phase_x[:, None, :]


def _crop_axis_indices(box_from: int, box_to: int, device: torch.device) -> Tensor:
    half = box_to // 2
    low = torch.arange(half, device=device)
    high = torch.arange(box_from - half, box_from, device=device)
    return torch.cat([low, high])


def crop_fourier(transform: Tensor, box: int, ndim: int) -> Tensor:
    """Keep the low frequencies of a half-plane transform: an image or volume on `box` pixels.

    Values are scaled by (box / D)^ndim, so that real-space values keep their level.

    Parameters
    ----------
    transform
        Shape (..., D, D//2+1) or (..., D, D, D//2+1).
    box
        New even size, at most D.
    ndim
        2 for images, 3 for volumes.
    """
    old = 2 * (transform.shape[-1] - 1)
    _require_even(box)
    if box == old:
        return transform
    if box > old:
        msg = f"cannot crop to {box}, which is larger than {old}"
        raise ValueError(msg)
    rows = _crop_axis_indices(old, box, transform.device)
    cropped = transform[..., : box // 2 + 1]
    for axis in range(-ndim, -1):
        cropped = cropped.index_select(axis, rows)
    # The new Nyquist plane holds one of two frequencies ±D/2 and is not Hermitian: drop it.
    cropped[..., box // 2] = 0
    for axis in range(-ndim, -1):
        cropped.select(axis, box // 2).zero_()
    return cropped * (box / old) ** ndim
