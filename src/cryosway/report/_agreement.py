"""Where jobs agree: over the landscape, and map by map."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cryosway.landscape import find_extent, smooth_histogram
from cryosway.report._latent import FEW
from cryosway.report._style import DENSITY_COLOURS, PATH_COLOURS, figure_style, new_figure

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


def plot_matched_maps(maps: Mapping[str, Sequence[FloatArray]]) -> Figure:
    """Draw slices of maps of the same particles, a row for each job.

    They are where the maps of the first job differ most from group to group.

    Parameters
    ----------
    maps : mapping of str to sequence of ndarray, shape (D, D, D)
        By job: a map for each group, all on one scale.

    Returns
    -------
    matplotlib.figure.Figure
    """
    columns = max(len(row) for row in maps.values())
    with figure_style():
        figure, axes = new_figure(len(maps), columns, height=7.4 / max(columns, 4), tight=True)
        first = np.array(next(iter(maps.values())))
        place = int(first.var(axis=0).sum(axis=(1, 2)).argmax())
        for number, (name, row) in enumerate(maps.items()):
            line = axes[number]
            top = max(float(np.percentile(volume[place], 99.7)) for volume in row)
            for column, (axis, volume) in enumerate(zip(line, row, strict=True)):
                axis.imshow(volume[place], cmap="gray", vmin=-0.2 * top, vmax=top)
                axis.set_xticks([])
                axis.set_yticks([])
                if number == 0:
                    axis.set_title(f"group {column + 1}")
            line[0].set_ylabel(name)
    return figure
