"""A ChimeraX script that records the morphs of a job as movies, from two sides and cut open."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cryosway.engine import write_atomically
from cryosway.report._chimerax_models import (
    DISPLACEMENT_NAME,
    ModelFile,
    colour_by_motion,
    open_models,
    quote,
)
from cryosway.report._chimerax_series import Series, make_caption, open_morph, play_morph
from cryosway.report._contents import Contents

MOVIE_NAME = "movie.cxc"
HEAD = """\
# ChimeraX script written by cryosway: records movies of the morphs; chimerax movie.cxc
# Every morph is played from two sides, and then cut open half-way through the molecule.
set bgColor white
lighting soft
graphics silhouettes true
"""
_HOLD = 8  # picture frames from one map to the next
_PAUSE = 4  # and each atomic model


def write_movie_script(
    contents: Contents, paths: Sequence[Series], threshold: float
) -> Path | None:
    """Write ``movie.cxc``, which makes one mp4 of every path and series of models.

    Parameters
    ----------
    contents : Contents
        What the folder holds.
    paths : sequence of Series
        Its maps along paths.
    threshold : float
        Contour level of all maps.

    Returns
    -------
    Path or None
        The script; None where there is nothing that moves.
    """
    root, stage = contents.root, contents.main
    lines: list[str] = []
    for series in paths:
        lines += _record_maps(root, series, threshold)
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


def _record_maps(root: Path, series: Series, threshold: float) -> Iterator[str]:
    """Open the maps of a path, and play them as a morph, to and fro."""
    yield f"# {series.label}"
    lines, morph = open_morph(root, series, threshold)
    yield from (*lines, *make_caption(series))
    yield from _record(play_morph(series, morph, _HOLD), f"{series.name}.mp4")


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
