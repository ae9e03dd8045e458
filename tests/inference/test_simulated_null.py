"""The null is homogeneous data with the poses, CTF, contrast and noise of the real particles."""

import numpy as np
import pytest
import torch

from cryosway.inference import ImageSource, NoiseModel, SimulatedNull, infer_all
from cryosway.volumes import BasisGrid, SliceReader

BOX, PIXEL, COUNT = 32, 3.0, 200


@pytest.fixture(scope="module")
def null(make_phantom, simulate):
    phantom = make_phantom()
    truth = simulate([phantom], COUNT, noise=2.0, shift=5.0)
    source = ImageSource(truth.particles, 15, noise=NoiseModel(truth.noise[None]))
    mean = torch.from_numpy(phantom.volume(BOX, PIXEL))
    contrast = np.random.default_rng(0).uniform(0.7, 1.3, COUNT)
    return SimulatedNull(source, mean, contrast, seed=4), source, mean, contrast


def test_it_streams_like_the_source(null):
    stand_in, source, _, _ = null
    assert len(stand_in) == COUNT
    assert stand_in.radius == source.radius
    for mine, real in zip(stand_in, source, strict=True):
        np.testing.assert_array_equal(mine.index, real.index)
        torch.testing.assert_close(mine.slices.filters, real.slices.filters)
        torch.testing.assert_close(mine.slices.rotations, real.slices.rotations)
        assert (mine.slices.values != real.slices.values).all()


def test_residuals_are_unit_noise_with_the_right_mean(null):
    stand_in, _, mean, contrast = null
    reader = SliceReader(mean[None])
    residuals = []
    for batch in stand_in:
        clean = torch.view_as_complex(reader.read(batch.slices)[..., 0].contiguous())
        shown = torch.from_numpy(contrast[batch.index]).float()[:, None] * batch.slices.filters
        residuals.append(batch.slices.values - shown * clean)
    residuals = torch.cat(residuals)
    assert residuals.abs().square().mean() == pytest.approx(1, abs=0.02)
    assert residuals.mean().abs() < 0.02
    assert (residuals[:-1].conj() * residuals[1:]).mean().abs() < 0.02  # each has its own


def test_contrasts_are_those_given(null):
    stand_in, _, mean, contrast = null
    found = infer_all(stand_in, BasisGrid(mean[None], np.zeros(0)), 0.5).contrast
    assert np.corrcoef(found, contrast)[0, 1] > 0.9


def test_a_seed_gives_the_same_noise_in_every_pass(null):
    stand_in, source, mean, contrast = null
    first, again = (torch.cat([b.slices.values for b in stand_in]) for _ in range(2))
    torch.testing.assert_close(first, again)
    other = SimulatedNull(source, mean, contrast, seed=5)
    assert (torch.cat([b.slices.values for b in other]) != first).all()
