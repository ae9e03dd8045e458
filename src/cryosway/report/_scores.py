"""Pictures of scores against a truth: maps, populations, and programs side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cryosway.report._style import BLUE, INK, ORANGE, QUALITATIVE, QUIET, figure_style, new_figure

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.integer]


def plot_map_scores(
    states: IntArray, scores: FloatArray, consensus: FloatArray, limit: float
) -> Figure:
    """Plot the AUC-FSC of every scored image by its true state, beside the consensus.

    Parameters
    ----------
    states : ndarray, shape (n,)
        True state of every image.
    scores, consensus : ndarray, shape (n, 2)
        Masked and unmasked.
    limit : float
        The largest area that the box allows.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with figure_style():
        figure, axes = new_figure(1, 2, height=2.8, sharey=True)
        for column, title in enumerate(("within the mask", "without a mask")):
            axis: Axes = axes[0, column]
            axis.plot(states, scores[:, column], "o", color=BLUE, markersize=3.5, alpha=0.7,
                      label="map of the image")  # fmt: skip
            order = np.argsort(states, kind="stable")
            axis.plot(states[order], consensus[order, column], "s", color=ORANGE, markersize=2.5,
                      label="consensus")  # fmt: skip
            axis.axhline(limit, color=QUIET, linewidth=0.8)
            axis.set_xlabel("true state (number)")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.set_title(title)
        axes[0, 0].set_ylabel("area under FSC to the truth\n(cycles/pixel)")
        axes[0, 0].annotate(
            "largest possible", (0, limit), (2, -9), fontsize=7, color=QUIET,
            xycoords=("axes fraction", "data"), textcoords="offset points",
        )  # fmt: skip
        axes[0, 1].legend(loc="best")
    return figure


def plot_state_shares(states: IntArray, true: FloatArray, found: FloatArray) -> Figure:
    """Plot the share of every state among images, and among the maps that show it.

    Parameters
    ----------
    states : ndarray, shape (S,)
        Their numbers.
    true, found : ndarray, shape (S,)
        Shares.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with figure_style():
        figure, axes = new_figure(height=2.3)
        axis: Axes = axes[0, 0]
        axis.bar(states - 0.2, 100 * true, width=0.4, color=QUIET, label="images, truly")
        axis.bar(states + 0.2, 100 * found, width=0.4, color=BLUE, label="maps that show it")
        axis.set_xlabel("true state (number)")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_ylabel("share (%)")
        axis.legend(loc="best")
    return figure


def plot_programs(
    sets: Mapping[str, Sequence[tuple[str, float, float]]],
    consensus: Mapping[str, float],
    limits: Mapping[str, float],
    label: str = "AUC-FSC per image, masked",
) -> Figure:
    """Plot the score of every program on every set.

    Parameters
    ----------
    sets : mapping of str to sequence of (str, float, float)
        By set: program, mean, standard deviation over images.
    consensus, limits : mapping of str to float
        By set: the score of the mean of the true maps, and the largest possible.
    label : str
        Of the scores.

    Returns
    -------
    matplotlib.figure.Figure
    """
    programs = list(dict.fromkeys(name for rows in sets.values() for name, _, _ in rows))
    colours = {name: QUALITATIVE[i % len(QUALITATIVE)] for i, name in enumerate(programs)}
    with figure_style():
        columns = min(3, len(sets))
        lines = -(-len(sets) // columns)
        figure, axes = new_figure(lines, columns, height=1.1 + 0.24 * len(programs))
        for axis in axes.ravel()[len(sets) :]:
            axis.set_visible(False)
        marks = {}
        for axis, (name, rows) in zip(axes.ravel(), sets.items(), strict=False):
            place = np.arange(len(rows))[::-1]
            for y, (program, mean, spread) in zip(place, rows, strict=True):
                axis.errorbar(mean, y, xerr=spread, fmt="o", color=colours[program], markersize=5,
                              elinewidth=1)  # fmt: skip
            axis.set_yticks(place, [program for program, _, _ in rows])
            axis.set_ylim(-0.6, len(rows) - 0.4)
            if name in consensus:
                marks["mean of the true maps"] = axis.axvline(
                    consensus[name], color=ORANGE, linewidth=0.9, linestyle=(0, (3, 2))
                )
            if name in limits:
                marks["largest possible"] = axis.axvline(limits[name], color=QUIET, linewidth=0.8)
            axis.set_title(name)
            axis.set_xlabel(label)
        if marks:
            figure.legend(marks.values(), marks.keys(), loc="outside lower right", ncols=2)
    return figure


def plot_cost(points: Mapping[str, Sequence[tuple[float, float]]], label: str) -> Figure:
    """Plot scores against the CPU time that they cost.

    Parameters
    ----------
    points : mapping of str to sequence of (float, float)
        By program: CPU seconds and score on every set.
    label : str
        Of the scores.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with figure_style():
        figure, axes = new_figure(height=3.0)
        axis: Axes = axes[0, 0]
        for number, (name, values) in enumerate(points.items()):
            seconds, scores = zip(*values, strict=True)
            colour = QUALITATIVE[number % len(QUALITATIVE)]
            axis.plot(seconds, scores, "o", color=colour, markersize=5, label=name)
        axis.set_xscale("log")
        for ticks in (axis.xaxis.set_major_formatter, axis.xaxis.set_minor_formatter):
            ticks("{x:g}")
        axis.axhline(0, color=INK, linewidth=0.6)
        axis.set_xlabel("CPU time (s)")
        axis.set_ylabel(label)
        axis.legend(loc="best")
    return figure
