"""The look of every figure: colours for all eyes, quiet axes, one way to save."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast, final

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

INK = "#22303c"
QUIET = "#8a97a3"
BLUE = "#2f6fb0"
ORANGE = "#d9822b"
RED = "#c8442f"
SURFACE_COLOUR = "#8fb3d9"
QUALITATIVE = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a900", "#6b6b6b",
)  # fmt: skip
"""Okabe and Ito's colours, told apart by colour-blind readers; the yellow darkened for print."""
PATH_COLOURS = LinearSegmentedColormap.from_list(
    "cryosway_path", ["#2f6fb0", "#8fb8d8", "#d8d4c8", "#eab26b", "#d2701f"]
)
DENSITY_COLOURS = LinearSegmentedColormap.from_list(
    "cryosway_density", ["#ffffff", "#dbe8f3", "#9cc3e0", "#4f93c4", "#1f5f99", "#0b2f5b"]
)
MOTION_COLOURS = LinearSegmentedColormap.from_list(
    "cryosway_motion", ["#c3c9ce", "#ecc48a", "#e08a3c", "#c4502a", "#7f1d1d"]
)
PAGE_WIDTH_INCHES = 7.4
DOTS_PER_INCH = 150

STYLE: dict[str, Any] = {
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "figure.dpi": DOTS_PER_INCH,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "savefig.dpi": DOTS_PER_INCH,
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": 8,
    "ytick.color": INK,
    "ytick.labelsize": 8,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Use the package's look for what is drawn inside, and nothing else."""
    with rc_context(cast("Any", STYLE)):
        yield


@final
class PageFigure(Figure):
    """A figure that a notebook shows by itself, without pyplot."""

    def _repr_png_(self) -> bytes:
        return figure_png(self)


def new_figure(
    rows: int = 1, columns: int = 1, *, height: float = 2.9, tight: bool = False, **options: Any
) -> tuple[Figure, NDArray[Any]]:
    """Make a figure of the page's width with a grid of axes, away from pyplot's global state.

    Parameters
    ----------
    rows, columns : int
        Grid of axes.
    height : float
        Inches per row.
    tight : bool
        Whether axes may nearly touch, as for grids of pictures of one shape.
    **options
        Passed on to `matplotlib.figure.Figure.subplots`.

    Returns
    -------
    tuple[Figure, ndarray]
        The figure and its axes, shape (rows, columns).
    """
    figure = PageFigure(figsize=(PAGE_WIDTH_INCHES, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    if tight:
        figure.set_layout_engine("compressed", w_pad=0.015, h_pad=0.05, wspace=0.0, hspace=0.0)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, axes


def figure_png(figure: Figure) -> bytes:
    """Encode a figure as PNG, the same bytes for the same figure."""
    stream = io.BytesIO()
    with figure_style():
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def show_picture(data: bytes) -> Figure:
    """Give an encoded picture as a figure of its own size."""
    from matplotlib.image import imread

    pixels = imread(io.BytesIO(data), format="png")
    height, width = pixels.shape[:2]
    figure = PageFigure(figsize=(width / DOTS_PER_INCH, height / DOTS_PER_INCH))
    FigureCanvasAgg(figure)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.imshow(pixels, interpolation="none")
    axis.set_axis_off()
    return figure


def state_colours(count: int) -> list[tuple[float, float, float]]:
    """Give each of `count` states a colour: eight named ones, beyond that a sequence."""
    if count <= len(QUALITATIVE):
        return [to_rgb(colour) for colour in QUALITATIVE[:count]]
    from matplotlib import colormaps

    ramp = colormaps["viridis"](np.linspace(0.0, 0.95, count))
    return [(float(r), float(g), float(b)) for r, g, b, _ in ramp]


def domain_colours(count: int) -> list[str]:
    """Give domains 1, 2, … a colour each; the first, which is held still, is grey."""
    others = [QUALITATIVE[number % len(QUALITATIVE)] for number in range(max(count - 1, 0))]
    return [QUIET, *others][:count]
