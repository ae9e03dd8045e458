"""How well an atomic model foretells what it has not seen of an image.

The Fourier points of an image are parted like the squares of a chessboard. Its latent is inferred
from the white ones and judged on the black ones, and the other way round, so that no number is
used twice: noise that has made a latent look right does not make it right a second time. (The noise
of neighbouring points is independent unless the images have been windowed.) Where the images have
not been trained on either, as those of the other half-set, what is foretold is there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.inference import ImageSource, measure_misfit
from cryosway.methods._held_out import Gain
from cryosway.methods._structural.latents import ModelViews, infer_latents, read_parts, restrict
from cryosway.volumes import Slices

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_SAMPLES = 8


@final
@dataclass(frozen=True, eq=False)
class Unseen:
    """What n images say of points that their latents were not inferred from.

    Attributes
    ----------
    motion, mean, reference
        Shape (n,): log likelihood of these points, in nats up to a constant of the image, by the
        model at the latent's posterior, by its mean conformation, and by the reference.
    information, match
        Shapes (n, R, R) and (n, R): inner products of what the motion of each of R regions
        changes in the image, and of that with what the mean conformation leaves unexplained.
    position
        Shape (n, 2): where each half of the points puts the particle along a direction of motion.
    """

    motion: FloatArray
    mean: FloatArray
    reference: FloatArray
    information: FloatArray
    match: FloatArray
    position: FloatArray

    def gain(self, over: str) -> Gain:
        """By how much the motion describes these points better than ``mean`` or ``reference``."""
        return Gain.measure(self.motion, getattr(self, over))


@final
@dataclass(frozen=True, eq=False)
class Conformations:
    """What images are judged against.

    Attributes
    ----------
    mean, reference
        Shape (N, 3), Å: beads of the rigid models.
    regions
        Shape (R, N), bool: beads whose motions are judged each by itself.
    direction
        Shape (N, 3), of length 1: the direction of motion that `Unseen.position` is along.
    """

    mean: Tensor
    reference: Tensor
    regions: Tensor
    direction: Tensor

    def to(self, device: torch.device) -> "Conformations":
        """Move to a device."""
        return Conformations(*(getattr(self, name).to(device) for name in self.__annotations__))


def chessboard(points: Tensor) -> Tensor:
    """Part Fourier points (P, 2) into white ones and black ones: (2, P), 0 or 1."""
    odd = points.sum(1).round().long() % 2
    return torch.stack([1 - odd, odd]).to(points)


@torch.no_grad()
def judge_unseen(
    views: ModelViews,
    source: ImageSource,
    rows: Rows,
    against: Conformations,
    contrast_sd: float,
    seed: int,
    watch: Callable[[int], None] | None = None,
) -> Unseen:
    """Judge a model on the images in `rows`, points by points that were not used.

    Parameters
    ----------
    views
        Of the model.
    source
        Whitened images.
    rows
        Which of them.
    against
        Rigid models, and regions.
    contrast_sd
        Prior spread of the contrast; 0 fixes it at 1.
    seed
        Of the samples of the latents' posteriors.
    watch
        Told the number of images of each part that is done.
    """
    here, parts = against.to(source.device), []
    boards = chessboard(source.points).to(source.device)
    for part, slices in read_parts(source, rows, views.latent_dim):
        generator = torch.Generator(source.device)
        generator.manual_seed(seed * 1_000_003 + int(part[0]))
        folds = [
            _judge(views, slices, boards[at], boards[1 - at], here, contrast_sd, generator)
            for at in (0, 1)
        ]
        sums = [first + second for first, second in zip(folds[0][:5], folds[1][:5], strict=True)]
        parts.append([*sums, torch.stack([fold[5] for fold in folds], dim=1)])
        if watch is not None:
            watch(len(part))
    return Unseen(*(torch.cat(each).double().cpu().numpy() for each in zip(*parts, strict=True)))


def join_unseen(parts: list[Unseen]) -> Unseen:
    """Put one after the other what was judged by several models."""
    names = list(Unseen.__annotations__)
    return Unseen(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _judge(
    views: ModelViews,
    slices: Slices,
    seen: Tensor,
    unseen: Tensor,
    against: Conformations,
    contrast_sd: float,
    generator: torch.Generator,
) -> tuple[Tensor, ...]:
    """Judge one half of the points by the other: the fields of `Unseen`, of one half."""
    known, judged = restrict(slices, seen), restrict(slices, unseen)
    found = infer_latents(views, slices, contrast_sd, seen)
    show = partial(views.of_beads, slices, present=found.present)
    beads = views.beads(found.latents.mean)
    contrast = measure_misfit(known, show(beads), contrast_sd).contrast
    drawn = [views.beads(found.latents.draw(generator)) for _ in range(_SAMPLES)]
    samples = [-_misfit(judged, show(x), contrast) for x in drawn]
    motion = torch.logsumexp(torch.stack(samples), 0) - np.log(_SAMPLES)
    rigid = []
    for still in (against.mean, against.reference):
        shown = show(still)
        own = measure_misfit(known, shown, contrast_sd).contrast
        rigid.append(-_misfit(judged, shown, own))
    information, match = _compare_regions(show, judged, beads, contrast, against)
    position = ((beads - against.mean) * against.direction).sum((1, 2))
    return motion, rigid[0], rigid[1], information, match, position


def _misfit(slices: Slices, shown: Tensor, contrast: Tensor) -> Tensor:
    seen = contrast[:, None, None] * slices.filters[..., None] * shown
    return (torch.view_as_real(slices.values) - seen).square().sum((1, 2))


def _compare_regions(
    show: Callable[[Tensor], Tensor],
    slices: Slices,
    beads: Tensor,
    contrast: Tensor,
    against: Conformations,
) -> tuple[Tensor, Tensor]:
    """Compare what each region's motion would change with what the mean leaves unexplained.

    Density is additive: the changes of the regions sum to that of the whole.
    """
    gain = contrast[:, None, None] * slices.filters[..., None]
    still = show(against.mean)
    left = (torch.view_as_real(slices.values) - gain * still).flatten(1)
    changes = [
        (gain * (show(torch.where(inside[:, None], beads, against.mean)) - still)).flatten(1)
        for inside in against.regions
    ]  # fmt: skip
    if not changes:
        return left.new_zeros(len(left), 0, 0), left.new_zeros(len(left), 0)
    change = torch.stack(changes, dim=1)
    return change @ change.mT, (change @ left[..., None])[..., 0]


@dataclass(frozen=True, eq=False)
class Amplitudes:
    """How much of the motion of each of R regions is in unseen data: 1 is all of it, 0 nothing.

    Attributes
    ----------
    values, errors
        Shape (R,): least squares, and standard errors that hold whatever the noise is like.
    """

    values: FloatArray
    errors: FloatArray


def fit_amplitudes(information: FloatArray, match: FloatArray) -> Amplitudes:
    """Fit the amplitudes b of Σ_r b_r (change by region r) to what the mean leaves unexplained.

    The errors are those of the sandwich estimator (White, Econometrica 48, 1980), particles being
    independent of each other.

    Parameters
    ----------
    information, match
        Shapes (n, R, R) and (n, R), as in `Unseen`.
    """
    total = information.sum(0)
    power = np.diagonal(total)
    known = power > 1e-9 * power.max(initial=0.0)
    inverse = np.linalg.pinv(total, hermitian=True)
    values = inverse @ match.sum(0)
    scores = match - np.einsum("nrs,s->nr", information, values)
    covariance = inverse @ (scores.T @ scores) @ inverse
    errors = np.where(known, np.sqrt(np.diagonal(covariance).clip(min=0)), np.inf)
    return Amplitudes(np.where(known, values, 0.0), errors)
