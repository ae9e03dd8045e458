"""The method of a job fitted to each half-set: nothing is shared but the options."""

from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

from cryosway.engine import JobFolder, format_duration
from cryosway.jobs import Job, open_job
from cryosway.methods._structural.halves import name_half
from cryosway.methods._validate.null_setup import find_given
from cryosway.methods._validate.refit import Refit
from cryosway.methods._validate.subject import Subject

HALVES_NAME = "halves"


@final
class HalfFits:
    """Fits of both half-sets, made when they are first asked for; they resume like any job.

    Parameters
    ----------
    job
        Of `validate`, in whose folder they are.
    subject
        The job that is validated.
    particles
        File of the particles in the poses that the job was given; default: found out.
    device, threads
        Where to compute.
    """

    def __init__(
        self,
        job: JobFolder,
        subject: Subject,
        particles: Path | None,
        device: str,
        threads: int | None,
    ) -> None:
        self._job, self._subject, self._given = job, subject, particles
        self._place = device, threads

    def rows(self, half: int) -> npt.NDArray[np.int64]:
        """Rows of the particles of a half-set, 0 or 1."""
        return np.asarray((self._subject.data.half == half).nonzero()[:, 0].numpy())

    def fit(self, half: int) -> Job:
        """Fit a half, or take the fit that a structural job has made of it."""
        made = self._subject.job.path / name_half(half)
        if self._subject.command == "structural" and (made / "job.json").exists():
            found = open_job(made)
            if found.status == "finished":
                return found
        folder = self._job.path / HALVES_NAME
        folder.mkdir(exist_ok=True)
        seconds = float(self._subject.job.info["timings"].get("total", 0.0))
        self._job.log(
            f"the method is fitted to half-set {half + 1}; the job itself took "
            f"{format_duration(seconds)} for all"
        )
        rows = self.rows(half)
        given = find_given(self._subject, self._given)
        particles = given[rows].with_contrast(self._subject.data.sign[rows])
        return Refit(self._subject.job, *self._place).fit(particles, folder / f"half{half + 1}")
