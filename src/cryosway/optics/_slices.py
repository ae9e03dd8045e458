"""Central slices of oversampled Fourier volumes, and their exact adjoint.

A *Fourier grid* is the half transform of a volume zero-padded by `OVERSAMPLING` to M voxels,
origin at the centre: shape (M, M, M//2+1) complex (kz, ky in FFT order, kx ≥ 0), or with a last
axis of C channels. Slices are read by trilinear interpolation; the volume is divided beforehand
by the interpolation kernel's transform sinc² (the gridding correction).

These are the plain torch versions: differentiable, on any device and precision. The compiled
versions for the CPU are in `_slice_kernels.py`; tests hold the two together.
"""

from functools import lru_cache

import torch
from torch import Tensor

from cryosway.optics._transforms import fft3_half, ifft3_half

OVERSAMPLING = 2


@lru_cache(maxsize=16)
def gridding_correction(box: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Transform of the trilinear kernel over a box: Π sinc²(x / M), shape (D, D, D)."""
    x = (torch.arange(box, device=device, dtype=dtype) - box // 2) / (OVERSAMPLING * box)
    sinc2 = torch.sinc(x) ** 2
    return sinc2[:, None, None] * sinc2[None, :, None] * sinc2[None, None, :]


def _pad_volume(volumes: Tensor, box: int) -> Tensor:
    before = (box - volumes.shape[-1]) // 2
    after = box - volumes.shape[-1] - before
    return torch.nn.functional.pad(volumes, (before, after) * 3)


def volume_to_grid(volumes: Tensor) -> Tensor:
    """Oversampled Fourier grid of real volumes, ready for `extract_slices`.

    Parameters
    ----------
    volumes
        Shape (..., D, D, D), real.

    Returns
    -------
    Shape (..., M, M, M//2+1), complex, with M = 2 D.
    """
    box = volumes.shape[-1]
    corrected = volumes / gridding_correction(box, volumes.dtype, volumes.device)
    return fft3_half(_pad_volume(corrected, OVERSAMPLING * box))


def grid_to_volume(grid: Tensor) -> Tensor:
    """Density of a Fourier grid: the inverse of `volume_to_grid`, (..., D, D, D)."""
    padded = ifft3_half(grid)
    box = padded.shape[-1] // OVERSAMPLING
    low = (padded.shape[-1] - box) // 2
    inner = slice(low, low + box)
    volume = padded[..., inner, inner, inner]
    return volume * gridding_correction(box, volume.dtype, volume.device)


def find_corners(points: Tensor, rotations: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Flat indices and weights of the 8 corners, and which points were Friedel-flipped."""
    real = rotations.dtype
    k2 = points.to(dtype=real, device=rotations.device)
    # Rᵀ [kx, ky, 0] = kx R[0, :] + ky R[1, :]
    k3 = OVERSAMPLING * torch.einsum("pa,nac->npc", k2, rotations[:, :2, :])
    flip = k3[..., 0] < 0
    k3 = torch.where(flip[..., None], -k3, k3)
    base = torch.floor(k3)
    frac = k3 - base
    base = base.long()
    indices, weights = [], []
    for corner in range(8):
        offset = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2], device=k3.device)
        at = base + offset
        x, y, z = at[..., 0], at[..., 1] % size, at[..., 2] % size
        indices.append((z * size + y) * (size // 2 + 1) + x)
        weight = torch.where(offset.bool(), frac, 1 - frac).prod(-1)
        weights.append(weight)
    return torch.stack(indices), torch.stack(weights), flip


def extract_slices(grid: Tensor, rotations: Tensor, points: Tensor) -> Tensor:
    """Read central slices: V̂(Rᵀ [k, 0]) by trilinear interpolation.

    Parameters
    ----------
    grid
        Shape (M, M, M//2+1), complex.
    rotations
        Shape (N, 3, 3), real: x_image = R x_reference (may carry a change of scale).
    points
        Shape (P, 2): (kx, ky) in Fourier pixels of the unpadded box, |k| ≤ D/2 − 1.

    Returns
    -------
    Shape (N, P), complex.
    """
    indices, weights, flip = find_corners(points, rotations, grid.shape[0])
    values = (grid.reshape(-1)[indices] * weights).sum(0)
    return torch.where(flip, values.conj(), values)


def insert_slices(values: Tensor, rotations: Tensor, points: Tensor, size: int) -> Tensor:
    """Adjoint of `extract_slices`: spread slice values onto a grid of M = `size`.

    Adjoint under ⟨a, b⟩ = Re Σ a* b with every stored grid coefficient an independent number.
    Use `symmetrize_grid` to make the result the half of a Hermitian volume.
    """
    indices, weights, flip = find_corners(points, rotations, size)
    spread = torch.where(flip, values.conj(), values) * weights
    grid = values.new_zeros(size * size * (size // 2 + 1))
    grid.index_add_(0, indices.reshape(-1), spread.reshape(-1).to(grid.dtype))
    return grid.reshape(size, size, size // 2 + 1)


def symmetrize_grid(grid: Tensor) -> Tensor:
    """Add to the plane kx = 0 the mates of its points: the accumulated sum of ±k.

    A point near the plane spreads to it, its Friedel mate on the other side likewise; only one
    of the two was inserted. Shape (M, M, M//2+1[, C]), real or complex; done in place.
    """
    plane = grid[:, :, 0]
    mates = torch.roll(plane.flip(0, 1), (1, 1), (0, 1))
    grid[:, :, 0] = plane + (mates.conj() if grid.is_complex() else mates)
    return grid
