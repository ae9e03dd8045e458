"""Where in latent space the clusters of `landscape` are."""

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
    axes = PrincipalAxes(**{name: np.asarray(value) for name, value in found["axes"].items()})
    return {
        int(entry["cluster"]): axes.lift(np.asarray(entry["centre"])) for entry in found["clusters"]
    }
