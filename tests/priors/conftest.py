"""Small coarse-grained models, made by hand."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation


@dataclass(frozen=True, eq=False)
class Beads:
    """What priors ask of a model."""

    coordinates: np.ndarray
    bonds: np.ndarray
    chains: np.ndarray
    kinds: np.ndarray


def join(*chains, kinds=None):
    """One model of chains (N_c, 3), bonded along each."""
    kinds = kinds or ["protein"] * len(chains)
    first = np.cumsum([0, *(len(chain) for chain in chains)])
    bonds = [
        np.stack([np.arange(a, b - 1), np.arange(a + 1, b)], axis=1) for a, b in pairwise(first)
    ]
    names = [np.full(len(chain), "ABCDEF"[c]) for c, chain in enumerate(chains)]
    labels = [np.full(len(chain), kind) for chain, kind in zip(chains, kinds, strict=True)]
    return Beads(
        np.concatenate(chains), np.concatenate(bonds), np.concatenate(names), np.concatenate(labels)
    )


def make_globule(count, seed=0, spacing=5.2):
    """A chain through a ball of lattice points, jittered: steps of about `spacing` Å."""
    side = int(np.ceil((2.2 * count) ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).astype(float)
    grid[1::2] = grid[1::2, ::-1]
    grid[:, 1::2] = grid[:, 1::2, ::-1]
    points = grid.reshape(-1, 3) - (side - 1) / 2
    inside = np.argsort(np.linalg.norm(points, axis=1))[:count]
    jitter = np.random.default_rng(seed).normal(size=(count, 3)) * 0.3
    return points[np.sort(inside)] * spacing + jitter


@pytest.fixture(scope="session")
def globule():
    """A chain of 60 beads."""
    return join(make_globule(60))


@pytest.fixture(scope="session")
def complex_model():
    """Two proteins and a nucleic acid, side by side."""
    shift = np.array([26.0, 0, 0])
    return join(
        make_globule(40),
        make_globule(40, seed=1) + shift,
        make_globule(20, seed=2, spacing=6.5) - shift,
        kinds=["protein", "protein", "nucleic"],
    )


@pytest.fixture(scope="session")
def two_domains():
    """Two balls of 60 beads side by side along x; the first 60 beads are one."""
    one, other = make_globule(60), make_globule(60, seed=1)
    other[:, 0] += one[:, 0].max() - other[:, 0].min() + 6
    return join(np.concatenate([one, other]))


@pytest.fixture(scope="session")
def turn():
    """Rotate and shift beads at random."""

    def apply(x, seed=0):
        rotation = Rotation.random(rng=seed).as_matrix()
        return x @ rotation.T + np.array([3.0, -7.0, 11.0])

    return apply
