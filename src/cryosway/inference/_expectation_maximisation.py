"""Expectation–maximisation of a mean and K components under CTF and coloured noise.

Probabilistic PCA (Tipping & Bishop, 1999) with the image formation in between: the E-step is the
closed-form posterior of every particle, the M-step one linear solve per Fourier voxel, followed
by the solvent mask, which is what makes few images suffice.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.inference._image_source import Batch
from cryosway.inference._posterior import GaussianPosterior, gram_matrices, infer_posterior
from cryosway.optics import filter_volumes, shell_power
from cryosway.volumes import BasisGrid, NormalEquations, SliceReader

FloatArray = NDArray[np.float64]


class BatchSource(Protocol):
    """What streams whitened batches: an `ImageSource` or a simulated stand-in."""

    @property
    def radius(self) -> int:
        """Largest |k|."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the batches are."""
        ...

    def __iter__(self) -> Iterator[Batch]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Setting:
    """What stays fixed while a basis is fitted.

    Attributes
    ----------
    half
        Shape (N,), 0 or 1: half-set of each particle.
    mask
        Shape (D, D, D), soft solvent mask on the fit's box.
    inverse_prior
        Shape (1 + K, shells): inverse prior power, per unit variance of z, of mean and components.
    contrast_sd
        Prior spread of the contrast; 0 fixes it at 1.
    """

    half: Tensor
    mask: Tensor
    inverse_prior: Tensor
    contrast_sd: float


@dataclass(frozen=True, eq=False)
class Step:
    """One pass over the data: normal equations, and the posterior they were made with."""

    equations: NormalEquations
    posterior: GaussianPosterior


