"""The end of a linear fit: a last pass over all particles, and kernels that make maps of them."""

import itertools
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.engine import JobFolder
from cryosway.inference import (
    BANDWIDTHS,
    Consensus,
    FitState,
    GaussianPosterior,
    ImageSource,
    accumulate_step,
    infer_all,
    make_setting,
    normalise_basis,
    regularise_by_halves,
    solve_step,
)
from cryosway.methods._linear.kernel_mixture import TARGETS, empty_mixture, fit_mixture
from cryosway.methods._linear.model import KernelDecoder, LinearModel
from cryosway.optics import resize_volumes
from cryosway.validate import low_pass


@final
@dataclass(frozen=True, eq=False)
class FittedBasis:
    """Mean and components in the box of the images, and every particle's posterior.

    Attributes
    ----------
    volumes
        Shape (1 + K, D, D, D).
    halves
        Shape (2, 1 + K, D, D, D): of each half-set.
    posterior
        Of the latents.
    """

    volumes: Tensor
    halves: Tensor
    posterior: GaussianPosterior


def finish_basis(
    job: JobFolder, source: ImageSource, state: FitState, consensus: Consensus, half: Tensor
) -> FittedBasis:
    """Make a last pass: the basis of all particles and of each half, and the posterior.

    Parameters
    ----------
    job
        Shows the progress.
    source
        The images, whitened, as far as components are fitted.
    state
        Where the fit ended.
    half
        Shape (N,), 0 or 1.
    """
    basis = state.basis.resized(2 * (source.radius + 1))
    setting = make_setting(
        consensus, half, source.radius, basis.components, state.contrast_sd, state.poses
    )
    progress = job.progress(2 * len(source), "latents")
    step = accumulate_step(source, basis, setting, progress.advance)
    setting = regularise_by_halves(step, basis, setting)
    volumes = solve_step(step, basis, setting)
    halves = torch.stack([solve_step(step, basis, setting, part) for part in (0, 1)])
    fitted, moved, turn = normalise_basis(volumes, step.posterior)
    halves = _follow(halves, step.posterior, turn)
    del step, moved
    posterior = infer_all(source, fitted, state.contrast_sd, progress.advance, state.poses)
    box = source.particles.box
    return FittedBasis(
        resize_volumes(fitted.volumes, box),
        torch.stack([resize_volumes(part, box) for part in halves]),
        posterior,
    )


def calibrate_kernels(
    job: JobFolder,
    source: ImageSource,
    fitted: FittedBasis,
    consensus: Consensus,
    half: Tensor,
    seed: int,
) -> LinearModel:
    """Choose, per shell and region, how kernels of several widths are combined.

    Parameters
    ----------
    source
        The images at full resolution, whitened.
    """
    posterior = fitted.posterior
    variances = np.mean(posterior.mean**2, axis=0) + np.einsum(
        "nkk->k", posterior.covariance
    ) / len(posterior.mean)
    regions = _split_regions(fitted.volumes, variances, consensus, source.pixel_size)
    model = LinearModel(
        volumes=fitted.volumes,
        half_volumes=fitted.halves,
        variances=variances,
        mask=consensus.mask,
        noise=consensus.noise.power,
        bandwidths=np.asarray(BANDWIDTHS),
        mixture=empty_mixture(regions),
    )
    decoder = KernelDecoder(model, source, posterior, half)
    return fit_mixture(job, decoder, _spread_targets(posterior.mean, TARGETS, seed))


def _follow(halves: Tensor, posterior: GaussianPosterior, turn: npt.NDArray[np.float64]) -> Tensor:
    """Bring the halves' volumes to the coordinates of `normalise_basis`."""
    centre = torch.from_numpy(posterior.mean.mean(0)).float()
    scale = float(posterior.contrast.mean())
    means = halves[:, 0] + torch.einsum("k,hkxyz->hxyz", centre, halves[:, 1:])
    components = torch.einsum("kj,hkxyz->hjxyz", torch.from_numpy(turn).float(), halves[:, 1:])
    return torch.cat([means[:, None] * scale, components], dim=1)


def _split_regions(
    volumes: Tensor, variances: npt.NDArray[np.float64], consensus: Consensus, pixel_size: float
) -> Tensor:
    """Soft masks of what moves and what does not, adding up to the solvent mask."""
    weights = torch.from_numpy(variances).float()[:, None, None, None]
    moving = (volumes[1:].square() * weights).sum(0).numpy()
    smooth = low_pass(moving, pixel_size, max(12.0, 4 * pixel_size))
    mask = consensus.mask
    inside = smooth[mask.numpy() > 0.5]
    high = float(np.percentile(inside, 90)) if inside.size else 1.0
    share = torch.from_numpy(np.clip(smooth / max(high, 1e-30), 0, 1).astype(np.float32))
    return torch.stack([mask * share, mask * (1 - share)])


def _spread_targets(
    latents: npt.NDArray[np.float64], count: int, seed: int
) -> npt.NDArray[np.float64]:
    """Latents of `count` particles drawn evenly along the first component."""
    order = np.argsort(latents[:, 0])
    edges = np.linspace(0, len(order), count + 1).astype(int)
    rng = np.random.default_rng(seed)
    chosen = [order[rng.integers(a, max(b, a + 1))] for a, b in itertools.pairwise(edges)]
    return np.asarray(latents[chosen])
