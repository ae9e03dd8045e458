"""Pictures of the latent space: density, clusters, the UMAP embedding, populations."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy import ndimage

from cryosway.landscape import find_extent, smooth_histogram
from cryosway.report._painting import paint_categories
from cryosway.report._style import (
    BLUE,
    DENSITY_COLOURS,
    INK,
    ORANGE,
    QUIET,
    figure_style,
    new_figure,
    state_colours,
)

FloatArray = NDArray[np.floating]
Extent = tuple[float, float, float, float]
_SMALL = 0.06  # of the window: a number would cover what is smaller
_PART_BINS = 60  # cells along each axis, to find the parts of a cluster
NO_CLUSTER = "#c3cbd3"
FEW = 4000
"""Up to so many particles each is drawn as a dot; beyond, cells of a histogram are painted."""


def plot_latent_density(
    particles: pd.DataFrame, paths: Mapping[str, FloatArray] | None = None
) -> Figure:
    """Plot where the particles lie in latent space, and which cluster they belong to.

    Parameters
    ----------
    particles : DataFrame
        With columns ``pc1``, ``pc2`` (or ``z1``, ``z2``), and where known ``cluster``.
    paths : mapping of str to ndarray, shape (P, 2), optional
        Lines to draw over the density, in the same coordinates.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = latent_columns(particles)
    with figure_style():
        if len(names) == 1:
            return _plot_one_latent(particles, names[0])
        x, y = (particles[name].to_numpy(float) for name in names[:2])
        extent = find_extent(x, y)
        figure, axes = new_figure(1, 2, height=3.5)
        _draw_density(axes[0, 0], x, y, extent)
        for name, line in (paths or {}).items():
            _draw_path(axes[0, 0], name, np.asarray(line))
        axes[0, 0].set_title("density of particles" + (" and traversals" if paths else ""))
        draw_clusters(axes[0, 1], x, y, _numbers(particles, "cluster"), extent)
        axes[0, 1].set_title("particles" + (" by cluster" if "cluster" in particles else ""))
        for axis in axes[0]:
            axis.set_xlabel(latent_label(names[0]))
            axis.set_ylabel(latent_label(names[1]))
    return figure


def plot_embedding(particles: pd.DataFrame) -> Figure:
    """Plot the UMAP embedding: its density, and the clusters in it.

    Parameters
    ----------
    particles : DataFrame
        With columns ``umap1``, ``umap2`` and where known ``cluster``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    x, y = (particles[name].to_numpy(float) for name in ("umap1", "umap2"))
    extent = find_extent(x, y)
    with figure_style():
        figure, axes = new_figure(1, 2, height=3.5)
        _draw_density(axes[0, 0], x, y, extent)
        axes[0, 0].set_title("density of particles")
        draw_clusters(axes[0, 1], x, y, _numbers(particles, "cluster"), extent)
        axes[0, 1].set_title("particles by cluster")
        for axis in axes[0]:
            axis.set_xlabel("UMAP 1 (arbitrary units)")
            axis.set_ylabel("UMAP 2 (arbitrary units)")
    return figure


def plot_states(particles: pd.DataFrame) -> Figure:
    """Plot which state every particle is of, and the clusters that gaps of density part.

    Parameters
    ----------
    particles : DataFrame
        With latents, column ``state`` and where known ``density_cluster`` (0: between clusters).

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = latent_columns(particles)
    titles = {"state": "particles by state", "density_cluster": "clusters by density"}
    shown = [(name, title) for name, title in titles.items() if name in particles]
    with figure_style():
        if len(names) == 1:
            return _plot_one_latent(particles, names[0], "state")
        x, y = (particles[name].to_numpy(float) for name in names[:2])
        extent = find_extent(x, y)
        figure, axes = new_figure(1, len(shown), height=3.5)
        for axis, (name, title) in zip(axes[0], shown, strict=True):
            draw_clusters(axis, x, y, _numbers(particles, name), extent)
            axis.set_title(title)
            axis.set_xlabel(latent_label(names[0]))
            axis.set_ylabel(latent_label(names[1]))
    return figure


def plot_populations(particles: pd.DataFrame) -> Figure:
    """Plot how many particles each cluster holds.

    Parameters
    ----------
    particles : DataFrame
        With column ``cluster``, numbers from 1.

    Returns
    -------
    matplotlib.figure.Figure
    """
    counts = particles["cluster"].value_counts().sort_index()
    total = counts.sum()
    with figure_style():
        figure, axes = new_figure(height=2.3)
        axis: Axes = axes[0, 0]
        number = np.arange(len(counts))
        axis.bar(number, counts, width=0.7, color=state_colours(len(counts)))
        for place, count in zip(number, counts, strict=True):
            text = f"{100 * count / total:.0f} %"
            axis.annotate(text, (place, count), (0, 2), textcoords="offset points",
                          ha="center", fontsize=7.5)  # fmt: skip
        axis.set_xticks(number, [str(name) for name in counts.index])
        axis.set_xlabel("cluster (number)")
        axis.set_ylabel("particles (count)")
        axis.margins(y=0.14)
    return figure


def find_paths_in_plane(found: dict[str, Any], particles: pd.DataFrame) -> dict[str, FloatArray]:
    """Give the traversals of ``landscape.json`` that move within the plane that is drawn."""
    if "pc2" not in particles:
        return {}
    return {
        f"direction {path['direction']}": np.asarray(path["coordinates"], float)[:, :2]
        for path in found.get("paths", [])
        if path["direction"] <= 2
    }


def latent_columns(particles: pd.DataFrame) -> list[str]:
    """Name the columns to show: principal coordinates where known, else the latents."""
    for letter in ("pc", "z"):
        names: list[str] = []
        while f"{letter}{len(names) + 1}" in particles:
            names.append(f"{letter}{len(names) + 1}")
        if names:
            return names
    return []


