"""Pictures of a prediction's confidences: pLDDT along the chain, and the PAE of every pair."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cryosway.report._style import INK, PAGE_WIDTH_INCHES, figure_style

FloatArray = NDArray[np.floating]

_ERROR_COLOURS = LinearSegmentedColormap.from_list(
    "cryosway_error", ["#0b2f5b", "#1f5f99", "#4f93c4", "#9cc3e0", "#dbe8f3", "#ffffff"]
)
#: AlphaFold DB's bands of pLDDT: very low, low, confident, very high.
_BANDS = ((0, 50, "#ff7d45"), (50, 70, "#ffdb13"), (70, 90, "#65cbf3"), (90, 100, "#0053d6"))
_LARGEST_ERROR = 31.75


def plot_confidence(plddt: FloatArray, pae: FloatArray | None, chains: NDArray[np.str_]) -> Figure:
    """Plot pLDDT, and where it is known the predicted aligned error.

    Parameters
    ----------
    plddt : ndarray, shape (L,)
        0 to 100.
    pae : ndarray, shape (L, L), optional
        Å; rows are the residues that the structure is superposed on.
    chains : ndarray of str, shape (L,)
        Of each residue.

    Returns
    -------
    matplotlib.figure.Figure
    """
    ends = np.flatnonzero(chains[1:] != chains[:-1]) + 1.5
    place = np.arange(1, len(plddt) + 1)
    with figure_style():
        figure = Figure(figsize=(PAGE_WIDTH_INCHES, 2.9), layout="constrained")
        columns = 1 if pae is None else 2
        axes = figure.subplots(1, columns, squeeze=False, width_ratios=[1.4, 1][:columns])[0]
        for low, high, colour in _BANDS:
            axes[0].axhspan(low, high, color=colour, alpha=0.25, linewidth=0)
        axes[0].plot(place, plddt, color=INK, linewidth=1.0)
        axes[0].set(ylim=(0, 100), xlim=(1, max(2, len(plddt))), xlabel="residue", ylabel="pLDDT")
        if pae is not None:
            edge = len(plddt) + 0.5
            shown = axes[1].imshow(pae, cmap=_ERROR_COLOURS, vmin=0, vmax=_LARGEST_ERROR,
                                   extent=(0.5, edge, edge, 0.5), interpolation="none")  # fmt: skip
            axes[1].set(xlabel="residue", ylabel="superposed on residue")
            figure.colorbar(shown, ax=axes[1], label="expected error (Å)")
        for axis in axes:
            for end in ends:
                axis.axvline(end, color=INK, linewidth=0.7)
        for end in ends if pae is not None else ():
            axes[1].axhline(end, color=INK, linewidth=0.7)
    return figure
