"""Where atomic models start: how every particle differs from the reference, along soft modes.

To first order in the amplitudes q of rigid motions and normal modes, an image is linear in q, and
with q ~ N(μ, Λ) over the particles its posterior is Gaussian. μ and Λ are those that explain the
images best (EM), and the directions of most variance in Λ become the latents. Where motions are
larger than the resolution the first order fails, so that only coarse shells are looked at, and
all is repeated about the positions found.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from cryosway.inference import ImageSource
from cryosway.methods._dock_correlation import calm_threads
from cryosway.methods._structural_views import BeadViews, ScaleSums
from cryosway.priors import find_normal_modes
from cryosway.protein import CoarseModel
from cryosway.volumes import Slices

_PRIOR_RMS = 1.5  # Å, of the softest mode at the outset
_STEP = 0.5  # Å rms, of the differences that stand for derivatives
_EM_ROUNDS = 30
_LEAST_VARIANCE = 1e-4  # Å²
_PART = 256  # images
_RIGID = 6  # motions of the basis that come first


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
        Linearisations.
    as_whole
        Whether latents may move the model as a whole; not where poses are refined.
    present
        Gives factors (n, N) of the beads in given rows, where not all are there.
    watch
        Told the number of images of each batch that is done.
    """
    reference = torch.from_numpy(model.coordinates.astype(np.float32))
    basis, variances = _make_basis(model, modes)
    found = torch.zeros(len(source), len(basis))
    mean, spread = torch.zeros(len(basis)), torch.diag(variances)
    scale = torch.ones(len(views.scale))
    covariance = torch.zeros(len(source), len(basis), len(basis))
    for _ in range(rounds):
        where = partial(_place, reference, basis, found)
        scale = fit_scale(source, views, where, present)
        information, gradient = _linearise(
            source, views, reference, basis, found, scale, present, watch
        )
        with calm_threads(0):  # small matrices: threads would wait for each other
            mean, spread, found, covariance = _explain(information, gradient, mean, spread)
    if not as_whole:
        spread[:_RIGID], spread[:, :_RIGID] = 0, 0
    # Latents are unit normal along the widest directions of the prior.
    variances, directions = (part.flip(-1) for part in torch.linalg.eigh(spread))
    kept = min(latent_dim, len(basis))
    width = variances[:kept].clamp(min=_LEAST_VARIANCE).sqrt()
    turned = directions[:, :kept] / width
    latents = torch.zeros(len(source), 2, latent_dim)
    latents[:, 0, :kept] = (found - mean) @ turned
    spread_z = torch.einsum("ka,nkl,la->na", turned, covariance, turned)
    latents[:, 1, :kept] = spread_z.clamp(min=1e-4).log()
    base = torch.zeros(latent_dim, *reference.shape)
    base[:kept] = _move((directions[:, :kept] * width).T, basis)
    return Motion(_move(mean[None], basis)[0], base, latents, scale)


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
    """Rigid motions and soft modes (K, N, 3) of 1 Å rms, and their prior variances (K,), Å²."""
    x = model.coordinates
    count = min(modes, 3 * len(x) - 6)
    soft = find_normal_modes(x, model.bonds, count)
    centred = x - x.mean(0)
    turns = [np.cross(axis, centred) for axis in np.eye(3)]
    shifts = [np.broadcast_to(axis, x.shape) for axis in np.eye(3)]
    rigid, _ = np.linalg.qr(np.stack([*shifts, *turns]).reshape(6, -1).T)
    basis = np.concatenate([rigid.T.reshape(6, -1, 3), soft.vectors]) * np.sqrt(len(x))
    ratio = np.concatenate([np.ones(_RIGID), soft.stiffness[0] / soft.stiffness])
    return torch.from_numpy(basis).float(), torch.from_numpy(_PRIOR_RMS**2 * ratio).float()


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
    information, gradient = torch.zeros(len(at), size, size), torch.zeros(len(at), size)
    gain = scale[source.disc.shell][:, None]
    for batch in source:
        for rows, slices in divide_images(torch.from_numpy(batch.index), batch.slices):
            x = reference + _move(at[rows], basis)
            seen = slices.filters[..., None] * gain
            factors = None if present is None else present(rows)
            see = partial(views.bare, slices, present=factors)
            shown = see(x)
            changes = [(see(x + _STEP * mode) - shown) / _STEP for mode in basis]
            slopes = torch.stack([(change * seen).flatten(1) for change in changes], dim=1)
            left = (torch.view_as_real(slices.values) - shown * seen).flatten(1)
            # E|noise|² is 1 per coefficient, ½ per part: −log p = Σ |y − f V|².
            own = 2 * slopes @ slopes.mT
            information[rows] = own
            gradient[rows] = (2 * slopes @ left[..., None] + own @ at[rows][..., None])[..., 0]
            if watch is not None:
                watch(len(rows))
    return information, gradient


def _explain(
    information: Tensor, gradient: Tensor, mean: Tensor, spread: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """EM of a Gaussian population: its mean (K,), covariance, posterior means, covariances."""
    information, gradient = information.double(), gradient.double()
    mean, spread = mean.double(), spread.double()
    eye = torch.eye(len(mean), dtype=torch.float64)
    found, covariance = gradient, information
    for _ in range(_EM_ROUNDS):
        inverse = torch.linalg.inv(spread)
        covariance = torch.linalg.inv(information + inverse)
        found = (covariance @ (gradient + inverse @ mean)[..., None])[..., 0]
        mean = found.mean(0)
        away = found - mean
        spread = (away.T @ away + covariance.sum(0)) / len(found) + _LEAST_VARIANCE * eye
    return mean.float(), spread.float(), found.float(), covariance.float()


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
