"""One step of training an atomic model on particles."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cryosway.engine import Losses, ParameterGroup
from cryosway.inference import (
    ImageSource,
    LatentTable,
    Misfit,
    draw_latent,
    gaussian_divergence,
    measure_misfit,
)
from cryosway.methods._structural_views import BeadViews, ScaleSums
from cryosway.priors import BeadModel, ChainContinuity, Clash, ElasticNetwork
from cryosway.volumes import Slices
from cryosway.volumes._deformation import Deformation

Rows = npt.NDArray[np.int64]

_LEAST_ELASTIC = 0.5  # Å: distances within a structure differ by as much without any motion
_BOND_SPREAD = 0.1  # Å


@dataclass(frozen=True, eq=False)
class StructuralBatch:
    """Particles of one step: which, shape (n,), and their whitened data."""

    rows: Tensor
    slices: Slices


@dataclass(frozen=True)
class StructuralSettings:
    """What the loss depends on.

    Attributes
    ----------
    contrast_sd
        Prior spread of the contrast; 0 fixes it at 1.
    beta
        Weight of the KL divergence.
    latent_scale
        Learning rate of the latents over that of the decoder.
    first_band
        Shells in use at first; all from half of the training on.
    elastic_weight
        Of the elastic network's energy in each particle. Particles share their conformations: to
        count it in full would hold a motion back the more, the more particles show it.
    bond_weight
        Of the energy of bond lengths in each particle.
    """

    contrast_sd: float
    beta: float
    latent_scale: float
    first_band: int
    elastic_weight: float
    bond_weight: float


@final
class StructuralPriors(nn.Module):
    """What is known of the model's geometry, in nats per particle.

    Edges of the elastic network outnumber the degrees of freedom: their energy counts 3 N / E of
    a sum over independent ones. Its spread is measured, as that of the edges kept over the last
    epoch; it is never taken as less than `_LEAST_ELASTIC`.
    """

    def __init__(self, model: BeadModel, keep: float) -> None:
        super().__init__()
        self.continuity = ChainContinuity.of(model, spread=_BOND_SPREAD)
        self.clash = Clash.of(model)
        self.elastic = ElasticNetwork.of(model, keep=keep)
        edges = max(1, len(self.elastic.pairs))
        self._crowding = math.sqrt(max(1.0, edges / (3 * len(model.coordinates))))
        self.elastic.set_spread(_LEAST_ELASTIC * self._crowding)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Energies of continuity, elastic network and clashes, each (n,), nats."""
        return self.continuity(positions), self.elastic(positions), self.clash(positions)

    def calibrate(self) -> None:
        """Measure the elastic network's spread from the errors seen in training."""
        elastic = self.elastic
        if int(elastic.calls) and bool(elastic.kept.any()):
            rms = float(elastic.moments[0][elastic.kept].mean().sqrt())
            elastic.set_spread(max(_LEAST_ELASTIC, rms) * self._crowding)


@final
class StructuralModules(nn.Module):
    """All that is trained, and what it is seen through."""

    def __init__(
        self,
        deformation: Deformation,
        latent: LatentTable,
        views: BeadViews,
        priors: StructuralPriors,
    ) -> None:
        super().__init__()
        self.deformation, self.latent = deformation, latent
        self.views, self.priors = views, priors


@final
class StructuralStep:
    """The evidence lower bound of particles under a deforming model, with its priors.

    Parameters
    ----------
    modules
        What is trained.
    source
        Whitened particles.
    settings
        Of the loss.
    """

    def __init__(
        self, modules: StructuralModules, source: ImageSource, settings: StructuralSettings
    ) -> None:
        self.module, self.settings, self.device = modules, settings, source.device
        self.count, self.points = len(source), len(source.points)
        self._source = source
        self._shell = source.disc.shell.to(source.device)
        self._sums = ScaleSums(len(modules.views.scale))
        self._seen = torch.ones(self.points, device=source.device)

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Give the decoder's weights, and the table of latents row by row."""
        latent = list(self.module.latent.parameters())
        groups = [
            ParameterGroup(list(self.module.deformation.parameters())),
            ParameterGroup(latent, lr_scale=self.settings.latent_scale, by_rows=True),
        ]
        return [group for group in groups if group.parameters]

    def load(self, rows: Rows) -> StructuralBatch:
        """Read the particles of a step."""
        found = self._source.read(rows)
        return StructuralBatch(torch.from_numpy(rows).to(self.device), found.slices)

    def loss(self, batch: StructuralBatch, generator: torch.Generator) -> Losses:
        """Negative evidence lower bound and priors, nats per point."""
        mean, log_variance = self.module.latent(batch.rows)
        z = draw_latent(mean.float(), log_variance.float(), generator)
        beads = self.module.deformation(z)
        bare = self.module.views.bare(batch.slices, beads)
        if self.module.training:
            self._sums.add(batch.slices, bare.detach(), self._shell)
        squared = self.compare(batch.slices, bare).squared
        divergence = gaussian_divergence(mean.float(), log_variance.float())
        bonds, elastic, clash = self.module.priors(beads)
        energy = self.settings.bond_weight * bonds + self.settings.elastic_weight * elastic + clash
        total = squared + self.settings.beta * divergence + energy
        logged = {
            "misfit": squared.mean() / self.points,
            "kl": divergence.mean(),
            "bonds": bonds.mean(),
            "elastic": elastic.mean(),
            "clash": clash.mean(),
        }
        kept = {name: value.detach() for name, value in logged.items()}
        return Losses(total.mean() / self.points, kept)

    def compare(self, slices: Slices, bare: Tensor) -> Misfit:
        """Compare images with bare views, over the shells in use."""
        scale = self.module.views.scale[self._shell] * self._seen
        return measure_misfit(slices, bare * scale[:, None], self.settings.contrast_sd)

    def begin_epoch(self, epoch: int, progress: float) -> None:
        """Widen the band, and fit scale and elastic spread to the epoch before."""
        if bool((self._sums.power > 0).any()):
            self.module.views.scale.copy_(self._sums.solve())
            self.module.priors.calibrate()
        self._sums = ScaleSums(len(self.module.views.scale))
        first, last = self.settings.first_band, int(self._shell.max())
        band = first + (last - first) * min(1.0, 2 * progress)
        self._seen = (self._shell <= band).float()
