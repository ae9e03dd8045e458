"""Where to look from, so that the picture shows what matters."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryosway.report._scene import Camera
from cryosway.report._surface import Surface

FloatArray = NDArray[np.floating]


def choose_view(
    volume: FloatArray, threshold: float, difference: FloatArray | None = None
) -> FloatArray:
    """Choose a view: the long axis upright, the broad side or the motion towards the eye.

    Parameters
    ----------
    volume : ndarray, shape (D, D, D)
        Density, axes (z, y, x).
    threshold : float
        Contour level; what lies below does not count.
    difference : ndarray, shape (D, D, D), optional
        Difference between two states; the direction along which its projection keeps most of
        its absolute weight (least cancels) is put towards the eye.

    Returns
    -------
    ndarray, shape (3, 3)
        Rotation whose rows are screen right, screen up and towards the eye, in (x, y, z).
    """
    axes = _principal_axes(np.where(volume > threshold, volume, 0.0))
    towards = axes[2] if difference is None else _direction_of_best_view(difference, axes)
    up = axes[0] - (axes[0] @ towards) * towards
    if np.linalg.norm(up) < 0.2:
        up = axes[1] - (axes[1] @ towards) * towards
    up /= np.linalg.norm(up)
    return np.stack([np.cross(up, towards), up, towards])


def turn_view(rotation: FloatArray, degrees: float) -> FloatArray:
    """Turn a view about the screen's upright axis, as if walking around the molecule.

    Parameters
    ----------
    rotation : ndarray, shape (3, 3)
        Rows are screen right, screen up and towards the eye.
    degrees : float
        Angle; at 90 what was on the right comes to the front.

    Returns
    -------
    ndarray, shape (3, 3)
    """
    angle = np.deg2rad(degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    right, up, towards = rotation
    return np.stack([cosine * right - sine * towards, up, sine * right + cosine * towards])


def fit_camera(surfaces: Sequence[Surface], rotation: FloatArray, pixels: int = 320) -> Camera:
    """Frame surfaces so that all of them fit, also when turned by 90° about the upright.

    Parameters
    ----------
    surfaces : sequence of Surface
        Everything that will be drawn with this camera.
    rotation : ndarray, shape (3, 3)
        The view.
    pixels : int
        Width and height of the picture.

    Returns
    -------
    Camera
    """
    points = [surface.vertices for surface in surfaces if len(surface.vertices)]
    if not points:
        return Camera(rotation=rotation, pixels=pixels)
    seen = np.concatenate(points) @ rotation.T
    low, high = seen.min(axis=0), seen.max(axis=0)
    centre = (low + high) / 2
    width = 1.06 * (high - low).max()
    return Camera(rotation, float(width), pixels, rotation.T @ centre)


def _principal_axes(weights: FloatArray) -> FloatArray:
    """Axes of inertia of a density, longest first, right-handed, rows in (x, y, z)."""
    total = weights.sum()
    if total <= 0:
        return np.eye(3)
    grid = np.indices(weights.shape).reshape(3, -1)[::-1]
    flat = weights.ravel() / total
    offset = grid - (grid @ flat)[:, None]
    _, vectors = np.linalg.eigh((offset * flat) @ offset.T)
    axes = vectors[:, ::-1].T
    signs = np.sign(axes[np.arange(3), np.abs(axes).argmax(axis=1)])
    axes = axes * signs[:, None]
    axes[2] = np.cross(axes[0], axes[1])
    return np.asarray(axes)


def _direction_of_best_view(difference: FloatArray, axes: FloatArray) -> FloatArray:
    """Try directions over half a sphere; each is scored by the weight of its projection."""
    small = ndimage.zoom(difference, min(1.0, 32 / difference.shape[0]), order=1)
    strongest = np.abs(small) > 0.25 * np.abs(small).max()
    z, y, x = np.nonzero(strongest)
    points = np.stack([x, y, z], axis=1) - small.shape[0] / 2
    values = small[strongest]
    directions = _half_sphere(96)
    scores = [_projected_weight(points, values, direction) for direction in directions]
    # Among views that show the change nearly as well, the one nearest to the broad side.
    good = np.array(scores) >= 0.92 * max(scores)
    best = np.where(good, np.abs(directions @ axes[2]), -1.0).argmax()
    direction = directions[best]
    return np.asarray(direction * (1.0 if direction @ axes[2] >= 0 else -1.0))


def _projected_weight(points: FloatArray, values: FloatArray, direction: FloatArray) -> float:
    right = np.cross(direction, [0.31, 0.59, -0.74])
    right /= np.linalg.norm(right)
    columns = np.floor(points @ right).astype(int) + 64
    rows = np.floor(points @ np.cross(direction, right)).astype(int) + 64
    sums = np.bincount((rows * 128 + columns).clip(0, 128 * 128 - 1), values, 128 * 128)
    return float(np.abs(sums).sum())


def _half_sphere(count: int) -> FloatArray:
    """Directions spread evenly over a half sphere (Fibonacci's spiral)."""
    height = (np.arange(count) + 0.5) / count
    angle = np.pi * (1 + 5**0.5) * np.arange(count)
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=1)
