"""Resolution curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cryosway.report._style import INK, QUIET, figure_style, new_figure, state_colours

Curve = Mapping[str, Any]
MOST_CURVES = 8


def plot_fsc(curves: Sequence[Curve]) -> Figure:
    """Plot Fourier shell correlations between half-maps, with the 0.143 line.

    Parameters
    ----------
    curves : sequence of mapping
        Each with ``frequency_per_angstrom``, ``value``, ``label`` and where known
        ``resolution_angstrom`` and ``volume`` (the entries of ``curves.json``'s ``fsc``).

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = list(curves)[:MOST_CURVES]
    with figure_style():
        figure, axes = new_figure(height=3.1)
        axis: Axes = axes[0, 0]
        for curve, colour in zip(shown, state_colours(len(shown)), strict=True):
            axis.plot(curve["frequency_per_angstrom"], curve["value"], color=colour,
                      label=_describe(curve))  # fmt: skip
        axis.axhline(0.143, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        axis.axhline(0.0, color=QUIET, linewidth=0.6)
        axis.annotate("0.143", (0.0, 0.143), (3, 3), textcoords="offset points", fontsize=7.5)
        axis.set_xlabel("spatial frequency (1/Å)")
        axis.set_ylabel("Fourier shell correlation (no unit)")
        axis.set_ylim(-0.1, 1.04)
        axis.set_xlim(left=0.0)
        axis.legend(loc="upper right")
        add_angstrom_axis(axis)
    return figure


def plot_noise(spectra: Sequence[Curve]) -> Figure:
    """Plot the power of the noise against spatial frequency, one line per optics group.

    Parameters
    ----------
    spectra : sequence of mapping
        Each with ``optics_group``, ``frequency_per_angstrom`` and ``power`` (the entries of
        ``curves.json``'s ``noise``).

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = list(spectra)[:MOST_CURVES]
    with figure_style():
        figure, axes = new_figure(height=2.6)
        axis: Axes = axes[0, 0]
        for spectrum, colour in zip(shown, state_colours(len(shown)), strict=True):
            axis.plot(spectrum["frequency_per_angstrom"], spectrum["power"], color=colour,
                      label=f"optics group {spectrum.get('optics_group', 1)}")  # fmt: skip
        powers = np.concatenate([np.asarray(s["power"], float) for s in shown])
        if (powers > 0).any() and np.nanmax(powers) > 5 * np.nanmin(powers[powers > 0]):
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0.0)
        axis.set_xlim(left=0.0)
        axis.set_xlabel("spatial frequency (1/Å)")
        axis.set_ylabel("noise power (image units²)")
        if len(shown) > 1:
            axis.legend()
        add_angstrom_axis(axis)
    return figure


def add_angstrom_axis(axis: Axes) -> None:
    """Write resolutions in Å along the top of an axis of spatial frequencies."""
    low, high = axis.get_xlim()
    wanted = [40, 20, 15, 12, 10, 8, 7, 6, 5, 4.5, 4, 3.5, 3, 2.5, 2.2, 2, 1.8, 1.5, 1.2, 1]
    places: list[float] = []
    for resolution in wanted:
        last = places[-1] if places else 0.0
        if 1 / resolution <= high and 1 / resolution - last > 0.07 * (high - low):
            places.append(1 / resolution)
    top = axis.secondary_xaxis("top")
    top.set_xticks(places, [f"{1 / place:.3g}" for place in places])
    top.set_xlabel("resolution (Å)")
    top.spines["top"].set_visible(False)
    top.tick_params(length=2, color=QUIET)


def _describe(curve: Curve) -> str:
    resolution = curve.get("resolution_angstrom")
    text = str(curve.get("label", "FSC"))
    return f"{text}: {resolution:.1f} Å" if resolution else text
