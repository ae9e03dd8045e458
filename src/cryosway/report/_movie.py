"""Movies of morphs, without a display: maps as isosurfaces, atomic models as tubes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cryosway._errors import CryoswayError
from cryosway.engine import Progress, explain_os_errors
from cryosway.jobs import Job
from cryosway.landscape import find_sparse
from cryosway.particles import read_map
from cryosway.report._contents import MapFile, Stage, gather_contents
from cryosway.report._morph import (
    GAP_CAPTION,
    add_caption,
    choose_level_and_view,
    draw_frame,
    encode_gif,
    interpolate_maps,
    path_colours,
)
from cryosway.report._movie_files import choose_writer
from cryosway.report._page_maps import choose_report_threshold
from cryosway.report._scene import Actor, Camera
from cryosway.report._style import MOTION_COLOURS
from cryosway.report._surface import build_surface
from cryosway.report._tube import Traces, read_traces
from cryosway.report._viewpoint import fit_camera

FloatArray = NDArray[np.floating]
MAPS = (".mrc", ".map", ".mrc.gz", ".map.gz")
FINEST = 110  # voxels along the longest edge of a surface's grid
_FRAMES = 18  # of an animation in the report, one way
_STILL = 1.0  # Å: where nothing moves farther, nothing is dark red
_SIDES = {1: (0.0,), 2: (0.0, 90.0)}


def movie(
    sources: Job | str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    direction: int = 1,
    models: bool = False,
    threshold: float | None = None,
    between: int = 6,
    sides: int = 2,
    pixels: int = 360,
    rate: int = 15,
) -> Path:
    """Make a movie that runs to and fro along a path; it needs no display and no ChimeraX.

    Maps change from blue to orange along the way; between two of them the density is interpolated,
    for the eye only, and a caption tells where next to no particles are behind them. Atomic models
    are tubes along their chains, coloured by how far each residue moves.

    Parameters
    ----------
    sources : Job, path or sequence of paths
        A job after `landscape` (its maps along a direction), a folder of `write_path`, density
        maps in their order, or mmCIF or PDB files with the models of a series.
    out : path
        The movie: ``.mp4`` (needs ``pip install cryosway[movie]``), ``.gif`` or ``.webp``.
    direction : int
        Of a job: the principal direction.
    models : bool
        Of a job: its atomic models instead of its maps.
    threshold : float, optional
        Contour level of the maps; chosen from them where not given.
    between : int
        Frames from one map or model to the next.
    sides : int
        1: from the side that shows the change best; 2: also turned by 90°.
    pixels : int
        Height of the picture.
    rate : int
        Frames per second.

    Returns
    -------
    Path
        The movie.

    Raises
    ------
    CryoswayError
        When there are not two maps or models to go between, they do not fit each other, or the
        kind of file is not known.

    Examples
    --------
    >>> import cryosway as cs
    >>> cs.movie("job2", "opening.gif")  # doctest: +SKIP
    PosixPath('opening.gif')
    """
    for name, value, low, high in (
        ("between", between, 1, 100), ("sides", sides, 1, 2),
        ("pixels", pixels, 16, 4096), ("rate", rate, 1, 60),
    ):  # fmt: skip
        if not low <= value <= high:
            message = f"{name} is {value}: give {low} to {high}"
            raise CryoswayError(message)
    path = Path(out)
    write = choose_writer(path)
    scene = _open_scene(sources, direction, threshold, models=models)
    with explain_os_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        images = list(_draw(scene, between, pixels + pixels % 2, _SIDES[sides]))
        write(path, [*images, *images[-2:0:-1]], rate)
    return path


def animate_models(traces: Traces, pixels: int = 230) -> bytes:
    """Make a small looping GIF of a series of models, for the report.

    Parameters
    ----------
    traces : Traces
        Chains of the models.
    pixels : int
        Height; the width is twice that.
    """
    between = max(1, _FRAMES // len(traces.points))
    images = list(_draw(_show_models(traces), between, pixels, _SIDES[2]))
    return encode_gif([*images, *images[-2:0:-1]])


@final
@dataclass(frozen=True, eq=False)
class _Scene:
    """What is to be seen at each point of a path.

    Attributes
    ----------
    count
        Points of the path.
    view
        Rotation.
    build
        Gives the actors of all frames, so many from one point to the next.
    sparse
        Whether next to no particles are behind each point, shape (count,).
    """

    count: int
    view: FloatArray
    build: Callable[[int], Iterator[Actor]]
    sparse: NDArray[np.bool_]


def _draw(
    scene: _Scene, between: int, pixels: int, turns: Sequence[float]
) -> Iterator[Image.Image]:
    frames = (scene.count - 1) * between + 1
    with Progress(2 * frames, "frames of the movie") as progress:
        actors = []
        for actor in scene.build(between):
            actors.append(actor)
            progress.advance()
        camera: Camera = fit_camera([actor.surface for actor in actors], scene.view, pixels)
        for number, actor in enumerate(actors):
            image = draw_frame([actor], camera, turns)
            nobody = scene.sparse[round(number / between)]
            yield add_caption(image, GAP_CAPTION) if nobody else image
            progress.advance()


def _open_scene(
    sources: Job | str | Path | Sequence[str | Path],
    direction: int, threshold: float | None, *, models: bool,
) -> _Scene:  # fmt: skip
    """Find out what the sources are."""
    if isinstance(sources, Job):
        sources = sources.path
    paths = [Path(one) for one in ([sources] if isinstance(sources, str | Path) else sources)]
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        message = f"{missing} does not exist; is the path right?"
        raise CryoswayError(message)
    if len(paths) == 1 and paths[0].is_dir():
        return _open_folder(paths[0], direction, threshold, models=models)
    if all(path.name.endswith(MAPS) for path in paths):
        return _show_maps([MapFile(path, {}) for path in paths], threshold)
    if any(path.is_dir() or path.name.endswith(MAPS) for path in paths):
        message = "give one job, or maps, or atomic models: they cannot be mixed"
        raise CryoswayError(message)
    return _show_models(read_traces(paths))


def _open_folder(folder: Path, direction: int, threshold: float | None, *, models: bool) -> _Scene:
    if not (folder / "job.json").exists():  # of `write_path`
        found = [item for item in Stage("path", folder, {}).volumes if item.kind == "path"]
        return _show_maps(sorted(found, key=lambda item: int(item.entry["point"])), threshold)
    contents = gather_contents(folder)
    series = [item.path for item in contents.main.models if item.count > 1]
    if models or (series and not contents.traversals):
        if not series:
            message = f"{folder} holds no series of atomic models; see cryosway models"
            raise CryoswayError(message)
        return _show_models(read_traces(series[:1]))
    if direction not in contents.traversals:
        known = ", ".join(map(str, contents.traversals))
        hint = f"there are {known}" if known else f"run cryosway landscape {folder} first"
        message = f"{folder} holds no maps along direction {direction}; {hint}"
        raise CryoswayError(message)
    level = choose_report_threshold(contents) if threshold is None else threshold
    return _show_maps(contents.traversals[direction], level)


def _show_maps(items: Sequence[MapFile], threshold: float | None) -> _Scene:
    if len(items) < 2:
        message = f"a movie goes from map to map, and here are {len(items)}: give two or more"
        raise CryoswayError(message)
    read = [(item.path, *read_map(item.path)) for item in items]
    _, first, header = read[0]
    for path, volume, other in read:
        if volume.shape != first.shape or abs(other.pixel_size / header.pixel_size - 1) > 1e-3:
            message = (
                f"{path} has {volume.shape[0]} voxels of {other.pixel_size:.4g} Å a side, but "
                f"{read[0][0]} {first.shape[0]} of {header.pixel_size:.4g} Å: they must be alike"
            )
            raise CryoswayError(message)
    volumes = [volume for _, volume, _ in read]
    level, view = choose_level_and_view(volumes, threshold)

    def build(between: int) -> Iterator[Actor]:
        colours = path_colours((len(volumes) - 1) * between + 1)
        for volume, colour in zip(interpolate_maps(volumes, between), colours, strict=True):
            surface = build_surface(volume, header.pixel_size, level, finest=FINEST)
            yield Actor(surface, np.array(colour))

    return _Scene(len(volumes), view, build, find_sparse([item.support for item in items]))


def _show_models(traces: Traces) -> _Scene:
    paint = colour_displacement(traces.displacement)

    def build(between: int) -> Iterator[Actor]:
        for points in interpolate_maps(list(traces.points), between):
            surface, owners = traces.build(points)
            yield Actor(surface, paint[owners])

    count = len(traces.points)
    return _Scene(count, choose_model_view(traces.points), build, np.zeros(count, bool))


def colour_displacement(displacement: FloatArray) -> FloatArray:
    """Give colours, shape (M, 3): grey for what stays, to dark red for what moves most.

    Parameters
    ----------
    displacement : ndarray, shape (M,)
        Å.
    """
    top = max(float(np.percentile(displacement, 98)), _STILL)
    return np.asarray(MOTION_COLOURS(np.clip(displacement / top, 0, 1))[:, :3])


def choose_model_view(points: FloatArray) -> FloatArray:
    """Look across the motion: its weakest direction towards the eye, the long axis upright.

    Parameters
    ----------
    points : ndarray, shape (T, M, 3)
        Of a series of models.

    Returns
    -------
    ndarray, shape (3, 3)
        Rotation whose rows are screen right, screen up and towards the eye.
    """
    moved = (points - points.mean(axis=0)).reshape(-1, 3)
    spread = points[0] - points[0].mean(axis=0)
    weight = 1e-3 * spread.T @ spread / len(spread)  # decides where nothing moves
    towards = np.linalg.eigh(moved.T @ moved / len(moved) + weight)[1][:, 0]
    flat = spread - np.outer(spread @ towards, towards)
    up = np.linalg.eigh(flat.T @ flat)[1][:, -1]
    return np.stack([np.cross(up, towards), up, towards])
