"""The particles of a job as the user gave them: every column of their file, in the job's poses."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.engine import read_table
from cryosway.jobs import Job, open_job
from cryosway.methods._job_poses import ANGLES, SHIFTS, JobPoses
from cryosway.particles import ParticleFiles, Particles, read_particles

Rows = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class Original:
    """Where the particles of a job come from.

    Attributes
    ----------
    files
        What the user gave.
    rows
        Shape (N,): the row of each of the job's particles there.
    names
        Shape (N,): the name of the image in each of these rows.
    removed
        Shape (N, 2), Å: the shift that `prepare` took out of the images.
    prepared
        Whether the job's images were made of the originals by `prepare`.
    """

    files: ParticleFiles
    rows: Rows
    names: npt.NDArray[np.object_]
    removed: FloatArray
    prepared: bool = False

    @classmethod
    def of(cls, job: Job) -> "Original | None":
        """Follow what a job notes of its input, through `prepare` to the user's files."""
        noted, beside = job.info.get("sources", {}), job.path
        if "job" in noted and not isinstance(noted.get("particles"), list):  # as of motions
            other = _find_again(Path(noted["job"]), beside)
            noted = open_job(other).info.get("sources", {}) if other.exists() else {}
        if not isinstance(noted.get("particles"), list):
            return None
        table = job.particles
        names, rows = table["image_name"].to_numpy(object), table["index"].to_numpy(np.int64)
        found = cls(ParticleFiles.recall(noted), rows, names, np.zeros((len(table), 2)))
        while (step := found._step_back(beside)) is not None:
            found, beside = step
        return found

    def _step_back(self, beside: Path) -> "tuple[Original, Path] | None":
        """Give the input of the `prepare` job whose stack this is; None where it is of no such."""
        folder = _find_again(self.files.paths[0], beside).parent
        if len(self.files.paths) > 1 or not (folder / "job.json").exists():
            return None
        made = open_job(folder)
        noted = made.info.get("sources", {})
        if made.info["command"] != "prepare" or "particles" not in noted:
            return None
        table = read_table(folder / "particles.parquet").iloc[self.rows]
        removed = self.removed
        if "removed_shift_x" in table:
            removed = removed + table[["removed_shift_x", "removed_shift_y"]].to_numpy(np.float64)
        names, rows = table["source_image_name"], table["index"]
        given = Original(
            ParticleFiles.recall(noted),
            rows.to_numpy(np.int64),
            names.to_numpy(object),
            removed,
            prepared=True,
        )
        return given, folder

    def read(self) -> Particles:
        """Read the particles, in the job's order.

        Raises
        ------
        CryoswayError
            When files are gone, or hold other particles than when the job was made.
        """
        for path in self.files.paths:
            if not path.exists():
                raise CryoswayError(f"{path} is no longer there")
        files = self.files
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CryoswayWarning)  # the job's own run has shown them
            found = read_particles(
                files.paths, files.images_dir, files.poses, files.ctf, accept_defaults=True
            )
        same = len(found) > self.rows.max(initial=-1)
        if not same or found[self.rows].source["image_name"].tolist() != self.names.tolist():
            message = f"{files.paths[0]} holds other particles than when the job was made"
            raise CryoswayError(message)
        return found[self.rows]


def read_original(job: Job, to: str) -> Particles | None:
    """Read the particles of a job from the file that the user gave, in the poses of the job.

    Parameters
    ----------
    job
        With particles.
    to
        ``relion`` or ``cryosparc``: who gets them.

    Returns
    -------
    Particles or None
        In the order of the job; None, with a warning where anything is lost by that, where the
        job's own copy must do.
    """
    found = Original.of(job)
    why, particles = f"{job.path} does not note the file that its particles are from", None
    if found is not None:
        try:
            particles = found.read()
        except CryoswayError as error:
            why = str(error)
    if found is not None and particles is not None:
        return _follow_poses(particles, job, found.removed)
    if lost := _name_loss(job, found, to):
        message = f"{why}, so {lost}; give that file with --particles"
        warnings.warn(message, CryoswayWarning, stacklevel=2)
    return None


def _name_loss(job: Job, found: Original | None, to: str) -> str | None:
    """Say what the job's own copy of the particles lacks."""
    if found is not None and found.prepared:
        return "what is written names the images of prepare, not the original ones"
    if to == "cryosparc" and "uid" in job.particles:
        return "the fields of the .cs file that cryosway does not use are lost"
    return None


def _follow_poses(particles: Particles, job: Job, removed: FloatArray) -> Particles:
    """Give particles the poses of a job, if it has corrected them."""
    table = job.particles
    if not particles.has_poses or not {*ANGLES, *SHIFTS} <= set(table):
        return particles
    found = JobPoses.beside(particles, table, removed)
    return particles.with_poses(found.rotations, found.shifts) if found.differ else particles


def _find_again(path: Path, beside: Path) -> Path:
    """Find a path that a job notes; also a step's of a run that was moved as a whole."""
    moved = beside.parent / path.parent.name / path.name
    return moved if not path.exists() and moved.exists() else path
