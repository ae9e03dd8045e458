"""A backbone that fits predicted distances and orientations of its residues.

The distances that are known are completed by shortest paths and embedded; then all backbone atoms
move downhill on −log p of the distances and orientations, with bonds, angles and room for
each Cα. Distances do not tell the hand: both are tried, and orientations choose.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import shortest_path
from torch import Tensor

from cryosway.protein.folding._trrosetta_network import PairDistributions

FloatArray = NDArray[np.float64]

_FIRST, _STEP = 2.0, 0.5  # Å, of the bins of distance
_TURN = 15.0  # degrees, of the bins of angles
_SURE = 0.5  # probability to be within 20 Å that makes a distance known
_LEAST_NEAR = 0.1  # probability to be within 20 Å for a pair to count
_FLOOR = 1e-4
#: Å: N–Cα, Cα–C, C–N', and the distances that fix angles and the trans peptide.
_WITHIN = ((0, 1, 1.458), (1, 2, 1.525), (0, 2, 2.46))
_BETWEEN = ((2, 0, 1.329), (1, 0, 2.43), (2, 1, 2.43), (1, 1, 3.80))
_ROOM = 3.9  # Å between Cα that are no neighbours
_BOND_WEIGHT, _ROOM_WEIGHT, _ANGLE_WEIGHT = 100.0, 5.0, 0.5
_RATES = (0.5, 0.05)


@dataclass(frozen=True, eq=False)
class FoldedBackbone:
    """Backbone (L, 3, 3), Å, atoms N, Cα, C; and −log p of what was predicted, per residue."""

    atoms: FloatArray
    energy: float


def fold_backbone(pairs: PairDistributions, *, steps: int = 400, seed: int = 0) -> FoldedBackbone:
    """Fold a backbone by predicted distributions.

    Parameters
    ----------
    pairs
        Of L residues.
    steps
        Of the descent, for each hand.
    seed
        Of the noise at the outset.
    """
    places = embed_distances(pairs)
    found = [
        _descend(_Energy(pairs), places * sign, steps, seed) for sign in ([1, 1, 1], [1, 1, -1])
    ]
    return min(found, key=lambda one: one.energy)


def embed_distances(pairs: PairDistributions) -> FloatArray:
    """Place residues (L, 3), Å, by the distances that are known; of either hand."""
    distance = pairs.distance.double().numpy()
    centres = _FIRST + _STEP * (np.arange(distance.shape[-1] - 1) + 0.5)
    near = 1 - distance[..., 0]
    expected = (distance[..., 1:] @ centres) / np.maximum(near, _FLOOR)
    known = np.where(near > _SURE, expected, np.inf)
    rows = np.arange(len(known) - 1)
    known[rows, rows + 1] = known[rows + 1, rows] = np.minimum(known[rows, rows + 1], 5.5)
    np.fill_diagonal(known, 0)
    whole = shortest_path(np.where(np.isinf(known), 0, known), directed=False)
    squares = (whole**2 + whole.T**2) / 2
    centred = squares - squares.mean(0) - squares.mean(1)[:, None] + squares.mean()
    values, vectors = np.linalg.eigh(-0.5 * centred)
    return np.asarray(vectors[:, -3:] * np.sqrt(np.maximum(values[-3:], 0)), np.float64)


def virtual_beta(atoms: Tensor) -> Tensor:
    """Place Cβ (..., L, 3) by ideal geometry on N, Cα, C (..., L, 3, 3)."""
    n, alpha, c = atoms.unbind(-2)
    b, d = alpha - n, c - alpha
    across = torch.linalg.cross(b, d, dim=-1)
    return -0.58273431 * across + 0.56802827 * b - 0.54067466 * d + alpha


class _Energy:
    """−log p of pairs i < j by linear interpolation between bins, and the geometry's."""

    def __init__(self, pairs: PairDistributions) -> None:
        length = len(pairs.distance)
        i, j = torch.triu_indices(length, length, 2)
        known = (1 - pairs.distance[i, j, 0] > _LEAST_NEAR) | (j - i <= 2)
        self.i, self.j = i[known], j[known]
        self.distance = _score_distances(pairs.distance[self.i, self.j])
        near = 1 - pairs.distance[self.i, self.j, :1]
        self.omega = _score_angles(pairs.omega[self.i, self.j], near)
        self.theta = [
            _score_angles(pairs.theta[a, b], near) for a, b in ((self.i, self.j), (self.j, self.i))
        ]
        self.phi = [
            _score_angles(pairs.phi[a, b], near) for a, b in ((self.i, self.j), (self.j, self.i))
        ]
        self.length = length

    def predicted(self, atoms: Tensor, *, angles: bool = True) -> Tensor:
        """−log p of distances and orientations, per residue."""
        beta = virtual_beta(atoms)
        n, alpha = atoms[:, 0], atoms[:, 1]
        apart = (beta[self.i] - beta[self.j]).norm(dim=-1)
        total = _interpolate(self.distance, (apart - _FIRST) / _STEP + 0.5, wrap=False).sum()
        if angles:
            omega = _dihedral(alpha[self.i], beta[self.i], beta[self.j], alpha[self.j])
            total = total + _ANGLE_WEIGHT * self._turns(self.omega, omega)
            for (a, b), theta, phi in zip(
                ((self.i, self.j), (self.j, self.i)), self.theta, self.phi, strict=True
            ):
                turn = _dihedral(n[a], alpha[a], beta[a], beta[b])
                total = total + _ANGLE_WEIGHT * self._turns(theta, turn)
                bend = _angle(alpha[a], beta[a], beta[b])
                place = bend / _TURN - 0.5
                total = total + _ANGLE_WEIGHT * _interpolate(phi, place, wrap=False).sum()
        return total / self.length

    @staticmethod
    def _turns(scores: Tensor, degrees: Tensor) -> Tensor:
        return _interpolate(scores, (degrees + 180) / _TURN - 0.5, wrap=True).sum()

    def geometry(self, atoms: Tensor) -> Tensor:
        """Bonds, angles and room, per residue."""
        total = atoms.new_zeros(())
        for first, second, length in _WITHIN:
            off = (atoms[:, first] - atoms[:, second]).norm(dim=-1) - length
            total = total + off.square().sum()
        for first, second, length in _BETWEEN:
            off = (atoms[:-1, first] - atoms[1:, second]).norm(dim=-1) - length
            total = total + off.square().sum()
        alpha = atoms[:, 1]
        apart = (alpha[self.i] - alpha[self.j]).norm(dim=-1)
        close = (_ROOM - apart).clamp(min=0).square().sum()
        return (_BOND_WEIGHT * total + _ROOM_WEIGHT * close) / self.length


