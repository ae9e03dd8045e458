"""Whether the motion of each region is in the images, with no prior between the two.

Two tests, both on Fourier points from which the particle's latent was not inferred (see
`_structural_unseen`), by the model of the half-set that the particle is not of:

Amplitude: how much of the change that the model foretells for a region is in the images. 1 is all
of it, 0 none.

Difference map: particles at both ends of the main motion are backprojected, half-sets apart, and
the maps of the ends subtracted. Within each region the differences of the half-sets are correlated
with each other, and with that of the model's densities. A null is made by mixing the ends: each of
them is gathered in blocks, and half of the blocks of either end make up an "end" of the null, so
that motion cancels and only noise is left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.inference import ImageSource
from cryosway.methods._audit.regions import Regions
from cryosway.methods._density.regions import mask_around
from cryosway.methods._structural.halves import Fitted, HalfModel, average_beads
from cryosway.methods._structural.latents import ModelViews, read_parts, restrict
from cryosway.methods._structural.unseen import (
    Conformations,
    Unseen,
    chessboard,
    fit_amplitudes,
    join_unseen,
    judge_unseen,
)
from cryosway.optics import filter_volumes, resize_volumes
from cryosway.volumes import NormalEquations

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

STILL = 0.3  # Å rms, below which nothing is said to move
_RESOLUTION = 10.0  # Å, of difference maps
_LARGEST_RADIUS = 32  # Fourier pixels
_END = 0.25  # of the particles, at either end
_BLOCKS = 4  # of each end and half-set
_NULLS = 40
_RIDGE = 0.05  # of the mean weight
_CONFORMATIONS = 24  # that the density of an end is averaged over
_SURE, _MOST = 3.0, 0.5  # standard errors; amplitude above which a motion is borne out


@final
@dataclass(frozen=True, eq=False)
class Judged:
    """Particles, judged by models that were not trained on them where there are such.

    Attributes
    ----------
    rows
        Shape (n,).
    half
        Shape (n,), 0 or 1.
    unseen
        Of these particles.
    independent
        Whether half-set models judged them.
    """

    rows: Rows
    half: npt.NDArray[np.int64]
    unseen: Unseen
    independent: bool


def judge_particles(
    fitted: Fitted,
    halves: list[HalfModel],
    images: ImageSource,
    rows: Rows,
    regions: Regions,
    contrast_sd: float,
    seed: int,
    watch: Callable[[int], None] | None = None,
) -> Judged:
    """Judge particles region by region, each half-set by the model of the other.

    Parameters
    ----------
    fitted
        The job.
    halves
        Half-set models, if there are any; without them the job's own judges.
    images
        All of its images, whitened.
    rows
        Which of them to judge.
    regions
        Of the model.
    contrast_sd
        Prior spread of the contrast.
    seed
        Of what is drawn.
    watch
        Told the number of images of each part that is done.
    """
    half = fitted.data.half.numpy()[rows]
    parts, order = [], []
    for which in (0, 1):
        mine = rows[half == which]
        judge = halves[1 - which] if halves else None
        model = fitted.model if judge is None else judge.model
        source = images if judge is None else judge.open(images)
        mean = average_beads(fitted.model, fitted.job.latents) if judge is None else judge.mean
        against = Conformations(
            mean,
            model.deformation.reference,
            torch.from_numpy(regions.masks),
            torch.from_numpy(regions.direction).float(),
        )
        views = ModelViews(model, source)
        parts.append(judge_unseen(views, source, mine, against, contrast_sd, seed, watch))
        order.append(mine)
    both = np.concatenate(order)
    return Judged(both, fitted.data.half.numpy()[both], join_unseen(parts), bool(halves))


@final
@dataclass(frozen=True, eq=False)
class Differences:
    """Difference maps between the ends of the main motion, D³ voxels.

    Attributes
    ----------
    halves
        Two, of the half-sets.
    model
        Of the model's densities.
    nulls
        Pairs like `halves` with the ends mixed.
    pixel_size
        Å per voxel.
    masks
        Shape (R, D, D, D): where each region is at either end.
    """

    halves: tuple[Tensor, Tensor]
    model: Tensor
    nulls: list[tuple[Tensor, Tensor]]
    pixel_size: float
    masks: Tensor


def map_differences(
    fitted: Fitted, images: ImageSource, judged: Judged, regions: Regions, seed: int
) -> Differences:
    """Backproject the ends of the main motion, and subtract them.

    Parameters
    ----------
    fitted
        The job.
    images
        All of its images, whitened.
    judged
        Where particles are along the main motion, by either half of their points.
    regions
        Of the model.
    seed
        Of blocks and nulls.
    """
    field = images.particles.box * images.pixel_size
    radius = min(round(field / _RESOLUTION), images.radius, _LARGEST_RADIUS)
    rng = np.random.default_rng(seed)
    labels = _label_ends(judged, rng)
    sums = _gather(images.within(radius), judged.rows, labels)
    pixel_size = field / sums.box
    model, masks = _model_difference(fitted, judged, labels, regions, sums.box, pixel_size)
    return Differences(
        halves=_subtract_ends(sums, set(range(_BLOCKS))),
        model=model,
        nulls=[_subtract_ends(sums, _mix_ends(rng)) for _ in range(_NULLS)],
        pixel_size=pixel_size,
        masks=masks,
    )


def _label_ends(judged: Judged, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Part of each particle by either half of its points, (n, 2); −1 between the ends.

    Parts are numbered by half-set, end and block, each in turn.
    """
    position = judged.unseen.position
    labels = np.full(position.shape, -1, np.int64)
    block = rng.integers(_BLOCKS, size=len(position))
    for half in (0, 1):
        mine = np.flatnonzero(judged.half == half)
        count = max(1, round(_END * len(mine)))
        for fold in (0, 1):
            order = mine[np.argsort(position[mine, fold])]
            for end, chosen in enumerate((order[:count], order[-count:])):
                labels[chosen, fold] = (2 * half + end) * _BLOCKS + block[chosen]
    return labels


