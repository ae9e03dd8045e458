"""The consensus: one map from all particles, its half-maps, solvent mask and noise spectrum.

The order matters. Divide by the CTF weights with next to no regularisation, correct the gridding,
mask in real space, and only then weigh the shells by their FSC: damping first would bury the fine
shells under the leakage of the coarse ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

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
_NOISE_IMAGES = 3000


@dataclass(frozen=True, eq=False)
class Consensus:
    """What all particles together show.

    Attributes
    ----------
    mean
        Shape (D, D, D): all particles, regularised within the mask, masked.
    unmasked
        Shape (D, D, D): all particles, unregularised, unmasked.
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
    unmasked: Tensor
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
    *,
    begun: tuple[NormalEquations, int] | None = None,
    keep: Callable[[NormalEquations, int], None] | None = None,
) -> NormalEquations:
    """Accumulate one volume over all particles, half-sets apart, each with its weight.

    Parameters
    ----------
    source
        Whitened.
    half
        Shape (N,), 0 or 1.
    weights
        Shape (N,), float32; all 1 by default.
    watch
        Told the number of images of each batch that is done.
    begun
        An earlier, interrupted pass: its equations, and how many images they hold.
    keep
        Told after each batch the equations and how many images they hold, to save them.
    """
    if begun is None:
        begun = NormalEquations(source.radius, 1, parts=2, device=source.device), 0
    equations, done = begun
    batches = source.batches(np.arange(done, len(source)) if done else None)
    for batch in batches:
        rows = torch.from_numpy(batch.index)
        amount = torch.ones(len(rows)) if weights is None else weights[rows]
        amount = amount[:, None].to(source.device)
        equations.add(batch.slices, amount, amount, half[rows].to(source.device))
        done += len(rows)
        if watch is not None:
            watch(len(rows))
        if keep is not None:
            keep(equations, done)
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
    refine_noise: Callable[[Tensor], NoiseModel] | None = None,
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
    refine_noise
        Gives a better noise model from the map as far as it can be trusted; without it, `noise`
        is taken as the truth.
    """
    shells = equations.box // 2
    ridge = _LEAST_RIDGE * equations.weight_power(shells).mean() * torch.ones(1, shells)
    halves = [equations.solve(ridge / 2, part)[0].cpu() for part in (0, 1)]
    plain = equations.solve(ridge)[0].cpu()
    if mask is None:
        mask = torch.from_numpy(make_solvent_mask(plain.numpy(), pixel_size))
    curves = corrected_fsc(halves[0].numpy(), halves[1].numpy(), mask.numpy())
    power = signal_power_in_mask(plain, mask, curves["corrected"])
    inverse_prior = 1 / power.clamp(min=1e-30)
    if refine_noise is not None:
        whitening, noise = noise, refine_noise(trusted_part(plain * mask, curves["corrected"]))
        inverse_prior = inverse_prior * noise_ratio(noise, whitening, shells)
    mean = equations.solve(inverse_prior[None])[0].cpu() * mask
    return Consensus(
        mean=mean,
        unmasked=plain,
        half_maps=(halves[0], halves[1]),
        mask=mask,
        curves=curves,
        resolution=fsc_resolution(curves["corrected"], pixel_size),
        signal_power=power,
        noise=noise,
    )


def with_mask(consensus: Consensus, mask: Tensor, pixel_size: float) -> Consensus:
    """Judge a consensus anew within another mask, shape (D, D, D)."""
    halves = [half.numpy() for half in consensus.half_maps]
    curves = corrected_fsc(halves[0], halves[1], mask.numpy())
    return replace(
        consensus,
        mean=trusted_part(consensus.unmasked * mask, curves["corrected"]) * mask,
        mask=mask,
        curves=curves,
        resolution=fsc_resolution(curves["corrected"], pixel_size),
        signal_power=signal_power_in_mask(consensus.unmasked, mask, curves["corrected"]),
    )


def trusted_part(volume: Tensor, curve: FloatArray) -> Tensor:
    """Weigh shells by 2 FSC / (1 + FSC): the Wiener estimate of the truth behind a map."""
    trust = torch.from_numpy(np.clip(2 * curve / (1 + np.abs(curve)), 0.0, 1.0)).float()
    return filter_volumes(volume[None], trust)[0]


def noise_ratio(noise: NoiseModel, whitening: NoiseModel, shells: int) -> Tensor:
    """Noise power over that by which data were whitened, mean over groups, shape (shells,)."""
    ratio = torch.from_numpy((noise.power / whitening.power).mean(0)).float()
    return torch.cat([ratio, ratio[-1:].expand(max(0, shells - len(ratio)))])[:shells]


def mean_only(consensus_mean: Tensor, count: int) -> tuple[BasisGrid, GaussianPosterior]:
    """Make a basis without components of the consensus, with its trivial posterior."""
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
    begun: tuple[NormalEquations, int] | None = None,
    keep: Callable[[NormalEquations, int], None] | None = None,
) -> Consensus:
    """Consensus of a source that is not yet whitened: noise and map in one pass.

    The pass takes the images' whole power for noise, which weighs the images of an optics group
    rightly against each other; what the map leaves unexplained in a sample of them is the noise.
    Arguments are those of `accumulate_consensus` and `solve_consensus`; `half` and `weights` are
    of all particles, the same noise is found whatever `begun` holds.
    """
    sample = source.sample(_NOISE_IMAGES)
    upper = total_power(sample)
    white = source.with_noise(upper)
    equations = accumulate_consensus(white, half, weights, watch, begun=begun, keep=keep)
    pixel_size = source.pixel_size * source.particles.box / equations.box

    def refine(mean: Tensor) -> NoiseModel:
        return estimate_noise(sample.with_noise(upper), *mean_only(mean, len(sample)))

    return solve_consensus(equations, pixel_size, upper, mask, refine)
