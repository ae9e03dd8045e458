"""Deformed backprojection: a map of one state from particles in all, each moved as is known.

The density V on the voxels of a mask is that of least squares,

    Σ_i |y_i − a_i f_i F_i V|² + ε |V|²,

where F_i takes V's voxels to where they are in particle i, those of parts that it lacks left out,
and gives that view's transform (see `DeformedGrid`); f_i is the CTF over the noise amplitude and
a_i the contrast. DynaMight (Schwab et
al., Nature Methods 2024) instead sums deformed backprojections and divides by the weights of
undeformed ones; 3DFlex (Punjani & Fleet, Nature Methods 2023) minimises. Here conjugate gradients
do, preconditioned by those same weights Σ a² f² per Fourier voxel: without motion the first step is
the ordinary consensus, with it a few more follow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.inference._image_source import Batch, ImageSource
from cryosway.optics import fft3_half, frequency_radius, ifft3_half
from cryosway.volumes import DeformedGrid, NormalEquations, Slices

Rows = NDArray[np.int64]
_LEAST_RIDGE = 1e-3  # of the mean weight, as of the ordinary consensus
_LEAST_WEIGHT = 0.05  # of the mean weight, where the preconditioner divides


@final
@dataclass(frozen=True, eq=False)
class MovedParticles:
    """Particles of one molecule whose motions are known.

    Attributes
    ----------
    source
        The images, whitened, to the full radius of the grid's box.
    grid
        The voxels of the state that is solved for.
    frames
        Gives for n rows the frames (n, N, 3, 4) that the voxels follow; see `DeformedGrid`.
    contrast
        Shape (N,), float32.
    present
        Gives for n rows how much (n, N) of what is near each frame they have; all by default.
    """

    source: ImageSource
    grid: DeformedGrid
    frames: Callable[[Rows], Tensor]
    contrast: Tensor
    present: Callable[[Rows], Tensor] | None = None

    def project(self, rows: Rows, watch: Callable[[int], None] | None = None) -> Tensor:
        """Σ_i a_i F_iᵀ f_i y_i over the images in `rows`: the right side, (V,)."""
        total = torch.zeros(len(self.grid), dtype=torch.float64, device=self.grid.device)
        for batch in self.source.batches(rows):
            amount = self._filters(batch)
            seen = torch.view_as_real(batch.slices.values) * amount[..., None]
            total += self.grid.adjoint(seen, *self._place(batch))
            if watch is not None:
                watch(len(batch.index))
        return total

    def normal(
        self, values: Tensor, rows: Rows, watch: Callable[[int], None] | None = None
    ) -> Tensor:
        """Σ_i a_i² F_iᵀ f_i² F_i V over the images in `rows`, (V,)."""
        total = torch.zeros_like(values)
        cast = values.to(self.grid.dtype)
        for batch in self.source.batches(rows):
            place = self._place(batch)
            seen = self.grid.views(cast, *place)
            seen *= self._filters(batch).square()[..., None]
            total += self.grid.adjoint(seen, *place)
            if watch is not None:
                watch(len(batch.index))
        return total

    def _place(self, batch: Batch) -> tuple[Tensor, Slices, Tensor | None]:
        present = None if self.present is None else self.present(batch.index)
        return self.frames(batch.index), batch.slices, present

    def _filters(self, batch: Batch) -> Tensor:
        contrast = self.contrast[torch.from_numpy(batch.index)].to(batch.slices.filters)
        return batch.slices.filters * contrast[:, None]


def accumulate_weighted(
    source: ImageSource,
    half: Tensor,
    contrast: Tensor,
    watch: Callable[[int], None] | None = None,
) -> NormalEquations:
    """Accumulate the particles as they are, each with its contrast, half-sets apart.

    Parameters
    ----------
    source
        Whitened.
    half, contrast
        Shapes (N,): 0 or 1; float32.
    watch
        Told the number of images of each batch that is done.
    """
    equations = NormalEquations(source.radius, 1, parts=2, device=source.device)
    for batch in source:
        rows = torch.from_numpy(batch.index)
        amount = contrast[rows, None].to(source.device)
        part = half[rows].to(source.device)
        equations.add(batch.slices, amount, amount.square(), part)
        if watch is not None:
            watch(len(rows))
    return equations


def solve_unmoved(equations: NormalEquations, part: int) -> Tensor:
    """Give the ordinary map of one half-set, not regularised, (D, D, D)."""
    shells = equations.box // 2
    ridge = _LEAST_RIDGE * equations.weight_power(shells, part).mean()
    return equations.solve(ridge * torch.ones(1, shells), part)[0].cpu()


@final
@dataclass(frozen=True, eq=False)
class FourierWeights:
    """How well data without motion determine each Fourier coefficient of the box.

    Attributes
    ----------
    weights
        Shape (D, D, D//2+1): what `MovedParticles.normal` multiplies a wave by, where nothing
        moves.
    """

    weights: Tensor

    @classmethod
    def of(cls, equations: NormalEquations, part: int) -> "FourierWeights":
        """Take those of one half-set."""
        # Each coefficient counts as its real part does: half of the power of a wave and its mate.
        scale = equations.box**3 / 2
        return cls(scale * equations.box_weights(part))

    @property
    def mean(self) -> float:
        """Mean over the sphere that the data fill."""
        box = len(self.weights)
        return float(self.weights[frequency_radius(box, self.weights.device) < box / 2].mean())

    def divide(self, grid: DeformedGrid, values: Tensor) -> Tensor:
        """Divide voxels (V,) by the weights, in Fourier space: positive definite, symmetric."""
        least = self.mean * _LEAST_WEIGHT
        whole = fft3_half(grid.fill(values.float()).to(self.weights.device))
        divided = ifft3_half(whole / self.weights.clamp(min=least))
        return grid.take(divided).to(values)


@final
@dataclass(frozen=True, eq=False)
class MovedMap:
    """A map of moved particles.

    Attributes
    ----------
    density
        Shape (D, D, D), zero outside the grid's voxels.
    residuals
        After each step, the error of the normal equations over that at the outset, in the norm of
        the preconditioner.
    """

    density: Tensor
    residuals: tuple[float, ...]


def solve_moved(
    particles: MovedParticles,
    rows: Rows,
    weights: FourierWeights,
    *,
    iterations: int = 8,
    tolerance: float = 0.1,
    watch: Callable[[int], None] | None = None,
) -> MovedMap:
    """Solve for the map of some particles by preconditioned conjugate gradients.

    Parameters
    ----------
    particles
        With their motions.
    rows
        Which of them: a half-set.
    weights
        Of the same particles without motion.
    iterations
        Most steps; each is a pass over the images.
    tolerance
        Residual at which to stop.
    watch
        Told the number of images of each batch that is done; `iterations` + 1 passes in all.
    """
    grid, ridge = particles.grid, _LEAST_RIDGE * weights.mean
    left = particles.project(rows, watch)
    values = torch.zeros_like(left)
    divided = weights.divide(grid, left)
    towards, error = divided, torch.dot(left, divided)
    start, residuals = error.clamp(min=1e-300), []
    for _ in range(iterations):
        image = particles.normal(towards, rows, watch) + ridge * towards
        step = error / torch.dot(towards, image).clamp(min=1e-300)
        values = values + step * towards
        left = left - step * image
        divided = weights.divide(grid, left)
        error, before = torch.dot(left, divided), error
        residuals.append(float((error / start).clamp(min=0).sqrt()))
        if residuals[-1] < tolerance:
            break
        towards = divided + (error / before.clamp(min=1e-300)) * towards
    return MovedMap(grid.fill(values.float()).cpu(), tuple(residuals))
