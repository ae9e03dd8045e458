"""The files of a finished `linear`, and what it says of the poses."""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from scipy.spatial.transform import Rotation

from cryosway.engine import JobFolder
from cryosway.inference import Consensus, GaussianPosterior, Heterogeneity, PoseErrors
from cryosway.methods._consensus import write_local_resolution
from cryosway.methods._fit_input import FitInput
from cryosway.methods._job_files import write_curves
from cryosway.methods._linear.model import LinearModel, save_posterior
from cryosway.particles import Particles


@final
@dataclass(frozen=True, eq=False)
class LinearResult:
    """The finished fit, before it is written.

    Attributes
    ----------
    model
        Mean, components and kernels.
    posterior
        Of every particle's latent.
    poses
        Errors of the poses, if they were looked for.
    consensus
        With the noise that the fit ended with.
    judged
        The directions against those of noise, if they were tested.
    """

    model: LinearModel
    posterior: GaussianPosterior
    poses: PoseErrors | None
    consensus: Consensus
    judged: Heterogeneity | None


def report_poses(job: JobFolder, data: FitInput, poses: PoseErrors | None) -> None:
    """Say what has been found of the errors of the poses."""
    if poses is None:
        return
    turn, move = np.degrees(poses.turn_sd), poses.move_sd * data.box * data.pixel_size
    job.decide(
        "errors of the poses",
        f"{turn:.2g}°, {move:.2g} Å" if poses.active else "none",
        "per axis (one standard deviation), measured from the images; they are kept out of the "
        "components, and poses are corrected by what each image says of its own"
        if poses.active
        else "the images show none that would move anything by a twentieth of a pixel",
    )


def write_results(job: JobFolder, data: FitInput, result: LinearResult) -> None:
    """Write particles, model, maps, curves and what job.json says of them."""
    model, posterior, judged = result.model, result.posterior, result.judged
    corrected = replace(data, particles=_correct_particles(data.particles, result.poses))
    corrected.write_particles(
        job.path,
        latents=posterior.mean,
        latent_sd=np.sqrt(np.einsum("nkk->nk", posterior.covariance)),
        contrast=posterior.contrast,
        log_likelihood=posterior.log_likelihood,
    )
    save_posterior(job.path, posterior, data.half)
    model.save(job.path, data.pixel_size)
    index = data.write_consensus(job, result.consensus)
    write_local_resolution(index, result.consensus)
    for k, component in enumerate(model.volumes[1:], start=1):
        scaled = component * float(np.sqrt(model.variances[k - 1]))
        index.write(f"component_{k}", scaled, "component", f"component {k}, one standard deviation")
    job.update(
        **data.describe(len(model.variances)), resolution_angstrom=result.consensus.resolution
    )
    if judged is not None:
        write_curves(job, spectrum=_spectrum_curve(judged))
        job.update(heterogeneity=judged.describe())


def _correct_particles(particles: Particles, poses: PoseErrors | None) -> Particles:
    if poses is None or not poses.active:
        return particles
    pixel_size = particles.ctf["pixel_size"].to_numpy(np.float64)[:, None]
    turned = Rotation.from_rotvec(poses.turns).as_matrix()
    moved = poses.moves * particles.box * pixel_size
    return particles.with_poses(particles.rotations @ turned, particles.shifts - moved)


def _spectrum_curve(judged: Heterogeneity) -> dict[str, list[float]]:
    return {
        "variance_explained": judged.variance_explained.tolist(),
        "noise_alone": judged.noise_alone.tolist(),
        "p_value": judged.p_value.tolist(),
    }
