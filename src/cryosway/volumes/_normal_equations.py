"""Closed-form volumes: accumulate weighted slices once, then solve every voxel.

Each image n shows a mixture Σ_c m_c V_c of C volumes. The least-squares solution at a voxel of
the Fourier grid solves the C × C system (Σ f² s_cd + 1/S_c δ_cd) V_d = Σ f d m_c over all data that
reach the voxel, with S_c the prior power of volume c.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numba
import numpy as np
import torch
from torch import Tensor

from cryosway.optics import (
    OVERSAMPLING,
    fft3_half,
    frequency_radius,
    gridding_correction,
)
from cryosway.optics._slice_kernels import scatter_slices
from cryosway.optics._slices import find_corners

_CHUNK = 1 << 18


@dataclass(frozen=True, eq=False)
class Slices:
    """Whitened Fourier data of n images on the P points of a disc.

    Attributes
    ----------
    values
        Shape (n, P), complex64: transform of the centred images over the noise amplitude.
    filters
        Shape (n, P), float32: CTF over the noise amplitude.
    rotations
        Shape (n, 3, 3), float32.
    points
        Shape (P, 2), float32: (kx, ky) in Fourier pixels.
    """

    values: Tensor
    filters: Tensor
    rotations: Tensor
    points: Tensor


@final
class NormalEquations:
    """Accumulated normal equations of C volumes, separately for each part of the data.

    Parameters
    ----------
    radius
        Largest |k| of the data, Fourier pixels; the volumes have 2 (radius + 1) voxels a side.
    channels
        Number C of volumes solved for jointly (`coupled`), or each alone.
    parts
        Number of independent accumulators, as 2 for half-sets.
    coupled
        Whether the volumes share their data: Q = C (C + 1) / 2 weights, else Q = C.
    device
        Where to accumulate; the CPU uses the compiled kernel, others plain torch.
    """

    def __init__(
        self,
        radius: int,
        channels: int,
        *,
        parts: int = 2,
        coupled: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        self.box = 2 * (radius + 1)
        self.size = OVERSAMPLING * self.box
        self.channels = channels
        self.pairs = np.triu_indices(channels) if coupled else (np.arange(channels),) * 2
        self.width = 2 * channels + len(self.pairs[0])
        voxels = self.size * self.size * (self.size // 2 + 1)
        self.sums = torch.zeros(parts, voxels, self.width, device=device)
        self._symmetric = False

    def add(self, slices: Slices, first: Tensor, second: Tensor, part: Tensor) -> None:
        """Add images.

        Parameters
        ----------
        slices
            The data of n images.
        first
            Shape (n, C): E[m_c], the volumes' expected amounts in each image.
        second
            Shape (n, C, C): E[m_c m_d]; or (n, C), its diagonal, when uncoupled.
        part
            Shape (n,), integer: which accumulator; −1 for none.
        """
        self._require_open()
        packed = second[:, self.pairs[0], self.pairs[1]] if second.ndim == 3 else second
        moments = torch.cat([first, packed], dim=1).to(self.sums)
        part = part.to(self.sums.device, torch.int64)
        if self.sums.device.type == "cpu":
            parts = self.sums.shape[0]
            scatter_slices(
                self.sums.numpy(),
                slices.rotations.numpy(),
                slices.points.numpy(),
                slices.values.numpy(),
                slices.filters.numpy(),
                moments.contiguous().numpy(),
                part.numpy(),
                self.size,
                max(1, numba.get_num_threads() // parts),
            )
        else:
            self._add_plain(slices, moments, part)

    def add_mixture(self, other: "NormalEquations", mixing: Tensor, part: int = 0) -> None:
        """Add to every volume of one part a combination of the first part of others.

        Both are uncoupled. Whatever weighs data by Σ_r u_r(n) mixing_rc can gather the few
        channels u_r first: scattering is the costly step, this one a pass through memory.

        Parameters
        ----------
        other
            R uncoupled volumes on the same grid, still open.
        mixing
            Shape (R, C).
        part
            Which accumulator takes them.
        """
        self._require_open()
        mixing = mixing.to(self.sums)
        mine, theirs = self.sums[part], other.sums[0]
        mine.view(-1, self.channels).addmm_(theirs.view(-1, other.channels), mixing)

    def clear(self) -> None:
        """Start again from nothing, in the same memory."""
        self.sums.zero_()
        self._symmetric = False

    def pick(self, channel: int) -> "NormalEquations":
        """Copy one of several uncoupled volumes."""
        columns = [channel, self.channels + channel, 2 * self.channels + channel]
        picked = object.__new__(NormalEquations)
        picked.__dict__.update(self.__dict__)
        picked.channels, picked.width, picked.pairs = 1, 3, (np.arange(1),) * 2
        picked.sums = self.sums[..., columns]
        return picked

    def _require_open(self) -> None:
        if self._symmetric:
            msg = "these normal equations are closed: they have been solved"
            raise RuntimeError(msg)

    def _add_plain(self, slices: Slices, moments: Tensor, part: Tensor) -> None:
        """Add as the kernel does, in plain torch: its truthful twin, on any device."""
        indices, weights, flip = find_corners(slices.points, slices.rotations, self.size)
        data = slices.filters * slices.values
        data = torch.where(flip, data.conj(), data)
        c = self.channels
        rows = torch.cat(
            [
                data.real[..., None] * moments[:, None, :c],
                data.imag[..., None] * moments[:, None, :c],
                slices.filters.square()[..., None] * moments[:, None, c:],
            ],
            dim=-1,
        )
        for which in range(self.sums.shape[0]):
            chosen = part == which
            for corner in range(8):
                self.sums[which].index_add_(
                    0,
                    indices[corner][chosen].flatten(),
                    (rows[chosen] * weights[corner][chosen][..., None]).flatten(0, 1),
                )

    def _symmetrize(self) -> None:
        """Add to the plane kx = 0 the Friedel mates of its points, in place, once."""
        if self._symmetric:
            return
        self._symmetric = True
        size = self.size
        c = self.channels
        for sums in self.sums:
            grid = sums.view(size, size, size // 2 + 1, self.width)
            plane = grid[:, :, 0]
            mates = torch.roll(plane.flip(0, 1), (1, 1), (0, 1))
            mates[..., c : 2 * c] *= -1
            grid[:, :, 0] = plane + mates

    def weight_power(self, shells: int, part: int | None = None) -> Tensor:
        """Mean weight Σ f² s_cc of a coefficient of the box, per shell and volume: (C, shells).

        The oversampled grid has `OVERSAMPLING`³ voxels to each, which share its data.
        """
        self._symmetrize()
        diagonal = [q for q, (a, b) in enumerate(zip(*self.pairs, strict=True)) if a == b]
        columns = slice(2 * self.channels, None)
        _, shell = self._inside
        sums = self.sums.new_zeros(max(shells, self.box // 2), self.channels)
        for at, index in self._chunks():
            sums.index_add_(0, index, self._rows(at, part, columns)[:, diagonal])
        counts = torch.bincount(shell, minlength=len(sums))[:, None].clamp(min=1)
        return OVERSAMPLING**3 * (sums / counts)[:shells].T

    def box_weights(self, part: int | None = None) -> Tensor:
        """Weight Σ f² of each coefficient of the box, of one volume: (box, box, box // 2 + 1).

        It is that of the data nearby, as a density that fills the box cannot part them; never
        negative.
        """
        self._symmetrize()
        weight = self._rows(self._inside[0], part, slice(-1, None))[:, 0]
        spread = self._to_density(weight.to(torch.complex64))
        return OVERSAMPLING**3 * fft3_half(spread).real.clamp(min=0)

    @cached_property
    def _inside(self) -> tuple[Tensor, Tensor]:
        """Voxels (flat) within the last shell of the box, and the shell of each."""
        radius = frequency_radius(self.size, self.sums.device).flatten()
        shell = (radius / OVERSAMPLING).round().to(torch.int32)
        inside = (shell < self.box // 2).nonzero()[:, 0]
        return inside, shell[inside].long()

    def _chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Voxels and shells of `_inside`, some at a time."""
        inside, shell = self._inside
        return zip(torch.split(inside, _CHUNK), torch.split(shell, _CHUNK), strict=True)

    def _rows(self, at: Tensor, part: int | None, columns: slice = slice(None)) -> Tensor:
        """Read the sums of some voxels, of one part or of all together."""
        chosen = self.sums if part is None else self.sums[part : part + 1]
        return chosen[:, at, columns].sum(0)

    def solve(self, inverse_prior: Tensor, part: int | None = None) -> Tensor:
        """Solve for the volumes of one part, or of all parts together.

        Parameters
        ----------
        inverse_prior
            Shape (C, shells): 1 / S_c, the inverse prior power of each volume's transform on
            the box (as `shell_power` measures it), in the units of the whitened weights.
        part
            Which accumulator; all together by default.

        Returns
        -------
        Shape (C, box, box, box), float32, corrected for gridding, not masked.
        """
        self._symmetrize()
        inside, _ = self._inside
        # A density that fills the padded box has OVERSAMPLING³ times the power of one that
        # fills the box: without this, a grid voxel with an eighth of the data would be damped
        # as if it had to stand alone.
        ridge = inverse_prior.T.to(self.sums) / OVERSAMPLING**3
        solution = torch.empty(
            self.channels, len(inside), dtype=torch.complex64, device=self.sums.device
        )
        start = 0
        for at, shell in self._chunks():
            ridges = ridge[shell.clamp(max=len(ridge) - 1)]
            solved = self._solve_voxels(self._rows(at, part), ridges)
            solution[:, start : start + len(at)] = torch.view_as_complex(solved.contiguous()).T
            start += len(at)
        return torch.stack([self._to_density(volume) for volume in solution])

    def _solve_voxels(self, rows: Tensor, ridges: Tensor) -> Tensor:
        c = self.channels
        right = torch.stack([rows[:, :c], rows[:, c : 2 * c]], dim=-1)
        if len(self.pairs[0]) == c:  # uncoupled, or a single volume
            return right / (rows[:, 2 * c :] + ridges)[..., None]
        matrix = rows.new_zeros(len(rows), c, c)
        matrix[:, self.pairs[0], self.pairs[1]] = rows[:, 2 * c :]
        matrix[:, self.pairs[1], self.pairs[0]] = rows[:, 2 * c :]
        matrix.diagonal(dim1=1, dim2=2).add_(ridges)
        scale = matrix.diagonal(dim1=1, dim2=2).rsqrt()
        matrix = matrix * scale[:, :, None] * scale[:, None, :]
        matrix.diagonal(dim1=1, dim2=2).add_(1e-6)
        factor = torch.linalg.cholesky(matrix)
        return torch.cholesky_solve(right * scale[..., None], factor) * scale[..., None]

    def _to_density(self, values: Tensor) -> Tensor:
        """Density of the box, given the transform at the voxels `_inside`.

        An inverse transform, axis by axis; of each axis only the box is kept.
        """
        size, half = self.size, self.box // 2
        grid = values.new_zeros(size * size * (size // 2 + 1))
        grid[self._inside[0]] = values
        grid = grid.view(size, size, size // 2 + 1)
        for axis in (0, 1):
            grid = _keep_box(torch.fft.ifft(grid, dim=axis), axis, half)
        density = _keep_box(torch.fft.irfft(grid, n=size, dim=2), 2, half)
        return density / gridding_correction(self.box, density.dtype, density.device)


def _keep_box(padded: Tensor, axis: int, half: int) -> Tensor:
    """Bring the origin from index 0 to the middle of 2 · half voxels along an axis."""
    before = padded.narrow(axis, padded.shape[axis] - half, half)
    return torch.cat([before, padded.narrow(axis, 0, half)], dim=axis)
