"""Beads that are near in the reference stay so, but for those that the data move apart."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.priors._continuity import reference_lengths
from cryosway.priors._pairs import IndexArray, find_pairs, pair_lengths, remove_pairs, spring_energy
from cryosway.priors._prior import BeadModel, Prior

_SAMPLE = 16  # images


@dataclass(frozen=True)
class Reach:
    """Up to which distance in the reference beads are held together, Å; 0 for never.

    Attributes
    ----------
    protein
        Residues of one protein chain.
    between_chains
        Residues of different protein chains.
    nucleic
        Nucleotides, of one chain or of two.
    mixed
        A residue and a nucleotide.
    """

    protein: float = 12.0
    between_chains: float = 12.0
    nucleic: float = 15.0
    mixed: float = 12.0


def find_edges(model: BeadModel, reach: Reach | None = None) -> IndexArray:
    """Find the edges (E, 2) of a model's elastic network; bonded beads have none."""
    reach = reach or Reach()
    x = model.coordinates
    longest = max(reach.protein, reach.between_chains, reach.nucleic, reach.mixed)
    pairs = find_pairs(x, longest)
    pairs = remove_pairs(pairs, np.asarray(model.bonds, np.int64), len(x))
    nucleic = (model.kinds == "nucleic")[pairs].sum(axis=1)
    same_chain = model.chains[pairs[:, 0]] == model.chains[pairs[:, 1]]
    limit = np.select(
        [nucleic == 2, nucleic == 1, same_chain],
        [reach.nucleic, reach.mixed, reach.protein],
        reach.between_chains,
    )
    return pairs[reference_lengths(x, pairs) <= limit]


@final
class ElasticNetwork(Prior):
    """½ Σ ((d − d₀) / spread)² over the edges kept.

    Edges whose error varies most between images are let go, so that hinges may move (Li et al.,
    cryoSTAR, Nature Methods 2024): in every group those are kept whose variance of (d − d₀)² is at
    most the `keep` quantile of the group. The variance is that over the images of the last
    `memory` calls in training, as running moments, which checkpoints carry along: which edges
    are kept does not depend on the last batch alone.

    Parameters
    ----------
    pairs
        Shape (E, 2): edges.
    lengths
        Shape (E,): d₀, Å.
    groups
        Shape (E,), integer: where edges are compared with each other; all together by default.
    spread
        Standard deviation, Å.
    weights
        Shape (E,), up to 1: stiffness of each edge relative to 1 / spread², and of its error² in
        the variances; 1 by default.
    keep
        Part of the edges that is kept; 1 for all.
    memory
        Calls of training that the variance looks back on.
    """

    pairs: Tensor
    lengths: Tensor
    weights: Tensor
    kept: Tensor
    moments: Tensor
    calls: Tensor
    _groups: Tensor

    def __init__(
        self,
        pairs: IndexArray,
        lengths: NDArray[np.float64],
        groups: NDArray[np.int64] | None = None,
        weights: NDArray[np.float64] | None = None,
        *,
        spread: float = 1.0,
        keep: float = 0.99,
        memory: int = 100,
    ) -> None:
        super().__init__(spread)
        if not 0 < keep <= 1:
            msg = f"the part of the edges that is kept is {keep:g}; it must be in (0, 1]"
            raise CryoswayError(msg)
        self.keep = keep
        self.memory = memory
        count = len(pairs)
        known = np.zeros(count, np.int64) if groups is None else groups
        numbered = np.unique(known, return_inverse=True)[1].astype(np.int64)
        self.register_buffer("_groups", torch.from_numpy(numbered), persistent=False)
        self.register_buffer("pairs", torch.from_numpy(np.array(pairs, np.int64).reshape(-1, 2)))
        self.register_buffer("lengths", torch.from_numpy(np.array(lengths, np.float32)))
        stiffness = np.ones(count) if weights is None else weights
        relative = torch.from_numpy(np.array(stiffness, np.float32))
        self.register_buffer("weights", relative, persistent=False)
        self.register_buffer("kept", torch.ones(count, dtype=torch.bool))
        # Mean of weight · (d − d₀)² and of its square, float64: their difference is small.
        self.register_buffer("moments", torch.zeros(2, count, dtype=torch.float64))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    @classmethod
    def of(
        cls,
        model: BeadModel,
        *,
        reach: Reach | None = None,
        weigh: Callable[[IndexArray], NDArray[np.float64]] | None = None,
        spread: float = 1.0,
        keep: float = 0.99,
        memory: int = 100,
    ) -> "ElasticNetwork":
        """Make the network of a model; edges within each chain, and all others, are groups.

        `weigh` gives the weights (E,) of edges (E, 2); those of weight 0 are left out.
        """
        pairs = find_edges(model, reach)
        weights = np.ones(len(pairs)) if weigh is None else weigh(pairs)
        pairs, weights = pairs[weights > 0], weights[weights > 0]
        lengths = reference_lengths(model.coordinates, pairs)
        chains = np.unique(model.chains, return_inverse=True)[1].astype(np.int64)
        first, second = chains[pairs].T
        groups = np.where(first == second, first, -1)
        return cls(pairs, lengths, groups, weights, spread=spread, keep=keep, memory=memory)

    def errors(self, positions: Tensor) -> Tensor:
        """Give d − d₀, shape (n, E), Å."""
        return pair_lengths(positions, self.pairs) - self.lengths

    def forward(self, positions: Tensor) -> Tensor:
        """Give the energy, shape (n,), nats, of positions (n, N, 3), Å.

        In training the variances are brought up to date first.
        """
        if self.training and self.keep < 1:
            self.remember(positions)
        stiffness = self.kept * self.weights * self.spread**-2
        return spring_energy(positions, self.pairs, self.lengths, stiffness)

    @property
    def variances(self) -> Tensor:
        """Shape (E,): variance of weight · (d − d₀)² over the images seen, Å⁴."""
        return (self.moments[1] - self.moments[0].square()).clamp(min=0)

    @torch.no_grad()
    def remember(self, positions: Tensor) -> None:
        """Take positions (n, N, 3) into the variances, and choose anew which edges to keep.

        Of large batches some images, evenly spread, stand for all: the memory evens them out.
        """
        some = positions[:: max(1, len(positions) // _SAMPLE)]
        squares = self.errors(some).square_().mul_(self.weights)
        now = torch.stack([squares.mean(0), squares.square().mean(0)]).double()
        if not bool(now.isfinite().all()):
            return
        self.calls += 1
        # A plain mean until the memory is full.
        self.moments += (now - self.moments) / self.calls.clamp(max=self.memory)
        self.kept.copy_(keep_steadiest(self.variances, self._groups, self.keep))


def keep_steadiest(variances: Tensor, groups: Tensor, keep: float) -> Tensor:
    """Say which of E edges have at most their group's `keep` quantile of the variances (E,).

    Groups are numbered from 0.
    """
    kept = torch.ones_like(variances, dtype=torch.bool)
    for group in range(int(groups.max()) + 1 if len(groups) else 0):
        members = (groups == group).nonzero()[:, 0]
        own = variances[members]
        limit = own.kthvalue(max(1, math.ceil(keep * len(own)))).values
        kept[members] = own <= limit
    return kept
