"""A coarse-grained model as images show it, and how its scale follows from them."""

from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from cryosway.protein import CoarseModel
from cryosway.volumes import AtomicModel, Slices

_SMOOTH = 1.5  # shells
_SURE = 3.0  # times its error is what a scale must be to count


@final
class BeadViews(nn.Module):
    """Slices of a model's density for positions of its beads.

    The density is that of Gaussians that follow the beads by a linear map: backbone and side
    chain of each residue, and what rides along.

    Parameters
    ----------
    model
        With beads.
    box, pixel_size
        Pixels and Å, of the images.
    shells
        How many |k| the images have.
    """

    scale: Tensor
    beads: Tensor

    def __init__(self, model: CoarseModel, box: int, pixel_size: float, shells: int) -> None:
        super().__init__()
        parts = model.scatterers("split")
        weights = parts.weights.tocoo()
        index = torch.from_numpy(np.stack([weights.row, weights.col]).astype(np.int64))
        values = torch.from_numpy(weights.data.astype(np.float32))
        follow = torch.sparse_coo_tensor(index, values, weights.shape, check_invariants=True)
        self.register_buffer("_follow", follow.coalesce(), persistent=False)
        offsets = torch.from_numpy(parts.offsets.astype(np.float32))
        self.register_buffer("_offsets", offsets, persistent=False)
        beads = torch.from_numpy(parts.beads.astype(np.int64))
        self.register_buffer("beads", beads, persistent=False)
        self.atoms = AtomicModel(
            box,
            pixel_size,
            torch.from_numpy(parts.amplitudes.astype(np.float32)),
            torch.from_numpy(parts.sigmas.astype(np.float32)),
        )
        # What solvent, B factors and normalisation make of the model, per rounded |k|.
        self.register_buffer("scale", torch.ones(shells))

    def centres(self, beads: Tensor) -> Tensor:
        """Centres (n, M, 3) of the Gaussians for beads (n, N, 3), Å."""
        return self.follow(beads) + self.get_buffer("_offsets")

    def follow(self, moves: Tensor) -> Tensor:
        """Displacements (n, M, 3) of the Gaussians for those of the beads, (n, N, 3)."""
        n, count, _ = moves.shape
        flat = moves.transpose(0, 1).reshape(count, 3 * n)
        moved = torch.sparse.mm(self.get_buffer("_follow"), flat)
        return moved.view(-1, n, 3).transpose(0, 1)

    def bare(
        self,
        slices: Slices,
        beads: Tensor,
        rotations: Tensor | None = None,
        present: Tensor | None = None,
    ) -> Tensor:
        """Give views (n, P, 2) of the model as it is; `present` (n, N) are factors of the beads."""
        return self.at_centres(slices, self.centres(beads), rotations, present)

    def at_centres(
        self,
        slices: Slices,
        centres: Tensor,
        rotations: Tensor | None = None,
        present: Tensor | None = None,
    ) -> Tensor:
        """Give the same for centres (n, M, 3) of the Gaussians."""
        factors = None if present is None else present[:, self.beads]
        return self.atoms.slices(slices, centres, rotations, factors)

    @torch.no_grad()
    def density(self, beads: Tensor, box: int | None = None) -> Tensor:
        """Densities (n, box, box, box) for beads (n, N, 3)."""
        pixel_size = None if box is None else self.atoms.box * self.atoms.pixel_size / box
        return self.atoms.density(self.centres(beads), box, pixel_size)


@final
class ScaleSums(nn.Module):
    """Sums from which the scale of every shell follows: Re⟨y, f V⟩ and |f V|².

    A module, so that checkpoints within an epoch carry them along.
    """

    match: Tensor
    power: Tensor

    def __init__(self, shells: int) -> None:
        super().__init__()
        self.register_buffer("match", torch.zeros(shells, dtype=torch.float64))
        self.register_buffer("power", torch.zeros(shells, dtype=torch.float64))

    def clear(self) -> None:
        """Forget all images."""
        self.match.zero_()
        self.power.zero_()

    @torch.no_grad()
    def add(self, slices: Slices, bare: Tensor, shell: Tensor) -> None:
        """Add images and their bare views."""
        shown = bare * slices.filters[..., None]
        match = (shown * torch.view_as_real(slices.values)).sum((0, 2)).double()
        self.match.index_add_(0, shell, match)
        self.power.index_add_(0, shell, shown.square().sum((0, 2)).double())

    def solve(self) -> Tensor:
        """Scale of every shell, (shells,), smooth over shells and not negative.

        As far as it may be chance it is shrunk, to nothing where it is not above its error (James
        & Stein): images of nothing but noise show no model. Shells without images get the last
        one's.
        """
        number = torch.arange(len(self.match), dtype=torch.float64, device=self.match.device)
        near = torch.exp(-0.5 * ((number[:, None] - number) / _SMOOTH).square())
        # Each shell counts by how well its own ratio is known.
        power = (near @ self.power).clamp(min=1e-30)
        found = (near @ self.match) / power
        # E|noise|² is ½ in each part of a coefficient.
        chance = 0.5 * (near.square() @ self.power) / power.square()
        kept = 1 - _SURE**2 * chance / found.square().clamp(min=1e-300)
        found = found.clamp(min=0) * kept.clamp(min=0)
        last = int((self.power > 0).nonzero().max()) if bool((self.power > 0).any()) else 0
        found[last + 1 :] = found[last]
        return found.float()
