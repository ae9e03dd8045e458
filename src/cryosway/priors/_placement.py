"""A model lies where it was docked."""

from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.priors._anisotropic_network import rigid_motions
from cryosway.priors._prior import BeadModel, Prior


@final
class Placement(Prior):
    """½ Σ (a / spread)² over the rigid motions of the whole, a in Å rms over the beads.

    Springs between beads do not feel these motions; without data nothing else would hold them.

    Parameters
    ----------
    reference
        Shape (N, 3), Å.
    spread
        Standard deviation, Å rms.
    """

    reference: Tensor
    motions: Tensor

    def __init__(self, reference: NDArray[np.float64], spread: float = 0.2) -> None:
        super().__init__(spread)
        motions = rigid_motions(reference) / np.sqrt(len(reference))
        self.register_buffer(
            "reference", torch.from_numpy(np.array(reference, np.float32)), persistent=False
        )
        self.register_buffer(
            "motions", torch.from_numpy(motions.astype(np.float32)), persistent=False
        )

    @classmethod
    def of(cls, model: BeadModel, *, spread: float = 0.2) -> "Placement":
        """Take the place of a model."""
        return cls(model.coordinates, spread)

    def amplitudes(self, positions: Tensor) -> Tensor:
        """Give the rigid part of the displacements, shape (n, 6) or less, Å rms."""
        return (positions - self.reference).flatten(1) @ self.motions

    def forward(self, positions: Tensor) -> Tensor:
        """Give the energy, shape (n,), nats, of positions (n, N, 3), Å."""
        return 0.5 * (self.amplitudes(positions) / self.spread).square().sum(1)
