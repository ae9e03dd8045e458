"""Rigid-body fit of a model to a map from a placement close by."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import grid_sample

from cryosway.inference import rotate_by
from cryosway.methods._dock.correlation import (
    ENVELOPE,
    ModelPoints,
    calm_threads,
    make_kernel,
    splat_points,
)
from cryosway.methods._dock.map import DockingMap

FloatArray = NDArray[np.float64]

#: Voxels per resolution: fine, since maps are interpolated linearly.
SAMPLING = 4.0
_MOST_POINTS = 8_000  # of a ribosome: placed within 0.02 Å of where all points put it
_GRADIENT = 1e-4  # per Å, where the climb ends: within some 0.01 Å of the maximum


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a model is put: x ↦ rotation (x − model's centre) + centre.

    Attributes
    ----------
    rotation
        Shape (3, 3).
    centre
        Shape (3,), Å, where the model's centre of scattering comes to lie, in the map's frame.
    correlation
        Local correlation with the map, −1 to 1.
    mirrored
        Whether with the mirror of the map.
    """

    rotation: FloatArray
    centre: FloatArray
    correlation: float
    mirrored: bool = False

    def angle_to(self, other: "Placement") -> float:
        """Give the angle between two placements, degrees."""
        cosine = (float((self.rotation * other.rotation).sum()) - 1) / 2
        return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))

    def distance_to(self, other: "Placement") -> float:
        """Give the distance between the centres, Å."""
        return float(np.linalg.norm(self.centre - other.centre))


class LocalFit:
    """Local correlation of a model with a map as a function of its placement, with its gradient.

    The map is sampled at the points of the model's own grid that lie in its envelope.

    Parameters
    ----------
    target
        The map.
    points
        The model.
    resolution
        To which both are filtered, Å.
    """

    def __init__(self, target: DockingMap, points: ModelPoints, resolution: float) -> None:
        fine = target.resample(resolution, SAMPLING)
        self._pixel_size, self._centre, self._box = fine.pixel_size, fine.centre, fine.box
        density = torch.from_numpy(fine.density / fine.density.std())
        self._map = density[None, None]
        self._floor = float(density.var())
        self._radius = points.radius_of_gyration
        grid, values = _sample_model(points, fine.pixel_size, resolution)
        self._grid = torch.from_numpy(grid)
        centred = torch.from_numpy(values - values.mean())
        self._values = centred / centred.norm()

    def correlate(self, rotation: FloatArray, centre: FloatArray) -> float:
        """Give the correlation of one placement."""
        with torch.no_grad():
            return float(self._correlate(torch.from_numpy(rotation), torch.from_numpy(centre)))

    def _correlate(self, turn: Tensor, place: Tensor) -> Tensor:
        at = (self._grid @ turn.T + place - torch.from_numpy(self._centre)) / self._pixel_size
        # grid_sample counts from −1 to 1 between the centres of the first and last voxel.
        unit = 2 * (at + self._box // 2) / (self._box - 1) - 1
        found = grid_sample(self._map, unit.float()[None, None, None], align_corners=True)
        found = found.flatten().double()
        spread = (found.square().mean() - found.mean() ** 2).clamp(min=self._floor) * len(found)
        return (self._values * found).sum() / spread.sqrt()

    def refine(self, start: Placement, rounds: int = 60) -> Placement:
        """Climb from a placement to the maximum next to it (BFGS)."""
        base = torch.from_numpy(start.rotation)
        origin = torch.from_numpy(start.centre)

        def loss(x: FloatArray) -> tuple[float, FloatArray]:
            move = torch.from_numpy(x).requires_grad_()
            turn = rotate_by(move[None, :3] / self._radius)[0] @ base
            value = -self._correlate(turn, origin + move[3:])
            value.backward()
            assert move.grad is not None
            return float(value.detach()), move.grad.numpy().copy()

        with calm_threads(0):  # tens of thousands of points at most
            best = minimize(
                loss, np.zeros(6), jac=True, method="BFGS",
                options={"maxiter": rounds, "gtol": _GRADIENT},
            )  # fmt: skip
        turn = Rotation.from_rotvec(best.x[:3] / self._radius).as_matrix()
        return Placement(
            turn @ start.rotation, start.centre + best.x[3:], -float(best.fun), start.mirrored
        )


def _sample_model(
    points: ModelPoints, pixel_size: float, resolution: float
) -> tuple[FloatArray, FloatArray]:
    """Sample the density of a model on a grid of its own: points in its envelope, Å, and values."""
    reach = float(np.abs(points.coordinates).max()) + 2 * resolution
    box = 2 * int(np.ceil(reach / pixel_size))
    at = torch.from_numpy(points.coordinates / pixel_size).float()[None]
    weights = torch.from_numpy(points.weights).float()
    kernel = make_kernel(box, pixel_size, resolution, sharp=False)
    density = splat_points(at, weights, box, kernel)[0].numpy().astype(np.float64)
    z, y, x = np.nonzero(density > ENVELOPE * density.max())
    grid = np.asarray((np.stack([x, y, z], axis=1) - box // 2) * pixel_size, np.float64)
    values = np.asarray(density[z, y, x], np.float64)
    if len(grid) > _MOST_POINTS:
        chosen = np.random.default_rng(0).choice(len(grid), _MOST_POINTS, replace=False)
        grid, values = grid[chosen], values[chosen]
    return grid, values
