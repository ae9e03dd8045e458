"""The independent Fourier coefficients of an image inside a resolution disc."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Disc:
    """Half-plane coefficients with |k| ≤ radius, each independent one exactly once.

    Attributes
    ----------
    box
        Image size D in pixels.
    radius
        In Fourier pixels, at most D/2 − 1 so that every point has its Friedel mate.
    points
        Shape (P, 2), int32: (kx, ky), kx ≥ 0, and ky ≥ 0 where kx = 0.
    flat
        Shape (P,), int64: index into the flattened (D, D//2+1) half plane.
    shell
        Shape (P,), int64: rounded |k|, 0 … radius.
    """

    box: int
    radius: int
    points: Tensor
    flat: Tensor
    shell: Tensor

    @property
    def frequencies(self) -> Tensor:
        """Shape (P, 2), float32, cycles/pixel."""
        return self.points.to(torch.float32) / self.box

    def pack(self, half_plane: Tensor) -> Tensor:
        """Gather (..., D, D//2+1) to (..., P)."""
        return half_plane.flatten(-2).index_select(-1, self.flat.to(half_plane.device))

    def unpack(self, packed: Tensor) -> Tensor:
        """Scatter (..., P) into a half plane (..., D, D//2+1), zero outside the disc."""
        half_plane = packed.new_zeros(*packed.shape[:-1], self.box * (self.box // 2 + 1))
        half_plane.index_copy_(-1, self.flat.to(packed.device), packed)
        half_plane = half_plane.reshape(*packed.shape[:-1], self.box, self.box // 2 + 1)
        # The column kx = 0 holds both members of each Friedel pair.
        half = self.box // 2
        mates = half_plane[..., 1:half, 0].flip(-1)
        half_plane[..., half + 1 :, 0] = mates.conj() if packed.is_complex() else mates
        return half_plane


@lru_cache(maxsize=64)
def make_disc(box: int, radius: int) -> Disc:
    """Build the `Disc` of a box (pixels, even) up to a radius in Fourier pixels."""
    if radius > box // 2 - 1:
        msg = f"disc radius {radius} exceeds box/2 − 1 = {box // 2 - 1}"
        raise ValueError(msg)
    ky = torch.fft.fftfreq(box, 1 / box).round().to(torch.int32)
    kx = torch.arange(box // 2 + 1, dtype=torch.int32)
    grid_y, grid_x = torch.meshgrid(ky, kx, indexing="ij")
    r2 = grid_x.long() ** 2 + grid_y.long() ** 2
    keep = (r2 <= radius**2) & ((grid_x > 0) | (grid_y >= 0))
    points = torch.stack([grid_x[keep], grid_y[keep]], dim=-1)
    flat = keep.flatten().nonzero()[:, 0]
    shell = r2[keep].double().sqrt().round().long()
    return Disc(box, radius, points, flat, shell)
