"""Where two densities differ: connected regions, each a feature that can be asked for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

FloatVolume = NDArray[np.float32]

_LEVEL = 0.35  # of the largest difference
_EDGE = 2  # voxels over which a region fades


@dataclass(frozen=True, eq=False)
class DifferenceRegion:
    """A connected region in which a density is higher, or lower, than another.

    Attributes
    ----------
    weight
        Shape (D, D, D): 1 within the region, fading to 0 about it.
    sign
        1 where density is added, −1 where it is missing.
    centre
        Shape (3,): x, y, z of its middle from the centre of the box, voxels.
    voxels
        Its size.
    share
        Of the power of the whole difference.
    """

    weight: FloatVolume
    sign: int
    centre: NDArray[np.float64]
    voxels: int
    share: float


def find_difference_regions(
    difference: ArrayLike,
    mask: ArrayLike,
    *,
    most: int = 2,
    least_voxels: int = 8,
    level: float = _LEVEL,
) -> list[DifferenceRegion]:
    """Find the regions that hold most of a difference, the strongest first.

    Parameters
    ----------
    difference
        Shape (D, D, D), low-passed.
    mask
        Shape (D, D, D): where to look.
    most
        Regions, at most.
    least_voxels
        Smaller ones are left out.
    level
        Share of the largest difference at which regions are cut.

    Examples
    --------
    >>> ball = np.zeros((16, 16, 16)); ball[4:7, 4:7, 4:7] = 1; ball[10:12, 10:12, 10:12] = -0.5
    >>> found = find_difference_regions(ball, np.ones_like(ball))
    >>> [(one.sign, one.voxels) for one in found]
    [(1, 27), (-1, 8)]
    """
    given = np.asarray(difference, np.float32) * (np.asarray(mask) > 0.5)
    highest = float(np.abs(given).max())
    if highest <= 0:
        return []
    total = float(np.square(given).sum())
    found = []
    for sign in (1, -1):
        labels, count = ndimage.label(sign * given > level * highest)
        for number in range(1, count + 1):
            inside = labels == number
            voxels = int(inside.sum())
            if voxels >= least_voxels:
                found.append(_describe(given, inside, sign, voxels, total))
    return sorted(found, key=lambda one: -one.share)[:most]


def _describe(
    given: FloatVolume, inside: NDArray[Any], sign: int, voxels: int, total: float
) -> DifferenceRegion:
    away = np.asarray(ndimage.distance_transform_edt(~inside))
    fade = np.clip(1 - away / (_EDGE + 1), 0, 1) * (sign * given > 0)
    place = np.array(ndimage.center_of_mass(np.abs(given) * inside))[::-1] - given.shape[0] // 2
    share = float(np.square(given[inside]).sum()) / total
    return DifferenceRegion(fade.astype(np.float32), sign, place, voxels, share)
