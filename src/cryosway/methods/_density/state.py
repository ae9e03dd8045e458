"""The state that particles are moved to, as users name it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryosway.jobs import Job
from cryosway.methods._landscape.path import find_place

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
        ``reference``; ``state:2`` (of `states`); ``cluster:3`` (of `landscape`); ``particle:17``
        (row of particles.parquet); or a latent, as ``0.3,-1.2,0``.
    job
        The structural job.

    Raises
    ------
    CryoswayError
        When there is none of that name.
    """
    if text == "reference":
        return State("the reference", None)
    kind, named, number = text.partition(":")
    label = f"{kind} {number.strip()}" if named else f"z = {text}"
    return State(label, np.asarray(find_place(job, text), np.float64))
