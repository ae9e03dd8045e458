"""Global search for the placement of a model in a map: all rotations, all shifts, both hands."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cryosway.methods._dock.correlation import ModelPoints, ShiftSearch, calm_threads
from cryosway.methods._dock.map import DockingMap
from cryosway.methods._dock.refine import LocalFit, Placement
from cryosway.protein import count_rotations, even_rotations

FloatArray = NDArray[np.float64]

#: Voxels per resolution in the search.
SAMPLING = 2.6
_FEWEST, _MOST = 1_500, 20_000
_CANDIDATES, _MORE_CANDIDATES = 10, 4
_FAR_STEPS = 3.0
_BATCH_VOXELS = 600_000


@dataclass(frozen=True)
class SearchPlan:
    """Resolutions, Å, and angle between rotations, degrees.

    Attributes
    ----------
    coarse, fine
        Resolution of the search over all rotations and shifts; of the fit that ends it.
    step
        Angle between neighbouring rotations, degrees.
    rotations
        How many.
    """

    coarse: float
    fine: float
    step: float
    rotations: int

    @classmethod
    def of(
        cls, points: ModelPoints, pixel_size: float, coarse: float | None = None
    ) -> "SearchPlan":
        """Choose by the size of the model: large ones are placed by coarser features.

        A rotation by one step moves the rim of the model by 0.6 of the resolution.
        """
        size = points.radius_of_gyration
        low = coarse or float(np.clip(0.5 * size + 6, 12, 40))
        low = max(low, 3 * pixel_size)
        step = 0.6 * low / (1.7 * size)
        count = int(np.clip(count_rotations(step), _FEWEST, _MOST))
        fine = max(3 * pixel_size, min(8.0, low / 1.5))
        return cls(low, fine, float(np.rad2deg((8 * np.pi**2 / count) ** (1 / 3))), count)


def search_placements(
    target: DockingMap,
    points: ModelPoints,
    atoms: ModelPoints,
    plan: SearchPlan,
    device: torch.device,
    *,
    mirror: bool,
    advance: Callable[[int], None] | None = None,
) -> list[Placement]:
    """Find the best placements of a model, refined, the best first.

    Parameters
    ----------
    target
        The map.
    points
        The model as few points, for the search.
    atoms
        The same, as atoms, for the fit. Both have one centre.
    plan
        Resolutions and rotations.
    device
        For the search.
    mirror
        Whether to search the mirror of the map as well.
    advance
        Told how many rotations were done.
    """
    coarse = target.resample(plan.coarse, SAMPLING)
    search = ShiftSearch(coarse, plan.coarse, points, device, mirror=mirror)
    rotations = even_rotations(plan.rotations)
    with calm_threads(search.box):
        found = _scan(search, rotations, advance)
    placements = []
    for hand, image in enumerate([target, *([target.mirrored()] if mirror else [])]):
        of_hand = [placement for placement in found if placement.mirrored == bool(hand)]
        starts = _choose_apart(of_hand, plan, _CANDIDATES)
        fitted = _drop_copies(fit_locally(image, atoms, plan, starts), plan)
        if len(fitted) == 1:  # all came to one end: what would be the next best?
            far = [p for p in of_hand if p.angle_to(fitted[0]) > _FAR_STEPS * plan.step]
            starts = _choose_apart(far, plan, _MORE_CANDIDATES)
            fitted = _drop_copies(fitted + fit_locally(image, atoms, plan, starts), plan)
        placements += fitted
    return sorted(placements, key=lambda placement: -placement.correlation)


def fit_locally(
    target: DockingMap, atoms: ModelPoints, plan: SearchPlan, starts: list[Placement]
) -> list[Placement]:
    """Climb from each placement, first between the plan's resolutions, then at the finer one."""
    steps = [LocalFit(target, atoms, r) for r in ((plan.coarse + plan.fine) / 2, plan.fine)]
    return [steps[1].refine(steps[0].refine(start)) for start in starts]


def _scan(
    search: ShiftSearch,
    rotations: FloatArray,
    advance: Callable[[int], None] | None,
) -> list[Placement]:
    """Give for each rotation and hand the best shift."""
    batch = int(np.clip(_BATCH_VOXELS // search.box**3, 1, 64))
    found = []
    for start in range(0, len(rotations), batch):
        turned = rotations[start : start + batch]
        best, index = search.correlate(turned).flatten(2).max(dim=2)
        for row, rotation in enumerate(turned):
            for hand in range(best.shape[1]):
                place = search.place(int(index[row, hand]))
                found.append(Placement(rotation, place, float(best[row, hand]), bool(hand)))
        if advance is not None:
            advance(len(turned))
    return found


def _choose_apart(found: list[Placement], plan: SearchPlan, count: int) -> list[Placement]:
    """Choose the best placements that are not each other's neighbours."""
    chosen: list[Placement] = []
    for placement in sorted(found, key=lambda p: -p.correlation):
        if all(not _are_close(placement, other, 1.2 * plan.step, plan.coarse) for other in chosen):
            chosen.append(placement)
        if len(chosen) == count:
            break
    return chosen


def _drop_copies(placements: list[Placement], plan: SearchPlan) -> list[Placement]:
    """Sort placements and keep the best of those that came to the same end."""
    kept: list[Placement] = []
    for placement in sorted(placements, key=lambda placement: -placement.correlation):
        if all(not _are_close(placement, other, plan.step, plan.fine) for other in kept):
            kept.append(placement)
    return kept


def _are_close(a: Placement, b: Placement, angle: float, distance: float) -> bool:
    same_hand = a.mirrored == b.mirrored
    return same_hand and a.angle_to(b) < angle and a.distance_to(b) < distance