def start_basis(mean: Tensor, mask: Tensor, components: int, seed: int) -> BasisGrid:
    """Random masked components with the spectrum of the mean, and generous variances."""
    generator = torch.Generator().manual_seed(seed)
    box = mean.shape[-1]
    noise = torch.randn(components, box, box, box, generator=generator)
    amplitude = shell_power(mean[None], box // 2)[0].sqrt()
    shaped = filter_volumes(noise * mask, amplitude) * mask
    orthogonal, _ = torch.linalg.qr(shaped.flatten(1).T)
    volumes = torch.cat([mean[None], orthogonal.T.reshape(components, box, box, box)])
    variance = 0.05 * float(mean.square().sum()) / max(components, 1)
    return BasisGrid(volumes, np.full(components, variance))


def infer_all(
    source: BatchSource,
    basis: BasisGrid,
    contrast_sd: float,
    watch: Callable[[int], None] | None = None,
) -> GaussianPosterior:
    """E-step alone: the posterior of every particle of a source."""
    reader = SliceReader(basis.volumes.to(source.device))
    parts = []
    for batch in source:
        gram = gram_matrices(batch, reader)
        parts.append(infer_posterior(gram, basis.variances, contrast_sd))
        if watch is not None:
            watch(len(batch.index))
    return GaussianPosterior.concatenate(parts)


def accumulate_step(
    source: BatchSource,
    basis: BasisGrid,
    setting: Setting,
    watch: Callable[[int], None] | None = None,
) -> Step:
    """E-step and accumulation in one pass over the data, half-sets apart."""
    reader = SliceReader(basis.volumes.to(source.device))
    equations = NormalEquations(source.radius, 1 + basis.components, parts=2, device=source.device)
    parts = []
    for batch in source:
        gram = gram_matrices(batch, reader)
        posterior = infer_posterior(gram, basis.variances, setting.contrast_sd)
        half = setting.half[torch.from_numpy(batch.index)]
        equations.add(batch.slices, *posterior.moments(), half)
        parts.append(posterior)
        if watch is not None:
            watch(len(batch.index))
    return Step(equations, GaussianPosterior.concatenate(parts))


def solve_step(step: Step, basis: BasisGrid, setting: Setting, part: int | None = None) -> Tensor:
    """M-step: masked volumes (1 + K, D, D, D) from the accumulated pass, not yet normalised."""
    scale = np.concatenate([[1.0], basis.variances])
    inverse_prior = setting.inverse_prior * torch.from_numpy(scale).to(torch.float32)[:, None]
    return step.equations.solve(inverse_prior, part).cpu() * setting.mask


def regularise_by_halves(step: Step, basis: BasisGrid, setting: Setting) -> Setting:
    """Replace the prior of each component by what its two half-sets agree on.

    The components are solved from each half-set; the power they share in a shell, FSC times
    power, is the signal's, and what filled the mask with it would have 1/⟨mask²⟩ times that.
    The prior never exceeds that of the given setting.
    """
    first, second = (solve_step(step, basis, setting, part)[1:] for part in (0, 1))
    shells = setting.inverse_prior.shape[1]
    shared = 0.25 * (shell_power(first + second, shells) - shell_power(first - second, shells))
    shared = _smooth_shells(shared) / float(setting.mask.square().mean())
    scale = torch.from_numpy(basis.variances).to(torch.float32)[:, None]
    inverse = 1 / (shared * scale).clamp(min=1e-30)
    floor = setting.inverse_prior[1:]
    inverse = inverse.clamp(min=floor, max=1e4 * floor)
    inverse_prior = torch.cat([setting.inverse_prior[:1], inverse])
    return replace(setting, inverse_prior=inverse_prior)


def _smooth_shells(values: Tensor) -> Tensor:
    """Average over three shells, so that chance in one shell decides nothing."""
    padded = torch.nn.functional.pad(values[None], (1, 1), mode="replicate")[0]
    return (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3


def normalise_basis(
    volumes: Tensor, posterior: GaussianPosterior
) -> tuple[BasisGrid, GaussianPosterior, FloatArray]:
    """Make components orthonormal and latents uncorrelated, sorted by variance.

    The mean of z goes to the mean volume, the mean contrast to 1; V(z) of each particle stays.

    Returns
    -------
    The basis, the posterior in its coordinates, and the matrix T (K, K) with U_new = Tᵀ U_old.
    """
    z, covariance = posterior.mean, posterior.covariance
    scale = float(posterior.contrast.mean())
    centre = z.mean(0)
    mean = volumes[0] + torch.einsum("k,kxyz->xyz", torch.from_numpy(centre).float(), volumes[1:])
    flat = volumes[1:].flatten(1).double().numpy()
    second = (z - centre).T @ (z - centre) / len(z) + covariance.mean(0)
    root = np.linalg.cholesky(second + 1e-12 * np.trace(second) * np.eye(len(second)))
    variances, axes = np.linalg.eigh(root.T @ (flat @ flat.T) @ root)
    order = np.argsort(variances)[::-1]
    variances = np.maximum(variances[order], 1e-12 * max(variances.max(), 1e-30))
    turn = root @ axes[:, order] / np.sqrt(variances)
    components = torch.from_numpy((turn.T @ flat).astype(np.float32)).reshape(volumes[1:].shape)
    back = np.linalg.inv(turn)
    # Scaling every volume by the mean contrast scales each latent's variance with it.
    basis = BasisGrid(torch.cat([mean[None] * scale, components]), variances * scale**2)
    moved = replace(
        posterior,
        mean=(z - centre) @ back.T * scale,
        covariance=back @ covariance @ back.T * scale**2,
        contrast=posterior.contrast / scale,
        contrast_variance=posterior.contrast_variance / scale**2,
    )
    return basis, moved, turn


def subspace_overlap(a: BasisGrid, b: BasisGrid) -> float:
    """Mean squared cosine between two sets of components, weighted by variance: 0 to 1."""
    cosines = (a.volumes[1:].flatten(1) @ b.volumes[1:].flatten(1).T).double().numpy()
    weights = b.variances / max(b.variances.sum(), 1e-30)
    return float((np.square(cosines).sum(0) * weights).sum())


def update_contrast_sd(posterior: GaussianPosterior, current: float) -> float:
    """Spread of the contrast by moments: that of the likelihoods' peaks less their own width.

    Under prior spread s, a particle whose likelihood has peak â and variance v has posterior mean
    1 + (â − 1) s² / (s² + v). Below 0.03 the contrast is taken as constant: 0.
    """
    if current == 0:
        return 0.0
    width = 1 / np.maximum(1 / posterior.contrast_variance - 1 / current**2, 1e-12)
    peak = (posterior.contrast - 1) * (current**2 + width) / current**2
    weight = 1 / (width + current**2) ** 2
    excess = float(np.sum(weight * (peak**2 - width)) / np.sum(weight))
    return float(min(np.sqrt(excess), 0.6)) if excess > 0.03**2 else 0.0
