"""`run`: from particles to one report, each step in a folder of its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, read_json
from cryosway.jobs import Job, open_job
from cryosway.landscape import landscape
from cryosway.methods._backproject import backproject
from cryosway.methods._inputs.inspect import examine
from cryosway.methods._inputs.prepare import prepare
from cryosway.methods._linear.linear import linear
from cryosway.methods._neural.comparison import compare_models
from cryosway.methods._neural.vae import vae
from cryosway.methods._options import RunOptions
from cryosway.methods._run.models import fingerprint_models, wants_models
from cryosway.methods._run.structure import AUDIT_STEP, STRUCTURE_STEPS, StructureSteps
from cryosway.methods._shared_choices import (
    ParticlesLike,
    as_particles,
    fingerprint_inputs,
    locate_particles,
)
from cryosway.optics import resize_volumes
from cryosway.particles import Particles, read_map, read_particles, write_map
from cryosway.report import report

STEPS = ("inspect", "prepare", "backproject", "linear")
NEURAL_STEPS = ("vae", "comparison")
_ALL_STEPS = (*STEPS, *STRUCTURE_STEPS, AUDIT_STEP, *NEURAL_STEPS)
_HELD_OUT = 0.1  # of the particles, on which network and linear model are judged
_LEAST_BOX, _MOST_BOX = 64, 128
_FINER = 0.6  # Nyquist over the quick map's resolution: more images resolve more
_STEP_OF_BOX = 8  # boxes whose transforms are fast


@dataclass(frozen=True)
class Control:
    """How steps run, whatever they do."""

    device: str = "auto"
    threads: int | None = None

    def arguments(self) -> dict[str, Any]:
        """Give the arguments of a step; its folder is the run's own, so it may be replaced."""
        return {"device": self.device, "threads": self.threads, "overwrite": True}


