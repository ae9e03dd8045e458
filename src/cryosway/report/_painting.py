"""Many points of many kinds in one picture, none hiding another."""

import numpy as np
from numpy.typing import NDArray

from cryosway.landscape import smooth_histogram

FloatArray = NDArray[np.floating]


def paint_categories(
    x: FloatArray,
    y: FloatArray,
    labels: NDArray[np.integer],
    colours: FloatArray,
    extent: tuple[float, float, float, float],
) -> FloatArray:
    """Paint points by category: every cell of a grid blends its points' colours by their counts.

    Parameters
    ----------
    x, y : ndarray, shape (N,)
        Coordinates.
    labels : ndarray, shape (N,), int
        Category of each point, from 0.
    colours : ndarray, shape (K, 3)
        sRGB of each category.
    extent : tuple of float
        Left, right, bottom, top.

    Returns
    -------
    ndarray, shape (bins, bins, 4)
        RGBA between 0 and 1, row 0 at the bottom; opacity grows with the logarithm of the count.
    """
    bins = int(np.clip(np.sqrt(len(x)) * 2.0, 90, 420))
    smooth = float(np.clip(1.6 - 0.25 * np.log10(max(len(x), 1) / 1e3), 0.5, 1.6))
    layers = [
        smooth_histogram(x[labels == number], y[labels == number], extent, bins, smooth)
        for number in range(len(colours))
    ]
    counts = np.stack(layers, axis=-1)
    total = counts.sum(axis=-1)
    mixed = counts @ np.asarray(colours) / np.maximum(total, 1e-12)[..., None]
    occupied = total[total > 1e-3]
    top = np.percentile(occupied, 98) if len(occupied) else 1.0
    opacity = np.log1p(30 * total / top) / np.log(31)
    return np.dstack([mixed, np.clip(opacity, 0.0, 1.0)])
