"""Beads keep their distance, whoever they are now near."""

from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.priors._pairs import NeighbourSearch, find_pairs, pair_lengths
from cryosway.priors._prior import BeadModel, Prior


@final
class Clash(Prior):
    """½ Σ ((distance − d) / spread)² over all pairs nearer than `distance`.

    The pairs are those of the moment, found anew in each call, in time O(N), on the CPU wherever
    the beads are: domains that start far apart may not go through each other either. Bonded pairs,
    and pairs that the reference itself has nearer than `distance`, are spared. A sum over pairs,
    not their mean: a thousand clashes weigh a thousand times one.

    Parameters
    ----------
    reference
        Shape (N, 3), Å.
    bonds
        Shape (B, 2).
    distance
        Å.
    spread
        Å: a pair that is this much too near costs half a nat.
    """

    def __init__(
        self,
        reference: NDArray[np.float64],
        bonds: NDArray[np.intp],
        distance: float = 4.0,
        spread: float = 0.2,
    ) -> None:
        super().__init__(spread)
        self.distance = distance
        near = find_pairs(np.asarray(reference, np.float64), distance)
        spared = np.concatenate([np.array(bonds, np.int64).reshape(-1, 2), near])
        self._search = NeighbourSearch(spared, len(reference), distance)

    @classmethod
    def of(cls, model: BeadModel, *, distance: float = 4.0, spread: float = 0.2) -> "Clash":
        """Take reference and bonds from a model."""
        return cls(model.coordinates, model.bonds, distance, spread)

    def find(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Find the clashes in positions (n, N, 3): which image (K,), and the pairs (K, 2)."""
        return self._search.find(positions)

    def forward(self, positions: Tensor) -> Tensor:
        """Give the energy, shape (n,), nats, of positions (n, N, 3), Å."""
        which, pairs = self.find(positions)
        n, count = positions.shape[:2]
        # All images as one set of n N beads, so that each can have pairs of its own.
        joined = pairs + which[:, None] * count
        lengths = pair_lengths(positions.reshape(1, n * count, 3), joined)[0]
        too_near = ((self.distance - lengths).clamp(min=0) / self.spread).square()
        return positions.new_zeros(n).index_add(0, which, 0.5 * too_near)


def count_clashes(clash: Clash, positions: Tensor) -> Tensor:
    """Count the clashes in each of n sets of positions (n, N, 3): (n,), int64."""
    which, _ = clash.find(positions)
    return torch.bincount(which, minlength=len(positions))