def run(
    particles: ParticlesLike,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Do all of it: inspect, prepare, backproject, linear, landscape, report.

    With ``sequence`` (and a ``checkpoint`` that folds it), ``prediction`` or ``model``, an atomic
    model follows: it is docked into a half-map of the consensus, chain after chain, moved to what
    every particle shows, and its motion judged by images that it has not seen. Where the mirror
    of the map fits, the poses are mirrored. With ``audit``, control fits tell how much of that
    motion is in the images.

    With ``neural``, a network is trained from the linear latents (and on the poses that `linear`
    has corrected), too; the report compares the two on particles that the network has not seen,
    and shows both landscapes.

    Each step is a job of its own in a folder within `out`; a step whose result stands is not
    done again, so an interrupted run goes on where it was, and a run with other options
    (``overwrite=True``) repeats only what these change.

    Parameters
    ----------
    particles : Particles or path(s)
        With poses.
    out : path
        Job folder, with the steps' folders and ``report.html``.
    resume, overwrite : bool
        Whether to go on with an unfinished run, or to replace one with other options.
    device : str
        auto, cpu, cuda or cuda:1.
    threads : int, optional
        CPU threads; all by default.
    **options
        Fields of `RunOptions`.

    Returns
    -------
    Job
        Answers for its ``linear`` step; for ``structural``, where there is an atomic model.

    Raises
    ------
    CryoswayError
        When particles, mask or an option do not fit; when there is nothing to fold a sequence
        with, which names what to fetch; when a model fits the map nowhere.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.run("particles.star", "result")  # doctest: +SKIP
    >>> job.latents.shape, (job.path / "report.html").exists()  # doctest: +SKIP
    ((10000, 4), True)
    """
    checked = RunOptions.check("run", options)
    structure = wants_models(checked)
    found = as_particles(particles)
    inputs = fingerprint_run(found, checked)
    with JobFolder.start(
        out, "run", checked, inputs, sources=locate_particles(found),
        resume=resume, overwrite=overwrite, keep=_ALL_STEPS,
    ) as job:  # fmt: skip
        if not job.already_finished:
            steps = [*STEPS, *STRUCTURE_STEPS * structure, *[AUDIT_STEP] * checked.audit]
            steps += NEURAL_STEPS * checked.neural
            job.update(stages={name: name for name in steps}, main="linear")
            run_steps(job, found, checked, Control(device, threads))
    finish_with_report(Path(out))
    return open_job(out)


def fingerprint_run(particles: Particles, options: RunOptions) -> dict[str, str]:
    """Give the inputs of a run for job.json; fails where particles have no poses."""
    if not particles.has_poses:
        message = "the particles have no poses; refine them first, or pass poses= (--poses)"
        raise CryoswayError(message)
    return fingerprint_inputs(particles, options) | fingerprint_models(options)


def finish_with_report(folder: Path) -> Path:
    """Write the report of a finished job, unless it stands."""
    path = folder / "report.html"
    return path if path.exists() else report(folder)


def run_steps(job: JobFolder, particles: Particles, options: RunOptions, control: Control) -> None:
    """Do the steps up to the landscape in their folders within a job.

    Parameters
    ----------
    job : JobFolder
        Of ``run``, or of what contains a run.
    particles : Particles
        As read.
    options : RunOptions
        Of the run.
    control : Control
        Device and threads.
    """
    how = control.arguments()
    with job.stage("inspect"):
        looked = examine(particles, job.path / "inspect", seed=options.seed, **how)
    atoms = StructureSteps(job, options, how) if wants_models(options) else None
    bodies = atoms.find_bodies() if atoms else []
    box = _choose_box(job, particles, options, looked)
    with job.stage("prepare"):
        made = prepare(
            particles,
            job.path / "prepare",
            crop=options.crop,
            box=box,
            contrast=options.contrast,
            window=False,  # the fit takes noise as even over the image, and masks in 3D
            **how,
        )
    prepared = read_particles(made.path / "particles.star")
    mask = _fit_mask(job, options, particles, prepared)
    with job.stage("backproject"):
        consensus = backproject(
            prepared, job.path / "backproject", mask=mask, seed=options.seed, **how
        )
    if atoms:
        prepared, mask = atoms.dock(bodies, consensus, prepared, mask)
    with job.stage("linear"):
        fitted = linear(
            prepared,
            job.path / "linear",
            components=options.components,
            mask=mask,
            null_tests=options.null_tests,
            seed=options.seed,
            **how,
        )
        job.update(**_say_outcome(fitted))
    with job.stage("landscape"):
        landscape(
            fitted,
            clusters=options.clusters,
            directions=options.directions,
            umap=options.umap,
            seed=options.seed,
        )
    if atoms:
        atoms.follow(prepared, fitted, mask)
        job.update(main="structural")
    if options.neural:
        _run_network(job, prepared, fitted, mask, options, how)


def _run_network(
    job: JobFolder,
    prepared: Particles,
    fitted: Job,
    mask: str | Path,
    options: RunOptions,
    how: dict[str, Any],
) -> None:
    """Train a network from the linear job, and set the two side by side."""
    with job.stage("vae"):
        network = vae(
            prepared,
            job.path / "vae",
            linear=fitted.path,
            epochs=options.neural_epochs,
            held_out=_HELD_OUT,
            mask=mask,
            seed=options.seed,
            **how,
        )
        job.update(held_out=network.info["held_out"])
    with job.stage("vae landscape"):
        shown = read_json(fitted.path / "landscape.json")["options"]
        # As many maps as of the linear model, so that it takes about as long.
        network = landscape(
            network,
            clusters=shown["clusters"],
            directions=shown["directions"],
            path_points=shown["path_points"],
            umap=options.umap,
            seed=options.seed,
        )
    with job.stage("comparison"):
        inputs = {
            "network": network.info["inputs"],
            "epochs": options.neural_epochs,
            "landscape": shown,
        }
        with JobFolder.start(
            job.path / "comparison", "comparison", {}, inputs, overwrite=True
        ) as comparison:
            if not comparison.already_finished:
                compare_models(comparison, fitted, network)


def _say_outcome(fitted: Job) -> dict[str, Any]:
    names = ("heterogeneity", "resolution_angstrom", "pixel_size", "box", "images")
    return {name: fitted.info[name] for name in names if name in fitted.info}


def _choose_box(job: JobFolder, particles: Particles, options: RunOptions, looked: Job) -> int:
    """Choose the box to downsample to: Nyquist a bit finer than what can be resolved."""
    if options.box != "auto":
        job.decide("working box", options.box, "as the user said")
        return int(options.box)
    length, full = _measure_extent(particles, options.crop)
    limit = min(full, _MOST_BOX)
    reached = looked.info.get("resolution_angstrom")
    quick_nyquist = 2 * float(looked.info.get("pixel_size", 0.0))
    if full <= _LEAST_BOX:
        box, why = limit, "the images are small"
    elif reached is None or reached < 1.15 * quick_nyquist:
        box, why = limit, "the quick map is limited by its own box; 128 px are worked with at most"
    else:
        wanted = 2 * length / (_FINER * reached)
        step = _STEP_OF_BOX
        box = int(np.clip(step * np.ceil(wanted / step), min(_LEAST_BOX, limit), limit))
        why = f"the quick map reaches {reached:.1f} Å; more than that needs no finer pixels"
    nyquist = 2 * length / box
    job.decide("working box", box, f"{why} (this box holds up to {nyquist:.1f} Å)")
    return box


def _measure_extent(particles: Particles, crop: int | None) -> tuple[float, int]:
    """Width in Å of what is kept, and in pixels of the coarsest optics group, even."""
    boxes, table = particles.boxes, particles.ctf
    sizes = table["pixel_size"].groupby(table["optics_group"].to_numpy()).mean()
    most = table["optics_group"].mode().iloc[0]  # whose pixels crop counts
    if crop is not None:
        length = crop * float(sizes.loc[most])
    else:
        length = max(boxes[group] * float(sizes.loc[group]) for group in boxes)
    full = int(length / float(sizes.max()) + 1e-3)
    return length, full - full % 2


def _fit_mask(
    job: JobFolder, options: RunOptions, particles: Particles, prepared: Particles
) -> str | Path:
    """Bring the user's mask from the box of the images to that which is worked in."""
    if not isinstance(options.mask, Path):
        return options.mask
    values, info = read_map(options.mask)
    size, box = float(prepared.ctf["pixel_size"].max()), prepared.box
    if values.shape == (box,) * 3:
        return options.mask
    before = len(values)
    if values.shape != (before,) * 3 or abs(before * info.pixel_size / (box * size) - 1) > 0.01:
        wide = particles.ctf["pixel_size"].max() * max(particles.boxes.values())
        message = (
            f"the mask {options.mask} spans {before * info.pixel_size:.1f} Å, but the images "
            f"{wide:.1f} Å and what is worked with {box * size:.1f} Å; resample it to one of these"
        )
        raise CryoswayError(message)
    resized = resize_volumes(torch.from_numpy(np.array(values, np.float32)), box)
    resized = (resized * (box / before) ** 3).clamp(0, 1)
    path = job.path / "mask.mrc"
    write_map(path, resized.numpy(), size)
    job.decide("mask", str(options.mask), f"resampled from {before} to {box} voxels a side")
    return path
