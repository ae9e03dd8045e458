"""A mean and K components on a voxel grid: the volume that is linear in z."""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.optics import OVERSAMPLING, resize_volumes, volume_to_grid
from cryosway.optics._slice_kernels import gather_slices
from cryosway.optics._slices import find_corners
from cryosway.volumes._normal_equations import Slices


@final
@dataclass(frozen=True, eq=False)
class BasisGrid:
    """V(z) = mean + Σ_k z_k component_k, z_k ~ N(0, variance_k).

    Attributes
    ----------
    volumes
        Shape (1 + K, D, D, D), float32, real space: the mean, then the components, which are
        orthonormal on the box where they were fitted.
    variances
        Shape (K,), float64: prior variance of each latent.
    """

    volumes: Tensor
    variances: NDArray[np.float64]

    @property
    def box(self) -> int:
        """Voxels a side."""
        return int(self.volumes.shape[-1])

    @property
    def components(self) -> int:
        """Number K of components."""
        return len(self.variances)

    def volume(self, z: Tensor) -> Tensor:
        """Density at latent z, shape (K,): (D, D, D)."""
        weights = torch.cat([torch.ones(1, dtype=self.volumes.dtype), z.to(self.volumes.dtype)])
        return torch.einsum("c,cxyz->xyz", weights, self.volumes)

    def first(self, components: int) -> "BasisGrid":
        """Give the same with only the first `components` components."""
        return BasisGrid(self.volumes[: 1 + components], self.variances[:components])

    def resized(self, box: int) -> "BasisGrid":
        """Give the same in another box, Fourier values and the units of z kept."""
        return BasisGrid(resize_volumes(self.volumes, box), self.variances)


@final
class SliceReader:
    """Reads central slices of C volumes at once, from their oversampled Fourier grid.

    Parameters
    ----------
    volumes
        Shape (C, D, D, D), real.
    """

    def __init__(self, volumes: Tensor) -> None:
        self.channels = len(volumes)
        self.size = OVERSAMPLING * volumes.shape[-1]
        grids = torch.stack([volume_to_grid(v).flatten() for v in volumes], dim=-1)
        self._grid = torch.cat([grids.real, grids.imag], dim=-1).contiguous()

    def read(self, slices: Slices, rotations: Tensor | None = None) -> Tensor:
        """Central slices at the views and points of `slices`, shape (n, P, 2, C): (re, im).

        Other `rotations` (n, 3, 3) may require gradients, which then flow to them.
        """
        n, points = slices.values.shape
        if self._grid.device.type == "cpu" and rotations is None:
            out = np.empty((n, points, 2 * self.channels), np.float32)
            gather_slices(
                self._grid.numpy(),
                self.size,
                slices.rotations.numpy(),
                slices.points.numpy(),
                out,
            )
            return torch.from_numpy(out).view(n, points, 2, self.channels)
        indices, weights, flip = find_corners(
            slices.points, slices.rotations if rotations is None else rotations, self.size
        )
        rows = self._grid.new_zeros(n, points, 2 * self.channels)
        for corner in range(8):
            rows += self._grid[indices[corner]] * weights[corner][..., None]
        rows = rows.view(n, points, 2, self.channels)
        rows[:, :, 1] *= torch.where(flip, -1.0, 1.0)[..., None]
        return rows
