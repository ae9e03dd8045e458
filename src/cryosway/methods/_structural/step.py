"""One step of training an atomic model on particles."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cryosway.engine import Losses, ParameterGroup
from cryosway.inference import (
    Encoder,
    EncoderView,
    ImageSource,
    LatentTable,
    Misfit,
    PoseTable,
    draw_latent,
    gaussian_divergence,
    measure_misfit,
)
from cryosway.methods._structural.composition import Composition, CompositionFit
from cryosway.methods._structural.posterior import UnknownPosterior, step_to_posterior
from cryosway.methods._structural.views import BeadViews, ScaleSums
from cryosway.priors import BeadModel, ChainContinuity, Clash, ElasticNetwork, Placement
from cryosway.volumes import Deformation, Slices

Rows = npt.NDArray[np.int64]
Weigh = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]

_LEAST_ELASTIC = 0.5  # Å: distances within a structure differ by as much without any motion
_PLACE_SPREAD = 0.2  # Å rms: errors of docking
_BOND_SPREAD = 0.1  # Å
_BOND_WEIGHT = 0.1  # of a particle's own: neighbours in the latent share their models
_ENCODER_RATE = 0.1  # learning rate over that of the decoder


@dataclass(frozen=True, eq=False)
class StructuralBatch:
    """Particles of one step: which, shape (n,), their whitened data, and what an encoder sees."""

    rows: Tensor
    slices: Slices
    pixels: Tensor


@dataclass(frozen=True)
class StructuralSettings:
    """What the loss depends on.

    Attributes
    ----------
    contrast_sd
        Prior spread of the contrast; 0 fixes it at 1.
    first_band
        Shells in use at first; all from half of the training on.
    elastic_weight
        Of the elastic network's energy in each particle. Particles share their conformations: to
        count it in full would hold a motion back the more, the more particles show it. A family
        of models that is linear in k latents is given by k + 1 of them, so that these count.
    pose_sd
        Prior spread of pose corrections, pixels; see `PoseTable`.
    held_epochs
        Epochs at first in which latents stay as they were given, until the decoder shows them.
    """

    contrast_sd: float
    first_band: int
    elastic_weight: float
    pose_sd: float = 1.0
    held_epochs: int = 0


@final
class StructuralPriors(nn.Module):
    """What is known of the model's geometry, in nats per particle.

    Edges of the elastic network outnumber the degrees of freedom: their energy counts 3 N / E of
    a sum over independent ones. Its spread is measured, as that of the edges kept over the last
    epoch; it is never taken as less than `_LEAST_ELASTIC`. `weigh` gives the relative stiffness of
    edges, as that of a predicted model; with `ideal` bonds of proteins have ideal lengths.
    """

    def __init__(
        self, model: BeadModel, keep: float, weigh: Weigh | None = None, *, ideal: bool = False
    ) -> None:
        super().__init__()
        self.continuity = ChainContinuity.of(model, ideal=ideal, spread=_BOND_SPREAD)
        self.clash = Clash.of(model)
        self.elastic = ElasticNetwork.of(model, keep=keep, weigh=weigh)
        self.placement = Placement.of(model, spread=_PLACE_SPREAD)
        edges = max(1.0, float(self.elastic.weights.sum()))
        self._crowding = math.sqrt(max(1.0, edges / (3 * len(model.coordinates))))
        self.elastic.set_spread(_LEAST_ELASTIC * self._crowding)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Energies of continuity, elastic network with place, and clashes, each (n,), nats."""
        elastic = self.elastic(positions) + self.placement(positions)
        return self.continuity(positions), elastic, self.clash(positions)

    def calibrate(self) -> None:
        """Measure the elastic network's spread from the errors seen in training."""
        elastic = self.elastic
        if int(elastic.calls) and bool(elastic.kept.any()):
            rms = float(elastic.moments[0][elastic.kept].mean().sqrt())
            elastic.set_spread(max(_LEAST_ELASTIC, rms) * self._crowding)


