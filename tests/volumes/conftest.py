"""Slices through phantoms, without noise."""

import numpy as np
import pytest
import torch

from cryosway.optics import make_disc, random_rotations
from cryosway.volumes import Slices

PIXEL = 3.0


@pytest.fixture(scope="session")
def make_slices():
    """Make `Slices` of mixtures of phantoms in random views, exactly."""

    def make(phantoms, count, box, *, amounts=None, radius=None, filters=None, seed=0):
        rng = np.random.default_rng(seed)
        disc = make_disc(box, box // 2 - 1 if radius is None else radius)
        rotations = random_rotations(count, rng)
        amounts = np.ones((count, len(phantoms))) if amounts is None else amounts
        values = sum(
            amounts[:, c, None] * phantom.slices(rotations, disc.frequencies.numpy(), PIXEL)
            for c, phantom in enumerate(phantoms)
        )
        filters = np.ones(values.shape) if filters is None else filters(rng, disc, values.shape)
        return Slices(
            torch.from_numpy(values * filters).to(torch.complex64),
            torch.from_numpy(filters).float(),
            torch.from_numpy(rotations).float(),
            disc.points.float(),
        )

    return make


@pytest.fixture(scope="session")
def oscillating():
    """Filters with zeros at places that differ between images, as CTFs have."""

    def make(rng, disc, shape):
        s2 = (disc.points.numpy() ** 2).sum(-1) / disc.box**2
        return np.sin(rng.uniform(15, 50, (shape[0], 1)) * s2 + 0.1)

    return make
