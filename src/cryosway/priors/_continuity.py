"""Bonded beads stay a bond length apart, and neighbours in the sequence move alike."""

from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.priors._pairs import pair_lengths, spring_energy
from cryosway.priors._prior import BeadModel, Prior

#: Cα–Cα distance, Å, across a trans and a cis peptide, and what lies between them.
_TRANS, _CIS, _BETWEEN = 3.80, 2.95, 3.3


@final
class ChainContinuity(Prior):
    """½ Σ ((d − d₀) / spread)² over bonds: d of bonded beads is normal about d₀.

    Parameters
    ----------
    bonds
        Shape (B, 2).
    lengths
        Shape (B,): d₀, Å.
    spread
        Standard deviation, Å. That of Cα–Cα distances in good models is 0.04 to 0.1 Å.
    """

    bonds: Tensor
    lengths: Tensor

    def __init__(
        self, bonds: NDArray[np.intp], lengths: NDArray[np.float64], spread: float = 0.1
    ) -> None:
        super().__init__(spread)
        self.register_buffer("bonds", torch.from_numpy(np.array(bonds, np.int64).reshape(-1, 2)))
        self.register_buffer("lengths", torch.from_numpy(np.array(lengths, np.float32)))

    @classmethod
    def of(cls, model: BeadModel, *, ideal: bool = False, spread: float = 0.1) -> "ChainContinuity":
        """Take bonds and lengths from a model; with `ideal` 3.8 Å within proteins (cis: 2.95)."""
        lengths = reference_lengths(model.coordinates, model.bonds)
        if ideal:
            protein = (model.kinds[model.bonds] == "protein").all(axis=1)
            lengths[protein] = np.where(lengths[protein] < _BETWEEN, _CIS, _TRANS)
        return cls(model.bonds, lengths, spread)

    def errors(self, positions: Tensor) -> Tensor:
        """Give d − d₀, shape (n, B), Å."""
        return pair_lengths(positions, self.bonds) - self.lengths

    def forward(self, positions: Tensor) -> Tensor:
        """Give the energy, shape (n,), nats, of positions (n, N, 3), Å."""
        stiffness = torch.ones_like(self.lengths) * self.spread**-2
        return spring_energy(positions, self.bonds, self.lengths, stiffness)


@final
class Smoothness(Prior):
    """½ Σ |u_i − u_j|² / spread² over bonds: displacements u of bonded beads are alike.

    Parameters
    ----------
    reference
        Shape (N, 3), Å: the positions that displacements start from.
    bonds
        Shape (B, 2).
    spread
        Standard deviation of the difference, Å.
    """

    reference: Tensor
    bonds: Tensor

    def __init__(
        self, reference: NDArray[np.float64], bonds: NDArray[np.intp], spread: float = 0.5
    ) -> None:
        super().__init__(spread)
        self.register_buffer("reference", torch.from_numpy(np.array(reference, np.float32)))
        self.register_buffer("bonds", torch.from_numpy(np.array(bonds, np.int64).reshape(-1, 2)))

    @classmethod
    def of(cls, model: BeadModel, *, spread: float = 0.5) -> "Smoothness":
        """Take reference and bonds from a model."""
        return cls(model.coordinates, model.bonds, spread)

    def forward(self, positions: Tensor) -> Tensor:
        """Give the energy, shape (n,), nats, of positions (n, N, 3), Å."""
        moved = positions - self.reference
        first, second = self.bonds.T
        apart = moved.index_select(1, first) - moved.index_select(1, second)
        return 0.5 * (apart / self.spread).square().sum((1, 2))


def reference_lengths(
    coordinates: NDArray[np.float64], pairs: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Distances (E,) of pairs (E, 2) of beads (N, 3), Å."""
    first, second = coordinates[pairs[:, 0]], coordinates[pairs[:, 1]]
    return np.asarray(np.linalg.norm(first - second, axis=1), np.float64)
