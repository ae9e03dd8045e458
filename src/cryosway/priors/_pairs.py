"""Distances between beads, differentiable, and the pairs of beads that are close."""

from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor
from torch.autograd.function import once_differentiable

from cryosway.priors._pair_kernels import (
    find_close_pairs,
    measure_pairs,
    pull_pairs,
    stretch_springs,
)

IndexArray = NDArray[np.int64]


def pair_lengths(positions: Tensor, pairs: Tensor) -> Tensor:
    """Distances of pairs of beads.

    Parameters
    ----------
    positions
        Shape (n, N, 3), Å; differentiable, with zero gradient for two beads at one place.
    pairs
        Shape (E, 2), int64.

    Returns
    -------
    Shape (n, E), Å.
    """
    if positions.device.type == "cpu":
        lengths: Tensor = _Lengths.apply(positions, pairs)  # type: ignore[no-untyped-call]
        return lengths
    return pair_lengths_plain(positions, pairs)


def pair_lengths_plain(positions: Tensor, pairs: Tensor) -> Tensor:
    """Measure as `pair_lengths` does, in plain torch: its twin, on any device."""
    apart = positions.index_select(1, pairs[:, 0]) - positions.index_select(1, pairs[:, 1])
    squared = apart.square().sum(-1)
    touching = squared == 0
    return squared.masked_fill(touching, 1.0).sqrt().masked_fill(touching, 0.0)


class _Lengths(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, positions: Tensor, pairs: Tensor) -> Tensor:
        x = positions.detach().contiguous()
        lengths = x.new_empty(len(x), len(pairs))
        measure_pairs(x.numpy(), pairs.numpy(), lengths.numpy())
        ctx.save_for_backward(x, pairs, lengths)
        return lengths

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pulls: Tensor) -> tuple[Tensor, None]:
        x, pairs, lengths = ctx.saved_tensors
        gradients = torch.zeros_like(x)
        numbers = (t.numpy() for t in (x, pairs, lengths, pulls.contiguous(), gradients))
        pull_pairs(*numbers)
        return gradients, None


def spring_energy(positions: Tensor, pairs: Tensor, lengths: Tensor, stiffness: Tensor) -> Tensor:
    """Sum ½ k (d − l)² over pairs.

    Parameters
    ----------
    positions
        Shape (n, N, 3), Å; differentiable, the only one.
    pairs
        Shape (E, 2), int64.
    lengths, stiffness
        Shape (E,): l in Å and k in nats/Å².

    Returns
    -------
    Shape (n,), nats.
    """
    if positions.device.type == "cpu":
        springs = (pairs, lengths.to(positions), stiffness.to(positions))
        energies: Tensor = _Springs.apply(positions, *springs)  # type: ignore[no-untyped-call]
        return energies
    return spring_energy_plain(positions, pairs, lengths, stiffness)


def spring_energy_plain(
    positions: Tensor, pairs: Tensor, lengths: Tensor, stiffness: Tensor
) -> Tensor:
    """Sum as `spring_energy` does, in plain torch: its twin, on any device."""
    errors = pair_lengths_plain(positions, pairs) - lengths
    return 0.5 * (errors.square() @ stiffness.to(errors))


class _Springs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, positions: Tensor, pairs: Tensor, lengths: Tensor, stiffness: Tensor
    ) -> Tensor:
        x = positions.detach().contiguous()
        energies, gradients = x.new_empty(len(x)), torch.empty_like(x)
        numbers = (t.numpy() for t in (x, pairs, lengths, stiffness, energies, gradients))
        stretch_springs(*numbers)
        ctx.save_for_backward(gradients)
        return energies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pull: Tensor) -> tuple[Tensor, None, None, None]:
        (gradients,) = ctx.saved_tensors
        return gradients * pull[:, None, None], None, None, None


def find_pairs(coordinates: NDArray[np.float64], reach: float) -> IndexArray:
    """Find the pairs (E, 2), i < j, of beads (N, 3) that are at most `reach` Å apart, sorted."""
    pairs = cKDTree(coordinates).query_pairs(reach, output_type="ndarray")
    pairs = np.sort(pairs.astype(np.int64), axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def remove_pairs(pairs: IndexArray, unwanted: IndexArray, count: int) -> IndexArray:
    """Leave out pairs, in either order, of `count` beads."""
    low, high = np.sort(unwanted, axis=1).T if len(unwanted) else np.empty((2, 0), np.int64)
    keys = pairs[:, 0] * count + pairs[:, 1]
    return pairs[~np.isin(keys, low * count + high)]


@final
class NeighbourSearch:
    """Finds the beads that are close now, but for pairs that always are.

    Parameters
    ----------
    spared
        Shape (S, 2): pairs that never count.
    count
        Number N of beads.
    reach
        Å.
    """

    def __init__(self, spared: IndexArray, count: int, reach: float) -> None:
        low_high = np.unique(np.sort(spared.reshape(-1, 2), axis=1), axis=0)
        self.reach = reach
        self._partners = np.ascontiguousarray(low_high[:, 1]).astype(np.int64)
        self._starts = np.searchsorted(low_high[:, 0], np.arange(count + 1)).astype(np.int64)
        self._room = count

    def find(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Find the pairs in each of n sets of beads (n, N, 3), at a cost of O(n N).

        Returns
        -------
        The set that each pair is in, shape (K,), and the pairs, (K, 2), int64.
        """
        x = positions.detach().cpu().contiguous().numpy()
        while True:
            out = np.empty((len(x), self._room, 2), np.int32)
            counts = np.zeros(len(x), np.int64)
            find_close_pairs(x, self.reach, self._starts, self._partners, out, counts)
            if counts.max(initial=0) <= self._room:
                break
            self._room = 2 * int(counts.max())
        which = np.repeat(np.arange(len(x)), counts)
        pairs = out[np.arange(self._room) < counts[:, None]].astype(np.int64)
        return (
            torch.from_numpy(which).to(positions.device),
            torch.from_numpy(pairs).to(positions.device),
        )
