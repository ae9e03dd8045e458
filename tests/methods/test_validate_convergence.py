"""A training is called converged where another epoch would change nothing that matters."""

import numpy as np
import pandas as pd
import pytest

from cryosway.engine import JobFolder
from cryosway.jobs import open_job
from cryosway.methods._validate.convergence import check_convergence
from cryosway.methods._validate.subject import Subject

EPOCHS = np.arange(20)


@pytest.fixture
def check(tmp_path):
    """Judge losses by epoch, as `vae` keeps them, of images of 32 px."""

    def judge(losses, **info):
        with JobFolder.start(tmp_path / "job", "vae", {}) as job:
            job.update(box=32, radius=15, **info)
        table = pd.DataFrame({"over": "epoch", "epoch": EPOCHS + 1, "loss": losses, "kl": 1.0})
        table.to_csv(tmp_path / "job" / "metrics.csv", index=False)
        return check_convergence(Subject(open_job(tmp_path / "job")))

    return judge


def test_a_loss_at_rest(check):
    assert check(1 + np.exp(-EPOCHS / 3)).verdict == "converged"


def test_a_loss_that_falls(check):
    found = check(1 - 0.01 * EPOCHS)
    assert found.verdict == "not converged"
    assert "fell by 0.01 per epoch" in found.sentences[0]
    assert "more --epochs" in found.sentences[0]


def test_what_matters_is_nats_of_a_particle(check):
    """A straight fall of 1e-5 nats per Fourier point is 0.004 nats of an image of 32 px."""
    assert check(1 - 1e-5 * EPOCHS).verdict == "converged"


def test_a_loss_that_rises(check):
    assert check(1 + np.exp(-EPOCHS / 3) + 0.02 * np.maximum(EPOCHS - 12, 0)).verdict == (
        "diverges at the end"
    )


def test_the_training_of_held_out_latents_is_no_part_of_it(check, tmp_path):
    check(1 + np.exp(-EPOCHS / 3))
    path = tmp_path / "job" / "metrics.csv"
    later = pd.DataFrame({"over": "epoch", "epoch": [1, 2, 3], "loss": [9.0, 8.0, 7.0], "kl": 1.0})
    pd.concat([pd.read_csv(path), later]).to_csv(path, index=False)
    found = check_convergence(Subject(open_job(tmp_path / "job")))
    assert (found.verdict, found.found["epochs"]) == ("converged", 20)


def test_held_out_particles_are_told_of(check):
    held = {"particles": 60, "difference": 1.5, "standard_error": 0.2, "better": "network"}
    said = check(1 + np.exp(-EPOCHS / 3), held_out=held).sentences
    assert "1.5 ± 0.2 nats (network)" in said[1]
