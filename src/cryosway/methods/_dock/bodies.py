"""Rigid bodies, where they were placed, and how they fill a map."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cryosway.methods._dock.correlation import ENVELOPE, ModelPoints, make_kernel, splat_points
from cryosway.methods._dock.map import DockingMap
from cryosway.methods._dock.refine import Placement
from cryosway.methods._dock.search import SearchPlan
from cryosway.protein import AtomTable

FloatArray = NDArray[np.float64]
BoolVolume = NDArray[np.bool_]
Volume = NDArray[np.float32]

_RESOLUTION, _SAMPLING = 8.0, 3.0  # Å, voxels per resolution
#: The inside of a body begins at this part of its peak density.
CORE = 0.4
#: Density of the solvent ends at this part of that within a body.
_LEVEL = 0.35


@dataclass(frozen=True, eq=False)
class RigidBody:
    """A model that is placed as a whole.

    Attributes
    ----------
    path, name
        Its file, and what it is called in tables.
    atoms
        Those that decide where it lies.
    points, few
        The same as points, and as few points, about one centre.
    copies
        How many there are; None for as many as fit.
    plan
        Of its search.
    """

    path: Path
    name: str
    atoms: AtomTable
    points: ModelPoints
    few: ModelPoints
    copies: int | None
    plan: SearchPlan


@dataclass(frozen=True, eq=False)
class Placed:
    """A copy of a body in a map.

    Attributes
    ----------
    body, placement
        What, and where.
    following
        Correlation of what fits next best, where there is anything.
    filled
        The part of its inside that is in density of no body placed before.
    scale
        Density of the map over that of the model.
    """

    body: RigidBody
    placement: Placement
    following: float | None = None
    filled: float = 1.0
    scale: float = 1.0

    @property
    def atoms(self) -> AtomTable:
        """The atoms in the frame of the map."""
        turned = self.body.atoms.coordinates @ self.placement.rotation.T
        return self.body.atoms.with_coordinates(turned + self.translation)

    @property
    def translation(self) -> FloatArray:
        """Å, so that x ↦ rotation · x + translation."""
        turned = self.placement.rotation @ self.body.points.centre
        return np.asarray(self.placement.centre - turned, np.float64)

    def density(self, grid: DockingMap, resolution: float) -> Volume:
        """Give its density, filtered, on the grid of a map: shape (D, D, D)."""
        points = self.body.points
        at = points.coordinates @ self.placement.rotation.T + self.placement.centre - grid.centre
        found = splat_points(
            torch.from_numpy(at / grid.pixel_size).float()[None],
            torch.from_numpy(points.weights).float(),
            grid.box,
            make_kernel(grid.box, grid.pixel_size, resolution),
        )
        return np.asarray(found[0].numpy(), np.float32)

    def cover(self, grid: DockingMap, resolution: float) -> Volume:
        """Say which part of each voxel it takes: 1 inside it, 0 beyond its envelope."""
        density = self.density(grid, resolution)
        part = (density / density.max() - ENVELOPE) / (CORE - ENVELOPE)
        return np.asarray(np.clip(part, 0, 1), np.float32)


@dataclass(frozen=True, eq=False)
class SmoothMap:
    """A map in which bodies are weighed: low-passed, and sampled as coarsely as that allows.

    Attributes
    ----------
    image
        The map.
    inside
        Shape (D, D, D): within the solvent mask.
    resolution
        Å.
    """

    image: DockingMap
    inside: BoolVolume
    resolution: float

    @classmethod
    def of(cls, target: DockingMap, mask: DockingMap) -> "SmoothMap":
        """Low-pass a map; `mask` is a solvent mask on its grid."""
        resolution = max(_RESOLUTION, 3 * target.pixel_size)
        image = target.resample(resolution, _SAMPLING)
        return cls(image, mask.resample(resolution, _SAMPLING).density > 0.5, resolution)

    def density(self, one: Placed) -> Volume:
        """Density of a body on this grid."""
        return one.density(self.image, self.resolution)

    def find_level(self, one: Placed) -> float:
        """Find the density that parts molecule from solvent, by a body that is in the map."""
        return _LEVEL * float(self.image.density[self._find_core(one)].mean())

    def measure_filled(self, one: Placed, others: list[Placed], level: float) -> float:
        """Tell which part of a body's inside has density above a level that others do not cover."""
        left = self.image.density * self._find_free(others)
        return float(np.mean(left[self._find_core(one)] > level))

    def has_room(self, one: Placed, others: list[Placed], level: float) -> bool:
        """Tell whether what others do not cover would fill half of a body."""
        left = self.image.density * self._find_free(others)
        free = self.inside & (left > level)
        return bool(free.sum() > 0.5 * self._find_core(one).sum())

    def fit_scales(self, placed: list[Placed]) -> list[float]:
        """Fit the density of the map over that of each body, by least squares."""
        densities = np.stack([self.density(one).ravel() for one in placed], axis=1)
        scales = np.linalg.lstsq(densities, self.image.density.ravel(), rcond=None)[0]
        return [float(scale) for scale in scales]

    def _find_core(self, one: Placed) -> BoolVolume:
        density = self.density(one)
        return np.asarray(density > CORE * density.max())

    def _find_free(self, others: list[Placed]) -> Volume:
        free = np.ones_like(self.image.density)
        for one in others:
            free *= 1 - one.cover(self.image, self.resolution)
        return free
