"""`path`: maps along a way through a landscape, from one place to another."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.engine import FolderLock, explain_os_errors, write_json
from cryosway.jobs import Job, open_job
from cryosway.landscape import (
    MapRequest,
    PrincipalAxes,
    count_support,
    fill_other_coordinates,
    find_sparse,
    fit_principal_axes,
    read_cluster_centres,
    read_latents,
    read_state_centres,
    route_by_energy,
    route_by_graph,
    route_straight,
    trace_direction,
    write_maps,
)
from cryosway.methods._export.chimerax import write_scripts
from cryosway.methods._landscape.options import PathOptions
from cryosway.methods._landscape.populations import measure_density

FloatArray = npt.NDArray[np.floating]
Place = str | npt.ArrayLike


def write_path(
    job: Job | str | Path,
    out: str | Path,
    *,
    start: Place | None = None,
    end: Place | None = None,
    through: Sequence[Place] = (),
    **options: Any,
) -> Path:
    """Write maps along a way through latent space; an interrupted call is taken up again.

    Parameters
    ----------
    job : Job or path
        With latents.
    out : path
        Folder for ``path.txt`` (a latent per line), ``path.json`` (what is known of each point),
        ``volumes/`` and scripts of ChimeraX that show and record their morph; made if need be.
    start, end : str or array_like
        ``state:2``, ``cluster:3``, ``particle:17`` (a row of ``particles.parquet``, from 0), or a
        latent: K numbers, as text with commas between them.
    through : sequence of str or array_like
        Places to pass on the way, in this order.
    **options
        See `PathOptions`: by, points, direction, maps.

    Returns
    -------
    Path
        The folder.

    Warns
    -----
    CryoswayWarning
        Where points have next to no particles behind them.

    Raises
    ------
    CryoswayError
        When a place is not known, or too few are given.

    Examples
    --------
    >>> import cryosway as cs
    >>> cs.write_path("job2", "opening", start="state:1", end="state:3", by="energy")
    ... # doctest: +SKIP
    PosixPath('opening')
    """
    settings = PathOptions.check("path", options)
    main, folder = open_job(job).main, Path(out)
    latents, latent_sd = read_latents(main)
    axes = fit_principal_axes(latents, latent_sd)
    given = [one for one in (start, *through, end) if one is not None]
    anchors = axes.project(np.array([find_place(main, one) for one in given] or latents[:0]))
    if settings.by != "pc" and (len(anchors) < 2 or start is None or end is None):
        message = "a path needs two ends: give --from and --to, or a direction with --by pc"
        raise CryoswayError(message)
    path, energies = _trace(main, axes, anchors, settings)
    requests = [
        _request(main, axes, number, point, energy)
        for number, (point, energy) in enumerate(zip(path, energies, strict=True), start=1)
    ]
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FolderLock(folder):
            np.savetxt(folder / "path.txt", [one.latent for one in requests], "%.8g")
            write_json(folder / "path.json", _describe(settings, given, path, requests))
            if settings.maps:
                write_maps(main, folder, requests, kinds=("path",))
                write_scripts(folder, main)
    _warn_of_gaps([one.support for one in requests])
    return folder


def _warn_of_gaps(support: Sequence[float]) -> None:
    """Tell in one sentence where the maps show what nobody has seen."""
    sparse = find_sparse(support)
    if not sparse.any():
        return
    count, lowest = int(sparse.sum()), int(np.argmin(support))
    has, them = ("has", "it") if count == 1 else ("have", "them")
    message = (
        f"{count} of the {len(support)} points of this path {has} next to no particles behind "
        f"{them} (point {lowest + 1}: {support[lowest]:.1f}; the best has {max(support):.0f}): "
        "a map there shows what the model makes of a gap, not a structure that was seen"
    )
    warnings.warn(message, CryoswayWarning, stacklevel=3)


def find_place(job: Job, place: Place) -> FloatArray:
    """Give the latent, shape (K,), that a place names; see `write_path`."""
    size = job.latents.shape[1]
    if isinstance(place, str) and ":" in place:
        kind, _, number = place.partition(":")
        if kind in _NAMED and number.strip().isdigit():
            return _NAMED[kind](job, int(number))
    try:
        numbers = place.split(",") if isinstance(place, str) else place
        latent = np.asarray(numbers, np.float64)
    except ValueError:
        latent = np.empty(0)
    if latent.shape != (size,) or not np.isfinite(latent).all():
        message = (
            f"{place!r} is no place in this landscape: give state:2, cluster:3, particle:17, or "
            f"{size} numbers with commas between them"
        )
        raise CryoswayError(message)
    return latent


def _find_particle(job: Job, row: int) -> FloatArray:
    if row >= len(job.latents):
        message = f"{job.path} has no particle {row}: rows go from 0 to {len(job.latents) - 1}"
        raise CryoswayError(message)
    return np.asarray(job.latents[row])


def _find_cluster(job: Job, number: int) -> FloatArray:
    return _pick(job, "cluster", number, read_cluster_centres(job))


def _find_state(job: Job, number: int) -> FloatArray:
    return _pick(job, "state", number, read_state_centres(job))


def _pick(job: Job, kind: str, number: int, centres: dict[int, Any]) -> FloatArray:
    if number not in centres:
        known = ", ".join(map(str, sorted(centres)))
        message = f"there is no {kind} {number} in {job.path}; there are {known}"
        raise CryoswayError(message)
    return np.asarray(centres[number])


_NAMED = {"particle": _find_particle, "cluster": _find_cluster, "state": _find_state}


def _trace(
    job: Job, axes: PrincipalAxes, anchors: FloatArray, options: PathOptions
) -> tuple[FloatArray, Sequence[float | None]]:
    """Give the points of the path, principal coordinates, and their free energies if known."""
    coordinates, count = axes.project(job.latents), options.points
    unknown: list[float | None] = [None] * count
    if options.by == "pc":
        if options.direction > coordinates.shape[1]:
            message = f"there are only {coordinates.shape[1]} directions, no {options.direction}"
            raise CryoswayError(message)
        return trace_direction(coordinates, options.direction, count).coordinates, unknown
    if options.by == "points":
        return anchors, [None] * len(anchors)
    if options.by == "graph":
        return route_straight(route_by_graph(coordinates, anchors), count), unknown
    if options.by == "energy" and coordinates.shape[1] > 1:
        density = measure_density(job, axes, (0, 1), write=False)
        grid = (density.axes[0], density.axes[1])
        way, energies = route_by_energy(grid, density.free_energy()[0], anchors[:, :2])
        both = route_straight(np.column_stack([way, energies]), count)
        return fill_other_coordinates(both[:, :2], coordinates), both[:, 2].tolist()
    return route_straight(anchors, count), unknown  # one coordinate has one way only


def _request(
    job: Job, axes: PrincipalAxes, number: int, point: FloatArray, energy: float | None
) -> MapRequest:
    latent = axes.lift(point)
    support = count_support(latent, job.latents, job.latent_sd, axes.scale)
    extra = {
        "point": number,
        "support": round(support, 1),
        "free_energy": None if energy is None else round(energy, 3),
    }
    return MapRequest(f"path_{number:03d}", "path", f"point {number}", latent, support, extra)


def _describe(
    options: PathOptions, given: Sequence[Place], path: FloatArray, requests: list[MapRequest]
) -> dict[str, Any]:
    sparse = find_sparse([one.support for one in requests])
    return {
        "by": options.by,
        "given": [one if isinstance(one, str) else np.asarray(one) for one in given],
        "points": [
            {"z": one.latent, "coordinates": point, "sparse": bool(gap), **one.extra}
            for one, point, gap in zip(requests, path, sparse, strict=True)
        ],
    }
