"""Where jobs agree: over the landscape, and map by map."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cryosway.landscape import find_extent, smooth_histogram
from cryosway.report._latent import FEW
from cryosway.report._slices import draw_scale_bar
from cryosway.report._style import (
    DENSITY_COLOURS,
    PAGE_WIDTH_INCHES,
    PATH_COLOURS,
    figure_style,
    new_figure,
)

FloatArray = NDArray[np.floating]

_BINS = 80
_FAINT = 0.02  # of the peak density: where there are fewer particles nothing is painted


def plot_agreement(x: FloatArray, y: FloatArray, agreement: FloatArray, chance: float) -> Figure:
    """Plot where in a landscape jobs agree on a particle's neighbours.

    Parameters
    ----------
    x, y : ndarray, shape (N,)
        Latents of the first job.
    agreement : ndarray, shape (N,)
        Share of neighbours in common, 0 to 1.
    chance : float
        Its mean where jobs know nothing of each other.

    Returns
    -------
    matplotlib.figure.Figure
    """
    extent = find_extent(x, y)
    with figure_style():
        figure, axes = new_figure(1, 2, height=3.4)
        left, right = axes[0]
        top = max(float(np.percentile(agreement, 99)), 2 * chance)
        look = {"cmap": PATH_COLOURS, "vmin": 0.0, "vmax": top}
        if len(x) <= FEW:
            shown = left.scatter(x, y, s=8, c=agreement, linewidths=0, **look)
        else:
            count = smooth_histogram(x, y, extent, _BINS)
            inside = np.histogram2d(
                y, x, _BINS, (extent[2:], extent[:2]), weights=agreement
            )[0]  # fmt: skip
            number = np.histogram2d(y, x, _BINS, (extent[2:], extent[:2]))[0]
            mean = np.where(number > 0, inside / np.maximum(number, 1), np.nan)
            mean[count < _FAINT * count.max()] = np.nan
            shown = left.imshow(mean, origin="lower", extent=extent, aspect="auto", **look)
        left.set_xlim(*extent[:2])
        left.set_ylim(*extent[2:])
        left.set_xlabel("latent z1 of the first job")
        left.set_ylabel("latent z2 of the first job")
        figure.colorbar(shown, ax=left, label="neighbours in common (share)")
        right.hist(agreement, np.linspace(0, 1, 51), color=DENSITY_COLOURS(0.6))
        right.axvline(chance, color=PATH_COLOURS(1.0), linewidth=1.0)
        right.annotate("chance", (chance, 0.97), (3, 0), xycoords=("data", "axes fraction"),
                       textcoords="offset points", fontsize=7.5)  # fmt: skip
        right.set_xlabel("neighbours in common (share)")
        right.set_ylabel("particles (count)")
    return figure


def plot_matched_maps(maps: Mapping[str, Sequence[FloatArray]], pixel_size: float) -> Figure:
    """Draw slices of maps of the same particles, a row for each job.

    They are where the maps of the first job differ most from group to group.

    Parameters
    ----------
    maps : mapping of str to sequence of ndarray, shape (D, D, D)
        By job: a map for each group, all on one scale.
    pixel_size : float
        Å per voxel.

    Returns
    -------
    matplotlib.figure.Figure
    """
    columns = max(len(row) for row in maps.values())
    first = np.array(next(iter(maps.values())))
    place = int(first.var(axis=0).sum(axis=(1, 2)).argmax())
    half = first.shape[-1] * pixel_size / 2
    look = {"cmap": "gray", "origin": "lower", "interpolation": "bicubic",
            "extent": (-half, half, -half, half)}  # fmt: skip
    with figure_style():
        height = min(PAGE_WIDTH_INCHES / columns, 3.0)
        figure, axes = new_figure(len(maps), columns, height=height, tight=True)
        for axis in axes.ravel():
            axis.set_axis_off()
        for line, (name, row) in zip(axes, maps.items(), strict=True):
            top = max(float(np.percentile(volume[place], 99.7)) for volume in row)
            for number, (axis, volume) in enumerate(zip(line, row, strict=False), start=1):
                axis.imshow(volume[place], vmin=-0.2 * top, vmax=top, **look)
                axis.set_title(f"{name}, group {number}" if number == 1 else f"group {number}")
        draw_scale_bar(axes[-1, 0], 2 * half, -half, -0.92 * half, "white")
    return figure
