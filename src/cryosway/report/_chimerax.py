"""A ChimeraX script that opens a job's maps and models, coloured and levelled as in the report."""

from collections.abc import Iterator
from pathlib import Path

from matplotlib.colors import to_hex

from cryosway.engine import write_atomically
from cryosway.report._chimerax_models import (
    DISPLACEMENT_NAME,
    colour_by_motion,
    draw_axes,
    open_models,
    play_models,
    quote,
)
from cryosway.report._chimerax_movie import write_movie_script
from cryosway.report._chimerax_series import open_series, write_series
from cryosway.report._contents import Contents, MapFile
from cryosway.report._style import SURFACE_COLOUR, state_colours

HEAD = """\
# ChimeraX script written by cryosway: open it with File > Open, or: chimerax session.cxc
# Paths are relative to the script, so the folder may be moved as a whole. Start from an empty
# session: models are numbered from 1. Views: type view front, view side, or view cut (the molecule
# cut open; clip front -5 moves the cut). To record movies of all morphs: chimerax movie.cxc
set bgColor white
lighting soft
graphics silhouettes true
"""
VIEWS = """\
view
view name front
turn y 90
view name side
view front
clip front 0
view name cut
view front
"""


def write_session(contents: Contents, threshold: float) -> Path:
    """Write ``session.cxc``: maps, paths as volume series, and atomic models as morphs.

    Where there are morphs, ``movie.cxc`` beside it records them. The first map and the first of the
    models are shown. Maps along a path are coloured by where the density changes most, models by
    rigid domain where ``motions.json`` tells of some. Whole and cut open are views to go to.

    Parameters
    ----------
    contents : Contents
        What the folder holds.
    threshold : float
        Contour level of all maps.

    Returns
    -------
    Path
        The script.
    """
    root, level = contents.root, threshold
    lines: list[str] = [HEAD]
    number = 0
    for item, colour in _single_maps(contents):
        number += 1
        lines += _open_one(root, item, number, level, colour, shown=number == 1)
    found = write_series(contents, level)
    for series in found:
        lines += open_series(root, series, number + 1, level, shown=number == 0)
        number += 2
    models, play = _open_models(contents, number)
    path = root / "session.cxc"
    with write_atomically(path) as temporary:
        temporary.write_text("\n".join([*lines, *models, VIEWS, *play, ""]), encoding="utf-8")
    write_movie_script(contents, found, level)
    return path


def _single_maps(contents: Contents) -> Iterator[tuple[MapFile, str]]:
    """Give the consensus map and those of states and clusters, each with its colour."""
    for item in contents.maps("mean")[:1]:
        yield item, SURFACE_COLOUR
    for kind in ("state", "cluster"):
        items = contents.maps(kind)
        colours = map(to_hex, state_colours(len(items)))
        yield from zip(items, colours, strict=True)


def _open_models(contents: Contents, number: int) -> tuple[list[str], list[str]]:
    """Commands that open the main step's models after `number` maps, and those that play them."""
    stage = contents.main
    lines: list[str] = []
    play: list[str] = []
    attribute = quote(contents.root, stage.path / "models" / DISPLACEMENT_NAME)
    for item in stage.models:
        first = not lines
        number += 1
        lines += open_models(quote(contents.root, item.path), item, number)
        lines += colour_by_motion(number, stage.motions, attribute)
        lines += [] if first else [f"hide #{number} models"]
        play = play or play_models(number, item)
    if lines:
        lines = [*(["volume #1 transparency 0.6"] if contents.maps("mean") else []), *lines]
        lines += draw_axes(stage.motions)
    return lines, play


def _open_one(
    root: Path, item: MapFile, number: int, threshold: float, colour: str, *, shown: bool
) -> list[str]:
    lines = [
        f"# {item.label}",
        f"open {quote(root, item.path)}",
        f"volume #{number} style surface step 1 level {threshold:.5g} color {colour}",
    ]
    return lines if shown else [*lines, f"hide #{number} models"]
