"""A folder that ChimeraX opens: copies of a job's maps, and the script that shows them."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryosway._errors import CryoswayError
from cryosway.engine import Progress, write_json
from cryosway.jobs import Job
from cryosway.landscape import fit_principal_axes, trace_direction
from cryosway.methods._job_files import VolumeIndex
from cryosway.methods._options import ExportOptions
from cryosway.report import Contents, choose_threshold, gather_contents, write_session

_SHOWN = ("mean", "cluster", "path")
_POINTS = 7  # maps along a direction, where landscape has made none


def write_chimerax(folder: Path, job: Job, options: ExportOptions) -> None:
    """Write ``session.cxc``, and the maps that it opens to ``volumes/``.

    Consensus, maps at cluster centres, and those along the principal directions, each of these a
    series with a slider. Of a job with latents that has no landscape yet, maps along the first
    direction are made here.

    Parameters
    ----------
    folder : Path
        Where to; it may be moved as a whole.
    job : Job
        With volumes.
    options : ExportOptions
        ``clusters`` chooses cluster maps; what chooses particles is refused.
    """
    if options.rows is not None or options.particles is not None:
        message = "--rows and --particles choose particles, of which none go to ChimeraX: use "
        raise CryoswayError(message + "--clusters, or cryosway volumes for maps of your choice")
    shown = [entry for entry in job.volumes if entry["kind"] in _SHOWN]
    shown = _choose_clusters(job, shown, options.clusters)
    traced = any(entry["kind"] == "path" for entry in shown)
    walks = not traced and _has_latents(job)
    if not shown and not walks:
        message = f"{job.path} holds no maps; see its log.txt for how far it came"
        raise CryoswayError(message)
    place = folder / "volumes"
    place.mkdir(exist_ok=True)
    for entry in shown:
        shutil.copyfile(job.main.path / "volumes" / entry["file"], place / entry["file"])
    kept = [{**entry, "half_maps": None} for entry in shown]
    write_json(place / "volumes.json", {"volumes": kept})
    if walks:
        _walk(folder, job)
    contents = _gather(folder, job)
    write_session(contents, _choose_level(job, contents))


def _choose_clusters(
    job: Job, entries: list[dict[str, Any]], wanted: Sequence[int]
) -> list[dict[str, Any]]:
    there = sorted({int(entry["cluster"]) for entry in entries if entry["kind"] == "cluster"})
    for cluster in wanted:
        if cluster not in there:
            listed = f"there are {', '.join(map(str, there))}" if there else "there are none; "
            hint = "" if there else f"run cryosway landscape {job.path} first"
            raise CryoswayError(f"there is no map of cluster {cluster}; {listed}{hint}")
    left_out = set(there) - set(wanted) if wanted else set()
    return [entry for entry in entries if entry.get("cluster") not in left_out]


def _has_latents(job: Job) -> bool:
    return (job.main.path / "particles.parquet").exists() and job.latents.shape[1] > 0


def _walk(folder: Path, job: Job) -> None:
    """Make maps along the first principal direction, as `landscape` does."""
    axes = fit_principal_axes(job.latents, job.latent_sd)
    path = trace_direction(axes.project(job.latents), 1, _POINTS)
    index = VolumeIndex(folder, job.pixel_size)
    with Progress(_POINTS, "maps along direction 1") as progress:
        for point, z in enumerate(axes.lift(path.coordinates), start=1):
            label = f"direction 1, point {point} of {_POINTS}"
            name = f"path_pc1_{point:02d}"
            more = {"z": z.tolist(), "direction": 1, "point": point}
            index.write(name, job.volume(z), "path", label, **more)
            progress.advance()


def _gather(folder: Path, job: Job) -> Contents:
    """Describe the folder as the report describes a job."""
    main = replace(gather_contents(job.main.path).main, path=folder)
    return Contents(folder, job.info, main, [main])


def _choose_level(job: Job, contents: Contents) -> float:
    """Choose the contour level of all maps, from the first of them, within the solvent mask."""
    first = next(maps[0] for kind in _SHOWN if (maps := contents.maps(kind)))
    masks = gather_contents(job.main.path).maps("mask")
    fits = masks and masks[0].density.shape == first.density.shape
    return choose_threshold(first.density, masks[0].density if fits else None)
