"""The states of a job that a validation looks at: its clusters."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from cryosway.landscape import choose_cluster_count, cluster_particles, read_cluster_centres
from cryosway.methods._validate.subject import Subject

FloatArray = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class StateCentre:
    """Where particles of a state are dense.

    Attributes
    ----------
    number
        From 1, as the clusters of `landscape`.
    latent
        Shape (K,).
    population
        Particles that are nearest to it.
    """

    number: int
    latent: FloatArray
    population: int


def choose_states(subject: Subject, wanted: int | None, seed: int) -> list[StateCentre]:
    """Take the clusters that `landscape` has found, or, where it has not, find some alike."""
    job: Any = subject.job
    if wanted is None and (job.path / "landscape.json").exists() and "cluster" in job.particles:
        sizes = job.particles["cluster"].value_counts()
        return [
            StateCentre(number, np.asarray(latent, np.float64), int(sizes.get(number, 0)))
            for number, latent in sorted(read_cluster_centres(job).items())
        ]
    count = min(wanted or choose_cluster_count(len(job.latents)), len(job.latents))
    found = cluster_particles(subject.coordinates, count, seed=seed)
    pairs = zip(found.centres, found.populations, strict=True)
    return [
        StateCentre(number, np.asarray(subject.axes.lift(centre), np.float64), int(size))
        for number, (centre, size) in enumerate(pairs, start=1)
    ]
