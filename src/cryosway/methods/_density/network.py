"""`density --by network`: a neural field on the latents of a structural job, which stay.

The second stage of Li et al. (Nature Methods 2024), with the network, loss and mean map of
`autodecoder`.
"""

from dataclasses import replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from cryosway.engine import JobFolder, train
from cryosway.inference import Consensus, LatentTable
from cryosway.methods._consensus import find_consensus
from cryosway.methods._density.data import DensityData, tell_missing
from cryosway.methods._density.run import DensityRun
from cryosway.methods._neural.judgement import infer_particles
from cryosway.methods._neural.results import NeuralResult, write_results
from cryosway.methods._neural.setup import make_plan, make_step
from cryosway.methods._neural.start import NeuralStart, make_source, start_from_consensus
from cryosway.methods._neural.step import NeuralStep
from cryosway.methods._options import AutodecoderOptions, DensityOptions


@final
class NetworkRun(DensityRun):
    """A neural field that is trained at latents which stay."""

    def __init__(
        self, job: JobFolder, data: DensityData, options: DensityOptions, device: torch.device
    ) -> None:
        super().__init__(job, data, options, device)
        shape = {"latent_dim": data.latents.shape[1], "held_out": 0.0, "maps": 0}
        chosen = shape | {"epochs": options.epochs}
        self.network = AutodecoderOptions.check("density", chosen | {"seed": options.seed})

    def run(self) -> None:
        """Do all stages."""
        job, data = self.job, self.data.data
        with job.stage("as they are"):
            images = data.open_source(self.device)
            consensus = find_consensus(job, images, data.half, self.options.mask)
            del images  # and its cache
        start = self._make_start(consensus)
        step = self._make_step(start)
        with job.stage("training"):
            plan = make_plan(self.network)
            result = train(plan, step, len(step.chosen), job, self.device)
        with job.stage("writing"):
            found = infer_particles(step, result.precision, job)
            none = np.zeros(0, np.int64)
            fitted = NeuralResult(step.module, start, consensus, found, result, None, none)
            write_results(job, data, fitted)
            job.update(density={"by": "network"})
            self._tell()

    def _make_start(self, consensus: Consensus) -> NeuralStart:
        count, size = self.data.latents.shape
        start = start_from_consensus(consensus, count, size, contrast=True, with_mean=True)
        return replace(start, latents=self._latents(), noise=self.data.noise.power)

    def _latents(self) -> Tensor:
        """Latents (N, 2, K): mean and log variance."""
        variance = np.einsum("nkk->nk", self.data.posterior.covariance)
        both = np.stack([self.data.latents, np.log(np.maximum(variance, 1e-8))], axis=1)
        return torch.from_numpy(both.astype(np.float32))

    def _make_step(self, start: NeuralStart) -> NeuralStep:
        data = self.data.data
        source = make_source(
            data.particles, data.sign, start.noise, self.device,
            memory_gb=self.network.image_memory,
        )  # fmt: skip
        step = make_step(source, start, self.network)
        step.module.latent = LatentTable(start.latents, fixed=True).to(self.device)
        return step

    def _tell(self) -> None:
        self.job.decide(
            "prior", "none of atoms in the maps",
            "a network that adds to the consensus was trained on the images, at the latents that "
            "the atomic model has found; half-maps at a latent are averages of the particles near",
        )  # fmt: skip
        tell_missing(self.job, self.data)
