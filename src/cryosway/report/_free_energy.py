"""Pictures of free energies and populations, with their intervals."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from cryosway.report._style import BLUE, INK, ORANGE, QUIET, figure_style, new_figure, state_colours

FloatArray = NDArray[np.floating]
HIGHEST = 6.0
"""kT; beyond, hardly a particle is there to tell."""
_AT_EDGE = 2.0  # kT: what is rarer at the edge of a grid may lie beyond it


def plot_free_energy(found: dict[str, Any]) -> Figure:
    """Plot free energies along the leading directions, and in the plane of the first two.

    Parameters
    ----------
    found : dict
        ``states.json``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    profiles, plane = found["profiles"], found.get("plane")
    with figure_style():
        count = len(profiles) + (plane is not None)
        rows = 2 if count > 3 else 1
        figure, axes = new_figure(rows, -(-count // rows), height=2.7 if count > 2 else 3.2)
        figure.set_layout_engine("constrained", wspace=0.08)
        rest = list(axes.ravel())
        if plane is not None:
            _draw_plane(rest.pop(0), plane, found["states"])
        for axis, profile in zip(rest, profiles, strict=True):
            _draw_profile(axis, profile, found["coverage"])
        figure.legend(*rest[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def plot_state_populations(found: dict[str, Any]) -> Figure:
    """Plot the population of every state with its interval, and what plain counting gives.

    Parameters
    ----------
    found : dict
        ``states.json``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    states = found["states"]
    place = np.arange(len(states))
    with figure_style():
        figure, axes = new_figure(height=2.6)
        axis: Axes = axes[0, 0]
        for name, shift, colour, label in (
            ("population", -0.12, BLUE, "of the particles"),
            ("population_even_views", 0.12, ORANGE, "if views were even"),
        ):
            if states[0].get(name) is None:
                continue
            middle = np.array([100 * state[name] for state in states])
            ends = 100 * np.array([state[f"{name}_interval"] for state in states])
            reach = np.abs(ends.T - middle)
            axis.errorbar(place + shift, middle, reach, fmt="o", color=colour, markersize=4,
                          capsize=3, linewidth=1.4, label=label)  # fmt: skip
        counted = [100 * state["counted"] for state in states]
        axis.plot(place, counted, "_", color=QUIET, markersize=14, label="counted by the likeliest")
        axis.set_xticks(place, [str(state["state"]) for state in states])
        axis.set_xlim(-0.6, len(states) - 0.4)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("state (number)")
        axis.set_ylabel(f"population (%), {100 * found['coverage']:g} % interval")
        figure.legend(loc="outside upper right", ncols=3)
    return figure


def _draw_profile(axis: Axes, profile: dict[str, Any], coverage: float) -> None:
    grid, energy, low, high = (
        np.asarray(profile[name], float) for name in ("coordinate", "energy", "low", "high")
    )
    axis.fill_between(grid, low, high, color=BLUE, alpha=0.25, linewidth=0,
                      label=f"{100 * coverage:g} % interval")  # fmt: skip
    axis.plot(grid, energy, color=BLUE, label="free energy")
    axis.set_ylim(-0.3, min(HIGHEST, float(np.nanmax(energy)) + 0.5))
    first, last = _find_known(energy)
    axis.set_xlim(grid[first], grid[last])
    axis.set_xlabel(f"direction {profile['direction']} (posterior s.d.)")
    axis.set_ylabel("free energy (kT)")


def _find_known(energy: FloatArray) -> tuple[int, int]:
    """Find the first and last cell to show.

    What lies beyond the grid is seen as if it were in its outermost cells: there, energies that
    fall again towards the edge are not shown.
    """
    known = np.flatnonzero(energy < HIGHEST)
    first, last = int(known[0]), int(known[-1])
    while first < last and energy[first + 1] > energy[first] > _AT_EDGE:
        first += 1
    while first < last and energy[last - 1] > energy[last] > _AT_EDGE:
        last -= 1
    return first, last


def _draw_plane(axis: Axes, plane: dict[str, Any], states: list[dict[str, Any]]) -> None:
    """Draw the free energy as shades with a contour for each kT, and the states' numbers."""
    x, y = (np.asarray(one, float) for one in plane["coordinates"])
    energy = np.asarray(plane["energy"], float).T
    levels = np.arange(0.0, HIGHEST + 0.1, 0.5)
    shades = axis.contourf(x, y, energy, levels, cmap="cividis")
    axis.contour(x, y, energy, np.arange(1.0, HIGHEST), colors="white", linewidths=0.6)
    shown = energy < HIGHEST
    axis.set_xlim(*_find_window(x, np.asarray(shown.any(axis=0))))
    axis.set_ylim(*_find_window(y, np.asarray(shown.any(axis=1))))
    bar = axis.figure.colorbar(shades, ax=axis, fraction=0.05, pad=0.02, ticks=range(7))
    bar.set_label("free energy (kT)", fontsize=8)
    bar.outline.set_visible(False)
    if len(states) > 1:
        for state, colour in zip(states, state_colours(len(states)), strict=True):
            where = state["centre"]
            axis.plot(where[0], where[1], "o", color=colour, markeredgecolor="white", markersize=6)
            axis.annotate(str(state["state"]), where[:2], (4, 3), textcoords="offset points",
                          fontsize=8, color=INK, fontweight="bold",
                          path_effects=[withStroke(linewidth=2.2, foreground="white")])  # fmt: skip
    axis.set_xlabel("direction 1 (posterior s.d.)")
    axis.set_ylabel("direction 2 (posterior s.d.)")


def _find_window(grid: FloatArray, shown: NDArray[np.bool_]) -> tuple[float, float]:
    """Give the ends of what is shown, with a margin so that the frame cuts no contour."""
    first, last = grid[shown][[0, -1]]
    margin = 0.04 * (last - first) + (grid[1] - grid[0])
    return float(first - margin), float(last + margin)
