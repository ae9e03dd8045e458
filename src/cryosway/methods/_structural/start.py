"""Where atomic models start: how every particle differs from the reference, along soft modes.

To first order in the amplitudes q of rigid motions and normal modes, an image is linear in q. The
mean of q over the particles and the few directions in which they differ are those that explain the
images best, given how stiff each mode is (factor analysis); these directions become the latents.
Where motions are larger than the resolution the first order fails, so that only coarse shells are
looked at, and all is repeated about the positions found: with the softest modes first, which go
furthest, then with more and more. Where all are small, it is done once, with all modes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from cryosway.inference import ImageSource
from cryosway.methods._dock.correlation import calm_threads
from cryosway.methods._structural.factors import (
    Population,
    fit_population,
    infer_on_axes,
    regress_population,
    start_population,
)
from cryosway.methods._structural.views import BeadViews, ScaleSums
from cryosway.priors import find_normal_modes
from cryosway.protein import CoarseModel
from cryosway.volumes import Slices

FEWEST_MODES = 6  # to begin with
_PRIOR_RMS = 1.5  # Å, of the softest mode at the outset
_STEP = 0.5  # Å rms, of the differences that stand for derivatives
_LONGEST = 1.5  # Å rms: how far derivatives are taken to hold
_SMALL = 0.75  # Å rms: motions that the first order holds for
_NEARLY_ALL = 0.99  # of the particles
_PART = 256  # images
_RIGID = 6  # motions of the basis that come first
_MODE_ROUNDS = 8  # of a ribosome's 24 modes: stiffness to a few percent, overlaps above 0.97


@dataclass(frozen=True, eq=False)
class Motion:
    """Linear motion of the beads, and the latents of all particles.

    Attributes
    ----------
    mean, base
        Shapes (N, 3) and (k, N, 3), Å; latents have unit variance.
    latents
        Shape (particles, 2, k): mean and log variance.
    scale
        Shape (shells,): of the model's views in the images.
    """

    mean: Tensor
    base: Tensor
    latents: Tensor
    scale: Tensor


def find_motion(
    source: ImageSource,
    model: CoarseModel,
    views: BeadViews,
    *,
    latent_dim: int,
    modes: int,
    rounds: int,
    as_whole: bool = True,
    present: Callable[[Tensor], Tensor] | None = None,
    known: Tensor | None = None,
    watch: Callable[[int], None] | None = None,
) -> Motion:
    """Find the linear motion along soft modes that explains the images best.

    Parameters
    ----------
    source
        Whitened, of coarse shells only.
    model, views
        The reference.
    latent_dim
        Directions k of motion to keep.
    modes
        Normal modes to start from, beside the six rigid motions.
    rounds
        Linearisations with all modes; some with fewer come before.
    as_whole
        Whether latents may move the model as a whole; not where poses are refined.
    present
        Gives factors (n, N) of the beads in given rows, where not all are there.
    known
        Shape (particles, 2, k): mean and log variance of latents to be kept; found by default.
    watch
        Told the number of images of each batch that is done.
    """
    reference = torch.from_numpy(model.coordinates.astype(np.float32))
    basis, variances = _make_basis(model, modes)
    counts = _count_motions(len(basis), rounds)
    found = torch.zeros(len(source), len(basis))
    scale = torch.ones(len(views.scale))
    population, kept = None, min(latent_dim, counts[0])
    while counts:
        count, counts = counts[0], counts[1:]
        scale = fit_scale(source, views, partial(_place, reference, basis, found), present)
        information, gradient = _linearise(
            source, views, reference, basis[:count], found[:, :count], scale, present, watch
        )
        with calm_threads(0):  # small matrices: threads would wait for each other
            thermal = variances[:count].repeat(1 + kept, 1)
            if population is None:
                population = start_population(information, gradient, thermal, _PRIOR_RMS**2)
            if not as_whole:
                thermal[1:, :_RIGID] = 0
            if known is None:
                population = fit_population(
                    information, gradient, thermal, population.extend(count)
                )
                population, z, covariance = infer_on_axes(information, gradient, population)
            else:
                population = regress_population(
                    information, gradient, thermal, known[..., :kept], population.size
                )
                z, covariance = known[:, 0, :kept].double(), known[:, 1, :kept].exp().diag_embed()
        change = (population.mean + z @ population.directions).float() - found[:, :count]
        found[:, :count] += _shorten(change)
        if _is_small(change, population):
            counts, skipped = _skip(counts, count)
            if watch is not None:
                watch(skipped * len(source))
    assert population is not None
    latents = torch.zeros(len(source), 2, latent_dim)
    latents[:, 0, :kept] = z
    latents[:, 1, :kept] = covariance.diagonal(dim1=1, dim2=2).clamp(min=1e-4).log()
    base = torch.zeros(latent_dim, *reference.shape)
    base[:kept] = _move(population.directions.float(), basis)
    return Motion(_move(population.mean[None].float(), basis)[0], base, latents, scale)


def count_passes(model: CoarseModel, modes: int, rounds: int) -> int:
    """Count the passes over all images that `find_motion` makes."""
    return len(_count_motions(_RIGID + min(modes, 3 * len(model) - _RIGID), rounds))


def _count_motions(most: int, rounds: int) -> list[int]:
    """Say how many motions to look for in each linearisation: the number of modes doubles."""
    counts = [_RIGID + FEWEST_MODES]
    while counts[-1] < most:
        counts.append(min(2 * counts[-1] - _RIGID, most))
    return [*counts[:-1], *[most] * rounds]


def _shorten(change: Tensor) -> Tensor:
    """Shorten changes (n, K) of amplitudes to those for which derivatives hold."""
    far = torch.linalg.vector_norm(change, dim=1, keepdim=True)
    return change * (_LONGEST / far.clamp(min=_LONGEST))


def _is_small(change: Tensor, population: Population) -> bool:
    """Whether motions, and changes (n, K) of all but a few amplitudes, are small."""
    far = torch.linalg.vector_norm(change, dim=1).quantile(_NEARLY_ALL)
    return max(float(far), float(population.directions.norm())) < _SMALL


def _skip(counts: list[int], done: int) -> tuple[list[int], int]:
    """Leave out linearisations with fewer than all motions, or those left once all are in."""
    kept = [count for count in counts if done < count == counts[-1]]
    return kept, len(counts) - len(kept)


@torch.no_grad()
def fit_scale(
    source: ImageSource,
    views: BeadViews,
    positions: Callable[[Tensor], Tensor],
    present: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Fit the scale of every shell to images, for positions (n, N, 3) of given rows."""
    sums, shell = ScaleSums(len(views.scale)), source.disc.shell
    for batch in source:
        for rows, slices in divide_images(torch.from_numpy(batch.index), batch.slices):
            factors = None if present is None else present(rows)
            sums.add(slices, views.bare(slices, positions(rows), present=factors), shell)
    return sums.solve()


