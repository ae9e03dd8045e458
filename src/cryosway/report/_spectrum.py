"""The spectrum of components: what each direction holds, beside what noise alone would give."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cryosway.jobs import SIGNIFICANT
from cryosway.report._style import BLUE, INK, QUIET, figure_style, new_figure


def plot_spectrum(spectrum: Mapping[str, Sequence[float | None]]) -> Figure:
    """Plot the variance of every component beside that of noise alone.

    Parameters
    ----------
    spectrum : mapping
        ``variance_explained`` (over the power of the mean map), and where known ``noise_alone``
        and ``p_value``: one number per component (``curves.json``'s ``spectrum``, or
        ``heterogeneity``'s directions turned).

    Returns
    -------
    matplotlib.figure.Figure
    """
    variance = 100 * _as_array(spectrum["variance_explained"])
    noise = 100 * _as_array(spectrum.get("noise_alone") or [])
    p_values = _as_array(spectrum.get("p_value") or [])
    number = np.arange(1, len(variance) + 1)
    real = np.ones(len(variance), bool)
    real[: len(p_values)] = p_values < SIGNIFICANT
    with figure_style():
        figure, axes = new_figure(height=2.7)
        axis: Axes = axes[0, 0]
        colours = [BLUE if known else "#c3cbd3" for known in real]
        axis.bar(number, variance, width=0.66, color=colours, zorder=2)
        if len(noise):
            _draw_noise_marks(axis, number[: len(noise)], noise)
        _annotate_p_values(axis, number, variance, p_values)
        axis.set_xlabel("component (number)")
        axis.set_ylabel("variance (% of the map's power)")
        axis.set_xticks(number if len(number) <= 24 else number[::5])
        axis.margins(y=0.16)
        if len(noise):
            axis.legend(loc="upper right")
    return figure


def format_p_value(p_value: float) -> str:
    """Write a p-value as a reader wants it: ``p < 0.001``, ``p = 0.03``, ``p = 0.4``."""
    if p_value < 0.001:
        return "p < 0.001"
    return f"p = {p_value:.2g}" if p_value < 0.1 else f"p = {p_value:.1f}"


def _draw_noise_marks(axis: Axes, number: np.ndarray, noise: np.ndarray) -> None:
    axis.hlines(
        noise, number - 0.42, number + 0.42, color=INK, linewidth=1.6, zorder=3, label="noise alone"
    )


def _annotate_p_values(
    axis: Axes, number: np.ndarray, height: np.ndarray, p_values: np.ndarray
) -> None:
    if len(number) > 12:
        return
    for place, top, p_value in zip(number, height, p_values, strict=False):
        if np.isfinite(p_value):
            axis.annotate(
                format_p_value(p_value), (place, top), (0, 3), textcoords="offset points",
                ha="center", fontsize=7, color=INK if p_value < SIGNIFICANT else QUIET,
            )  # fmt: skip


def _as_array(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)
