"""A ChimeraX script that records the morphs of a job as movies, from two sides and cut open."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.colors import to_hex

from cryosway.engine import write_atomically
from cryosway.report._chimerax_models import (
    DISPLACEMENT_NAME,
    ModelFile,
    colour_by_motion,
    open_models,
    quote,
)
from cryosway.report._contents import Contents, MapFile
from cryosway.report._morph import path_colours

MOVIE_NAME = "movie.cxc"
HEAD = """\
# ChimeraX script written by cryosway: records movies of the morphs; chimerax movie.cxc
# Every morph is played from two sides, and then cut open half-way through the molecule.
set bgColor white
lighting soft
graphics silhouettes true
"""
_HOLD = 5  # picture frames that each map is shown for
_PAUSE = 4  # and each atomic model


def write_movie_script(contents: Contents, threshold: float) -> Path | None:
    """Write ``movie.cxc``, which makes one mp4 of every direction and series of models.

    Parameters
    ----------
    contents : Contents
        What the folder holds.
    threshold : float
        Contour level of all maps.

    Returns
    -------
    Path or None
        The script; None where there is nothing that moves.
    """
    root, stage = contents.root, contents.main
    lines: list[str] = []
    for direction, items in contents.traversals.items():
        if len(items) > 1:
            lines += _record_maps(root, items, threshold, f"direction_{direction}")
    attribute = quote(root, stage.path / "models" / DISPLACEMENT_NAME)
    for item in stage.models:
        if item.count > 1:
            lines += _record_models(root, item, stage.motions, attribute)
    path = root / MOVIE_NAME
    if not lines:
        path.unlink(missing_ok=True)
        return None
    with write_atomically(path) as temporary:
        temporary.write_text("\n".join([HEAD, *lines, ""]), encoding="utf-8")
    return path


def _record_maps(
    root: Path, items: Sequence[MapFile], threshold: float, name: str
) -> Iterator[str]:
    """Open the maps of a direction one by one, and show them in turn, to and fro."""
    yield f"# {name.replace('_', ' ')}"
    for number, (item, colour) in enumerate(
        zip(items, path_colours(len(items)), strict=True), start=1
    ):
        yield f"open {quote(root, item.path)}"
        yield (
            f"volume #{number} style surface step 1 level {threshold:.5g} color {to_hex(colour)}"
        )
    forth = [*range(1, len(items) + 1)]
    play = [f"hide #1-{len(items)} models"]
    for number in (*forth, *forth[-2:0:-1]):
        play += [f"show #{number} models", f"wait {_HOLD}", f"hide #{number} models"]
    yield from _record(play, f"{name}.mp4")


def _record_models(
    root: Path, item: ModelFile, motions: dict[str, Any], attribute: str
) -> Iterator[str]:
    """Play a series of models, coloured by what moves."""
    yield from open_models(quote(root, item.path), item, 1)
    yield from colour_by_motion(1, motions, attribute)
    frames = _PAUSE * item.count
    play = []
    for ends in (f"1,{item.count}", f"{item.count},1"):
        play += [f"coordset #1 {ends} pauseFrames {_PAUSE}", f"wait {frames}"]
    yield from _record(play, f"{item.path.stem}.mp4")


def _record(play: Sequence[str], name: str) -> Iterator[str]:
    """Play three times: as it is, turned by 90°, and with the front half cut away."""
    yield from ("view", "movie record supersample 3 size 900,900", *play)
    yield from ("turn y 2 45", "wait 45", *play)
    yield from ("turn y -2 45", "wait 45", "clip front 0", *play, "clip off")
    yield from (f"movie encode {name} quality high framerate 25", "close session", "")
