"""A contour level that a person would have chosen, found from the map alone."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatArray = NDArray[np.floating]


def choose_threshold(volume: FloatArray, mask: FloatArray | None = None) -> float:
    """Choose the contour level that separates molecule from solvent.

    Otsu's threshold (IEEE Trans. SMC 9, 62, 1979) of the densities inside the mask, which holds
    molecule and solvent in like amounts, so that the two classes are well seen.

    Parameters
    ----------
    volume : ndarray, shape (D, D, D)
        Density, protein positive.
    mask : ndarray, shape (D, D, D), optional
        Solvent mask between 0 and 1; found from the smoothed density where not given.

    Returns
    -------
    float
        The level, in the units of `volume`.
    """
    from skimage.filters import threshold_otsu

    region = find_molecule(volume) if mask is None else np.asarray(mask) > 0.5
    values = np.asarray(volume, dtype=np.float64)[region]
    if values.size < 2 or values.min() == values.max():
        return float(0.5 * (volume.min() + volume.max()))
    return float(threshold_otsu(values))


def find_molecule(volume: FloatArray, smooth_voxels: float = 2.0) -> NDArray[np.bool_]:
    """Find the region of the molecule with a margin of solvent.

    The map is smoothed, cut at Otsu's threshold within the inscribed sphere, and the largest
    connected piece grown until it has about doubled.

    Parameters
    ----------
    volume : ndarray, shape (D, D, D)
        Density, protein positive.
    smooth_voxels : float
        Width of the Gaussian, voxels.

    Returns
    -------
    ndarray, shape (D, D, D), bool
    """
    from skimage.filters import threshold_otsu

    smooth = ndimage.gaussian_filter(np.asarray(volume, dtype=np.float32), smooth_voxels)
    sphere = inscribed_sphere(smooth.shape[0])
    if smooth[sphere].min() == smooth[sphere].max():
        return sphere
    molecule = keep_large_pieces(sphere & (smooth > threshold_otsu(smooth[sphere])), fraction=0.99)
    goal = min(2.0 * molecule.sum(), sphere.sum())
    grown = molecule
    while grown.sum() < goal:
        grown = ndimage.binary_dilation(grown) & sphere
    return grown


def inscribed_sphere(box: int) -> NDArray[np.bool_]:
    """Make the mask of the sphere that touches the faces of a box of `box` voxels."""
    axis = np.arange(box) - box // 2
    squares = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    return np.asarray(squares < (box / 2 - 0.5) ** 2)


def keep_large_pieces(region: NDArray[np.bool_], fraction: float = 0.02) -> NDArray[np.bool_]:
    """Drop connected pieces smaller than `fraction` of the largest ("dust").

    Parameters
    ----------
    region : ndarray, shape (D, D, D), bool
        The voxels to sort.
    fraction : float
        Smallest piece that stays, as a part of the largest.

    Returns
    -------
    ndarray, shape (D, D, D), bool
    """
    labels, count = ndimage.label(region, structure=np.ones((3, 3, 3)))
    if count < 2:
        return region
    sizes = np.bincount(labels.ravel())[1:]
    large = np.concatenate([[False], sizes >= fraction * sizes.max()])
    return np.asarray(large[labels])
