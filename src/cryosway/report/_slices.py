"""Central slices through maps, all on one grey scale."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cryosway.report._style import INK, figure_style, new_figure

FloatArray = NDArray[np.floating]


def plot_slices(maps: Mapping[str, FloatArray], pixel_size: float) -> Figure:
    """Show the three central slices of every map, one row per map, same grey scale for all.

    Parameters
    ----------
    maps : mapping of str to ndarray, shape (D, D, D)
        Label and density of each map, axes (z, y, x).
    pixel_size : float
        Å per voxel.

    Returns
    -------
    matplotlib.figure.Figure
    """
    per_row = 6
    shown = [(label, plane, slab) for label, volume in maps.items()
             for plane, slab in central_slices(volume).items()]  # fmt: skip
    low, high = grey_limits(list(maps.values()))
    rows = -(-len(shown) // per_row)
    box = next(iter(maps.values())).shape[0]
    half = box * pixel_size / 2
    with figure_style():
        figure, axes = new_figure(rows, per_row, height=1.45, tight=True)
        for axis in axes.ravel():
            axis.set_axis_off()
        for number, (axis, (label, plane, slab)) in enumerate(
            zip(axes.ravel(), shown, strict=False)
        ):
            axis.imshow(slab, cmap="gray", vmin=low, vmax=high, origin="lower",
                        extent=(-half, half, -half, half), interpolation="bicubic")  # fmt: skip
            axis.set_title(label if number % 3 == 0 else "", fontsize=7.5)
            axis.text(-0.96 * half, 0.94 * half, plane, color="white", fontsize=6.5, va="top")
        draw_scale_bar(axes[0, 0], 2 * half, -half, -0.92 * half, "white")
    return figure


def central_slices(volume: FloatArray) -> dict[str, FloatArray]:
    """Cut the planes through the origin voxel D/2.

    Parameters
    ----------
    volume : ndarray, shape (D, D, D)
        Density, axes (z, y, x).

    Returns
    -------
    dict of str to ndarray, shape (D, D)
        Planes named by their (horizontal, vertical) axes.
    """
    middle = volume.shape[0] // 2
    return {"xy": volume[middle], "xz": volume[:, middle], "yz": volume[:, :, middle]}


def grey_limits(volumes: list[FloatArray]) -> tuple[float, float]:
    """Choose black and white for a set of maps: the same for all of them."""
    values = np.concatenate(
        [np.ravel(slab) for volume in volumes for slab in central_slices(volume).values()]
    )
    low, high = np.percentile(values, [1.0, 99.7])
    return float(low), float(high if high > low else low + 1.0)


def draw_scale_bar(axis: Axes, width: float, left: float, bottom: float, colour: str = INK) -> None:
    """Draw a bar of a round length with its label in Å into an axis scaled in Å.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Where to draw.
    width : float
        Width of the picture, Å.
    left, bottom : float
        Its lower left corner, Å.
    colour : str
        Colour of bar and label.
    """
    length = round_length(width / 4)
    x, y = left + 0.05 * width, bottom + 0.03 * width
    axis.plot([x, x + length], [y, y], "-", color=colour, linewidth=2, solid_capstyle="butt")
    axis.text(x + length + 0.02 * width, y, f"{length:g} Å", color=colour, fontsize=6.5,
              ha="left", va="center_baseline")  # fmt: skip


def round_length(length: float) -> float:
    """Round down to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(power * max(step for step in (1, 2, 5) if step * power <= length * (1 + 1e-9)))
