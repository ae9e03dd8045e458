"""Rotation conventions: RELION's Euler angles, cryoSPARC's rotation vectors, uniform sampling.

Every matrix here is R with x_image = R x_reference, acting on (x, y, z) column vectors.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

FloatArray = NDArray[np.float64]


def relion_euler_to_matrix(rot: ArrayLike, tilt: ArrayLike, psi: ArrayLike) -> FloatArray:
    """Convert RELION's Euler angles to rotation matrices.

    RELION's matrix is the transpose of the intrinsic ZYZ rotation by (rot, tilt, psi).

    Parameters
    ----------
    rot, tilt, psi
        Shape (...,), degrees: ``rlnAngleRot``, ``rlnAngleTilt``, ``rlnAnglePsi``.

    Returns
    -------
    Shape (..., 3, 3), float64: R with x_image = R x_reference.

    Examples
    --------
    >>> relion_euler_to_matrix(0.0, 0.0, 90.0).round(12)[0]
    array([0., 1., 0.])
    """
    angles = np.stack(np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (rot, tilt, psi))))
    leading = angles.shape[1:]
    rotation = Rotation.from_euler("ZYZ", angles.reshape(3, -1).T, degrees=True)
    return np.asarray(rotation.inv().as_matrix(), np.float64).reshape(*leading, 3, 3)


def matrix_to_relion_euler(matrices: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Convert rotation matrices to RELION's (rot, tilt, psi) in degrees.

    At tilt 0 or 180 only rot ± psi is defined; rot is then 0.

    Parameters
    ----------
    matrices
        Shape (..., 3, 3): R with x_image = R x_reference.

    Returns
    -------
    rot, tilt, psi: shape (...,), float64, degrees; tilt in [0, 180].
    """
    r = np.asarray(matrices, np.float64)
    sin_tilt = np.hypot(r[..., 2, 0], r[..., 2, 1])
    tilt = np.degrees(np.arctan2(sin_tilt, r[..., 2, 2]))
    rot = np.where(sin_tilt < 1e-12, 0.0, np.arctan2(r[..., 2, 1], r[..., 2, 0]))
    # From R with rot undone, the elements of psi are never both small: near the poles, where
    # rot is rounding noise, psi takes up its error and the matrix stays right.
    cos_rot, sin_rot = np.cos(rot), np.sin(rot)
    sin_psi = r[..., 0, 1] * cos_rot - r[..., 0, 0] * sin_rot
    cos_psi = r[..., 1, 1] * cos_rot - r[..., 1, 0] * sin_rot
    return np.degrees(rot), tilt, np.degrees(np.arctan2(sin_psi, cos_psi))


def cryosparc_pose_to_matrix(pose: ArrayLike) -> FloatArray:
    """Convert cryoSPARC's ``alignments3D/pose`` to rotation matrices: R = expmap(pose)ᵀ.

    Parameters
    ----------
    pose
        Shape (..., 3): rotation vector, radians.

    Returns
    -------
    Shape (..., 3, 3), float64: R with x_image = R x_reference.
    """
    vectors = np.asarray(pose, np.float64)
    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3)).inv().as_matrix()
    return np.asarray(matrices, np.float64).reshape(*vectors.shape[:-1], 3, 3)


def matrix_to_cryosparc_pose(matrices: ArrayLike) -> FloatArray:
    """Convert rotation matrices to cryoSPARC's rotation vectors, shape (..., 3), radians."""
    r = np.asarray(matrices, np.float64)
    vectors = Rotation.from_matrix(r.reshape(-1, 3, 3)).inv().as_rotvec()
    return np.asarray(vectors, np.float64).reshape(*r.shape[:-2], 3)


def random_rotations(count: int, rng: np.random.Generator) -> FloatArray:
    """Draw rotations uniformly from SO(3), shape (count, 3, 3)."""
    quaternions = rng.normal(size=(count, 4))  # isotropic in four dimensions: Haar's measure
    return np.asarray(Rotation.from_quat(quaternions).as_matrix(), np.float64)


def rotation_angle(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Geodesic angle in degrees between rotations, each of shape (..., 3, 3).

    Uses the chord |A − B| = 2√2 sin(θ/2), which stays accurate at small angles.
    """
    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    chord = np.sqrt(np.sum(difference**2, axis=(-2, -1)))
    return np.asarray(np.degrees(2 * np.arcsin(np.clip(chord / np.sqrt(8.0), 0.0, 1.0))))