def _gather(source: ImageSource, rows: Rows, labels: npt.NDArray[np.int64]) -> NormalEquations:
    """Gather the points that labels were not made from, every part by itself."""
    sums = NormalEquations(source.radius, 1, parts=4 * _BLOCKS, device=source.device)
    boards = chessboard(source.points).to(source.device)
    at = dict(zip(rows.tolist(), range(len(rows)), strict=True))
    used = rows[(labels >= 0).any(1)]
    for part, slices in read_parts(source, used, 1):
        ones = torch.ones(len(part), 1, device=source.device)
        for fold in (0, 1):
            label = torch.from_numpy(labels[[at[row] for row in part.tolist()], fold])
            sums.add(restrict(slices, boards[1 - fold]), ones, ones, label)
    return sums


def _mix_ends(rng: np.random.Generator) -> set[int]:
    """Blocks that make an end of a null: half of the low end's, half of the high end's."""
    low, high = (rng.permutation(_BLOCKS)[: _BLOCKS // 2].tolist() for _ in (0, 1))
    return {*low, *(_BLOCKS + block for block in high)}


def _subtract_ends(sums: NormalEquations, low: set[int]) -> tuple[Tensor, Tensor]:
    """Subtract the end that the blocks in `low` make from that of the others, in each half-set."""
    maps = []
    for first in (0, 2 * _BLOCKS):
        one = {first + block for block in low}
        other = set(range(first, first + 2 * _BLOCKS)) - one
        maps.append(_solve(sums, other) - _solve(sums, one))
    return maps[0], maps[1]


def _solve(sums: NormalEquations, parts: set[int]) -> Tensor:
    together = sums.pick(0)
    together.sums = sums.sums[sorted(parts)].sum(0, keepdim=True)
    shells = sums.box // 2
    ridge = _RIDGE * together.weight_power(shells).mean() * torch.ones(1, shells)
    return together.solve(ridge.to(together.sums))[0].cpu()


def _model_difference(
    fitted: Fitted,
    judged: Judged,
    labels: npt.NDArray[np.int64],
    regions: Regions,
    box: int,
    pixel_size: float,
) -> tuple[Tensor, Tensor]:
    """Difference of the model's densities at the ends, and where each region is at either."""
    views, ends, beads = fitted.model.views, [], []
    for end in (0, 1):
        there = (labels[:, 0] >= 0) & (labels[:, 0] // _BLOCKS % 2 == end)
        rows = judged.rows[there]
        chosen = np.unique(np.linspace(0, len(rows) - 1, _CONFORMATIONS).astype(np.int64))
        found = fitted.model.beads(fitted.job.latents[rows[chosen]])
        beads.append(found.mean(0).numpy())
        shown = torch.stack([views.density(x[None])[0] for x in found])
        ends.append(shown.mean(0))
    shown = filter_volumes((ends[1] - ends[0])[None], views.scale)
    difference = resize_volumes(shown, box)[0]
    masks = [
        mask_around(np.concatenate([x[inside] for x in beads]), box, pixel_size)
        for inside in regions.masks
    ]
    return difference, torch.stack(masks)


def compare_regions(
    judged: Judged, regions: Regions, maps: Differences, names: list[str]
) -> list[dict[str, Any]]:
    """Judge the motion of every region: supported, not supported, cannot tell, or still."""
    amplitudes = fit_amplitudes(judged.unseen.information, judged.unseen.match)
    found = []
    for number, mask in enumerate(maps.masks):
        values, null = _correlate(maps, mask)
        amplitude, error = amplitudes.values[number], amplitudes.errors[number]
        motion = float(regions.motions[number])
        found.append(
            {
                "region": names[number],
                "residues": int(regions.masks[number].sum()),
                "motion_angstrom": motion,
                "amplitude": float(amplitude),
                "amplitude_error": float(error),
                "correlation_of_halves": values[0],
                "correlation_with_model": values[1],
                "null_of_halves": null[0],
                "null_with_model": null[1],
                "verdict": judge_region(motion, float(amplitude), float(error)),
            }
        )
    return found


def judge_region(motion: float, amplitude: float, error: float) -> str:
    """Judge a region's motion, Å rms, by the amplitude that the images bear out."""
    if motion < STILL:
        return "still"
    if amplitude > _MOST and amplitude > _SURE * error:
        return "supported"
    return "not supported" if amplitude + _SURE * error < _MOST else "cannot tell"


def _correlate(maps: Differences, mask: Tensor) -> tuple[tuple[float, float], tuple[float, float]]:
    """Correlate the half-sets' differences, and both with the model's; the same of nulls (rms)."""

    def both(halves: tuple[Tensor, Tensor]) -> tuple[float, float]:
        first, second = halves
        return _correlation(first, second, mask), _correlation(first + second, maps.model, mask)

    nulls = np.array([both(halves) for halves in maps.nulls])
    spread = np.sqrt(np.mean(nulls**2, axis=0))
    return both(maps.halves), (float(spread[0]), float(spread[1]))


def _correlation(one: Tensor, other: Tensor, mask: Tensor) -> float:
    x, y = one.double() * mask, other.double() * mask
    size = float(torch.sqrt(x.square().sum() * y.square().sum()))
    return float((x * y).sum()) / size if size > 0 else 0.0
