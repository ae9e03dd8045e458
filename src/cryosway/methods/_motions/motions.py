"""`motions`: what moves in a structural job, and how."""

from pathlib import Path
from typing import Any, NoReturn

from cryosway.engine import JobFolder, set_threads
from cryosway.jobs import Job, MissingResultError, open_job
from cryosway.methods._motions.motion_analysis import analyse_motions
from cryosway.methods._motions.motion_measures import make_measures
from cryosway.methods._motions.motion_results import write_results
from cryosway.methods._options import MotionsOptions
from cryosway.methods._shared_choices import fingerprint_file
from cryosway.methods._structural.bead_ensemble import RESIDUES_NAME, BeadEnsemble
from cryosway.protein import find_domains

#: Particles in which domains are looked for; all are measured.
_SAMPLE = 256


def motions(
    job: Job | str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Describe the motions that a structural job found: domains, hinges, residues, distances.

    Rigid domains are found from the conformations of the particles themselves. The largest is
    held still; for every other one there are the screw axis between the extremes of its motion,
    its turn and its shift in every particle. Chosen distances and angles are measured in every
    particle.

    Parameters
    ----------
    job : Job or path
        Of `structural`.
    out : path
        Job folder: ``motions.json`` (domains, axes, angles), ``residues.parquet`` (displacements),
        ``particles.parquet`` (the job's columns with angles, shifts and measures, by which
        `export` selects particles), pictures, models along the first direction, and
        ``session.cxc`` for ChimeraX.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `MotionsOptions`.

    Returns
    -------
    Job
        Its ``particles`` have the new columns.

    Raises
    ------
    CryoswayError
        When the job has no atomic model, or residues that are asked for are not in it.

    Examples
    --------
    >>> import cryosway as cs
    >>> moves = cs.motions("job5", "job6", distance=[("/A:50-60", "/A:120-130")])  # doctest: +SKIP
    >>> moves.particles["distance1"].mean()  # doctest: +SKIP
    31.4
    """
    settings = MotionsOptions.check("motions", options)
    opened = open_job(job).main
    ensemble = BeadEnsemble(opened)
    measures = make_measures(ensemble.coarse, settings.distance, settings.angle)
    set_threads(threads)
    with JobFolder.start(
        out, "motions", settings, _fingerprint(opened), sources={"job": opened.path},
        resume=resume, overwrite=overwrite,
    ) as folder:  # fmt: skip
        if not folder.already_finished:
            with folder.stage("domains"):
                sample = ensemble.sample(_SAMPLE, settings.seed)
                domains = find_domains(
                    sample, ensemble.coarse.chains,
                    count=None if settings.domains == "auto" else settings.domains,
                    least_residues=settings.least_residues,
                )  # fmt: skip
            with (
                folder.stage("particles"),
                folder.progress(len(opened.latents), "conformations") as progress,
            ):
                found = analyse_motions(ensemble, domains, measures, progress.advance)
            with folder.stage("writing"):
                write_results(folder, ensemble, found, measures, settings.models)
    return open_job(out)


def _fingerprint(job: Job) -> dict[str, str]:
    files = {"model": "model.safetensors", "residues": RESIDUES_NAME}
    there = {name: job.path / file for name, file in files.items() if (job.path / file).exists()}
    return {name: fingerprint_file(path) for name, path in there.items()}


def open_decoder(job: Job) -> NoReturn:
    """Say that a motions job, though it lists latents, decodes none."""
    msg = f"{job.path} is a motions job, which makes no maps or models; ask its structural job"
    raise MissingResultError(msg)
