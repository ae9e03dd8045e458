"""Maps at a point of latent space: kernel-weighted backprojection of the particles around it.

For each of several bandwidths, every particle counts with exp(−d² / 2h²), where
d² = (z − z_i)ᵀ Λ_i (z − z_i) is its distance in units of its own posterior precision Λ_i. A narrow
kernel has little bias and much noise, a wide one the opposite, and which is right depends on the
frequency and on how much the region moves; so the maps are combined per shell (and region) with
the weights that best predict the *other* half-set's narrowest, least biased map.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.inference._image_source import ImageSource
from cryosway.inference._kernel_rings import cut_rings
from cryosway.inference._posterior import GaussianPosterior
from cryosway.optics import fft3_half, frequency_radius, ifft3_half
from cryosway.volumes import NormalEquations

FloatArray = NDArray[np.float64]
# h = 1 weighs a particle by its posterior density at z. Narrower kernels are not less biased:
# they pick the particles whose noise, not whose conformation, puts them at z.
BANDWIDTHS = (1.0, 1.5, 2.2, 3.5, 6.0)
_SMALLEST_WEIGHT = 0.01
_DIMENSIONS = 6  # in which neighbours are looked for
_RIDGE = 0.05  # of the mean weight of the shell
_NOTHING = 1e-30  # a shell that no particle has seen is zero


@dataclass(frozen=True, eq=False)
class LatentKernel:
    """Who counts how much at a point of latent space.

    Attributes
    ----------
    posterior
        Of all N particles.
    half
        Shape (N,), 0 or 1.
    bandwidths
        h of each kernel, in posterior standard deviations, from narrow to wide.
    """

    posterior: GaussianPosterior
    half: Tensor
    bandwidths: Sequence[float] = BANDWIDTHS

    @cached_property
    def _leading(self) -> NDArray[np.int64]:
        """Latents that are known best: in more dimensions no particle has neighbours."""
        mean, covariance = self.posterior.mean, self.posterior.covariance
        known = mean.var(0) / np.maximum(np.einsum("nkk->k", covariance) / len(mean), 1e-30)
        return np.sort(np.argsort(-known, kind="stable")[:_DIMENSIONS])

    @cached_property
    def _roots(self) -> FloatArray:
        leading = self.posterior.covariance[:, self._leading][:, :, self._leading]
        return np.asarray(np.linalg.cholesky(leading))

    def distances(self, z: FloatArray) -> FloatArray:
        """d² of every particle to latent z, shape (N,)."""
        away = (self.posterior.mean - z)[:, self._leading]
        whitened = np.linalg.solve(self._roots, away[..., None])
        return np.asarray(np.square(whitened[..., 0]).sum(-1))

    def weights(self, z: FloatArray) -> FloatArray:
        """Weight of every particle for each bandwidth, shape (N, B), in [0, 1]."""
        d2 = self.distances(z)[:, None]
        weights = np.exp(-0.5 * d2 / np.square(self.bandwidths))
        return np.where(weights < _SMALLEST_WEIGHT, 0.0, weights)

    def accumulate(self, source: ImageSource, z: FloatArray) -> tuple[NormalEquations, FloatArray]:
        """Accumulate all bandwidths in one pass over the particles in reach.

        Returns
        -------
        The normal equations (B channels, two halves), and the weights (N, B).
        """
        weights = self.weights(z)
        equations = self.open_equations(source, parts=2)
        if len(self.bandwidths) == 1:
            reached = np.flatnonzero(weights[:, 0] > 0)
            self._scatter(equations, source, reached, weights[reached], self.half[reached])
            return equations, weights
        for half in (0, 1):
            self.add_half(equations, source, weights, half, part=half)
        return equations, weights

    def open_equations(self, source: ImageSource, parts: int = 1) -> NormalEquations:
        """Empty normal equations of B channels."""
        return self._open(source, len(self.bandwidths), parts)

    def add_half(
        self,
        equations: NormalEquations,
        source: ImageSource,
        weights: FloatArray,
        half: int | None,
        part: int = 0,
    ) -> None:
        """Add the particles of one half-set, or of both, ring by ring.

        Parameters
        ----------
        equations
            Of `open_equations`.
        source
            The particles.
        weights
            Shape (N, B), of all particles.
        half
            0 or 1; None for all particles.
        part
            Which accumulator takes them.
        """
        members = np.ones(len(weights), bool) if half is None else self.half.numpy() == half
        few: NormalEquations | None = None
        for ring in cut_rings(weights * members[:, None]):
            rank = ring.basis.shape[1]
            if few is None or few.channels != rank:
                few = None  # its memory goes before the next is taken
                few = self._open(source, rank)
            few.clear()
            self._scatter(few, source, ring.rows, ring.basis, torch.zeros(len(ring.rows)))
            equations.add_mixture(few, torch.from_numpy(ring.mixing), part)

    @staticmethod
    def _open(source: ImageSource, channels: int, parts: int = 1) -> NormalEquations:
        return NormalEquations(
            source.radius, channels, parts=parts, coupled=False, device=source.device
        )

    def _scatter(
        self,
        equations: NormalEquations,
        source: ImageSource,
        rows: NDArray[np.int64],
        weights: FloatArray,
        part: Tensor,
    ) -> None:
        """Add n particles with weights (n, channels), each times its contrast, to parts (n,)."""
        contrast = self.posterior.contrast[rows]
        power = contrast**2 + self.posterior.contrast_variance[rows]
        first = torch.from_numpy(weights * contrast[:, None])
        second = torch.from_numpy(weights * power[:, None])
        start = 0
        for batch in source.batches(rows):
            here = slice(start, start + len(batch.index))
            equations.add(batch.slices, first[here], second[here], part[here])
            start = here.stop


def solve_kernels(equations: NormalEquations, part: int | None = None) -> Tensor:
    """Solve for the maps of accumulated kernels, not damped: (B, D, D, D).

    A prior would damp the fine shells of a kernel with few particles, and what the mask then
    carries there from the strong coarse ones would be all that is left: the same in both
    half-sets, and wrong. So only what is hardly seen is held back, and every shell as a whole
    keeps its scale; the mixture damps, after the mask.
    """
    weight = equations.weight_power(equations.box // 2, part)
    ridge = _RIDGE * weight.clamp(min=_NOTHING)
    return equations.solve(ridge, part).cpu()


@final
@dataclass(frozen=True, eq=False)
class ShellMixture:
    """Weights that combine candidate maps, per shell and region.

    Attributes
    ----------
    gains
        Shape (regions, candidates, shells).
    regions
        Shape (regions, D, D, D): soft masks that add up to the solvent mask.
    """

    gains: Tensor
    regions: Tensor

    def combine(self, candidates: Tensor) -> Tensor:
        """Combine candidate maps (B, D, D, D) into one, masked."""
        shell = frequency_radius(candidates.shape[-1], candidates.device).round().long()
        shell = shell.clamp(max=self.gains.shape[-1] - 1)
        total = torch.zeros_like(fft3_half(candidates[0]))
        for gains, region in zip(self.gains, self.regions, strict=True):
            for gain, candidate in zip(gains, candidates, strict=True):
                if bool((gain != 0).any()):
                    total += fft3_half(candidate * region) * gain[shell]
        return ifft3_half(total)

    def kernel_shares(self) -> FloatArray:
        """How much each kernel counts, over all shells and regions, shape (B,); sums to 1.

        The last candidate, which is no kernel, is left out.
        """
        weight = torch.arange(self.gains.shape[-1]).float().square()
        share = (self.gains[:, :-1].abs() * weight).sum((0, 2)).double().numpy()
        return np.asarray(share / max(share.sum(), 1e-30))


@final
class MixtureFit:
    """Least squares for a `ShellMixture`, from pairs of half-set candidates at several latents.

    In every shell the weights minimise the expected |Σ_b g_b X_b − Y|², where X are candidates
    from all particles and Y is the narrowest map of a half-set: unbiased, and of independent noise
    where X is of the other half-set.
    """

    def __init__(self, regions: Tensor, candidates: int, shells: int) -> None:
        size = len(regions) * candidates
        self._regions, self._candidates, self._shells = regions, candidates, shells
        self._normal = torch.zeros(shells, size, size, dtype=torch.float64)
        self._right = torch.zeros(shells, size, dtype=torch.float64)
        shell = frequency_radius(regions.shape[-1], regions.device).round().long().flatten()
        order = torch.argsort(shell, stable=True)
        counts = torch.bincount(shell, minlength=shells)[:shells]
        self._order, self._counts = order[: int(counts.sum())], counts.tolist()

    def _sort(self, transforms: Tensor) -> Tensor:
        """Coefficients (F, 2 · points) in the order of their shells."""
        return torch.view_as_real(transforms.flatten(1)[:, self._order]).flatten(1)

    def _transform(self, candidates: Tensor) -> Tensor:
        return self._sort(torch.cat([fft3_half(candidates * region) for region in self._regions]))

    def add(self, first: Tensor, second: Tensor, target: int = 0) -> None:
        """Add both halves' candidates at one latent, each (B, D, D, D).

        Parameters
        ----------
        first, second
            The candidates of each half-set.
        target
            Which candidate is the unbiased one, to be predicted across the halves.
        """
        mask = self._regions.sum(0)
        x = self._transform(first), self._transform(second)
        y = [self._sort(fft3_half(half[target] * mask)[None])[0] for half in (first, second)]
        start = 0
        for shell, count in enumerate(self._counts):
            part = slice(start, start + 2 * count)
            a, b = x[0][:, part], x[1][:, part]
            within, across = a @ a.T + b @ b.T, a @ b.T
            # Maps of all particles have half the noise of a half-set's: signal is what the
            # halves share, so (within + across) / 2 is what all particles would give.
            self._normal[shell] += 0.5 * (within + across + across.T).double()
            self._right[shell] += (a @ y[1][part] + b @ y[0][part]).double()
            start += 2 * count

    def solve(self, spread: int = 1, ridge: float = 0.02) -> ShellMixture:
        """Weights per shell, each pooled with `spread` shells on either side."""
        normal, right = _pool(self._normal, spread), _pool(self._right, spread)
        scale = normal.diagonal(dim1=1, dim2=2).clamp(min=1e-30).rsqrt()
        normal = normal * scale[:, :, None] * scale[:, None, :]
        normal.diagonal(dim1=1, dim2=2).add_(ridge)
        gains = torch.linalg.solve(normal, right * scale) * scale
        shape = (self._shells, len(self._regions), self._candidates)
        return ShellMixture(gains.reshape(shape).permute(1, 2, 0).float(), self._regions)


def _pool(values: Tensor, spread: int) -> Tensor:
    """Sum every shell with its `spread` neighbours on either side."""
    total = values.clone()
    for step in range(1, spread + 1):
        total[step:] += values[:-step]
        total[:-step] += values[step:]
    return total
