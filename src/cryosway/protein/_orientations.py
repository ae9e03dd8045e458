"""Rotations spread evenly over SO(3)."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

FloatArray = NDArray[np.float64]

_PHI = np.sqrt(2.0)
_PSI = 1.533751168755204288118041  # the real root of ψ⁴ = ψ + 4


def even_rotations(count: int) -> FloatArray:
    """Spread rotations evenly: super-Fibonacci spirals (Alexa, CVPR 2022).

    Returns
    -------
    Shape (count, 3, 3). Neighbours are about (8π² / count)^⅓ radians apart.

    Examples
    --------
    >>> even_rotations(1000).shape
    (1000, 3, 3)
    """
    s = np.arange(count) + 0.5
    inner, outer = np.sqrt(s / count), np.sqrt(1 - s / count)
    alpha, beta = 2 * np.pi * s / _PHI, 2 * np.pi * s / _PSI
    parts = (
        inner * np.sin(alpha),
        inner * np.cos(alpha),
        outer * np.sin(beta),
        outer * np.cos(beta),
    )
    return np.asarray(Rotation.from_quat(np.stack(parts, axis=1)).as_matrix(), np.float64)


def count_rotations(step: float) -> int:
    """Count the rotations that lie `step` radians apart: the volume of SO(3) over step³."""
    return int(np.ceil(8 * np.pi**2 / step**3))
