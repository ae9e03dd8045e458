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
from cryosway.inference._pose_errors import (
    UNKNOWNS,
    PoseErrors,
    PosePosterior,
    measure_spread,
    move_derivatives,
    rigid_directions,
    turn_derivatives,
)
from cryosway.inference._posterior import (
    GaussianPosterior,
    gram_matrices,
    gram_of_columns,
    infer_posterior,
    make_columns,
)
from cryosway.optics import filter_volumes, shell_power
from cryosway.volumes import BasisGrid, NormalEquations, SliceReader, Slices

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

    def with_corrections(self, turns: FloatArray, moves: FloatArray) -> "BatchSource":
        """Give the same images with other poses."""
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
    poses
        Errors of the poses; none takes them as exact.
    flexible
        Whether components are kept from showing what a turn or a move of the mean would.
    """

    half: Tensor
    mask: Tensor
    inverse_prior: Tensor
    contrast_sd: float
    poses: PoseErrors | None = None
    flexible: bool = False


@dataclass(frozen=True, eq=False)
class Inferred:
    """What a batch, or all particles, say of their unknowns.

    Attributes
    ----------
    posterior
        Of the latents and the contrast.
    poses
        Of the errors of the poses; none where they are taken as exact.
    """

    posterior: GaussianPosterior
    poses: PosePosterior | None

    @staticmethod
    def concatenate(parts: "list[Inferred]") -> "Inferred":
        """Join what consecutive particles say."""
        poses = [part.poses for part in parts if part.poses is not None]
        return Inferred(
            GaussianPosterior.concatenate([part.posterior for part in parts]),
            PosePosterior.concatenate(poses) if poses else None,
        )


@dataclass(frozen=True, eq=False)
class Step:
    """One pass over the data: normal equations, and what they were made with."""

    equations: NormalEquations
    inferred: Inferred
    rigid: Tensor | None

    @property
    def posterior(self) -> GaussianPosterior:
        """Of the latents and the contrast."""
        return self.inferred.posterior


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


class _Expectation:
    """The E-step of one basis: batch by batch, with or without errors of the poses."""

    def __init__(
        self,
        basis: BasisGrid,
        contrast_sd: float,
        poses: PoseErrors | None,
        device: torch.device,
    ) -> None:
        self._contrast_sd = contrast_sd
        self._poses = poses if poses is not None and poses.matters else None
        volumes, variances = basis.volumes, basis.variances
        if self._poses is not None:
            volumes = torch.cat([volumes, turn_derivatives(volumes[0])])
            variances = np.concatenate([variances, self._poses.variances])
        self._components, self._variances = basis.components, variances
        self._reader = SliceReader(volumes.to(device))

    def infer(self, batch: Batch) -> tuple[Inferred, GaussianPosterior, Slices]:
        """Posteriors; that of latents for the M-step; and the data, less what errors show.

        In the M-step errors and latents count as independent given the data (mean field): the
        latents' covariance is that for known poses.
        """
        if self._poses is None:
            gram = gram_matrices(batch, self._reader)
            posterior = infer_posterior(gram, self._variances, self._contrast_sd)
            return Inferred(posterior, None), posterior, batch.slices
        columns = self._make_columns(batch, self._poses)
        joint = infer_posterior(gram_of_columns(columns), self._variances, self._contrast_sd)
        errors, k = columns[..., -1 - UNKNOWNS : -1], self._components
        found = PosePosterior(joint.mean[:, k:], np.einsum("nkk->nk", joint.covariance[:, k:, k:]))
        left = self._poses.expected(batch.index) + found.mean
        amounts = torch.from_numpy(left * joint.contrast[:, None])
        shown = torch.matmul(errors, amounts.to(errors)[:, None, :, None])[..., 0]
        values = batch.slices.values - torch.view_as_complex(shown)
        return (
            Inferred(joint.first(k), found),
            joint.first_given_others(k),
            replace(batch.slices, values=values),
        )

    def _make_columns(self, batch: Batch, poses: PoseErrors) -> Tensor:
        """Make filtered views of mean, components and errors, and the data: (n, P, 2, 1+K+5+1).

        Where a pose has been corrected, the error that is left is expected to undo it: that is
        part of the mean.
        """
        columns = make_columns(batch, self._reader, spare=2)
        columns[..., -3:-1] = move_derivatives(batch, columns[..., 0])
        known = torch.from_numpy(poses.expected(batch.index)).to(columns)
        errors = columns[..., -1 - UNKNOWNS : -1]
        columns[..., 0] += torch.matmul(errors, known[:, None, :, None])[..., 0]
        return columns


def infer_all(
    source: BatchSource,
    basis: BasisGrid,
    contrast_sd: float,
    watch: Callable[[int], None] | None = None,
    poses: PoseErrors | None = None,
) -> GaussianPosterior:
    """E-step alone: the posterior of every particle of a source."""
    expectation = _Expectation(basis, contrast_sd, poses, source.device)
    parts = []
    for batch in source:
        parts.append(expectation.infer(batch)[0])
        if watch is not None:
            watch(len(batch.index))
    return Inferred.concatenate(parts).posterior


def accumulate_step(
    source: BatchSource,
    basis: BasisGrid,
    setting: Setting,
    watch: Callable[[int], None] | None = None,
) -> Step:
    """E-step and accumulation in one pass over the data, half-sets apart."""
    expectation = _Expectation(basis, setting.contrast_sd, setting.poses, source.device)
    equations = NormalEquations(source.radius, 1 + basis.components, parts=2, device=source.device)
    parts = []
    for batch in source:
        inferred, posterior, slices = expectation.infer(batch)
        half = setting.half[torch.from_numpy(batch.index)]
        equations.add(slices, *posterior.moments(), half)
        parts.append(inferred)
        if watch is not None:
            watch(len(batch.index))
    in_error = setting.poses is not None and setting.poses.active
    kept_out = in_error and setting.flexible
    rigid = rigid_directions(basis.volumes[0], setting.mask) if kept_out else None
    return Step(equations, Inferred.concatenate(parts), rigid)


def solve_step(step: Step, basis: BasisGrid, setting: Setting, part: int | None = None) -> Tensor:
    """M-step: masked volumes (1 + K, D, D, D) from the accumulated pass, not yet normalised."""
    scale = np.concatenate([[1.0], basis.variances])
    inverse_prior = setting.inverse_prior * torch.from_numpy(scale).to(torch.float32)[:, None]
    volumes = step.equations.solve(inverse_prior, part).cpu() * setting.mask
    if step.rigid is not None:
        flat = volumes[1:].flatten(1)
        flat -= (flat @ step.rigid.T) @ step.rigid
    return volumes


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
    """Spread of the contrast as `measure_spread` has it; below 0.03 it is taken as constant: 0."""
    found = measure_spread(posterior.contrast - 1, posterior.contrast_variance, current)
    return min(found, 0.6) if found > 0.03 else 0.0
