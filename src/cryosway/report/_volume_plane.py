"""Pictures of a landscape of volumes: particles among their principal components."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cryosway.landscape import find_extent
from cryosway.report._latent import draw_clusters
from cryosway.report._style import BLUE, INK, figure_style, new_figure


def plot_volume_space(found: dict[str, Any], particles: pd.DataFrame) -> Figure:
    """Plot the particles in the plane of the first two components of volumes, by cluster.

    Beside it stands the variance of every component, and how well it follows from the latents.

    Parameters
    ----------
    found : dict
        ``volume_space.json``.
    particles : DataFrame
        With columns ``vpc1``, ``vpc2`` and ``volume_cluster``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    x, y = (particles[name].to_numpy(float) for name in ("vpc1", "vpc2"))
    clusters = particles["volume_cluster"].to_numpy(np.int64)
    with figure_style():
        figure, axes = new_figure(1, 2, height=3.5)
        plane, bars = axes[0]
        draw_clusters(plane, x, y, clusters, find_extent(x, y))
        typical = [entry["typical_particle"] for entry in found["clusters"]]
        plane.plot(x[typical], y[typical], "o", color="none", markeredgecolor=INK, markersize=9,
                   label="most typical volume")  # fmt: skip
        plane.legend(loc="best")
        plane.set_title("particles by cluster of volumes")
        plane.set_xlabel("volume component 1 (density, a.u.)")
        plane.set_ylabel("volume component 2 (density, a.u.)")
        _draw_variances(bars, found)
    return figure


def _draw_variances(axis: Axes, found: dict[str, Any]) -> None:
    """Draw what each component explains of the volumes, R² of its prediction above."""
    share = 100 * np.asarray(found["explained_variance"], float)
    number = np.arange(1, len(share) + 1)
    axis.bar(number, share, width=0.66, color=BLUE)
    predicted = found["mapping"]["r_squared_left_out"]
    for place, top, value in zip(number, share, predicted, strict=True):
        axis.annotate(f"{max(value, 0):.2f}", (place, top), (0, 3), textcoords="offset points",
                      ha="center", fontsize=7, color=INK)  # fmt: skip
    axis.set_title("variance, and R² of its prediction")
    axis.set_xlabel("volume component (number)")
    axis.set_ylabel("variance of the volumes (%)")
    axis.set_xticks(number)
    axis.margins(y=0.12)
