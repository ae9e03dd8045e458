"""The consensus: one map from all particles, its half-maps, solvent mask and noise spectrum.

The order matters. Divide by the CTF weights with next to no regularisation, correct the gridding,
mask in real space, and only then weigh the shells by their FSC: damping first would bury the fine
shells under the leakage of the coarse ones.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.inference._image_source import ImageSource, NoiseModel, total_power
from cryosway.inference._posterior import GaussianPosterior
from cryosway.inference._residual_noise import estimate_noise
from cryosway.optics import filter_volumes, shell_power
from cryosway.validate import corrected_fsc, fsc_resolution, make_solvent_mask
from cryosway.volumes import BasisGrid, NormalEquations

FloatArray = NDArray[np.float64]
_LEAST_RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class Consensus:
    """What all particles together show.

    Attributes
    ----------
    mean
        Shape (D, D, D): all particles, regularised within the mask, masked.
    half_maps
        Two of shape (D, D, D): unregularised, unmasked, independent.
    mask
        Shape (D, D, D).
    curves
        FSC by name: unmasked, masked, randomised, corrected.
    resolution
        Å, at 0.143 of the corrected curve.
    signal_power
        Shape (shells,): power of the signal's transform if it filled the mask.
    noise
        Noise spectrum per optics group.
    """

    mean: Tensor
    half_maps: tuple[Tensor, Tensor]
    mask: Tensor
    curves: dict[str, FloatArray]
    resolution: float
    signal_power: Tensor
    noise: NoiseModel


def split_halves(count: int, given: NDArray[np.int8] | None, seed: int) -> Tensor:
    """Half-set 0 or 1 of each particle, shape (N,): the files' own (1, 2), else at random."""
    if given is not None and {1, 2} <= set(np.unique(given).tolist()):
        return torch.from_numpy(np.where(given == 2, 1, 0).astype(np.int64))
    order = np.random.default_rng(seed).permutation(count)
    half = np.zeros(count, np.int64)
    half[order[: count // 2]] = 1
    return torch.from_numpy(half)


def accumulate_consensus(
    source: ImageSource,
    half: Tensor,
    weights: Tensor | None = None,
    watch: Callable[[int], None] | None = None,
) -> NormalEquations:
    """Accumulate one volume over all particles, half-sets apart, each with its weight."""
    equations = NormalEquations(source.radius, 1, parts=2, device=source.device)
    for batch in source:
        rows = torch.from_numpy(batch.index)
        amount = torch.ones(len(rows)) if weights is None else weights[rows]
        equations.add(batch.slices, amount[:, None], amount[:, None], half[rows])
        if watch is not None:
            watch(len(rows))
    return equations


def signal_power_in_mask(
    volume: Tensor, mask: Tensor, curve: FloatArray, noise_floor: float = 1e-4
) -> Tensor:
    """Signal power per shell as a stationary prior within the mask, shape (shells,).

    The masked map's power times its FSC is the signal's; a signal that filled the whole box with
    the density it has in the mask would have 1/⟨mask²⟩ times that. The FSC is kept above a small
    floor, so that no shell is ever given up.
    """
    shells = volume.shape[-1] // 2
    power = shell_power((volume * mask)[None], shells)[0]
    reliable = torch.from_numpy(np.clip(2 * curve / (1 + np.abs(curve)), noise_floor, 1.0)).float()
    # Curve shell i spans i−1 … i; the rounded shell i lies between curve shells i and i + 1.
    reliable = 0.5 * (reliable + torch.cat([reliable[1:], reliable[-1:]]))
    return power * reliable[:shells] / float(mask.square().mean())


def weigh_shells(volume: Tensor, curve: FloatArray) -> Tensor:
    """Weigh shells by √(2 FSC / (1 + FSC)), the correlation with the truth (Rosenthal 2003)."""
    kept = np.clip(curve, 0.0, 1.0)
    first = np.flatnonzero(np.asarray(curve) < 0.05)
    if len(first):
        kept[int(first[0]) :] *= 0.25  # past the first fall only chance is left
    gain = torch.from_numpy(np.sqrt(2 * kept / (1 + kept))).float()
    return filter_volumes(volume[None], gain)[0]


def solve_consensus(
    equations: NormalEquations,
    pixel_size: float,
    noise: NoiseModel,
    mask: Tensor | None = None,
) -> Consensus:
    """Half-maps, mask, FSC and the regularised map from accumulated normal equations.

    Parameters
    ----------
    equations
        Of one volume in two parts.
    pixel_size
        Å per voxel of the solved volumes.
    noise
        The noise model that whitened the data.
    mask
        Shape (D, D, D); made from the map when not given.
    """
    shells = equations.box // 2
    ridge = _LEAST_RIDGE * equations.weight_power(shells).mean() * torch.ones(1, shells)
    halves = [equations.solve(ridge / 2, part)[0].cpu() for part in (0, 1)]
    plain = equations.solve(ridge)[0].cpu()
    if mask is None:
        mask = torch.from_numpy(make_solvent_mask(plain.numpy(), pixel_size))
    curves = corrected_fsc(halves[0].numpy(), halves[1].numpy(), mask.numpy())
    power = signal_power_in_mask(plain, mask, curves["corrected"])
    mean = equations.solve((1 / power.clamp(min=1e-30))[None])[0].cpu() * mask
    return Consensus(
        mean=mean,
        half_maps=(halves[0], halves[1]),
        mask=mask,
        curves=curves,
        resolution=fsc_resolution(curves["corrected"], pixel_size),
        signal_power=power,
        noise=noise,
    )


def mean_only(consensus_mean: Tensor, count: int) -> tuple[BasisGrid, GaussianPosterior]:
    """The consensus as a basis without components, with its trivial posterior."""
    basis = BasisGrid(consensus_mean[None], np.zeros(0))
    ones, none = np.ones(count), np.zeros((count, 0))
    posterior = GaussianPosterior(none, np.zeros((count, 0, 0)), ones, 0 * ones, 0 * ones)
    return basis, posterior


def fit_consensus(
    source: ImageSource,
    half: Tensor,
    *,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    watch: Callable[[int], None] | None = None,
) -> Consensus:
    """Consensus of a source that is not yet whitened: noise and map in two rounds.

    The first round takes the images' whole power for noise; what its map leaves unexplained is
    the noise of the second.
    """
    upper = total_power(source)
    white = source.with_noise(upper)
    equations = accumulate_consensus(white, half, weights, watch)
    pixel_size = source.pixel_size * source.particles.box / equations.box
    consensus = solve_consensus(equations, pixel_size, upper, mask)
    noise = estimate_noise(white, *mean_only(consensus.mean, len(source)))
    del equations
    equations = accumulate_consensus(source.with_noise(noise), half, weights, watch)
    return solve_consensus(equations, pixel_size, noise, consensus.mask if mask is None else mask)
