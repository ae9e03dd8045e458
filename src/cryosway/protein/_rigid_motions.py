"""Rigid motions of many copies at once, and what turns about which axis."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_SMALL_ANGLE = 1e-9


@dataclass(frozen=True, eq=False)
class RigidMotions:
    """M motions x ↦ R x + t.

    Attributes
    ----------
    rotations
        Shape (M, 3, 3).
    translations
        Shape (M, 3), Å.
    """

    rotations: FloatArray
    translations: FloatArray

    def __len__(self) -> int:
        return len(self.rotations)

    def __getitem__(self, rows: "NDArray[np.intp] | slice") -> "RigidMotions":
        return RigidMotions(self.rotations[rows], self.translations[rows])

    def apply(self, points: FloatArray) -> FloatArray:
        """Move points, shape (n, 3) or (M, n, 3), by every motion: (M, n, 3)."""
        return np.asarray(points @ self.rotations.mT + self.translations[:, None], np.float64)

    def undo(self, points: FloatArray) -> FloatArray:
        """Move points (M, n, 3) back."""
        return np.asarray((points - self.translations[:, None]) @ self.rotations, np.float64)

    def inverse(self) -> "RigidMotions":
        """Give the motions back."""
        turned = self.rotations.mT
        return RigidMotions(turned, -(turned @ self.translations[..., None])[..., 0])

    def after(self, first: "RigidMotions") -> "RigidMotions":
        """Give the motions x ↦ self(first(x))."""
        moved = (self.rotations @ first.translations[..., None])[..., 0] + self.translations
        return RigidMotions(self.rotations @ first.rotations, moved)

    def mean(self, centre: FloatArray) -> "RigidMotions":
        """Give their mean about a point (3,): the nearest rotation to the mean of all; M is 1."""
        rotation = nearest_rotations(self.rotations.mean(0)[None])
        moved = self.apply(centre[None])[:, 0].mean(0)
        return RigidMotions(rotation, (moved - rotation[0] @ centre)[None])

    def twists(self, axis: FloatArray) -> FloatArray:
        """Angles (M,), radians, by which the motions turn about an axis (3,) of length 1.

        The twist of the swing–twist decomposition: of the quaternion (w, v), 2 atan2(v · n, w).
        """
        from scipy.spatial.transform import Rotation

        quaternion = Rotation.from_matrix(self.rotations).as_quat()
        angle = 2 * np.arctan2(quaternion[:, :3] @ axis, quaternion[:, 3])
        return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi, np.float64)


def fit_rigid_motions(shape: FloatArray, ensemble: FloatArray) -> RigidMotions:
    """Find the motions that bring a shape closest to every copy (Kabsch, Acta Cryst. A32, 1976).

    Parameters
    ----------
    shape
        Shape (n, 3), Å.
    ensemble
        Shape (M, n, 3), Å.
    """
    centre, centres = shape.mean(0), ensemble.mean(1)
    covariance = (ensemble - centres[:, None]).mT @ (shape - centre)
    rotations = nearest_rotations(covariance)
    return RigidMotions(rotations, centres - rotations @ centre)


def nearest_rotations(matrices: FloatArray) -> FloatArray:
    """Nearest proper rotations to matrices (..., 3, 3)."""
    u, _, vt = np.linalg.svd(matrices)
    u[..., :, 2] *= np.linalg.det(u @ vt)[..., None]
    return np.asarray(u @ vt, np.float64)


@dataclass(frozen=True, eq=False)
class Screw:
    """A rigid motion as a turn about an axis and a shift along it (Chasles).

    Attributes
    ----------
    axis
        Shape (3,), of length 1.
    point
        Shape (3,), Å: the point of the axis that is nearest to a chosen centre.
    angle
        Radians, from 0 to π, right-handed about the axis.
    shift
        Å, along the axis.
    """

    axis: FloatArray
    point: FloatArray
    angle: float
    shift: float


def find_screw(rotation: FloatArray, translation: FloatArray, centre: FloatArray) -> Screw:
    """Find the screw axis of x ↦ R x + t.

    The part t⊥ of t across the axis n comes from turning about a point p = R p + t⊥, which is
    p = ½ (t⊥ + cot(θ/2) n × t⊥).

    Parameters
    ----------
    rotation, translation
        Shapes (3, 3) and (3,), Å.
    centre
        Shape (3,), Å. Of a motion without a turn the axis goes through it, along t.
    """
    from scipy.spatial.transform import Rotation

    vector = Rotation.from_matrix(rotation).as_rotvec()
    angle = float(np.linalg.norm(vector))
    if angle < _SMALL_ANGLE:
        length = float(np.linalg.norm(translation))
        axis = translation / length if length > 0 else np.array([0.0, 0.0, 1.0])
        return Screw(axis, np.asarray(centre, np.float64), 0.0, length)
    axis = vector / angle
    shift = float(axis @ translation)
    across = translation - shift * axis
    point = 0.5 * (across + np.cross(axis, across) / np.tan(angle / 2))
    point = point + axis * (axis @ (centre - point))
    return Screw(axis, point, angle, shift)
