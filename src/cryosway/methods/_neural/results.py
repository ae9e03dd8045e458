"""The files of a finished `vae` or `autodecoder`."""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import numpy.typing as npt

from cryosway.engine import JobFolder, TrainingResult
from cryosway.inference import Consensus, Encoder, NoiseModel
from cryosway.methods._fit_input import FitInput
from cryosway.methods._job_files import training_entry
from cryosway.methods._neural.judgement import Inferred, Judgement
from cryosway.methods._neural.model import NeuralModel
from cryosway.methods._neural.poses import refine_particles
from cryosway.methods._neural.start import NeuralStart
from cryosway.methods._neural.step import NeuralModules


@final
@dataclass(frozen=True, eq=False)
class NeuralResult:
    """A trained network, before it is written.

    Attributes
    ----------
    modules
        Networks and tables.
    start
        What the training began with.
    consensus
        Of the particles.
    found
        Of every particle.
    training
        How it went.
    judged
        How held-out particles are described, if there are any.
    held
        Shape (n,): rows of these.
    """

    modules: NeuralModules
    start: NeuralStart
    consensus: Consensus
    found: Inferred
    training: TrainingResult
    judged: Judgement | None
    held: npt.NDArray[np.int64]


def write_results(job: JobFolder, data: FitInput, result: NeuralResult) -> None:
    """Write model, particles, maps, curves and what job.json says of them."""
    modules, start, found = result.modules.cpu(), result.start, result.found
    held = np.zeros(len(data), bool)
    held[result.held] = True
    refined = replace(data, particles=refine_particles(data.particles, modules.poses))
    refined.write_particles(
        job.path,
        latents=found.mean,
        latent_sd=found.sd,
        contrast=found.contrast,
        log_likelihood=found.bound,
        held_out=held,
    )
    encoder = modules.latent if isinstance(modules.latent, Encoder) else None
    model = NeuralModel(
        modules.volume, encoder, start.mask, start.signal, start.noise,
        start.contrast_sd, data.pixel_size,
    )  # fmt: skip
    model.save(job.path)
    # The network was trained with the linear job's mask and noise, where it started from one.
    used = replace(result.consensus, mask=start.mask, noise=NoiseModel(start.noise))
    index = data.write_consensus(job, used)
    centre = found.mean.mean(0)
    index.write(
        "network_mean", model.densities(centre[None])[0], "state",
        "network, at the mean latent", z=centre.tolist(),
    )  # fmt: skip
    judged = {} if result.judged is None else {"held_out": result.judged.describe()}
    job.update(
        **data.describe(found.mean.shape[1]),
        resolution_angstrom=used.resolution,
        training=training_entry(result.training),
        **judged,
    )
