"""How far a docked model and a map agree: their Fourier shell correlation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryosway.methods._dock.map import DockingMap
from cryosway.protein import AtomTable
from cryosway.simulate import Potential, truth_volume
from cryosway.validate import corrected_fsc, fsc_resolution, low_pass, soften_mask

FloatArray = NDArray[np.float64]

_MARGIN = 15.0
_ENVELOPE_RESOLUTION = 10.0
_ENVELOPE = 0.1
_GROW, _EDGE = 3.0, 6.0
#: Å²; what atoms of a good map have. Shell correlations hardly depend on it.
_B_FACTOR = 60.0


@dataclass(frozen=True, eq=False)
class Agreement:
    """Model–map FSC.

    Attributes
    ----------
    frequencies, curve
        Shape (S,): 1/Å, and the correlation within the model's envelope, corrected for the mask.
    resolution
        Å, where the curve falls below 0.5: what the map knows of the model beyond is less than
        noise, so images are to be low-passed there.
    """

    frequencies: FloatArray
    curve: FloatArray
    resolution: float

    def as_curve(self) -> dict[str, Any]:
        """Give the curve as in ``curves.json``."""
        return {
            "label": "model and map, masked, corrected",
            "frequency_per_angstrom": self.frequencies,
            "value": self.curve,
            "resolution_angstrom": self.resolution,
        }


def measure_agreement(atoms: AtomTable, target: DockingMap) -> Agreement:
    """Correlate the density of a docked model with a map, shell by shell.

    Within a soft envelope of the model; what the mask alone correlates is measured with random
    phases and taken off (Chen et al., Ultramicroscopy 135, 2013). The curve ends 0.5 at the
    resolution to which images may be compared with the model.

    Parameters
    ----------
    atoms
        In the map's frame.
    target
        The map.
    """
    region = _cut_out(target, atoms)
    placed = atoms.with_coordinates(atoms.coordinates - region.centre)
    potential = Potential(kind="electron", bfactor=_B_FACTOR)
    density = truth_volume(placed, region.box, region.pixel_size, potential=potential)
    smooth = low_pass(density, region.pixel_size, max(_ENVELOPE_RESOLUTION, 3 * region.pixel_size))
    inside = smooth > _ENVELOPE * smooth.max()
    mask = soften_mask(inside, _GROW / region.pixel_size, _EDGE / region.pixel_size)
    curve = corrected_fsc(region.density, density, mask)["corrected"]
    frequencies = np.arange(len(curve)) / (region.box * region.pixel_size)
    return Agreement(frequencies, curve, fsc_resolution(curve, region.pixel_size, 0.5))


def _cut_out(target: DockingMap, atoms: AtomTable) -> DockingMap:
    """Cut out the cube of a map that holds the model, zero where it goes beyond the map."""
    low, high = atoms.coordinates.min(axis=0), atoms.coordinates.max(axis=0)
    box = 2 * int(np.ceil(((high - low).max() / 2 + _MARGIN) / target.pixel_size))
    middle = np.rint(((low + high) / 2 - target.origin) / target.pixel_size).astype(int)
    start = middle - box // 2  # (x, y, z) of the cube's first voxel
    density = np.zeros((box,) * 3, np.float32)
    source, place = [], []
    for first in start[::-1]:
        source.append(slice(max(first, 0), min(first + box, target.box)))
        place.append(slice(source[-1].start - first, max(source[-1].stop - first, 0)))
    density[tuple(place)] = target.density[tuple(source)]
    return DockingMap(density, target.pixel_size, target.origin + start * target.pixel_size)
