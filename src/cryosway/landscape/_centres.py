"""Where in latent space the clusters of `landscape`, and the states of `states`, are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.engine import read_json
from cryosway.jobs import Job
from cryosway.landscape._coordinates import PrincipalAxes


def read_cluster_centres(job: Job) -> dict[int, NDArray[np.floating]]:
    """Read the latent, shape (K,), at the centre of every cluster, by its number.

    Parameters
    ----------
    job : Job
        After `landscape`.

    Raises
    ------
    CryoswayError
        When `landscape` has not been run.
    """
    path = job.main.path / "landscape.json"
    if not path.exists():
        message = f"{job.path} has no clusters; run cryosway landscape {job.path} first"
        raise CryoswayError(message)
    found = read_json(path)
    return _lift(found["axes"], {entry["cluster"]: entry["centre"] for entry in found["clusters"]})


def read_state_centres(job: Job) -> dict[int, NDArray[np.floating]]:
    """Read the latent, shape (K,), at the centre of every state, by its number.

    Parameters
    ----------
    job : Job
        After `states`.

    Raises
    ------
    CryoswayError
        When `states` has not been run.
    """
    path = job.main.path / "states.json"
    if not path.exists():
        message = f"{job.path} has no states; run cryosway states {job.path} first"
        raise CryoswayError(message)
    found = read_json(path)
    return _lift(found["axes"], {entry["state"]: entry["centre"] for entry in found["states"]})


def _lift(axes: dict[str, Any], centres: dict[Any, Any]) -> dict[int, NDArray[np.floating]]:
    """Give latents of principal coordinates."""
    made = PrincipalAxes(**{name: np.asarray(value) for name, value in axes.items()})
    return {int(number): made.lift(np.asarray(centre)) for number, centre in centres.items()}
