"""Pictures of how models differ: residue by residue, or model by model."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cryosway.report._style import BLUE, DENSITY_COLOURS, INK, figure_style, new_figure

FloatArray = NDArray[np.floating]


def plot_residue_differences(
    chains: NDArray[np.str_], distance: FloatArray, lddt: FloatArray
) -> Figure:
    """Plot how far every residue lies from the reference's, and its lDDT.

    Parameters
    ----------
    chains : ndarray of str, shape (R,)
        Of each residue, in the order of the chains.
    distance : ndarray, shape (R,)
        Å, superposed.
    lddt : ndarray, shape (R,)
        0 to 1.

    Returns
    -------
    matplotlib.figure.Figure
    """
    place = np.arange(1, len(distance) + 1)
    with figure_style():
        figure, axes = new_figure(2, 1, height=1.7, sharex=True)
        upper, lower = axes[:, 0]
        upper.plot(place, distance, color=INK, linewidth=1.0)
        upper.set_ylabel("Cα distance (Å)")
        upper.set_ylim(bottom=0)
        lower.plot(place, lddt, color=BLUE, linewidth=1.0)
        lower.set_ylabel("lDDT")
        lower.set_ylim(0, 1.02)
        lower.set_xlabel("matched residue")
        for axis in (upper, lower):
            _mark_chain_ends(axis, chains)
        lower.set_xlim(1, len(place))
    return figure


def _mark_chain_ends(axis: Axes, chains: NDArray[np.str_]) -> None:
    for end in np.flatnonzero(chains[1:] != chains[:-1]):
        axis.axvline(end + 1.5, color=INK, linewidth=0.5, linestyle=(0, (2, 3)))


def plot_difference_matrix(rmsd: FloatArray) -> Figure:
    """Plot the RMSD of every model from every reference.

    Parameters
    ----------
    rmsd : ndarray, shape (M, K)
        Å.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with figure_style():
        figure, axes = new_figure(height=3.6)
        axis = axes[0, 0]
        extent = (0.5, rmsd.shape[1] + 0.5, rmsd.shape[0] + 0.5, 0.5)
        shown = axis.imshow(rmsd, cmap=DENSITY_COLOURS, vmin=0, aspect="auto", extent=extent)
        axis.set_xlabel("model of the reference")
        axis.set_ylabel("model")
        figure.colorbar(shown, ax=axis, label="RMSD (Å)")
    return figure
