"""Pictures of the optics and of the alignment: defocus, astigmatism, shifts."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cryosway.landscape import find_extent, smooth_histogram
from cryosway.report._style import BLUE, DENSITY_COLOURS, figure_style, new_figure


def plot_defocus(particles: pd.DataFrame) -> Figure:
    """Plot the distributions of defocus and of astigmatism.

    Parameters
    ----------
    particles : DataFrame
        With columns ``defocus_u`` and ``defocus_v``, Å.

    Returns
    -------
    matplotlib.figure.Figure
    """
    first, second = (particles[name].to_numpy(float) for name in ("defocus_u", "defocus_v"))
    with figure_style():
        figure, axes = new_figure(1, 2, height=2.3)
        _draw_histogram(axes[0, 0], (first + second) / 2e4, "mean defocus (µm)")
        _draw_histogram(axes[0, 1], np.abs(first - second) / 10, "astigmatism |U − V| (nm)")
    return figure


def plot_shifts(particles: pd.DataFrame) -> Figure:
    """Plot the distribution of the in-plane shifts.

    Parameters
    ----------
    particles : DataFrame
        With columns ``shift_x`` and ``shift_y``, Å.

    Returns
    -------
    matplotlib.figure.Figure
    """
    x, y = (particles[name].to_numpy(float) for name in ("shift_x", "shift_y"))
    extent = find_extent(x, y)
    with figure_style():
        figure, axes = new_figure(1, 2, height=2.7)
        axis: Axes = axes[0, 0]
        density = smooth_histogram(x, y, extent, bins=120)
        axis.imshow(density, origin="lower", extent=extent, cmap=DENSITY_COLOURS, aspect="auto",
                    vmin=0.0, interpolation="bilinear")  # fmt: skip
        if len(x) <= 500:
            axis.plot(x, y, ".", color=BLUE, markersize=3)
        axis.set_xlabel("shift in x (Å)")
        axis.set_ylabel("shift in y (Å)")
        _draw_histogram(axes[0, 1], np.hypot(x, y), "length of the shift (Å)")
    return figure


def _draw_histogram(axis: Axes, values: np.ndarray, label: str) -> None:
    finite = values[np.isfinite(values)]
    bins = int(np.clip(np.sqrt(max(len(finite), 1)), 8, 70))
    axis.hist(finite, bins=bins, color=BLUE, alpha=0.9)
    axis.set_xlabel(label)
    axis.set_ylabel("particles (count)")