@final
class StructuralModules(nn.Module):
    """All that is learnt, and what it is seen through.

    Parameters
    ----------
    deformation
        The decoder.
    latent
        Of all particles: a table that the images' posteriors are written to, or an encoder.
    views
        Of the beads.
    priors
        On the beads.
    poses
        Corrections, where poses are refined; written to like the table of latents.
    composition
        Which groups of beads particles have, where some are missing.
    """

    epochs_begun: Tensor

    def __init__(
        self,
        deformation: Deformation,
        latent: LatentTable | Encoder,
        views: BeadViews,
        priors: StructuralPriors,
        poses: PoseTable | None = None,
        composition: Composition | None = None,
    ) -> None:
        super().__init__()
        self.deformation, self.latent = deformation, latent
        self.views, self.priors, self.poses = views, priors, poses
        self.composition = composition
        self.sums = ScaleSums(len(views.scale))
        self.register_buffer("epochs_begun", torch.zeros((), dtype=torch.int64))
        for table in (latent, poses):
            if isinstance(table, LatentTable | PoseTable):
                table.requires_grad_(requires_grad=False)

    @torch.no_grad()
    def standardise(self) -> None:
        """Make the latents' distribution over the particles that of their prior, N(0, 1).

        Models and their likelihood stay as they are; the latents' prior fits better (parameter
        expansion of EM: Liu, Rubin & Wu, Biometrika 85, 1998).
        """
        if not isinstance(self.latent, LatentTable):
            return
        z, log_variance = self.latent.values.double().chunk(2, dim=1)
        variance, mean = log_variance.exp(), z.mean(0)
        root = torch.linalg.cholesky(torch.cov(z.T, correction=0) + variance.mean(0).diag())
        back = torch.linalg.inv(root)
        both = [(z - mean) @ back.T, (variance @ back.square().T).log()]
        self.latent.values.copy_(torch.cat(both, dim=1))
        self.deformation.standardise(mean.float(), root.float())

    def bare(self, slices: Slices, beads: Tensor, corrections: Tensor, rows: Tensor) -> Tensor:
        """Give views (n, P, 2) of the beads (n, N, 3) of the particles `rows`, as far as present.

        `corrections` (n, 5) are those of poses; (n, 0) where they are not refined.
        """
        present = None if self.composition is None else self.composition.of(rows)
        if self.poses is None:
            return self.views.bare(slices, beads, present=present)
        rotations = self.poses.turn(corrections[:, :3], slices.rotations)
        found = self.views.bare(slices, beads, rotations, present)
        return self.poses.shift(corrections[:, 3:], slices, found)

    def parts(self, slices: Slices, beads: Tensor, corrections: Tensor) -> Tensor:
        """Give views (n, parts, P, 2) of every part of the composition, all of it present."""
        assert self.composition is not None
        if self.poses is None:
            return self.composition.see(self.views, slices, beads)
        rotations = self.poses.turn(corrections[:, :3], slices.rotations)
        found = self.composition.see(self.views, slices, beads, rotations)
        shifted = [self.poses.shift(corrections[:, 3:], slices, part) for part in found.unbind(1)]
        return torch.stack(shifted, dim=1)


