"""A ChimeraX script that opens a job's maps and models, coloured and levelled as in the report."""

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
from cryosway.report._contents import Contents, MapFile
from cryosway.report._morph import path_colours
from cryosway.report._style import SURFACE_COLOUR, state_colours

HEAD = """\
# ChimeraX script written by cryosway: open it with File > Open, or: chimerax session.cxc
# Paths are relative to the script, so the folder may be moved as a whole. Start from an empty
# session: models are numbered from 1. To cut the molecule open: clip front 0, and back: clip off.
# To record movies of all morphs: chimerax movie.cxc
set bgColor white
lighting soft
graphics silhouettes true
"""


def write_session(contents: Contents, threshold: float) -> Path:
    """Write ``session.cxc``: maps, traversals as volume series, and atomic models as morphs.

    Where there are morphs, ``movie.cxc`` beside it records them. The consensus map and the first of
    the models are shown. Models are coloured by rigid domain where ``motions.json`` tells of some.

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
    lines = [HEAD]
    shown = True
    number = 0
    for item in contents.maps("mean")[:1]:
        number += 1
        lines += _open_one(contents.root, item, number, threshold, SURFACE_COLOUR, shown=shown)
        shown = False
    clusters = contents.maps("cluster")
    for item, colour in zip(clusters, state_colours(len(clusters)), strict=True):
        number += 1
        lines += _open_one(contents.root, item, number, threshold, to_hex(colour), shown=shown)
        shown = False
    for direction, items in contents.traversals.items():
        number += 1
        lines += _open_series(contents.root, direction, items, number, threshold)
    models, play = _open_models(contents, number)
    path = contents.root / "session.cxc"
    with write_atomically(path) as temporary:
        temporary.write_text("\n".join([*lines, *models, "view", *play, ""]), encoding="utf-8")
    write_movie_script(contents, threshold)
    return path


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


def _open_series(
    root: Path, direction: int, items: list[MapFile], number: int, threshold: float
) -> list[str]:
    """Open the maps of a traversal as one series with a slider."""
    files = " ".join(quote(root, item.path) for item in items)
    first = to_hex(path_colours(len(items))[0])
    return [
        f"# direction {direction}: drag the slider that opens, or use the play command below",
        f"open {files} vseries true",
        f"volume #{number} style surface step 1 level {threshold:.5g} color {first}",
        f"# vseries play #{number} loop true direction oscillate maxFrameRate 8",
        f"hide #{number} models",
    ]
