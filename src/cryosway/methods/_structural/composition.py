"""Views of a model's parts, and the composition of the particles that they explain."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast, final

import numpy as np
import torch
from torch import Tensor, nn

from cryosway.inference import list_compositions, mix_compositions, weigh_compositions
from cryosway.methods._structural.groups import BeadGroups, spread_groups
from cryosway.methods._structural.views import BeadViews
from cryosway.volumes import AtomicModel, Slices

_PRIOR_IMAGES = 1.0  # of each composition, so that none is ruled out for ever
LEAST_SHARE = 1e-6


@dataclass(frozen=True, eq=False)
class CompositionFit:
    """What n images say of their composition.

    Attributes
    ----------
    log_likelihood
        Shape (n,): nats, up to a constant of the noise; contrast and composition integrated out.
    contrast
        Shape (n,): posterior mean.
    probability
        Shape (n, C): of each composition.
    present
        Shape (n, G): probability that each group is there.
    """

    log_likelihood: Tensor
    contrast: Tensor
    probability: Tensor
    present: Tensor


@final
class Composition(nn.Module):
    """Which groups of beads particles have, as a mixture over all compositions.

    Parameters
    ----------
    views
        Of the whole model.
    groups
        G groups that may be missing.
    shares
        Shape (C,): of every composition, those of `list_compositions`; equal by default.
    present
        Shape (particles, G): where the table of all particles starts; it has none by default.

    Attributes
    ----------
    table
        Shape (C, parts): occupancies. The last G parts are the groups; before them, if there are
        such beads, is the part that is always there.
    counted
        Shape (C,): particles of each composition seen since the shares were learnt.
    """

    table: Tensor
    shares: Tensor
    counted: Tensor
    present: Tensor
    _part: Tensor

    def __init__(
        self,
        views: BeadViews,
        groups: BeadGroups,
        shares: Tensor | None = None,
        present: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.groups = groups
        part = groups.part[views.beads.cpu().numpy()]
        first = 0 if (part == 0).any() else 1
        rows = [np.flatnonzero(part == number) for number in range(first, len(groups) + 1)]
        self._rows = [torch.from_numpy(members) for members in rows]
        whole = views.atoms
        amplitudes, sigmas = whole.amplitudes.detach().cpu(), whole.sigmas.detach().cpu()
        self.parts = nn.ModuleList(
            AtomicModel(whole.box, whole.pixel_size, amplitudes[members], sigmas[members])
            for members in self._rows
        )
        table = list_compositions(len(rows), self.variable)
        equal = torch.full((len(table),), 1 / len(table))
        self.register_buffer("_part", torch.from_numpy(groups.part), persistent=False)
        self.register_buffer("table", table, persistent=False)
        self.register_buffer("shares", equal if shares is None else shares.float().clone())
        self.register_buffer("counted", torch.zeros(len(table)))
        empty = torch.ones(0, len(groups))
        self.register_buffer("present", empty if present is None else present.float().clone())

    @property
    def variable(self) -> list[int]:
        """Which of the parts are groups."""
        return list(range(len(self._rows) - len(self.groups), len(self._rows)))

    def of(self, rows: Tensor) -> Tensor:
        """Give factors (n, N) of the beads in the particles of `rows`, as the table has them."""
        return self.spread(self.present[rows])

    def spread(self, present: Tensor) -> Tensor:
        """Give factors (n, N) of the beads, of those (n, G) of the groups."""
        return spread_groups(self._part, present)

    def see(
        self, views: BeadViews, slices: Slices, beads: Tensor, rotations: Tensor | None = None
    ) -> Tensor:
        """Give bare views (n, parts, P, 2) of every part, for beads (n, N, 3)."""
        centres = views.centres(beads)
        parts = cast("Iterable[AtomicModel]", self.parts)
        shown = [
            model.slices(slices, centres[:, rows.to(centres.device)], rotations)
            for model, rows in zip(parts, self._rows, strict=True)
        ]
        return torch.stack(shown, dim=1)

    def explain(
        self, bare: Tensor, slices: Slices, gain: Tensor, contrast_sd: float
    ) -> CompositionFit:
        """Explain images by bare views (n, parts, P, 2), on the scale `gain` (P,) of the images."""
        gram = measure_gram(bare, slices, gain)
        evidence, contrasts = weigh_compositions(gram, self.table, contrast_sd)
        likelihood, found = mix_compositions(evidence, self.shares.clamp(min=LEAST_SHARE).log())
        occupancy = found @ self.table
        return CompositionFit(
            likelihood, (found * contrasts).sum(1), found, occupancy[:, self.variable]
        )

    @torch.no_grad()
    def remember(self, rows: Tensor, found: CompositionFit) -> None:
        """Write what particles show to the table; in training, count their compositions."""
        self.present[rows] = found.present
        if self.training:
            self.counted += found.probability.sum(0)

    @torch.no_grad()
    def learn_shares(self) -> None:
        """Set the shares to those of the images counted, and count anew."""
        if bool(self.counted.any()):
            known = self.counted + _PRIOR_IMAGES
            self.shares.copy_(known / known.sum())
            self.counted.zero_()


def measure_gram(bare: Tensor, slices: Slices, gain: Tensor) -> Tensor:
    """Re⟨·,·⟩ of views (n, parts, P, 2) as images show them, and of the data: (n, parts+1, …)."""
    shown = bare * (slices.filters * gain)[:, None, :, None]
    data = torch.view_as_real(slices.values)[:, None]
    columns = torch.cat([shown, data], dim=1).flatten(2)
    return columns @ columns.mT
