"""The distribution of views on the sphere."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cryosway.report._style import DENSITY_COLOURS, INK, ORANGE, QUIET, figure_style, new_figure

FloatArray = NDArray[np.floating]


def plot_views(particles: pd.DataFrame) -> Figure:
    """Plot how densely the views cover the sphere, in Mollweide's equal-area projection.

    Parameters
    ----------
    particles : DataFrame
        With columns ``rot`` and ``tilt``, degrees (RELION's Euler angles).

    Returns
    -------
    matplotlib.figure.Figure
    """
    density, longitude, latitude = map_view_density(particles["rot"], particles["tilt"])
    with figure_style():
        figure, axes = new_figure(height=3.3, subplot_kw={"projection": "mollweide"})
        axis = axes[0, 0]
        top = max(2.0, float(np.percentile(density, 99.8)))
        mesh = axis.pcolormesh(
            longitude, latitude, density, cmap=DENSITY_COLOURS, vmin=0.0, vmax=top,
            shading="gouraud",
        )  # fmt: skip
        if len(particles) <= 500:
            wrapped = np.deg2rad((particles["rot"].to_numpy(float) + 180) % 360 - 180)
            height = np.deg2rad(90 - particles["tilt"].to_numpy(float))
            axis.plot(wrapped, height, ".", color=ORANGE, markersize=5, markeredgecolor="white")
        axis.grid(color=QUIET, linewidth=0.3, alpha=0.6)
        axis.tick_params(colors=INK, labelsize=7)
        axis.set_xlabel("rotation angle (°)")
        axis.set_ylabel("90° − tilt angle (°)")
        bar = figure.colorbar(mesh, ax=axis, fraction=0.03, pad=0.03, extend="max")
        bar.set_label("views (1 = as if even)", fontsize=8)
        bar.outline.set_visible(False)
    return figure


def map_view_density(
    rot: FloatArray | pd.Series, tilt: FloatArray | pd.Series, step_degrees: float = 3.0
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Estimate the density of views over the sphere relative to an even spread.

    A kernel density on the sphere (von Mises-Fisher), of views counted in small cells first; the
    kernel narrows from 15° to 4° as particles become many.

    Parameters
    ----------
    rot, tilt : array, shape (N,)
        Euler angles, degrees.
    step_degrees : float
        Size of the cells.

    Returns
    -------
    density : ndarray, shape (rows, columns)
        1 where views are as dense as if spread evenly.
    longitude : ndarray, shape (columns,)
        Rotation angle of the points, radians.
    latitude : ndarray, shape (rows,)
        90° minus the tilt angle of the points, radians.
    """
    rows, columns = round(180 / step_degrees), round(360 / step_degrees)
    around = (np.asarray(rot, float) + 180) % 360 - 180
    height = 90 - np.rad2deg(np.arccos(np.cos(np.deg2rad(np.asarray(tilt, float)))))
    edges = np.linspace(-90, 90, rows + 1), np.linspace(-180, 180, columns + 1)
    counts, _, _ = np.histogram2d(height, around, bins=edges)
    middle = np.deg2rad((edges[0][1:] + edges[0][:-1]) / 2)
    cells = _point_at(*np.meshgrid((edges[1][1:] + edges[1][:-1]) / 2, np.rad2deg(middle)))
    longitude, latitude = np.deg2rad(edges[1]), np.deg2rad(np.linspace(-90, 90, rows + 1))
    width = np.deg2rad(np.clip(12.0 * (1000 / max(len(around), 1)) ** 0.25, 4.0, 15.0))
    density = np.array([
        _spread_kernel(_point_at(edges[1], np.full(columns + 1, np.rad2deg(one))),
                       cells, counts.ravel(), width)
        for one in latitude
    ])  # fmt: skip
    return density / max(len(around), 1), longitude, latitude


def _point_at(longitude_degrees: FloatArray, latitude_degrees: FloatArray) -> FloatArray:
    """Give unit vectors, shape (n, 3), in single precision."""
    longitude, latitude = np.deg2rad(longitude_degrees), np.deg2rad(latitude_degrees)
    level = np.cos(latitude)
    points = [level * np.cos(longitude), level * np.sin(longitude), np.sin(latitude)]
    return np.stack(points, axis=-1).reshape(-1, 3).astype(np.float32)


def _spread_kernel(
    points: FloatArray, cells: FloatArray, counts: FloatArray, width: float
) -> FloatArray:
    """Sum the kernels of all cells at points; the kernel's mean over the sphere is 1."""
    occupied = counts > 0
    concentration = 1.0 / width**2
    kernel = np.exp(concentration * (points @ cells[occupied].T - 1.0))
    mean = (1.0 - np.exp(-2.0 * concentration)) / (2.0 * concentration)
    return np.asarray(kernel @ counts[occupied].astype(np.float32)) / mean
