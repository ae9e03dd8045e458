"""The picture of docked models: over the map from three sides, how far they agree, what is left."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cryosway.report._resolution import add_angstrom_axis
from cryosway.report._style import INK, PAGE_WIDTH_INCHES, QUALITATIVE, QUIET, figure_style

FloatArray = NDArray[np.floating]

_MOST_DOTS = 4_000
_MOST_BARS = 12
_LEFT = "#c1272d"
_SIDES = ((0, 1), (0, 2), (1, 2))


def draw_docking(
    density: FloatArray,
    pixel_size: float,
    origin: FloatArray,
    trace: FloatArray,
    chains: Sequence[str],
    curve: Mapping[str, Any],
    *,
    left: FloatArray | None = None,
    shares: Mapping[str, float] | None = None,
) -> Figure:
    """Draw docked models over their map, summed along each axis, their FSC, and what they explain.

    Parameters
    ----------
    density : ndarray, shape (D, D, D)
        The map.
    pixel_size : float
        Å per voxel.
    origin : ndarray, shape (3,)
        Å, (x, y, z) of the first voxel.
    trace : ndarray, shape (N, 3)
        Å, an atom of every residue, in the same frame.
    chains : sequence of str
        The chain of each, which colours it.
    curve : mapping
        ``frequency_per_angstrom``, ``value`` and ``resolution_angstrom`` (at 0.5).
    left : ndarray, shape (D, D, D), optional
        Density that no model explains, 0 elsewhere; outlined.
    shares : mapping, optional
        By chain, the share of the density that its model explains.

    Returns
    -------
    matplotlib.figure.Figure
    """
    step = max(1, len(trace) // _MOST_DOTS)
    points, names = trace[::step], list(chains)[::step]
    number = {chain: i % len(QUALITATIVE) for i, chain in enumerate(dict.fromkeys(names))}
    colours = [QUALITATIVE[number[name]] for name in names]
    with figure_style():
        figure = Figure(figsize=(PAGE_WIDTH_INCHES, 4.9), layout="constrained")
        parts = np.ravel(np.asarray(figure.subfigures(2, 1, height_ratios=(1.05, 1.0))))
        for axis, (across, up) in zip(parts[0].subplots(1, 3), _SIDES, strict=True):
            along = 3 - across - up
            low = np.asarray(origin) - pixel_size / 2
            high = low + density.shape[0] * pixel_size
            extent = (low[across], high[across], low[up], high[up])
            axis.imshow(
                density.sum(axis=2 - along), cmap="gray_r", origin="lower", extent=extent, vmin=0
            )
            if left is not None and left.any():
                _outline(axis, left.sum(axis=2 - along), extent)
            size = 3.0 if len(points) < 1_000 else 1.0
            axis.scatter(points[:, across], points[:, up], s=size, c=colours, linewidths=0)
            axis.set_xlim(extent[:2])
            axis.set_ylim(extent[2:])
            axis.set_xlabel(f"{'xyz'[across]} (Å)")
            axis.set_ylabel(f"{'xyz'[up]} (Å)")
        if shares is None:
            _draw_curve(parts[1].subplots(1, 1), curve)
        else:
            first, second = parts[1].subplots(1, 2, width_ratios=(1.3, 1.0))
            _draw_curve(first, curve)
            _draw_shares(second, shares, {name: QUALITATIVE[n] for name, n in number.items()})
    return figure


def _outline(axis: Axes, left: FloatArray, extent: tuple[float, ...]) -> None:
    """Outline where density is left, seen along an axis."""
    level = 0.25 * float(left.max())
    axis.contour(left, levels=[level], colors=[_LEFT], linewidths=1.0, extent=extent)


def _draw_shares(axis: Axes, shares: Mapping[str, float], colours: Mapping[str, str]) -> None:
    """Draw the share of the density that each model explains, and what is left, as bars."""
    names, values = list(shares), list(shares.values())
    if len(names) > _MOST_BARS:
        names = [*names[: _MOST_BARS - 1], f"{len(names) - _MOST_BARS + 1} more"]
        values = [*values[: _MOST_BARS - 1], sum(values[_MOST_BARS - 1 :])]
    bars = [*zip(names, values, strict=True), ("none", max(0.0, 1 - sum(values)))]
    for place, (name, value) in enumerate(bars):
        colour = _LEFT if place == len(bars) - 1 else colours.get(name, QUIET)
        axis.barh(place, 100 * value, color=colour, height=0.7)
    axis.set_yticks(range(len(bars)), [name for name, _ in bars])
    axis.invert_yaxis()
    axis.set_ylabel("explained by chain")
    axis.set_xlabel("share of the density (%)")


def _draw_curve(axis: Axes, curve: Mapping[str, Any]) -> None:
    label = f"model and map: {curve['resolution_angstrom']:.1f} Å at 0.5"
    axis.plot(curve["frequency_per_angstrom"], curve["value"], color=QUALITATIVE[0], label=label)
    axis.axhline(0.5, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    axis.axhline(0.0, color=QUIET, linewidth=0.6)
    axis.set_xlabel("spatial frequency (1/Å)")
    axis.set_ylabel("Fourier shell correlation")
    axis.set_ylim(-0.1, 1.04)
    axis.set_xlim(left=0.0)
    axis.legend(loc="lower left", bbox_to_anchor=(0.0, 0.12))
    add_angstrom_axis(axis)
