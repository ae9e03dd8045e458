"""Averages over Fourier shells of volumes, and changes of box that keep Fourier values."""

from functools import lru_cache

import torch
from torch import Tensor

from cryosway.optics._transforms import fft3_half, ifft3_half


@lru_cache(maxsize=16)
def frequency_radius(size: int, device: torch.device) -> Tensor:
    """|k| in Fourier pixels on the half transform of a volume, shape (D, D, D//2+1), float32."""
    k = torch.fft.fftfreq(size, 1 / size, device=device)
    kx = torch.arange(size // 2 + 1, device=device, dtype=k.dtype)
    return torch.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + kx**2)


def shell_power(volumes: Tensor, shells: int) -> Tensor:
    """Mean |F|² of volumes per rounded shell 0 … shells−1.

    Parameters
    ----------
    volumes
        Shape (C, D, D, D), real.
    shells
        Number of shells; what lies beyond is left out.

    Returns
    -------
    Shape (C, shells).
    """
    index = frequency_radius(volumes.shape[-1], volumes.device).round().long().flatten()
    inside = index < shells
    index = index[inside]
    power = fft3_half(volumes).abs().square().flatten(1)[:, inside]
    count = torch.bincount(index, minlength=shells).clamp(min=1)
    total = power.new_zeros(len(volumes), shells).index_add_(1, index, power)
    return total / count


def filter_volumes(volumes: Tensor, shell_gains: Tensor) -> Tensor:
    """Multiply each rounded shell of volumes (C, D, D, D) by its gain.

    Gains have shape (shells,), or (C, shells) for one set per volume; shells past the end get the
    last one.
    """
    index = frequency_radius(volumes.shape[-1], volumes.device).round().long()
    gains = shell_gains[..., index.clamp(max=shell_gains.shape[-1] - 1)]
    return ifft3_half(fft3_half(volumes) * gains)


def resize_volumes(volumes: Tensor, box: int) -> Tensor:
    """Change the sampling of volumes (..., D, D, D) to `box` voxels, keeping Fourier values.

    Frequencies beyond the smaller box are dropped or zero. Real-space values scale by
    (D / box)³, since the transform is an unnormalised sum.
    """
    old = volumes.shape[-1]
    if old == box:
        return volumes
    half = min(old, box) // 2
    transform = fft3_half(volumes)
    resized = transform.new_zeros(*volumes.shape[:-3], box, box, box // 2 + 1)
    low = torch.arange(-half + 1, half, device=volumes.device)
    source, target = low % old, low % box
    part = transform[..., source, :, :half][..., source, :]
    resized[..., target[:, None], target[None, :], :half] = part
    return ifft3_half(resized)
