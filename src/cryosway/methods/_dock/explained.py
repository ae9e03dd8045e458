"""What docked bodies explain of a map's density, and what is left."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryosway.methods._dock.bodies import Placed, SmoothMap

BoolVolume = NDArray[np.bool_]
Volume = NDArray[np.float32]

#: A body ends at this part of its peak density.
_EDGE = 0.1
_VOLUME_PER_DALTON = 1.21  # Å³, of protein
_LEAST_VOLUME = 1_200.0  # Å³, of about 1 kDa
_MOST_BLOBS = 10


@dataclass(frozen=True)
class Blob:
    """A piece of density that no body explains.

    Attributes
    ----------
    share
        Of the density within the mask.
    volume
        Å³.
    position
        Å, (x, y, z) of its centre in the frame of the map.
    """

    share: float
    volume: float
    position: tuple[float, float, float]

    @property
    def kilodalton(self) -> float:
        """Mass of protein that would fill it."""
        return self.volume / _VOLUME_PER_DALTON / 1_000


@dataclass(frozen=True, eq=False)
class Explained:
    """What bodies explain of the density within the solvent mask.

    Attributes
    ----------
    shares
        Of every body, 0 to 1.
    blobs
        Unexplained pieces, the largest first; without specks.
    left
        Shape (D, D, D): the unexplained density, on the grid of the smooth map.
    """

    shares: list[float]
    blobs: list[Blob]
    left: Volume

    @property
    def unexplained(self) -> float:
        """The share that no body explains, specks and rims with it."""
        return max(0.0, 1 - sum(self.shares))


def explain(smooth: SmoothMap, placed: list[Placed], level: float) -> Explained:
    """Divide the density within the mask among bodies, and find what none explains.

    A voxel belongs to the body that is densest there, if it is within the body's edge.

    Parameters
    ----------
    smooth
        The map.
    placed
        Bodies in it.
    level
        Density above which voxels count.
    """
    values = smooth.image.density
    counted = smooth.inside & (values > level)
    total = float(values[counted].sum())
    densest, owner = np.full_like(values, _EDGE), np.full(values.shape, -1)
    for number, one in enumerate(placed):
        density = smooth.density(one)
        density = density / density.max()
        mine = density > densest
        densest[mine], owner[mine] = density[mine], number
    shares = [float(values[counted & (owner == n)].sum()) / total for n in range(len(placed))]
    left = np.where(counted & (owner < 0), values, 0).astype(np.float32)
    return Explained(shares, _find_blobs(smooth, left, total), left)


def _find_blobs(smooth: SmoothMap, left: Volume, total: float) -> list[Blob]:
    labels, count = ndimage.label(left > 0, structure=np.ones((3, 3, 3)))
    image, blobs = smooth.image, []
    numbers = np.arange(1, count + 1)
    volumes = np.bincount(labels.ravel(), minlength=count + 1)[1:] * image.pixel_size**3
    sums = ndimage.sum_labels(left, labels, numbers)
    centres = ndimage.center_of_mass(left, labels, numbers)
    for volume, density, centre in zip(volumes, sums, centres, strict=True):
        if volume >= _LEAST_VOLUME:
            x, y, z = image.origin + np.array(centre)[::-1] * image.pixel_size
            place = (float(x), float(y), float(z))
            blobs.append(Blob(float(density) / total, float(volume), place))
    return sorted(blobs, key=lambda blob: -blob.share)[:_MOST_BLOBS]
