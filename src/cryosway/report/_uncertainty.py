"""Pictures of how sure an atomic model's motion is."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cryosway.report._style import BLUE, INK, RED, figure_style, new_figure


def plot_uncertainty(residues: pd.DataFrame) -> Figure:
    """Plot how far residues move, and how sure that is.

    Parameters
    ----------
    residues : DataFrame
        With columns ``chain``, ``residue_number``, ``displacement``, ``disagreement`` and
        ``uncertainty``, Å.

    Returns
    -------
    matplotlib.figure.Figure
    """
    chains = residues["chain"].to_numpy(str)
    single = len(set(chains.tolist())) == 1
    place = residues["residue_number"].to_numpy(float) if single else np.arange(len(residues)) + 0.5
    with figure_style():
        figure, axes = new_figure(height=2.7)
        axis: Axes = axes[0, 0]
        lines = (
            ("displacement", INK, "displacement"),
            ("disagreement", BLUE, "half-set models apart"),
            ("uncertainty", RED, "uncertainty"),
        )
        for column, colour, label in lines:
            axis.plot(place, residues[column].to_numpy(float), color=colour, label=label,
                      linewidth=1.2)  # fmt: skip
        axis.set_ylim(bottom=0)
        axis.set_xlim(place[0] - 0.5, place[-1] + 0.5)
        axis.set_ylabel("rms over particles (Å)")
        axis.set_xlabel(f"residue of chain {chains[0]}" if single else "residue, by chain")
        figure.legend(loc="outside upper right", ncols=3)
    return figure
