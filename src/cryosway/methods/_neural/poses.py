"""Poses that networks are trained on: those of the linear job that they start from."""

import warnings

import numpy as np

from cryosway._errors import CryoswayWarning
from cryosway.engine import JobFolder
from cryosway.inference import PoseTable
from cryosway.jobs import Job
from cryosway.methods._job_poses import JobPoses
from cryosway.particles import Particles

FOLLOWED_POSES = "poses of the network"


def follow_poses(job: JobFolder, particles: Particles, linear: Job) -> Particles:
    """Give particles the poses of a linear job, which may have corrected them.

    Its mean, components and latents belong to these poses, and so does its likelihood of held-out
    particles.

    Parameters
    ----------
    job
        Gets the decision.
    particles
        The same images in the same order, see `open_linear`.
    linear
        The finished job.
    """
    found = JobPoses.beside(particles, linear.particles)
    if not found.differ:
        return particles
    turned, moved = np.median(found.turned), np.median(found.moved)
    change = f"{turned:.2g}° and {moved:.2g} Å away (median)"
    if linear.info.get("inputs", {}).get("particles") == particles.fingerprint():
        why = f"linear has corrected them; those given are {change}"
    else:
        why = f"the network starts from its maps and latents; those given are {change}"
        message = (
            f"the poses given are not those that {linear.path} was made from; the network is "
            "trained on that job's: leave --linear out to train on those given"
        )
        warnings.warn(message, CryoswayWarning, stacklevel=2)
    job.decide(FOLLOWED_POSES, f"as in {linear.path}", why)
    return particles.with_poses(found.rotations, found.shifts)


def refine_particles(particles: Particles, poses: PoseTable | None) -> Particles:
    """Give particles their corrected poses, if there are any."""
    if poses is None:
        return particles
    pixel_size = particles.ctf["pixel_size"].to_numpy(np.float64)[:, None]
    rotations, shifts = poses.corrected(particles.rotations, particles.shifts / pixel_size)
    return particles.with_poses(rotations, shifts * pixel_size)