@final
class StructuralStep:
    """The evidence lower bound of particles under a deforming model, with its priors.

    A step of variational EM: the posterior of the batch's latents, and pose corrections, is
    found in closed form about where they are; the decoder then follows the gradient of the bound.
    An encoder's posterior follows the gradient with it.

    Parameters
    ----------
    modules
        What is trained.
    source
        Whitened particles.
    settings
        Of the loss.
    view
        What the encoder sees; none with a table.
    start
        Shape (N, 2, k): posterior that the encoder starts from.
    chosen
        Rows that are trained on; all by default.
    """

    def __init__(
        self,
        modules: StructuralModules,
        source: ImageSource,
        settings: StructuralSettings,
        view: EncoderView | None = None,
        start: Tensor | None = None,
        chosen: Rows | None = None,
    ) -> None:
        self.module, self.settings, self.device = modules, settings, source.device
        self.chosen = np.arange(len(source)) if chosen is None else chosen
        self.count, self.points = len(source), len(source.points)
        self._source, self._view, self._start = source, view, start
        self._held = settings.held_epochs > 0
        self._use(int(source.disc.shell.max()))
        latent_dim = modules.deformation.spec.latent_dim
        sd = [1.0] * latent_dim + [settings.pose_sd] * (0 if modules.poses is None else 5)
        self._sd, self._latent_dim = torch.tensor(sd, device=source.device), latent_dim

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Give the weights of the decoder, and of the encoder if there is one."""
        groups = [ParameterGroup(list(self.module.deformation.parameters()))]
        if isinstance(self.module.latent, Encoder):
            encoder = list(self.module.latent.parameters())
            groups.append(ParameterGroup(encoder, lr_scale=_ENCODER_RATE))
        return [group for group in groups if group.parameters]

    @property
    def prior_sd(self) -> Tensor:
        """Prior spread of a particle's unknowns: its latent, and the errors of its pose."""
        return self._sd

    def load(self, rows: Rows) -> StructuralBatch:
        """Read the particles of a step."""
        return self.read(self.chosen[rows])

    def read(self, rows: Rows) -> StructuralBatch:
        """Read particles by their row in the source."""
        read = self._source.read(rows).slices
        pixels = torch.zeros(len(rows), 0) if self._view is None else self._view(read)
        data = read.values[:, self._columns], read.filters[:, self._columns]
        slices = Slices(*data, read.rotations, self._points)
        return StructuralBatch(torch.from_numpy(rows).to(self.device), slices, pixels)

    def loss(self, batch: StructuralBatch, generator: torch.Generator) -> Losses:
        """Negative evidence lower bound and priors, nats per point."""
        encoded = self._encode_if(batch)
        self.infer_composition(batch, encoded)
        unknowns, divergence = self._draw(batch, generator, encoded)
        beads = self.module.deformation(unknowns[:, : self._latent_dim])
        corrections = unknowns[:, self._latent_dim :]
        bare = self.module.bare(batch.slices, beads, corrections, batch.rows)
        if self.module.training:
            self.module.sums.add(batch.slices, bare.detach(), self._shell)
        squared = self.compare(batch.slices, bare).squared
        bonds, elastic, clash = self.module.priors(beads)
        energy = _BOND_WEIGHT * bonds + self.settings.elastic_weight * elastic + clash
        total = squared + divergence + energy
        if not bool((self.module.views.scale > 0).any()):
            total = total.detach() + 0 * total  # images that show no model teach nothing of it
        logged = {
            "misfit": squared.mean() / len(self._points),
            "kl": divergence.mean(),
            "bonds": bonds.mean(),
            "elastic": elastic.mean(),
            "clash": clash.mean(),
        }
        kept = {name: value.detach() for name, value in logged.items()}
        return Losses(total.mean() / self.points, kept)

    # -- unknowns ------------------------------------------------------------------------------

    def _draw(
        self,
        batch: StructuralBatch,
        generator: torch.Generator,
        encoded: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, Tensor]:
        """Draw each particle's unknowns from their posterior, (n, K); its divergence, (n,)."""
        if encoded is None and not self._held:
            found = self.infer(batch)
            return found.draw(generator), found.divergence(self._sd)
        mean, log_variance = encoded or self.module.latent(batch.rows)
        z = draw_latent(mean, log_variance, generator)
        divergence = gaussian_divergence(mean, log_variance)
        if self.module.poses is None:
            return z, divergence
        poses = self.infer(batch, z.detach())
        return torch.cat([z, poses.draw(generator)], dim=1), divergence

    def _encode_if(self, batch: StructuralBatch) -> tuple[Tensor, Tensor] | None:
        """Encode a batch where there is an encoder."""
        return self.encode(batch) if isinstance(self.module.latent, Encoder) else None

    def encode(self, batch: StructuralBatch) -> tuple[Tensor, Tensor]:
        """Posterior mean and log variance of the latents by the encoder, each (n, k)."""
        assert isinstance(self.module.latent, Encoder)
        assert self._start is not None
        start = self._start[batch.rows.cpu()].to(self.device)
        mean, log_variance = self.module.latent(batch.pixels.to(self.device), start)
        return mean.float(), log_variance.float()

    @torch.no_grad()
    def infer(self, batch: StructuralBatch, z: Tensor | None = None) -> UnknownPosterior:
        """Step to the posterior of a batch's unknowns, and write it to the tables.

        With latents z given these are held, and the poses alone inferred.
        """
        modules, known = self.module, 0 if z is None else self._latent_dim
        held = self._sd.new_zeros(len(batch.rows), 0) if z is None else z
        gain = modules.views.scale[self._shell] * batch.slices.filters

        def show(unknowns: Tensor) -> Tensor:
            both = torch.cat([held, unknowns], dim=1)
            latents, corrections = both.tensor_split([self._latent_dim], dim=1)
            beads = modules.deformation(latents)
            views = modules.bare(batch.slices, beads, corrections, batch.rows)
            return views * gain[..., None]

        found = step_to_posterior(
            show,
            torch.view_as_real(batch.slices.values),
            self._recall(batch.rows, known),
            self._sd[known:],
            self.settings.contrast_sd,
        )
        self._store(batch.rows, found, known)
        return found

    @torch.no_grad()
    def infer_composition(
        self, batch: StructuralBatch, encoded: tuple[Tensor, Tensor] | None = None
    ) -> CompositionFit | None:
        """Find what is present in the particles where their latents are; write it to the table.

        With an encoder, `encoded` is what it says of the batch, if that is known already.
        """
        modules, composition = self.module, self.module.composition
        if composition is None:
            return None
        if isinstance(modules.latent, Encoder):
            z = (encoded or self.encode(batch))[0]
        else:
            z = modules.latent(batch.rows)[0]
        found = self._compose(batch, modules.deformation(z), self.corrections(batch.rows))
        composition.remember(batch.rows, found)
        return found

    def _compose(
        self, batch: StructuralBatch, beads: Tensor, corrections: Tensor
    ) -> CompositionFit:
        """Explain images by beads (n, N, 3) of which some may be missing."""
        modules, composition = self.module, self.module.composition
        assert composition is not None
        parts = modules.parts(batch.slices, beads, corrections)
        gain = modules.views.scale[self._shell]
        return composition.explain(parts, batch.slices, gain, self.settings.contrast_sd)

    def corrections(self, rows: Tensor) -> Tensor:
        """Corrections of poses, (n, 5), pixels; (n, 0) where they are not refined."""
        poses = self.module.poses
        if poses is None:
            return self._sd.new_zeros(len(rows), 0)
        return torch.cat([poses.turns[rows], poses.moves[rows]], dim=1)

    def _recall(self, rows: Tensor, known: int) -> Tensor:
        """Unknowns of particles as the tables have them, but for the first `known`."""
        latent, corrections = self.module.latent, self.corrections(rows)
        if known or not isinstance(latent, LatentTable):
            return corrections
        return torch.cat([latent.values[rows, : self._latent_dim], corrections], dim=1)

    def _store(self, rows: Tensor, found: UnknownPosterior, known: int) -> None:
        """Write posteriors to the tables; the first `known` unknowns are not among them."""
        latent, poses, size = self.module.latent, self.module.poses, self._latent_dim - known
        if size:
            assert isinstance(latent, LatentTable)
            both = [found.mean[:, :size], found.log_variance[:, :size]]
            latent.values[rows] = torch.cat(both, dim=1)
        if poses is not None:
            poses.turns[rows], poses.moves[rows] = found.mean[:, size:].split([3, 2], dim=1)

    def explain(self, batch: StructuralBatch, beads: Tensor, corrections: Tensor) -> Tensor:
        """Log likelihood (n,), nats, of images by beads (n, N, 3), as far as they are present."""
        modules = self.module
        if modules.composition is None:
            bare = modules.bare(batch.slices, beads, corrections, batch.rows)
            return -self.compare(batch.slices, bare).squared
        return self._compose(batch, beads, corrections).log_likelihood

    # -- images --------------------------------------------------------------------------------

    def compare(self, slices: Slices, bare: Tensor) -> Misfit:
        """Compare images with bare views."""
        scale = self.module.views.scale[self._shell]
        return measure_misfit(slices, bare * scale[:, None], self.settings.contrast_sd)

    def begin_epoch(self, epoch: int, progress: float) -> None:
        """Widen the band, and fit scale and elastic spread to the epoch before."""
        modules = self.module
        self._held = epoch < self.settings.held_epochs
        if epoch >= int(modules.epochs_begun):  # not where a run resumes within an epoch
            if bool((modules.sums.power > 0).any()):
                modules.views.scale.copy_(modules.sums.solve())
                modules.priors.calibrate()
            if modules.composition is not None:
                modules.composition.learn_shares()
                modules.standardise()
            modules.sums.clear()
            modules.epochs_begun.fill_(epoch + 1)
        first, last = self.settings.first_band, int(self._source.disc.shell.max())
        self._use(round(first + (last - first) * min(1.0, 2 * progress)))

    def _use(self, band: int) -> None:
        """Look at the shells up to a band: views of fewer points cost less."""
        shell = self._source.disc.shell
        self._columns = (shell <= band).nonzero()[:, 0].to(self.device)
        self._points = self._source.points.to(self.device)[self._columns]
        self._shell = shell.to(self.device)[self._columns]
