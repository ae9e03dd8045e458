"""What homogeneous images of a job's particles must be like: map, poses and their errors, noise."""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, load_tensors
from cryosway.inference import NoiseModel, PoseErrors
from cryosway.jobs import Job
from cryosway.methods._linear.checkpoints import load_state
from cryosway.methods._linear.linear import linear as fit_linear
from cryosway.methods._linear.model import LinearModel
from cryosway.methods._validate.null_images import NullImages
from cryosway.methods._validate.refit import find_linear
from cryosway.methods._validate.subject import Subject
from cryosway.particles import Particles, read_particles

LINEAR_NAME = "linear"


def prepare_null(
    job: JobFolder, subject: Subject, given: Path | None, device: str, threads: int | None
) -> NullImages:
    """Take map, contrast, noise and the errors of the poses from a linear fit of the particles.

    It is the one that the job is, or started from; where there is none that has measured the errors
    of the poses, one is fitted in ``linear``. Particles are given to the method in the poses that
    the job was given: a method that corrects them then has the same to correct.

    Parameters
    ----------
    job
        Of `validate`.
    subject
        Which job is validated.
    given
        File of the particles in the poses that the job was given; default: found out.
    device, threads
        Where to compute.
    """
    particles = find_given(subject, given)
    linear = find_linear(subject.job)
    errors = None if linear is None else read_pose_errors(linear)
    if linear is None or errors is None:
        known = particles.with_contrast(subject.data.sign)
        linear = fit_linear(
            known, job.path / LINEAR_NAME, null_tests=0, overwrite=True,
            device=device, threads=threads,
        )  # fmt: skip
        errors = read_pose_errors(linear)
    assert errors is not None
    model = LinearModel.load(linear.path)
    found = NullImages(
        particles,
        model.volumes[0],
        NoiseModel(model.noise),
        np.array(linear.particles["contrast"], np.float64),
        errors.turn_sd if errors.active else 0.0,
        errors.move_sd if errors.active else 0.0,
    )
    _tell(job, found)
    return found


def find_given(subject: Subject, given: Path | None) -> Particles:
    """Give the particles of a job in the poses that it was given, as far as they are known.

    Those of a file; else those of the linear job that has corrected them, put back; else those that
    the job ended with.
    """
    if given is not None:
        return _read_given(given, subject)
    linear = find_linear(subject.job)
    errors = None if linear is None else read_pose_errors(linear)
    if linear is None or errors is None:
        return subject.data.particles
    return _undo_corrections(linear, errors)


def read_pose_errors(linear: Job) -> PoseErrors | None:
    """Read what a linear job has found of the errors of its poses; None if it has not looked."""
    for name in ("fine", "coarse"):
        path = linear.path / "checkpoints" / f"{name}.safetensors"
        if path.exists():
            return load_state(*load_tensors(path)).poses
    return None


def _undo_corrections(linear: Job, errors: PoseErrors) -> Particles:
    """Give the particles of a linear job in the poses that it was given."""
    particles = Subject(linear).data.particles
    if not errors.active:
        return particles
    turned = Rotation.from_rotvec(errors.turns).as_matrix()
    pixel_size = particles.ctf["pixel_size"].to_numpy(np.float64)[:, None]
    moved = errors.moves * particles.box * pixel_size
    return particles.with_poses(
        particles.rotations @ turned.transpose(0, 2, 1), particles.shifts + moved
    )


def _read_given(path: Path, subject: Subject) -> Particles:
    particles = read_particles(path, accept_defaults=True)
    ours = subject.job.particles["image_name"].astype(str).tolist()
    theirs = particles.source["image_name"].astype(str).tolist()
    if [Path(name).name for name in ours] != [Path(name).name for name in theirs]:
        message = (
            f"{path} holds other particles ({len(theirs)}) than {subject.job.path} ({len(ours)}): "
            "give the file that the job was made from"
        )
        raise CryoswayError(message)
    return particles


def _tell(job: JobFolder, found: NullImages) -> None:
    size = float(found.particles.ctf["pixel_size"].max())
    turn, move = np.degrees(found.turn_sd), found.move_sd * found.particles.box * size
    job.decide(
        "errors of the poses in the null test",
        f"{turn:.2g}°, {move:.2g} Å",
        "per axis (one standard deviation), as a linear fit measures them in the images; the "
        "homogeneous copies have errors as large",
    )