def latent_label(name: str) -> str:
    """Spell an axis label with its unit."""
    if name.startswith("pc"):
        return f"principal direction {name[2:]} (posterior s.d.)"
    return f"latent {name} (prior s.d.)"


def draw_clusters(
    axis: Axes, x: FloatArray, y: FloatArray, clusters: NDArray[np.integer], extent: Extent
) -> None:
    """Draw points coloured by cluster into an axis, each cluster's number on it.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Where to draw.
    x, y : ndarray, shape (N,)
        Coordinates.
    clusters : ndarray, shape (N,), int
        Cluster numbers from 1; 0 of none, which are grey.
    extent : tuple of float
        Left, right, bottom, top.
    """
    count = int(clusters.max(initial=1))
    colours = np.array([to_rgb(NO_CLUSTER), *_cluster_colours(count)])
    if len(x) <= FEW:
        size = float(np.clip(4000 / max(len(x), 1), 2.0, 26.0))
        axis.scatter(x, y, s=size, c=colours[clusters], alpha=0.75, linewidths=0)
    else:
        image = paint_categories(x, y, clusters, colours, extent)
        axis.imshow(image, origin="lower", extent=extent, aspect="auto", interpolation="bilinear")
    axis.set_xlim(*extent[:2])
    axis.set_ylim(*extent[2:])
    if count > 1:
        for number in np.unique(clusters[clusters > 0]):
            _write_number(axis, number, x[clusters == number], y[clusters == number])


def _write_number(axis: Axes, number: int, x: FloatArray, y: FloatArray) -> None:
    """Write a cluster's number on each of its parts; beside it, where it would cover the part."""
    left, right, bottom, top = *axis.get_xlim(), *axis.get_ylim()
    for across, along, size in _find_parts(x, y, (left, right, bottom, top)):
        place = left + across * (right - left), bottom + along * (top - bottom)
        axis.annotate(
            str(number), place, (9, 9) if size < _SMALL else (0, 0),
            textcoords="offset points", ha="center", va="center", fontsize=9, fontweight="bold",
            color=INK, path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip


def _find_parts(
    x: FloatArray, y: FloatArray, extent: Extent
) -> Iterator[tuple[float, float, float]]:
    """Find the parts of a cluster: islands of its density of a fifth of the largest, or more.

    Of each, the place on it that is nearest to its middle, and its size; parts of the window.
    """
    density = smooth_histogram(x, y, extent, _PART_BINS)
    islands, count = ndimage.label(density > 0.1 * density.max())
    mass = ndimage.sum_labels(density, islands, np.arange(1, count + 1))
    for number in np.flatnonzero(mass >= 0.2 * mass.max(initial=0.0)) + 1:
        cells = np.argwhere(islands == number)
        middle = np.average(cells, axis=0, weights=density[islands == number])
        row, column = cells[((cells - middle) ** 2).sum(axis=1).argmin()] + 0.5
        yield column / _PART_BINS, row / _PART_BINS, float(np.ptp(cells, axis=0).max()) / _PART_BINS


def _draw_path(axis: Axes, name: str, points: FloatArray) -> None:
    x, y = points.T
    axis.plot(x, y, "-", color=ORANGE, linewidth=1.4)
    axis.plot(x, y, "o", color=ORANGE, markersize=3.2, markeredgecolor="white")
    axis.annotate(
        name, (x[-1], y[-1]), (4, 2), textcoords="offset points", fontsize=7.5, color=INK,
        path_effects=[withStroke(linewidth=2.0, foreground="white")],
    )  # fmt: skip


def _draw_density(axis: Axes, x: FloatArray, y: FloatArray, extent: Extent) -> None:
    density = smooth_histogram(x, y, extent)
    peak = density.max() or 1.0
    image = axis.imshow(
        density / peak, origin="lower", extent=extent, aspect="auto", cmap=DENSITY_COLOURS,
        norm=PowerNorm(0.6, 0.0, 1.0), interpolation="bilinear",
    )  # fmt: skip
    bar = axis.figure.colorbar(image, ax=axis, fraction=0.04, pad=0.02, ticks=[0, 0.1, 0.5, 1])
    bar.set_label("density (of its peak)", fontsize=8)
    bar.outline.set_visible(False)


def _plot_one_latent(particles: pd.DataFrame, name: str, by: str = "cluster") -> Figure:
    """Stack the histograms of clusters or states along the only latent coordinate."""
    values = particles[name].to_numpy(float)
    clusters = _numbers(particles, by)
    count = int(clusters.max(initial=1))
    edges = np.linspace(*find_extent(values, values)[:2], int(np.clip(len(values) ** 0.5, 12, 120)))
    figure, axes = new_figure(height=2.6)
    parts = [values[clusters == number] for number in range(1, count + 1)]
    labels = [f"{by} {number}" for number in range(1, count + 1)]
    axes[0, 0].hist(parts, edges, stacked=True, color=_cluster_colours(count), label=labels)
    axes[0, 0].set_xlabel(latent_label(name))
    axes[0, 0].set_ylabel("particles (count)")
    axes[0, 0].tick_params(color=QUIET)
    if count > 1:
        axes[0, 0].legend(ncols=2)
    return figure


def _cluster_colours(count: int) -> list[tuple[float, float, float]]:
    return [to_rgb(BLUE)] if count == 1 else state_colours(count)


def _numbers(particles: pd.DataFrame, name: str) -> NDArray[np.integer]:
    """Give the numbers of a column; 1 for all where it is not there."""
    if name in particles:
        return particles[name].to_numpy(np.int64)
    return np.ones(len(particles), np.int64)
