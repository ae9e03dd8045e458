"""Pictures of motion: how far residues move, how a domain turns, how a measure is spread."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cryosway.report._style import (
    BLUE,
    INK,
    QUIET,
    RED,
    domain_colours,
    figure_style,
    new_figure,
)

FloatArray = NDArray[np.floating]
IndexArray = NDArray[np.integer]

_FAINT = "#d5dbe0"
_MOST_SEGMENTS = 6_000
_MOST_TICKS = 12


def plot_displacement(residues: pd.DataFrame) -> Figure:
    """Plot how far every residue moves.

    Parameters
    ----------
    residues : DataFrame
        With columns ``chain``, ``residue_number``, ``domain``, ``displacement``,
        ``displacement_relative`` and where known ``uncertainty``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    chains = residues["chain"].to_numpy(str)
    single = len(set(chains.tolist())) == 1
    place = residues["residue_number"].to_numpy(float) if single else np.arange(len(residues)) + 0.5
    domains = residues["domain"].to_numpy(int)
    with figure_style():
        figure, axes = new_figure(height=2.7)
        axis: Axes = axes[0, 0]
        seen = "from domain 1" if domains.any() else "after superposition"
        relative = residues["displacement_relative"].to_numpy(float)
        as_posed = residues["displacement"].to_numpy(float)
        axis.plot(place, as_posed, color=_FAINT, linewidth=1.2, label="in the particles' poses")
        axis.plot(place, relative, color=INK, linewidth=1.2, label=f"seen {seen}")
        top = 1.12 * max(relative.max(initial=0.0), as_posed.max(initial=0.0), 0.1)
        if "uncertainty" in residues:
            doubt = residues["uncertainty"].to_numpy(float)
            axis.fill_between(place, 0, doubt, color=RED, alpha=0.25, linewidth=0,
                              label="uncertainty")  # fmt: skip
        _draw_domain_strip(axis, place, domains, top)
        axis.set_ylim(-0.07 * top, top)
        axis.set_xlim(place[0] - 0.5, place[-1] + 0.5)
        axis.set_ylabel("rms displacement (Å)")
        if single:
            axis.set_xlabel(f"residue of chain {chains[0]}")
        else:
            _mark_chains(axis, chains)
        figure.legend(loc="outside upper right", ncols=4)
    return figure


def _draw_domain_strip(axis: Axes, place: FloatArray, domains: IndexArray, top: float) -> None:
    """Colour a strip below zero by domain."""
    if not domains.any():
        return
    colours = domain_colours(int(domains.max()))
    for number, colour in enumerate(colours, start=1):
        inside = domains == number
        axis.fill_between(place, -0.06 * top, -0.015 * top, where=inside, step="mid", color=colour,
                          linewidth=0, label=f"domain {number}")  # fmt: skip


