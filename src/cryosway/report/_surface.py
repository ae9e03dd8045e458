"""Isosurfaces: from a density to a mesh with normals and ambient occlusion."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from cryosway.report._threshold import keep_large_pieces

FloatArray = NDArray[np.floating]
FINEST_CROP = 130
"""Voxels along the longest edge of the resampled crop that marching cubes sees."""


@dataclass(frozen=True)
class Surface:
    """An isosurface in the reference frame.

    Attributes
    ----------
    vertices : ndarray, shape (V, 3), float32
        Points (x, y, z) in Å from the box's origin voxel D/2.
    normals : ndarray, shape (V, 3), float32
        Outward unit normals.
    faces : ndarray, shape (F, 3), int32
        Vertex numbers of the triangles.
    openness : ndarray, shape (V,), float32
        Ambient light that reaches each vertex: 1 in the open, towards 0 in a pocket.
    """

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    faces: NDArray[np.int32]
    openness: NDArray[np.float32]

    @property
    def area_angstrom2(self) -> float:
        """Area of the surface, Å²."""
        a, b, c = (self.vertices[self.faces[:, corner]] for corner in range(3))
        return float(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())


def build_surface(
    volume: FloatArray,
    pixel_size: float,
    threshold: float,
    *,
    dust: float = 0.02,
    finest: int = FINEST_CROP,
) -> Surface:
    """Extract the isosurface of a density, ready to be drawn.

    The region around the molecule is resampled by Fourier transform to a fine grid, so that small
    boxes give smooth surfaces and large ones stay quick; normals are density gradients.

    Parameters
    ----------
    volume : ndarray, shape (D, D, D)
        Density, axes (z, y, x).
    pixel_size : float
        Å per voxel.
    threshold : float
        Contour level, units of `volume`.
    dust : float
        Pieces smaller than this part of the largest one are left out.
    finest : int
        Voxels along the longest edge of the fine grid.

    Returns
    -------
    Surface
        Empty where nothing reaches the threshold.
    """
    from skimage.measure import marching_cubes

    density = np.asarray(volume, dtype=np.float32)
    crop = _crop_molecule(density, threshold, dust)
    if crop is None:
        return _empty_surface()
    corner, block = crop
    fine, zoom = _resample(block, finest)
    if not fine.min() < threshold < fine.max():
        return _empty_surface()
    vertices, faces, _, _ = marching_cubes(fine, level=threshold)
    points = (vertices / zoom + corner - density.shape[0] // 2) * pixel_size
    normals = _sample_normals(fine, vertices)
    openness = _sample_openness(fine > threshold, vertices, normals, zoom / pixel_size)
    return Surface(
        vertices=np.ascontiguousarray(points[:, ::-1], dtype=np.float32),
        normals=np.ascontiguousarray(normals[:, ::-1], dtype=np.float32),
        faces=np.ascontiguousarray(faces, dtype=np.int32),
        openness=openness.astype(np.float32),
    )


def sample_on_surface(surface: Surface, values: FloatArray, pixel_size: float) -> FloatArray:
    """Read a map (local resolution, variance, displacement) at the vertices of a surface.

    Parameters
    ----------
    surface : Surface
        The surface.
    values : ndarray, shape (D, D, D)
        The map to read, in the same frame.
    pixel_size : float
        Å per voxel of `values`.

    Returns
    -------
    ndarray, shape (V,)
        Trilinear values, units of `values`.
    """
    where = surface.vertices[:, ::-1].T / pixel_size + values.shape[0] // 2
    sampled = ndimage.map_coordinates(np.asarray(values, np.float32), where, order=1)
    return np.asarray(sampled)


def _crop_molecule(
    density: NDArray[np.float32], threshold: float, dust: float
) -> tuple[NDArray[np.intp], NDArray[np.float32]] | None:
    """Cut out the molecule with a margin; what is dust is put below the threshold."""
    inside = density > threshold
    if not inside.any():
        return None
    kept = keep_large_pieces(inside, dust)
    nearby = ndimage.binary_dilation(kept, iterations=2)
    specks = ndimage.binary_dilation(inside & ~kept, iterations=3) & ~nearby
    cleaned = np.where(specks, _background(density), density)
    margin = 4
    padded = np.pad(cleaned, margin, mode="constant", constant_values=_background(density))
    box = ndimage.find_objects(np.pad(kept, margin).astype(np.int8))[0]
    window = tuple(slice(edge.start - margin, edge.stop + margin) for edge in box)
    corner = np.array([edge.start for edge in window]) - margin
    return corner, padded[window]


def _background(density: NDArray[np.float32]) -> float:
    return min(float(np.median(density)), 0.0)


def _resample(
    block: NDArray[np.float32], finest: int
) -> tuple[NDArray[np.float32], NDArray[np.floating]]:
    """Resample by Fourier transform, exact for a band-limited map; gives the zoom of each axis."""
    wanted = float(np.clip(finest / max(block.shape), 0.1, 3.0))
    fine = block
    for axis, length in enumerate(block.shape):
        fine = signal.resample(fine, round(wanted * length), axis=axis)
    return fine.astype(np.float32), np.array(fine.shape) / np.array(block.shape)


def _sample_normals(density: NDArray[np.float32], vertices: FloatArray) -> FloatArray:
    smooth = ndimage.gaussian_filter(density, 1.0)
    slopes: list[FloatArray] = list(np.gradient(smooth))
    gradient = [ndimage.map_coordinates(slope, vertices.T, order=1) for slope in slopes]
    normals = -np.stack(gradient, axis=1)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals / np.maximum(length, 1e-20))


def _sample_openness(
    inside: NDArray[np.bool_], vertices: FloatArray, normals: FloatArray, zoom: FloatArray
) -> FloatArray:
    """Ambient occlusion: how much matter surrounds a point just above the surface.

    The occupancy is blurred by 4 and by 10 Å; a flat surface sees one half of the sphere.
    """
    per_angstrom = float(np.mean(zoom))
    occlusion = np.zeros(len(vertices))
    for width_angstrom in (4.0, 10.0):
        sigma = max(width_angstrom * per_angstrom, 1.0)
        blurred = ndimage.gaussian_filter(inside.astype(np.float32), sigma, truncate=2.5)
        where = (vertices + normals * 0.3 * sigma).T
        occlusion += 0.5 * ndimage.map_coordinates(blurred, where, order=1)
    return np.clip(1.0 - 1.8 * np.maximum(occlusion - 0.22, 0.0), 0.15, 1.0)


def _empty_surface() -> Surface:
    nothing = np.zeros((0, 3), np.float32)
    return Surface(nothing, nothing, np.zeros((0, 3), np.int32), np.zeros(0, np.float32))
