"""Matrix products in bf16 cost no accuracy, and repeat exactly."""

import numpy as np
import pandas as pd
import pytest

import cryosway as cs
from cryosway.validate import fsc

SMALL = {
    "width": 48, "layers": 2, "latent_dim": 2, "encoder_width": 32, "encoder_layers": 1,
    "start": "random", "epochs": 3, "learning_rate": 3e-3, "loader_threads": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def train_vae(make_set, tmp_path_factory):
    particles = make_set(2, n=160).particles

    def train(precision, seed=0):
        out = tmp_path_factory.mktemp("precision") / "job"
        return cs.vae(particles, out, precision=precision, seed=seed, **SMALL)

    return train


@pytest.fixture(scope="module")
def rounded(train_vae):
    return train_vae("bf16")


def read_losses(job):
    return pd.read_csv(job.path / "metrics.csv").query("over == 'epoch'")["loss"].to_numpy()


def test_bf16_trains_as_float32_does(train_vae, rounded):
    """Rounding moves losses and maps less than another seed does."""
    exact, other = train_vae("float32"), train_vae("float32", seed=1)
    losses = read_losses(exact)
    by_rounding = np.abs(read_losses(rounded) - losses)
    by_seed = np.abs(read_losses(other) - losses)
    assert by_rounding.max() < 0.2 * by_seed.max()
    assert by_rounding.max() < 1e-3 * losses.max()
    reference, near, far = (job.volume(job.latents.mean(0)) for job in (exact, rounded, other))
    assert (fsc(reference, near)[1:8] > np.maximum(0.98, fsc(reference, far)[1:8])).all()


def test_bf16_repeats_exactly(train_vae, rounded):
    again = train_vae("bf16")
    assert np.array_equal(read_losses(rounded), read_losses(again))
    assert np.array_equal(rounded.latents, again.latents)
