"""A folder that ChimeraX opens: copies of a job's maps, and the script that shows them."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryosway._errors import CryoswayError
from cryosway.engine import Progress, write_json
from cryosway.jobs import Job
from cryosway.methods._job_files import VolumeIndex
from cryosway.methods._motions.models import MODELS_NAME, POINTS, along_direction, write_series
from cryosway.methods._options import ExportOptions
from cryosway.methods._structural.bead_ensemble import BeadEnsemble, is_structural
from cryosway.report import Contents, choose_report_threshold, gather_contents, write_session

_SHOWN = ("mean", "state", "cluster", "path")
_POINTS = 7  # maps along a direction, where landscape has made none


def write_chimerax(folder: Path, job: Job, options: ExportOptions) -> None:
    """Write ``session.cxc``, and the maps and models that it opens to ``volumes/``, ``models/``.

    Consensus, maps of states and at cluster centres, and those along the principal directions, each
    of these a series with a slider; atomic models as a morph. Of a job with latents that has no
    landscape yet, maps along the first direction are made here, and models where the job has them.

    Parameters
    ----------
    folder : Path
        Where to; it may be moved as a whole.
    job : Job
        With volumes.
    options : ExportOptions
        ``clusters`` chooses cluster maps; what chooses particles is refused.
    """
    if options.rows is not None or options.particles is not None or options.interval:
        message = (
            "--rows, --particles and --interval choose particles, of which none go to ChimeraX: "
            "use --clusters, or cryosway volumes and models for some of your choice"
        )
        raise CryoswayError(message)
    shown = [entry for entry in job.volumes if entry["kind"] in _SHOWN]
    shown = _choose_clusters(job, shown, options.clusters)
    traced = any(entry["kind"] == "path" for entry in shown)
    walks = not traced and _has_latents(job) and job.main.info.get("command") != "motions"
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
    _add_models(folder, job.main)
    write_scripts(folder, job)


def _add_models(folder: Path, job: Job) -> None:
    """Copy a job's atomic models, and what colours them; make them where it has only latents."""
    if (job.path / "models" / MODELS_NAME).exists():
        shutil.copytree(job.path / "models", folder / "models", dirs_exist_ok=True)
    elif is_structural(job):
        series = [along_direction(job, 1, POINTS)]
        write_series(BeadEnsemble(job), folder / "models", series)
    if (job.path / "motions.json").exists():
        shutil.copyfile(job.path / "motions.json", folder / "motions.json")


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
    index = VolumeIndex(folder, job.pixel_size)
    with Progress(_POINTS, "maps along direction 1") as progress:
        for point, state in enumerate(along_direction(job, 1, _POINTS).states, start=1):
            label = f"direction 1, point {point} of {_POINTS}"
            more = {"z": state.z.tolist(), "direction": 1, "point": point}
            index.write(f"path_pc1_{point:02d}", job.volume(state.z), "path", label, **more)
            progress.advance()


def write_scripts(folder: Path, job: Job) -> None:
    """Write the scripts of a folder with maps of a job, at the contour level of its report.

    Parameters
    ----------
    folder : Path
        With ``volumes/``.
    job : Job
        That the maps are of.
    """
    whole = gather_contents(job.main.path)
    main = replace(whole.main, path=folder)
    contents = Contents(folder, job.info, main, [main])
    level = choose_report_threshold(whole)
    if level is None:
        level = choose_report_threshold(contents, masked_by=whole)
    assert level is not None  # there is a map
    write_session(contents, level)
