"""A ChimeraX script that opens a job's maps, coloured and levelled as in the report."""

import os
from pathlib import Path

from matplotlib.colors import to_hex

from cryosway.engine import write_atomically
from cryosway.report._contents import Contents, MapFile
from cryosway.report._morph import path_colours
from cryosway.report._style import SURFACE_COLOUR, state_colours

HEAD = """\
# ChimeraX script written by cryosway: open it with File > Open, or: chimerax session.cxc
# Paths are relative to the script, so the folder may be moved as a whole. Start from an empty
# session: models are numbered from 1.
set bgColor white
lighting soft
graphics silhouettes true
"""


def write_session(contents: Contents, threshold: float) -> Path:
    """Write ``session.cxc``: the consensus map, cluster maps, and traversals as volume series.

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
    path = contents.root / "session.cxc"
    with write_atomically(path) as temporary:
        temporary.write_text("\n".join([*lines, "view", ""]), encoding="utf-8")
    return path


def _open_one(
    root: Path, item: MapFile, number: int, threshold: float, colour: str, *, shown: bool
) -> list[str]:
    lines = [
        f"# {item.label}",
        f"open {_quote(root, item)}",
        f"volume #{number} style surface step 1 level {threshold:.5g} color {colour}",
    ]
    return lines if shown else [*lines, f"hide #{number} models"]


def _open_series(
    root: Path, direction: int, items: list[MapFile], number: int, threshold: float
) -> list[str]:
    """Open the maps of a traversal as one series with a slider."""
    files = " ".join(_quote(root, item) for item in items)
    first = to_hex(path_colours(len(items))[0])
    return [
        f"# direction {direction}: drag the slider that opens, or use the play command below",
        f"open {files} vseries true",
        f"volume #{number} style surface step 1 level {threshold:.5g} color {first}",
        f"# vseries play #{number} loop true direction oscillate maxFrameRate 8",
        f"hide #{number} models",
    ]


def _quote(root: Path, item: MapFile) -> str:
    relative = Path(os.path.relpath(item.path, root)).as_posix()
    return '"' + relative.replace("\\", "\\\\").replace('"', '\\"') + '"'
