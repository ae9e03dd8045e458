"""Particles that a model is not trained on: how well it describes them, and when to stop.

A particle's log evidence is estimated from samples of its latent's posterior (importance-weighted
bound: Burda et al., ICLR 2016), which is no more than the evidence itself. Once all shells are in
use, it is measured after every epoch. Training stops where the particles are described surely worse
than after the best epoch so far, whose model is then kept.
"""

import warnings
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway._errors import CryoswayWarning
from cryosway.engine import JobFolder
from cryosway.inference import Encoder
from cryosway.methods._held_out import Gain
from cryosway.methods._structural.inference import read_batches
from cryosway.methods._structural.posterior import UnknownPosterior
from cryosway.methods._structural.step import StructuralBatch, StructuralStep

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_ROUNDS = 2  # Gauss–Newton steps from where the particles were
_SAMPLES = 8
_BEST = "best"


@final
class HeldOut:
    """Judges a model on particles that it is not trained on, after each epoch and at the end.

    Parameters
    ----------
    job
        Keeps the best model so far, and the log.
    step
        What is trained.
    rows
        Particles that it is not trained on.
    epochs
        Of the whole training.
    seed
        Of the samples, the same in every epoch.
    """

    def __init__(
        self, job: JobFolder, step: StructuralStep, rows: Rows, epochs: int, seed: int
    ) -> None:
        self._job, self._step, self._rows = job, step, rows
        self._epochs, self._seed = epochs, seed

    def look(self, epoch: int, _losses: dict[str, float]) -> bool:
        """Judge after an epoch, from 0; give whether training ends, the best model restored."""
        if not len(self._rows) or 2 * epoch < self._epochs:
            return False
        found = self.measure()
        kept = self._job.load_checkpoint(_BEST)
        if kept is None:
            self._keep(epoch, found)
            return False
        tensors, best = kept
        gain = Gain.measure(found, np.asarray(tensors.pop("evidence"), np.float64))
        if gain.difference > 0:
            self._keep(epoch, found)
        if not gain.worse:
            return False
        self._restore(tensors)
        self._job.log(
            f"training stops: after epoch {epoch + 1} held-out particles are described worse than "
            f"after epoch {best['epoch'] + 1}, by {-gain.difference:.2f} ± "
            f"{gain.standard_error:.2f} nats each; the model of epoch {best['epoch'] + 1} is kept"
        )
        return True

    def describe(self) -> dict[str, Any]:
        """Compare the model with itself unmoved, for job.json; empty where none are held out."""
        if not len(self._rows):
            return {}
        moved, still = self.measure(), self.measure(still=True)
        gain = Gain.measure(moved, still)
        described = {
            "particles": len(self._rows),
            "model": float(moved.mean()),
            "reference": float(still.mean()),
            "difference": gain.difference,
            "standard_error": gain.standard_error,
            "better": gain.judge("model", "reference"),
        }
        sentence = say_held_out(described)
        if not gain.better:
            warnings.warn(sentence, CryoswayWarning, stacklevel=2)
        return {"held_out": {**described, "sentence": sentence}}

    @torch.no_grad()
    def measure(self, *, still: bool = False) -> FloatArray:
        """Log evidence (n,) of the particles, nats, up to a constant of the data.

        With `still`, under the model as it was given, in the poses that it was given.
        """
        self._step.module.eval()
        generator = torch.Generator(self._step.device).manual_seed(self._seed)
        found = [torch.zeros(0)]
        for batch in read_batches(self._step, self._rows):
            parts = self._of_reference(batch) if still else self._of_model(batch, generator)
            found.append(parts.cpu())
        return np.asarray(torch.cat(found).double().numpy())

    def _of_reference(self, batch: StructuralBatch) -> Tensor:
        modules, step = self._step.module, self._step
        count = len(batch.rows)
        beads = modules.deformation.reference.expand(count, -1, -1)
        corrections = torch.zeros_like(step.corrections(batch.rows))
        return step.explain(batch, beads, corrections)

    def _of_model(self, batch: StructuralBatch, generator: torch.Generator) -> Tensor:
        step = self._step
        posterior = _infer(step, batch)
        size = step.module.deformation.spec.latent_dim
        weights = []
        for _ in range(_SAMPLES):
            unknowns = posterior.draw(generator)
            beads = step.module.deformation(unknowns[:, :size])
            likelihood = step.explain(batch, beads, unknowns[:, size:])
            weights.append(likelihood + log_ratio(posterior, unknowns, step.prior_sd))
        return torch.logsumexp(torch.stack(weights), 0) - np.log(_SAMPLES)

    def _keep(self, epoch: int, found: FloatArray) -> None:
        state = self._step.module.state_dict()
        tensors = {name: value.cpu().contiguous() for name, value in state.items()}
        self._job.save_checkpoint(_BEST, {**tensors, "evidence": found}, {"epoch": epoch})

    def _restore(self, tensors: dict[str, Any]) -> None:
        state = {name: torch.as_tensor(value) for name, value in tensors.items()}
        self._step.module.load_state_dict(state)


def _infer(step: StructuralStep, batch: StructuralBatch) -> UnknownPosterior:
    """Posterior of the unknowns of particles, which the tables then hold."""
    if isinstance(step.module.latent, Encoder):
        return _encode(step, batch)
    for _ in range(_ROUNDS):
        step.infer_composition(batch)
        found = step.infer(batch)
    return found


def _encode(step: StructuralStep, batch: StructuralBatch) -> UnknownPosterior:
    """Posterior of latents by the encoder, and by Gauss–Newton of poses that are refined."""
    mean, log_variance = step.encode(batch)
    covariance = torch.diag_embed(log_variance.exp())
    if step.module.poses is None:
        return UnknownPosterior(mean, covariance)
    for _ in range(_ROUNDS):
        poses = step.infer(batch, mean)
    blocks = [torch.block_diag(*pair) for pair in zip(covariance, poses.covariance, strict=True)]
    return UnknownPosterior(torch.cat([mean, poses.mean], dim=1), torch.stack(blocks))


def log_ratio(posterior: UnknownPosterior, unknowns: Tensor, prior_sd: Tensor) -> Tensor:
    """Log of N(u; 0, sd²) over the posterior's density, (n,), of unknowns (n, K)."""
    root = torch.linalg.cholesky(posterior.covariance)
    away = (unknowns - posterior.mean)[..., None]
    standard = torch.linalg.solve_triangular(root, away, upper=False)[..., 0]
    size = root.diagonal(dim1=1, dim2=2).log().sum(1)
    prior = -0.5 * (unknowns / prior_sd).square().sum(1) - prior_sd.log().sum()
    return prior + 0.5 * standard.square().sum(1) + size


def say_held_out(held: dict[str, Any]) -> str:
    """Say whether the motion describes particles that the model was not trained on."""
    verdicts = {
        "model": "the motion is in the data: it describes",
        "reference": "the motion is made up: it describes",
        "undecided": "whether the data show this motion cannot be told: it describes",
    }
    how = "worse" if held["difference"] < 0 else "better"
    return (
        f"{verdicts[held['better']]} {held['particles']} particles that were kept from the "
        f"training {how} than the unmoved model does, by {abs(held['difference']):.2f} ± "
        f"{held['standard_error']:.2f} nats of log likelihood each"
    )
