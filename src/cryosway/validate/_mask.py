"""Soft solvent masks, made from the map itself."""

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

FloatVolume = NDArray[np.float32]


def sphere_mask(box: int, radius: float, edge: float = 3.0) -> FloatVolume:
    """Ball about voxel D/2 with a raised-cosine edge.

    Parameters
    ----------
    box
        Voxels a side.
    radius
        Where the edge begins, voxels.
    edge
        Width of the edge, voxels.
    """
    x = np.arange(box) - box // 2
    distance = np.sqrt(x[:, None, None] ** 2 + x[None, :, None] ** 2 + x[None, None, :] ** 2)
    return _cosine_edge(distance - radius, edge)


def _cosine_edge(outside: NDArray[np.float64], edge: float) -> FloatVolume:
    ramp = np.clip(outside / max(edge, 1e-6), 0.0, 1.0)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * ramp), np.float32)


def soften_mask(inside: NDArray[np.bool_], grow: float, edge: float) -> FloatVolume:
    """Grow a binary mask by `grow` voxels and give it a raised-cosine edge of `edge` voxels."""
    distance = ndimage.distance_transform_edt(~inside)
    return _cosine_edge(np.asarray(distance) - grow, edge)


def low_pass(volume: ArrayLike, pixel_size: float, resolution: float) -> FloatVolume:
    """Gaussian low-pass: amplitude falls to 1/e at `resolution` Å."""
    density = np.asarray(volume, np.float32)
    transform = scipy.fft.rfftn(density, workers=-1)
    box = density.shape[0]
    k = np.fft.fftfreq(box, pixel_size)
    kx = np.fft.rfftfreq(box, pixel_size)
    s2 = k[:, None, None] ** 2 + k[None, :, None] ** 2 + kx**2
    filtered = scipy.fft.irfftn(transform * np.exp(-s2 * resolution**2), s=density.shape)
    return np.asarray(filtered, np.float32)


def make_solvent_mask(
    volume: ArrayLike,
    pixel_size: float,
    *,
    resolution: float = 12.0,
    grow: float = 5.0,
    edge: float = 6.0,
) -> FloatVolume:
    """Make a soft mask around the density of a map.

    The low-passed map is cut where it stands out from the solvent: in pieces that reach five
    times the spread of the solvent (taken near the edge of the box, robustly), down to 2.5 times
    it, and nowhere below 0.12 of the strong density. Pieces smaller than a twentieth of the
    largest are dropped. Where nothing stands out, the mask is a ball.

    Parameters
    ----------
    volume
        Shape (D, D, D).
    pixel_size
        Å per voxel.
    resolution
        Of the low-pass, Å (at least three voxels).
    grow, edge
        Å by which the cut region is enlarged, and width of its soft edge.

    Returns
    -------
    Shape (D, D, D), float32, from 0 to 1.
    """
    density = np.asarray(volume, np.float32)
    cut = _cut_out(density, pixel_size, resolution, grow, edge)
    box = len(density)
    return sphere_mask(box, 0.40 * box, 0.06 * box) if cut is None else cut


def mask_state(volume: FloatVolume, pixel_size: float) -> FloatVolume:
    """Mask the map of one state by its own solvent mask, where one can be made.

    The mask of all states leaves noise where parts are in other states only.

    Parameters
    ----------
    volume
        Shape (D, D, D), masked by the mask of all states.
    pixel_size
        Å per voxel.
    """
    return np.asarray(volume * make_solvent_mask(volume, pixel_size), np.float32)


def add_varying_parts(
    mask: ArrayLike,
    variance: ArrayLike,
    pixel_size: float,
    *,
    resolution: float = 24.0,
    grow: float = 5.0,
    edge: float = 6.0,
) -> FloatVolume:
    """Add to a mask the parts in which density varies.

    What moves far is thin in the mean map, and missing from a mask that is made of that.

    Parameters
    ----------
    mask
        Shape (D, D, D).
    variance
        Shape (D, D, D): variance of the density, without bias by noise (it is cut where it stands
        out from the solvent, as maps are).
    pixel_size, resolution, grow, edge
        As in `make_solvent_mask`.

    Returns
    -------
    Shape (D, D, D), float32, from 0 to 1.
    """
    kept = np.asarray(mask, np.float32)
    added = _cut_out(np.asarray(variance, np.float32), pixel_size, resolution, grow, edge)
    return kept if added is None else np.maximum(kept, added)


def _cut_out(
    volume: FloatVolume, pixel_size: float, resolution: float, grow: float, edge: float
) -> FloatVolume | None:
    """Make a soft mask of what stands out from the solvent: None where nothing does."""
    inside = _find_density(low_pass(volume, pixel_size, max(resolution, 3 * pixel_size)))
    if not inside.any():
        return None
    return soften_mask(inside, grow / pixel_size, edge / pixel_size) * _ball(len(volume), 0.46)


@lru_cache(maxsize=4)
def _ball(box: int, radius: float) -> NDArray[np.bool_]:
    ball: NDArray[np.bool_] = sphere_mask(box, radius * box, 1.0) > 0.5
    ball.flags.writeable = False
    return ball


def _find_density(smooth: FloatVolume) -> NDArray[np.bool_]:
    """Find where a low-passed map stands out from the solvent: nowhere, perhaps."""
    box = smooth.shape[0]
    ball = _ball(box, 0.46)
    shell = smooth[ball & ~_ball(box, 0.40)]
    centre = np.median(shell)
    spread = 1.4826 * np.median(np.abs(shell - centre))
    strong = np.percentile(smooth[ball], 99.8) - centre
    least = 0.12 * strong
    sure = _drop_specks((smooth - centre > max(5 * spread, least)) & ball)
    likely = (smooth - centre > max(2.5 * spread, least)) & ball
    return np.asarray(ndimage.binary_propagation(sure, mask=likely))


def _drop_specks(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(inside)
    if count == 0:
        return inside
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((sizes > 0.05 * sizes.max())[labels])
