"""What all priors on the positions of beads have in common."""

import math
from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cryosway._errors import CryoswayError


class BeadModel(Protocol):
    """What priors need to know of a coarse-grained model: `protein.CoarseModel` has it."""

    @property
    def coordinates(self) -> NDArray[np.float64]:
        """Shape (N, 3), Å."""

    @property
    def bonds(self) -> NDArray[np.intp]:
        """Shape (B, 2): bonded beads."""

    @property
    def chains(self) -> NDArray[np.str_]:
        """Shape (N,): the chain of each bead."""

    @property
    def kinds(self) -> NDArray[np.str_]:
        """Shape (N,): ``protein`` or ``nucleic``."""


class Prior(nn.Module, ABC):
    """−log p(positions) in nats, up to a constant.

    Parameters
    ----------
    spread
        Å: how far what the prior holds may be off; half a nat each. Kept in checkpoints.
    """

    spread: Tensor

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.register_buffer("spread", torch.empty((), dtype=torch.float64))
        self.set_spread(spread)

    def set_spread(self, spread: float) -> None:
        """Change the spread, Å, as when it is calibrated from the data."""
        if not 0 < spread < math.inf:
            msg = f"the spread of {type(self).__name__} is {spread:g} Å; it must be positive"
            raise CryoswayError(msg)
        self.spread.fill_(spread)

    @abstractmethod
    def forward(self, positions: Tensor) -> Tensor:
        """Give the energy of beads.

        Parameters
        ----------
        positions
            Shape (n, N, 3), Å; differentiable.

        Returns
        -------
        Shape (n,), nats. Sums over beads or pairs, so that large models count for more.
        """
