"""Pictures of what a protein language model has learnt and says."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cryosway.report._style import (
    BLUE,
    DENSITY_COLOURS,
    ORANGE,
    PATH_COLOURS,
    QUIET,
    figure_style,
)

FloatArray = NDArray[np.floating]
_MUTATION_ROW = 100  # residues in a row of the picture


def draw_perplexity(
    steps: Sequence[int], held_out: Sequence[float], training: Sequence[float], unigram: float
) -> Figure:
    """Draw the course of the perplexity against that of knowing frequencies only.

    Parameters
    ----------
    steps : sequence of int
        Where it was measured.
    held_out, training : sequence of float
        On held-out clusters, masks only; and in training, where unchanged residues help.
    unigram : float
        Of guessing by frequency.

    Returns
    -------
    Figure
        The curves.
    """
    with figure_style():
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(steps, held_out, "o-", color=BLUE, ms=3, label="held-out clusters, masks only")
        axes.plot(steps, training, color=ORANGE, lw=1, label="training (80/10/10; a copy helps it)")
        axes.axhline(unigram, color=QUIET, ls="--", lw=1, label=f"frequencies only: {unigram:.2f}")
        axes.set(xlabel="step", ylabel="perplexity", title=f"held out: {held_out[-1]:.2f}")
        axes.legend()
    return figure


def draw_mutations(name: str, sequence: str, letters: str, scores: FloatArray) -> Figure:
    """Draw what the exchange of each residue by each amino acid costs.

    Parameters
    ----------
    name, sequence : str
        What was scanned.
    letters : str
        Amino acids, one per column of the scores.
    scores : ndarray, shape (L, len(letters))
        Log-likelihood ratio to the residue that is there, nats.

    Returns
    -------
    Figure
        A heat map, in rows of a hundred residues; the residue that is there has a dot.
    """
    rows = -(-len(sequence) // _MUTATION_ROW)
    limit = float(np.percentile(np.abs(scores), 98)) or 1.0
    with figure_style():
        figure = Figure(figsize=(9.0, 0.4 + 2.3 * rows), layout="constrained")
        panels = figure.subplots(rows, 1, squeeze=False)[:, 0]
        for number, axes in enumerate(panels):
            first = number * _MUTATION_ROW
            part = scores[first : first + _MUTATION_ROW]
            image = axes.imshow(
                part.T,
                aspect="auto",
                cmap=PATH_COLOURS.reversed(),
                vmin=-limit,
                vmax=limit,
                extent=(first + 0.5, first + len(part) + 0.5, len(letters) - 0.5, -0.5),
                interpolation="nearest",
            )
            here = [letters.find(letter) for letter in sequence[first : first + len(part)]]
            places = [n for n, letter in enumerate(here) if letter >= 0]
            axes.plot([first + 1 + n for n in places], [here[n] for n in places], "k.", ms=1.5)
            axes.set_xlim(first + 0.5, first + _MUTATION_ROW + 0.5)
            axes.set_yticks(range(len(letters)), list(letters), fontsize=5)
        panels[0].set_title(f"{name}: log-likelihood of an exchange")
        panels[-1].set_xlabel("residue")
        figure.colorbar(image, ax=list(panels), label="nats", fraction=0.02)
    return figure


def draw_contacts(
    name: str, probabilities: FloatArray, distances: FloatArray | None, note: str = ""
) -> Figure:
    """Draw predicted contacts above the diagonal, and those of a structure below.

    Parameters
    ----------
    name : str
        What was predicted.
    probabilities : ndarray, shape (L, L)
        Of contact.
    distances : ndarray, shape (L, L), optional
        Between Cβ atoms of a structure, Å; NaN where not resolved.
    note : str, optional
        Second line of the title.

    Returns
    -------
    Figure
        The map.
    """
    shown = np.array(probabilities, np.float64)
    if distances is not None:
        below = np.tril_indices(len(shown), -1)
        shown[below] = np.nan_to_num(distances, nan=np.inf)[below] < 8.0
    with figure_style():
        figure = Figure(figsize=(4.6, 4.4), layout="constrained")
        axes = figure.add_subplot()
        end = len(shown) + 0.5
        image = axes.imshow(
            shown, cmap=DENSITY_COLOURS, vmin=0, vmax=1, extent=(0.5, end, end, 0.5),
            interpolation="nearest",
        )  # fmt: skip
        axes.set(xlabel="residue", ylabel="residue", title=f"{name}\n{note}" if note else name)
        figure.colorbar(image, ax=axes, label="probability of contact", fraction=0.045)
    return figure