def _mark_chains(axis: Axes, chains: NDArray[np.str_]) -> None:
    starts = np.flatnonzero(np.concatenate([[True], chains[1:] != chains[:-1]]))
    kept = starts[:: -(-len(starts) // _MOST_TICKS)]
    axis.set_xticks(kept, [str(chains[start]) for start in kept])
    axis.set_xlabel("residue, by chain")


@dataclass(frozen=True, eq=False)
class DomainPicture:
    """What `plot_domain_motion` draws.

    Attributes
    ----------
    number
        Of the domain.
    reference
        Shape (N, 3), Å: residues with domain 1 held still.
    low, high
        Shape (n, 3), Å: the domain's residues at both ends of its motion.
    members, fixed
        Its residues, and those of domain 1.
    bonds
        Shape (B, 2): residues that are joined.
    axis, point
        Shape (3,): direction of the screw axis, and a point of it, Å.
    slides
        Whether the motion is a shift along the axis.
    values
        Shape (M,): degrees about the axis, or Å along it where it slides, of every particle.
    """

    number: int
    reference: FloatArray
    low: FloatArray
    high: FloatArray
    members: IndexArray
    fixed: IndexArray
    bonds: IndexArray
    axis: FloatArray
    point: FloatArray
    slides: bool
    values: FloatArray


def plot_domain_motion(drawn: DomainPicture) -> Figure:
    """Draw how a domain moves: seen down its axis and from the side, and over the particles.

    Parameters
    ----------
    drawn : DomainPicture
        The motion.

    Returns
    -------
    matplotlib.figure.Figure
    """
    down, out = _choose_axes(drawn)
    colour = domain_colours(drawn.number)[-1]
    with figure_style():
        figure, axes = new_figure(1, 3, height=2.75)
        views = ((out, np.cross(down, out), "down the axis"), (out, down, "from the side"))
        for axis, (right, up, title) in zip(axes[0], views, strict=False):
            _draw_traces(axis, drawn, np.stack([right, up]), colour)
            axis.set_title(title)
        _mark_axis(axes[0, 0], axes[0, 1], drawn, down, out)
        what = "shift along the axis (Å)" if drawn.slides else "turn about the axis (°)"
        _draw_histogram(axes[0, 2], drawn.values, what, colour)
        axes[0, 2].set_title("over the particles")
    return figure


def _choose_axes(drawn: DomainPicture) -> tuple[FloatArray, FloatArray]:
    """Choose the axis, and the direction across it in which the domain lies."""
    away = 0.5 * (drawn.low + drawn.high).mean(0) - drawn.point
    away = away - drawn.axis * (drawn.axis @ away)
    if np.linalg.norm(away) < 1e-3:
        away = np.cross(drawn.axis, np.eye(3)[np.abs(drawn.axis).argmin()])
    return drawn.axis, away / np.linalg.norm(away)


def _draw_traces(axis: Axes, drawn: DomainPicture, view: FloatArray, colour: str) -> None:
    """Draw the chain: domain 1 grey, others faint, the domain light and dark at its two ends."""
    bonds = drawn.bonds[:: -(-len(drawn.bonds) // _MOST_SEGMENTS)]
    number = np.full(len(drawn.reference), -1)
    number[drawn.members] = np.arange(len(drawn.members))
    inside = (number[bonds] >= 0).all(axis=1)
    still = np.isin(bonds, drawn.fixed).all(axis=1)
    lighter = tuple(0.45 * np.array(to_rgb(colour)) + 0.55)
    scenes = (
        (drawn.reference, bonds[~inside & ~still], _FAINT, 0.6),
        (drawn.reference, bonds[still], QUIET, 0.9),
        (drawn.low, number[bonds[inside]], lighter, 1.2),
        (drawn.high, number[bonds[inside]], colour, 1.2),
    )
    for points, pairs, shade, width in scenes:
        lines = np.asarray((points - drawn.point) @ view.T)[pairs]
        axis.add_collection(LineCollection(list(lines), colors=[shade], linewidths=width))
    axis.autoscale_view()
    axis.set_aspect("equal", adjustable="datalim")
    axis.set_xlabel("Å")


def _mark_axis(
    seen_down: Axes, from_side: Axes, drawn: DomainPicture, down: FloatArray, out: FloatArray
) -> None:
    """Mark the screw axis, and the turn about it."""
    from_side.axvline(0.0, color=RED, linewidth=1.4, linestyle=(0, (5, 2)))
    seen_down.plot([0], [0], "o", color=RED, markersize=5)
    if drawn.slides:
        return
    view = np.stack([out, np.cross(down, out)])
    low, high = ((part - drawn.point) @ view.T for part in (drawn.low, drawn.high))
    first, last = (float(np.arctan2(*part.mean(0)[::-1])) for part in (low, high))
    turn = (last - first) % (2 * np.pi)
    angle = first + np.linspace(0, turn, 60)
    reach = 1.1 * float(np.linalg.norm(np.concatenate([low, high]), axis=1).max())
    x, y = reach * np.cos(angle), reach * np.sin(angle)
    seen_down.plot(x, y, color=RED, linewidth=1.4)
    arrow = {"arrowstyle": "->", "color": RED, "shrinkA": 0, "shrinkB": 0}
    seen_down.annotate("", (x[-1], y[-1]), (x[-3], y[-3]), arrowprops=arrow)


def plot_measure(values: FloatArray, label: str) -> Figure:
    """Plot the histogram of a distance or angle over the particles, with its quartiles.

    Parameters
    ----------
    values : ndarray, shape (M,)
        One per particle.
    label : str
        What it is, with its unit.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with figure_style():
        figure, axes = new_figure(height=2.5)
        _draw_histogram(axes[0, 0], values, label, BLUE)
    return figure


def _draw_histogram(axis: Axes, values: FloatArray, label: str, colour: str) -> None:
    finite = np.asarray(values)[np.isfinite(values)]
    bins = int(np.clip(len(finite) ** 0.5, 8, 80))
    low, high = finite.min(), finite.max()
    if high - low < 1e-6:  # all alike: a bar of some width
        low, high = low - 0.5, high + 0.5
    axis.hist(finite, bins, range=(low, high), color=colour, alpha=0.85)
    middle = float(np.median(finite))
    axis.axvline(middle, color=INK, linewidth=1.1)
    for value in np.percentile(finite, [25, 75]):
        axis.axvline(value, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
    axis.annotate(
        f"median {middle:.1f}", (middle, 1.0), (3, -2), fontsize=7.5, va="top",
        xycoords=("data", "axes fraction"), textcoords="offset points",
    )  # fmt: skip
    axis.set_xlabel(label)
    axis.set_ylabel("particles")
    axis.margins(y=0.12)
