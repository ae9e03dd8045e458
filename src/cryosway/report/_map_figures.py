"""Pictures of maps as isosurfaces: rows of maps, local resolution, differences of two states."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

from cryosway.report._scene import Actor, Camera, render_scene
from cryosway.report._slices import draw_scale_bar
from cryosway.report._style import (
    BLUE,
    INK,
    PAGE_WIDTH_INCHES,
    RED,
    SURFACE_COLOUR,
    figure_style,
    new_figure,
)
from cryosway.report._surface import build_surface, sample_on_surface
from cryosway.report._threshold import choose_threshold, find_molecule
from cryosway.report._viewpoint import choose_view, fit_camera, turn_view

FloatArray = NDArray[np.floating]
Colour = tuple[float, float, float]
TURNS = (0.0, 90.0)
"""Every map is shown from two sides, turned about the upright by these angles."""
TURNED = f"turned by {TURNS[1]:.0f}°"
LARGE = 420
"""Pixels of a picture that is one of two in a row."""
FOOT = 0.08
"""Room for the scale bar under a picture, as a part of its width."""


def draw_maps(
    maps: Mapping[str, FloatArray],
    pixel_size: float,
    *,
    threshold: float | None = None,
    colours: Sequence[Colour] | None = None,
    view: FloatArray | None = None,
    columns: int | None = None,
) -> Figure:
    """Draw maps as isosurfaces from two sides, all at one threshold, one scale and one view.

    Parameters
    ----------
    maps : mapping of str to ndarray, shape (D, D, D)
        Caption and density of each map.
    pixel_size : float
        Å per voxel.
    threshold : float, optional
        Contour level; chosen from the maps' mean where not given.
    colours : sequence of tuple, optional
        sRGB of each map.
    view : ndarray, shape (3, 3), optional
        Rotation from `choose_view`.
    columns : int, optional
        Maps per row.

    Returns
    -------
    matplotlib.figure.Figure
    """
    volumes = list(maps.values())
    mean = np.mean(volumes, axis=0)
    level = choose_threshold(mean) if threshold is None else threshold
    rotation = choose_view(mean, level) if view is None else view
    surfaces = [build_surface(volume, pixel_size, level) for volume in volumes]
    columns = columns or min(len(maps), 4)
    camera = fit_camera(surfaces, rotation, pixels=int(np.clip(1200 / columns, 180, 420)))
    paints = colours or [to_rgb(SURFACE_COLOUR)] * len(volumes)
    pictures = [
        [render_scene([Actor(surface, np.array(paint))], turned) for turned in _turned(camera)]
        for surface, paint in zip(surfaces, paints, strict=True)
    ]
    return _arrange(pictures, list(maps), camera.width_angstrom, columns)


def draw_map(
    volume: FloatArray,
    pixel_size: float,
    *,
    threshold: float | None = None,
    view: FloatArray | None = None,
    label: str = "front",
) -> Figure:
    """Draw one map large, from two sides.

    Parameters
    ----------
    volume : ndarray, shape (D, D, D)
        Density.
    pixel_size : float
        Å per voxel.
    threshold : float, optional
        Contour level; chosen where not given.
    view : ndarray, shape (3, 3), optional
        Rotation.
    label : str
        Caption of the first side.

    Returns
    -------
    matplotlib.figure.Figure
    """
    level = choose_threshold(volume) if threshold is None else threshold
    surface = build_surface(volume, pixel_size, level)
    rotation = choose_view(volume, level) if view is None else view
    camera = fit_camera([surface], rotation, pixels=LARGE)
    actor = Actor(surface, np.array(to_rgb(SURFACE_COLOUR)))
    pictures = [[render_scene([actor], turned)] for turned in _turned(camera)]
    return _arrange(pictures, [label, TURNED], camera.width_angstrom, columns=2)


def draw_difference(
    first: FloatArray,
    last: FloatArray,
    pixel_size: float,
    *,
    threshold: float | None = None,
    view: FloatArray | None = None,
) -> Figure:
    """Draw where density goes and where it comes from between two states.

    Red is density of the first state that the last lacks, blue the reverse, both within a veil
    of the first state's surface.

    Parameters
    ----------
    first, last : ndarray, shape (D, D, D)
        The two states, on one scale.
    pixel_size : float
        Å per voxel.
    threshold : float, optional
        Contour level of the veil; chosen where not given.
    view : ndarray, shape (3, 3), optional
        Rotation; by default the one that shows the change best.

    Returns
    -------
    matplotlib.figure.Figure
    """
    mean = (np.asarray(first) + np.asarray(last)) / 2
    level = choose_threshold(mean) if threshold is None else threshold
    change = np.asarray(last) - np.asarray(first)
    rotation = choose_view(mean, level, change) if view is None else view
    contour = difference_level(change, mean)
    lost, gained = (build_surface(sign * change, pixel_size, contour) for sign in (-1, 1))
    veil = build_surface(first, pixel_size, level)
    camera = fit_camera([veil, lost, gained], rotation, pixels=LARGE)
    actors = [
        Actor(lost, np.array(to_rgb(RED))),
        Actor(gained, np.array(to_rgb(BLUE))),
        Actor(veil, np.array([0.70, 0.73, 0.78]), opacity=0.24),
    ]
    pictures = [[render_scene(actors, turned)] for turned in _turned(camera)]
    figure = _arrange(pictures, ["front", TURNED], camera.width_angstrom, columns=2)
    for height, colour, text in ((0.53, RED, "only at the start"), (0.47, BLUE, "only at the end")):
        figure.text(0.5, height, text, fontsize=8, color=colour, fontweight="bold",
                    ha="center", va="center")  # fmt: skip
    return figure


def draw_local_resolution(
    volume: FloatArray,
    resolution: FloatArray,
    pixel_size: float,
    *,
    threshold: float | None = None,
) -> Figure:
    """Draw a map coloured by its local resolution.

    Parameters
    ----------
    volume : ndarray, shape (D, D, D)
        Density.
    resolution : ndarray, shape (D, D, D)
        Local resolution, Å.
    pixel_size : float
        Å per voxel.
    threshold : float, optional
        Contour level; chosen where not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return draw_coloured_map(
        volume, resolution, pixel_size, label="local resolution (Å)", threshold=threshold
    )


