"""One step of training a network on particles: what `cryosway.engine.train` asks of a method."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from cryosway.engine import Losses, ParameterGroup
from cryosway.inference import (
    Batch,
    Encoder,
    EncoderView,
    ImageSource,
    LatentTable,
    PoseTable,
    draw_latent,
    gaussian_divergence,
    measure_misfit,
)
from cryosway.methods._held_out import Rows
from cryosway.volumes import NeuralVolume, Slices


@dataclass(frozen=True, eq=False)
class NeuralBatch:
    """Particles of one step.

    Attributes
    ----------
    rows
        Shape (n,): which particles.
    slices
        Their whitened data.
    pixels
        Shape (n, pixels): what the encoder sees; empty without one.
    start
        Shape (n, 2, k): latents to start from.
    group
        Shape (n,): optics groups.
    """

    rows: Tensor
    slices: Slices
    pixels: Tensor
    start: Tensor
    group: Tensor

    def as_images(self) -> Batch:
        """Give the images alone."""
        return Batch(self.rows.cpu().numpy(), self.slices, self.group)


@dataclass(frozen=True)
class NeuralSettings:
    """What the loss depends on.

    Attributes
    ----------
    contrast_sd
        Prior spread of the contrast; 0 fixes it at 1.
    beta, beta_warmup
        Weight of the KL divergence, and the share of the epochs over which it grows from 0.
    pose_warmup
        Epochs before poses move.
    latent_scale, pose_scale
        Learning rates over that of the networks.
    pose_sd
        Prior spread of pose corrections, pixels; see `PoseTable`.
    """

    contrast_sd: float
    beta: float = 1.0
    beta_warmup: float = 0.0
    pose_warmup: int = 0
    latent_scale: float = 1.0
    pose_scale: float = 1.0
    pose_sd: float = 1.0


@final
class NeuralModules(nn.Module):
    """All that is trained: the volume, the latents, and, where they are refined, the poses."""

    def __init__(
        self, volume: NeuralVolume, latent: Encoder | LatentTable, poses: PoseTable | None = None
    ) -> None:
        super().__init__()
        self.volume, self.latent, self.poses = volume, latent, poses

    def infer(self, batch: NeuralBatch) -> tuple[Tensor, Tensor]:
        """Posterior mean and log variance of a batch's latents, each (n, k)."""
        if isinstance(self.latent, LatentTable):
            return self.latent(batch.rows)
        return self.latent(batch.pixels, batch.start)

    def views(self, batch: NeuralBatch, z: Tensor) -> Tensor:
        """Slices (n, P, 2) of the volume at latents z, in the batch's poses."""
        if self.poses is None:
            return self.volume.slices(batch.slices, z)
        rotations = self.poses.rotations(batch.rows, batch.slices.rotations)
        views = self.volume.slices(batch.slices, z, rotations)
        return self.poses.move(batch.rows, batch.slices, views)

    def base_views(self, batch: NeuralBatch, z: Tensor) -> tuple[Tensor, ...]:
        """Slices (n, P, 2) of the mean and of the rest of the base, in the batch's poses."""
        if self.poses is None:
            return self.volume.base_views(batch.slices, z)
        rotations = self.poses.rotations(batch.rows, batch.slices.rotations)
        views = self.volume.base_views(batch.slices, z, rotations)
        return tuple(self.poses.move(batch.rows, batch.slices, each) for each in views)


@final
class NeuralStep:
    """The evidence lower bound of particles under a network.

    Parameters
    ----------
    modules
        What is trained.
    source
        Whitened particles.
    view
        Of the encoder; none with a latent table.
    start
        Shape (N, 2, k).
    settings
        Of the loss.
    chosen
        The particles that are trained on; all by default.
    """

    def __init__(
        self,
        modules: NeuralModules,
        source: ImageSource,
        view: EncoderView | None,
        start: Tensor,
        settings: NeuralSettings,
        chosen: Rows | None = None,
    ) -> None:
        self.module = modules
        self.settings, self.device = settings, source.device
        self.count, self.points = len(source), len(source.points)
        self.source, self._view, self._start = source, view, start
        self.chosen = np.arange(len(source)) if chosen is None else chosen
        self._beta = torch.tensor(settings.beta, device=self.device)  # a float would recompile

    def of(self, chosen: Rows) -> "NeuralStep":
        """Give the same step on other particles."""
        return NeuralStep(self.module, self.source, self._view, self._start, self.settings, chosen)

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Networks; and the tables of latents and poses, row by row."""
        modules, settings = self.module, self.settings
        groups = [ParameterGroup([p for p in modules.volume.parameters() if p.requires_grad])]
        latent = list(modules.latent.parameters())
        table = isinstance(modules.latent, LatentTable)
        groups.append(ParameterGroup(latent, lr_scale=settings.latent_scale, by_rows=table))
        if modules.poses is not None:
            poses = list(modules.poses.parameters())
            groups.append(ParameterGroup(poses, lr_scale=settings.pose_scale, by_rows=True))
        return [group for group in groups if group.parameters]

    def load(self, rows: Rows) -> NeuralBatch:
        """Read the particles of a step."""
        return self.read(self.chosen[rows])

    def read(self, rows: Rows) -> NeuralBatch:
        """Read particles by their row in the source."""
        whitened = self.source.read(rows)
        at = torch.from_numpy(rows)
        slices = whitened.slices
        pixels = torch.zeros(len(rows), 0) if self._view is None else self._view(slices)
        moved = (t.to(self.device) for t in (pixels, self._start[at], whitened.group))
        return NeuralBatch(at.to(self.device), slices, *moved)

    def loss(self, batch: NeuralBatch, generator: torch.Generator) -> Losses:
        """Negative evidence lower bound per point, in nats."""
        mean, log_variance = self.module.infer(batch)
        z = draw_latent(mean.float(), log_variance.float(), generator)
        squared, divergence = self.measure(batch, z, mean.float(), log_variance.float())
        fit, kl = squared.mean() / self.points, divergence.mean()
        total = fit + self._beta * kl / self.points
        if self.module.poses is not None:
            prior = self.module.poses.penalty(batch.rows, self.settings.pose_sd)
            total = total + prior.mean() / self.points
        return Losses(total, {"misfit": fit.detach(), "kl": kl.detach()})

    def measure(
        self, batch: NeuralBatch, z: Tensor, mean: Tensor, log_variance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Misfit and KL divergence of each particle, (n,) each, in nats."""
        misfit = measure_misfit(
            batch.slices, self.module.views(batch, z), self.settings.contrast_sd
        )
        return misfit.squared, gaussian_divergence(mean, log_variance)

    def begin_epoch(self, epoch: int, progress: float) -> None:
        """Set β, and let poses join after their warm-up."""
        settings = self.settings
        grown = min(1.0, progress / settings.beta_warmup) if settings.beta_warmup else 1.0
        self._beta.fill_(settings.beta * grown)
        if self.module.poses is not None:
            for table in self.module.poses.parameters():
                table.requires_grad_(epoch >= settings.pose_warmup)
