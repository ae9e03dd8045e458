"""How a method runs in one process: from particles and options to a finished job."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch

from cryosway.engine import JobFolder, Options, select_device, set_threads
from cryosway.jobs import Job, open_job
from cryosway.methods._shared_choices import (
    ParticlesLike,
    as_particles,
    fingerprint_inputs,
    locate_particles,
)
from cryosway.particles import Particles

Chosen = TypeVar("Chosen", bound=Options)


def run_method(
    command: str,
    particles: ParticlesLike,
    out: str | Path,
    options: Chosen,
    work: Callable[[JobFolder, Particles, Chosen, torch.device], None],
    *,
    inputs: Mapping[str, str] | None = None,
    resume: bool,
    overwrite: bool,
    device: str,
    threads: int | None,
) -> Job:
    """Do the work of a method in its job folder, unless it is done already; see `linear`.

    Parameters
    ----------
    command
        The method's name.
    options
        Checked.
    work
        Fills the folder from particles and options on a device.
    inputs
        Fingerprints of what is read beside what `fingerprint_inputs` knows.
    """
    found = as_particles(particles)
    set_threads(threads)
    place = select_device(device)
    request = {**fingerprint_inputs(found, options), **(inputs or {})}
    with JobFolder.start(
        out, command, options, request, sources=locate_particles(found),
        resume=resume, overwrite=overwrite,
    ) as job:  # fmt: skip
        if not job.already_finished:
            work(job, found, options, place)
    return open_job(out)