def draw_coloured_map(
    volume: FloatArray,
    values: FloatArray,
    pixel_size: float,
    *,
    label: str,
    threshold: float | None = None,
    colours: str = "viridis_r",
) -> Figure:
    """Draw a map whose surface is coloured by another map: resolution, variance, displacement.

    Parameters
    ----------
    volume, values : ndarray, shape (D, D, D)
        Density, and what colours it.
    pixel_size : float
        Å per voxel.
    label : str
        What the colours mean, with the unit.
    threshold : float, optional
        Contour level; chosen where not given.
    colours : str
        Name of a matplotlib colour map.

    Returns
    -------
    matplotlib.figure.Figure
    """
    level = choose_threshold(volume) if threshold is None else threshold
    surface = build_surface(volume, pixel_size, level)
    sampled = sample_on_surface(surface, values, pixel_size)
    finite = sampled[np.isfinite(sampled)]
    low, high = np.percentile(finite, [2, 98]) if len(finite) else (0.0, 1.0)
    scale = ScalarMappable(Normalize(low, max(high, low + 1e-6)), colours)
    paint = 0.88 * scale.to_rgba(np.nan_to_num(sampled, nan=high))[:, :3] + 0.06
    camera = fit_camera([surface], choose_view(volume, level), pixels=LARGE)
    actor = Actor(surface, paint)
    pictures = [[render_scene([actor], turned)] for turned in _turned(camera)]
    figure = _arrange(pictures, ["front", TURNED], camera.width_angstrom, columns=2)
    bar = figure.colorbar(scale, ax=figure.axes, fraction=0.03, pad=0.02, shrink=0.8)
    bar.set_label(label, fontsize=8.5)
    bar.outline.set_visible(False)
    return figure


def difference_level(change: FloatArray, mean: FloatArray) -> float:
    """Choose the contour of a difference map: a third of its peak, but above the noise outside.

    Parameters
    ----------
    change : ndarray, shape (D, D, D)
        Difference of two maps.
    mean : ndarray, shape (D, D, D)
        Their mean, in which the molecule is found.

    Returns
    -------
    float
        Level, units of `change`.
    """
    molecule = find_molecule(mean)
    near = ndimage.binary_dilation(molecule, iterations=2)
    outside = np.abs(change[~near])
    noise = 1.4826 * float(np.median(outside)) if outside.size else 0.0
    return max(0.33 * float(np.abs(change).max()), 4.0 * noise)


def _turned(camera: Camera) -> list[Camera]:
    return [
        Camera(
            turn_view(camera.rotation, turn), camera.width_angstrom, camera.pixels, camera.centre
        )
        for turn in TURNS
    ]


def _arrange(
    pictures: Sequence[Sequence[NDArray[np.uint8]]],
    labels: Sequence[str],
    width_angstrom: float,
    columns: int,
) -> Figure:
    """Lay out one column per map, its views below each other, with captions and a scale bar."""
    views = len(pictures[0])
    bands = -(-len(pictures) // columns)
    cell = min(PAGE_WIDTH_INCHES / columns, 3.0)
    caption = 0.15 * (1 + max(label.count("\n") for label in labels))
    height = cell * (1.0 + FOOT) + caption / views
    with figure_style():
        figure, axes = new_figure(bands * views, columns, height=height, tight=True)
        for axis in axes.ravel():
            axis.set_axis_off()
        for number, (column, label) in enumerate(zip(pictures, labels, strict=True)):
            band, place = divmod(number, columns)
            for view, picture in enumerate(column):
                _show(axes[band * views + view, place], picture, width_angstrom)
            _write_caption(axes[band * views, place], label, 8.0 if columns < 6 else 7.0)
        bottom = -(0.5 + FOOT) * width_angstrom
        draw_scale_bar(axes[0, 0], width_angstrom, -width_angstrom / 2, bottom)
    return figure


def _show(axis: Axes, picture: NDArray[np.uint8], width_angstrom: float) -> None:
    half = width_angstrom / 2
    axis.imshow(picture, extent=(-half, half, -half, half), interpolation="antialiased")
    axis.set_ylim(-half - FOOT * width_angstrom, half)


def _write_caption(axis: Axes, label: str, size: float) -> None:
    """Write the first line of a caption in bold, the rest below it in small print."""
    name, _, rest = label.partition("\n")
    lines = rest.count("\n") + 1 if rest else 0
    axis.set_title(name + "\n" * lines, fontsize=size, loc="center")
    if rest:
        axis.annotate(rest, (0.5, 1.0), (0, 4), xycoords="axes fraction", fontsize=size - 1,
                      textcoords="offset points", ha="center", va="bottom", color=INK)  # fmt: skip