def _descend(energy: _Energy, places: FloatArray, steps: int, seed: int) -> FoldedBackbone:
    noise = torch.Generator().manual_seed(seed)
    beta = torch.from_numpy(places).float()
    ahead = torch.cat([beta[1:] - beta[:-1], (beta[-1] - beta[-2])[None]])
    behind = torch.cat([(beta[0] - beta[1])[None], beta[:-1] - beta[1:]])
    atoms = torch.stack([beta + behind / 3, beta, beta + ahead / 3], dim=1)
    atoms += 0.3 * torch.randn(atoms.shape, generator=noise)
    atoms.requires_grad_()
    optimiser = torch.optim.Adam([atoms], lr=_RATES[0])
    for step in range(steps):
        done = step / steps
        optimiser.param_groups[0]["lr"] = _RATES[0] * (_RATES[1] / _RATES[0]) ** done
        # Bonds grow stiff, and orientations count from a quarter on.
        loss = energy.predicted(atoms, angles=done > 0.25)
        loss = loss + (0.1 + 0.9 * done) * energy.geometry(atoms)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        left = float(energy.predicted(atoms) + energy.geometry(atoms))
    return FoldedBackbone(atoms.detach().double().numpy(), left)


def _score_distances(probabilities: Tensor) -> Tensor:
    """−log p of bins 1 … 36 (E, 36) against the last, for shells of growing volume."""
    centres = _FIRST + _STEP * (torch.arange(probabilities.shape[-1] - 1) + 0.5)
    share = probabilities[:, 1:] + _FLOOR
    scores = -(share / share[:, -1:]).log() + 1.57 * (centres / centres[-1]).log()
    # Where nothing is known of a pair nothing is asked of it.
    return scores * (1 - probabilities[:, :1])


def _score_angles(probabilities: Tensor, near: Tensor) -> Tensor:
    share = probabilities[:, 1:] + _FLOOR
    share = share / share.sum(-1, keepdim=True)
    return -(share * share.shape[-1]).log() * near


def _interpolate(scores: Tensor, place: Tensor, *, wrap: bool) -> Tensor:
    """Interpolate rows (E, bins) at places (E,) in units of bins, 0 the centre of the first."""
    bins = scores.shape[-1]
    place = place % bins if wrap else place.clamp(0, bins - 1.001)
    low = place.detach().floor().long()
    high = (low + 1) % bins
    rest = place - low
    first, second = scores.gather(1, low[:, None] % bins), scores.gather(1, high[:, None])
    return first[:, 0] * (1 - rest) + second[:, 0] * rest


def _dihedral(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Dihedral angles (E,), degrees."""
    along = torch.nn.functional.normalize(c - b, dim=-1)
    v, w = (x - (x * along).sum(-1, keepdim=True) * along for x in (a - b, d - c))
    across = torch.linalg.cross(along, v, dim=-1)
    return torch.rad2deg(torch.atan2((across * w).sum(-1), (v * w).sum(-1) + 1e-6))


def _angle(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Angles (E,) at b, degrees."""
    u, v = (torch.nn.functional.normalize(x - b, dim=-1) for x in (a, c))
    return torch.rad2deg(torch.acos((u * v).sum(-1).clamp(-0.999, 0.999)))
