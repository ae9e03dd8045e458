"""The state that particles are moved to, as users name it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.jobs import Job
from cryosway.landscape import read_cluster_centres

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class State:
    """A conformation.

    Attributes
    ----------
    label
        What a reader calls it.
    latent
        Shape (K,), or None for the model that the job was given.
    """

    label: str
    latent: FloatArray | None


def find_state(text: str, job: Job) -> State:
    """Find a state of a structural job.

    Parameters
    ----------
    text
        ``reference``; ``cluster:3`` (of `landscape`); ``particle:17`` (row of particles.parquet);
        or a latent, as ``0.3,-1.2,0``.
    job
        The structural job.

    Raises
    ------
    CryoswayError
        When there is none of that name.
    """
    if text == "reference":
        return State("the reference", None)
    kind, colon, number = text.partition(":")
    if colon and number.isdigit() and kind in ("cluster", "particle"):
        find = _find_cluster if kind == "cluster" else _find_particle
        return State(f"{kind} {number}", find(int(number), job))
    return State(f"z = {text}", _parse_latent(text, job.latents.shape[1]))


def _find_cluster(number: int, job: Job) -> FloatArray:
    centres = read_cluster_centres(job)
    if number not in centres:
        message = f"{job.path} has no cluster {number}, but 1 to {max(centres)}"
        raise CryoswayError(message)
    return np.asarray(centres[number], np.float64)


def _find_particle(number: int, job: Job) -> FloatArray:
    if number >= len(job.latents):
        message = f"{job.path} has no particle {number}: its rows are 0 to {len(job.latents) - 1}"
        raise CryoswayError(message)
    return job.latents[number]


def _parse_latent(text: str, wanted: int) -> FloatArray:
    try:
        latent = np.array([float(part) for part in text.split(",")])
    except ValueError:
        latent = np.full(0, np.nan)
    if len(latent) != wanted or not np.isfinite(latent).all():
        message = (
            f"state {text!r} cannot be read: give reference, cluster:NUMBER, particle:ROW, or "
            f"{wanted} numbers with commas between them"
        )
        raise CryoswayError(message)
    return latent
