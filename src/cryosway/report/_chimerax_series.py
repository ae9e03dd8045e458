"""Maps along a path as ChimeraX opens them: coloured by where the density changes most."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from cryosway.landscape import find_sparse
from cryosway.particles import read_map, write_map
from cryosway.report._chimerax_models import quote
from cryosway.report._contents import Contents, MapFile
from cryosway.report._morph import GAP_CAPTION
from cryosway.report._style import MOTION_COLOURS, RED

FOLDER = "chimerax"
"""Holds what only the scripts open, and is written anew with them."""
STILL_COLOUR = to_hex(MOTION_COLOURS(0.0))
_PALETTE = ":".join(to_hex(MOTION_COLOURS(place)) for place in np.linspace(0, 1, 5))
_TOP_PERCENTILE = 95.0  # of the change where a surface comes by: the end of the colour scale
_NEAR_SURFACE = 0.25  # of the contour level

FloatArray = NDArray[np.floating]


@dataclass(frozen=True)
class Series:
    """Maps along a path, and where they differ.

    Attributes
    ----------
    label : str
        What a reader calls it.
    maps : sequence of MapFile
        In the order of the path, two or more.
    change : Path
        A map of how much the density changes, units of the density.
    most : float
        Change at the end of the colour scale.
    """

    label: str
    maps: Sequence[MapFile]
    change: Path
    most: float

    @property
    def name(self) -> str:
        """The label as a file is named."""
        return self.label.replace(" ", "_")

    @property
    def sparse(self) -> NDArray[np.bool_]:
        """Which maps have next to no particles behind them."""
        return find_sparse([item.support for item in self.maps])

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """First and last of each run of maps with next to no particles behind them, from 1."""
        edges = np.flatnonzero(np.diff([False, *self.sparse, False])).tolist()
        return [(first + 1, last) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def write_series(contents: Contents, level: float) -> list[Series]:
    """Find the series of a folder, and write a map of what changes along each to ``chimerax/``.

    Parameters
    ----------
    contents : Contents
        What the folder holds; of `path` or a job.
    level : float
        Contour level of all maps.

    Returns
    -------
    list of Series
    """
    folder = contents.root / FOLDER
    for stale in folder.glob("change_*.mrc"):
        stale.unlink()
    found = []
    for direction, maps in contents.traversals.items():
        if len(maps) < 2:
            continue
        folder.mkdir(exist_ok=True)
        label = f"direction {direction}" if "direction" in maps[0].entry else "path"
        path = folder / f"change_{label.replace(' ', '_')}.mrc"
        found.append(Series(label, maps, path, _write_change(path, maps, level)))
    return found


def _write_change(path: Path, maps: Sequence[MapFile], level: float) -> float:
    """Write the s.d. of the maps at every voxel; give the end of the colour scale."""
    first, about = read_map(maps[0].path)
    total, squares = np.zeros_like(first), np.zeros_like(first)
    passed = np.zeros(first.shape, bool)
    for item in maps:
        away = item.density - first
        total += away
        squares += away**2
        passed |= np.abs(item.density - level) < _NEAR_SURFACE * abs(level)
    change = np.sqrt(np.maximum(squares / len(maps) - (total / len(maps)) ** 2, 0.0))
    write_map(path, change, about.pixel_size, about.origin)
    most = np.percentile(change[passed], _TOP_PERCENTILE) if passed.any() else change.max()
    return max(float(most), 1e-6 * abs(level), 1e-12)


def colour_by_change(number: int, change: int, most: float) -> list[str]:
    """Colour the surface of a map, grey where nothing changes to dark red where most does.

    Parameters
    ----------
    number, change : int
        Models: of the map or series, and of the change along it.
    most : float
        Change at the end of the scale.
    """
    return [
        f"volume #{number} calculateSurfaces true",
        f"color sample #{number} map #{change} palette {_PALETTE} range 0,{most:.5g}",
    ]


def open_series(root: Path, series: Series, number: int, level: float, *, shown: bool) -> list[str]:
    """Open a path as one volume series with a slider, model `number`, and its change as the next.

    Parameters
    ----------
    root : Path
        Folder of the script.
    series : Series
        The maps.
    number : int
        Of the model.
    level : float
        Contour level.
    shown : bool
        Whether it is to be seen at first.
    """
    lines = [
        f"# {series.label}: drag the slider that opens, or use the play command below; dark red is",
        "# where the density changes most along it",
        *(f"# {_tell_gap(gap)}" for gap in series.gaps),
        f"open {' '.join(quote(root, item.path) for item in series.maps)} vseries true",
        f"volume #{number} style surface step 1 level {level:.5g} color {STILL_COLOUR}",
        f"open {quote(root, series.change)}",
        *colour_by_change(number, number + 1, series.most),
        f"# vseries play #{number} loop true direction oscillate maxFrameRate 8 cacheFrames "
        + str(len(series.maps)),
        f"hide #{number + 1} models",
    ]
    return lines if shown else [*lines, f"hide #{number} models"]


def _tell_gap(gap: tuple[int, int]) -> str:
    first, last = gap
    which = f"map {first} has" if first == last else f"maps {first} to {last} have"
    return f"{which} next to no particles behind {'it' if first == last else 'them'}"


def open_morph(root: Path, series: Series, level: float) -> tuple[list[str], int]:
    """Open the maps as models 1 to n, their change as n + 1, and a morph between them as n + 2.

    Returns
    -------
    tuple of list of str and int
        The commands, and the number of the morph.
    """
    count = len(series.maps)
    change, morph = count + 1, count + 2
    lines = [f"open {quote(root, item.path)}" for item in series.maps]
    lines += [
        f"volume #1-{count} style surface step 1 level {level:.5g}",
        f"open {quote(root, series.change)}",
        f"volume morph #1-{count} frames 0 {_morph_options(morph)}",
        f"volume #{morph} style surface step 1 level {level:.5g} color {STILL_COLOUR}",
        *colour_by_change(morph, change, series.most),
        f"hide #{change} models",
    ]
    return lines, morph


def play_morph(series: Series, morph: int, hold: int) -> list[str]:
    """Play a morph to and fro once, with the caption where next to no particles are behind it.

    Parameters
    ----------
    series : Series
        The maps.
    morph : int
        Number of the model.
    hold : int
        Picture frames from one map to the next.
    """
    count = len(series.maps)
    steps = hold * (count - 1)
    nearest = np.rint(np.array([*range(steps), *range(steps, 0, -1)]) / hold).astype(int)
    captioned = [False, *series.sparse[nearest].tolist(), False]
    changes = [frame for frame in range(2 * steps + 1) if captioned[frame] != captioned[frame + 1]]
    step = np.ceil(1e6 / steps) / 1e6  # rounded up, so that the last step ends at the last map
    lines = [
        f"volume morph #1-{count} frames {2 * steps} playStep {step:.6f} {_morph_options(morph)}"
    ]
    now = 0
    for frame in changes:
        lines += [f"wait {frame - now}"] if frame > now else []
        lines += [f"2dlabels all visibility {str(captioned[frame + 1]).lower()}"]
        now = frame
    return [*lines, f"wait {2 * steps + hold - now}"]


def make_caption(series: Series) -> list[str]:
    """Make the caption of gaps, not visible yet; nothing where there are none."""
    if not series.gaps:
        return []
    return [
        f'2dlabels text "{GAP_CAPTION}" color {RED} size 26 xpos 0.05 ypos 0.05 visibility false'
    ]


def _morph_options(morph: int) -> str:
    return f"slider false interpolateColors false modelId #{morph}"