def _make_basis(model: CoarseModel, modes: int) -> tuple[Tensor, Tensor]:
    """Rigid motions and soft modes (K, N, 3) of 1 Å rms, and their thermal variances (K,).

    These are relative to the softest mode's, which rigid motions share.
    """
    x = model.coordinates
    count = min(modes, 3 * len(x) - 6)
    soft = find_normal_modes(x, model.bonds, count, most_rounds=_MODE_ROUNDS)
    centred = x - x.mean(0)
    turns = [np.cross(axis, centred) for axis in np.eye(3)]
    shifts = [np.broadcast_to(axis, x.shape) for axis in np.eye(3)]
    rigid, _ = np.linalg.qr(np.stack([*shifts, *turns]).reshape(6, -1).T)
    basis = np.concatenate([rigid.T.reshape(6, -1, 3), soft.vectors]) * np.sqrt(len(x))
    ratio = np.concatenate([np.ones(_RIGID), soft.stiffness[0] / soft.stiffness])
    return torch.from_numpy(basis).float(), torch.from_numpy(ratio)


def _place(reference: Tensor, basis: Tensor, amplitudes: Tensor, rows: Tensor) -> Tensor:
    """Beads (n, N, 3) of the particles in `rows`."""
    return reference + _move(amplitudes[rows], basis)


def _move(amplitudes: Tensor, basis: Tensor) -> Tensor:
    return torch.einsum("nk,kja->nja", amplitudes, basis)


@torch.no_grad()
def _linearise(
    source: ImageSource,
    views: BeadViews,
    reference: Tensor,
    basis: Tensor,
    at: Tensor,
    scale: Tensor,
    present: Callable[[Tensor], Tensor] | None,
    watch: Callable[[int], None] | None,
) -> tuple[Tensor, Tensor]:
    """Fisher information (n, K, K) and what it and the images say of the amplitudes (n, K)."""
    size = len(basis)
    information = torch.zeros(len(at), size, size, dtype=torch.float64)
    gradient = torch.zeros(len(at), size, dtype=torch.float64)
    gain = scale[source.disc.shell][:, None]
    moves = views.follow(basis)
    for batch in source:
        for rows, slices in divide_images(torch.from_numpy(batch.index), batch.slices):
            centres = views.centres(reference + _move(at[rows], basis))
            seen = slices.filters[..., None] * gain
            factors = None if present is None else present(rows)
            see = partial(views.at_centres, slices, present=factors)
            shown = see(centres)
            changes = [(see(centres + _STEP * mode) - shown) / _STEP for mode in moves]
            slopes = torch.stack([(change * seen).flatten(1) for change in changes], dim=1)
            left = (torch.view_as_real(slices.values) - shown * seen).flatten(1)
            # E|noise|² is 1 per coefficient, ½ per part: −log p = Σ |y − f V|².
            own = 2 * slopes @ slopes.mT
            information[rows] = own.double()
            match = 2 * slopes @ left[..., None] + own @ at[rows][..., None]
            gradient[rows] = match[..., 0].double()
            if watch is not None:
                watch(len(rows))
    return information, gradient


def divide_images(rows: Tensor, slices: Slices) -> list[tuple[Tensor, Slices]]:
    """Divide images into parts whose views fit into caches."""
    parts = zip(
        rows.split(_PART),
        slices.values.split(_PART),
        slices.filters.split(_PART),
        slices.rotations.split(_PART),
        strict=True,
    )
    return [(at, Slices(v, f, r, slices.points)) for at, v, f, r in parts]
