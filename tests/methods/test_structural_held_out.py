"""Particles that `structural` is not trained on: their likelihood, and when training stops."""

import itertools

import numpy as np
import pytest
import torch

import cryosway as cs
from cryosway._errors import CryoswayWarning
from cryosway.engine import JobFolder
from cryosway.methods._consensus import read_noise
from cryosway.methods._held_out import Gain, choose_held_out
from cryosway.methods._structural.bead_ensemble import BeadEnsemble
from cryosway.methods._structural.groups import BeadGroups
from cryosway.methods._structural.held_out import HeldOut, log_ratio
from cryosway.methods._structural.posterior import UnknownPosterior
from cryosway.methods._structural.presence import Presence, spread_start
from cryosway.methods._structural.start import Motion
from cryosway.particles import read_particles
from cryosway.report import gather_contents
from cryosway.report._verdict import write_verdict

QUICK = {"halves": False, "held_out": 0.25, "overwrite": True}


@pytest.fixture(scope="module")
def job(two_domains, tmp_path_factory):
    out = tmp_path_factory.mktemp("held") / "job"
    return cs.structural(two_domains.particles, out, **(two_domains.options | QUICK))


def test_motion_describes_particles_that_were_held_out(job):
    held = job.info["held_out"]
    assert held["particles"] == job.particles["held_out"].sum() == 50
    assert held["better"] == "model"
    assert held["difference"] > 5 * held["standard_error"]
    assert job.info["training"]["steps"] == 6 * -(-150 // 32)
    (sentence,) = [line for line in write_verdict(gather_contents(job.path)) if "kept from" in line]
    assert sentence.startswith("The motion is in the data: it describes 50 particles")


def test_held_out_particles_have_latents_as_good_as_others(job, two_domains):
    ensemble = BeadEnsemble(job)
    beads = ensemble.beads(job.latents) - ensemble.offset
    error = np.sqrt(np.square(beads - two_domains.truth).sum(-1).mean(-1))
    held = job.particles["held_out"].to_numpy()
    assert error[held].mean() < 1.5 * error[~held].mean()


def test_motion_learnt_from_noise_is_not_borne_out(job, two_domains, make_noise, tmp_path):
    particles = read_particles(two_domains.particles)
    noise = make_noise(particles, read_noise(job.path, particles.box), 1)
    options = two_domains.options | QUICK | {"mask": job.path / "volumes" / "mask.mrc"}
    with pytest.warns(CryoswayWarning, match="kept from the training"):
        found = cs.structural(noise, tmp_path / "job", **options)
    assert found.info["held_out"]["better"] != "model"


def test_encoder_and_refined_poses_are_judged(two_domains, tmp_path):
    options = two_domains.options | QUICK | {"latent": "encoder", "refine_poses": True}
    found = cs.structural(two_domains.particles, tmp_path / "job", **options)
    assert found.info["held_out"]["difference"] > 0


class _Step:
    """A step whose one weight is the number of the epoch."""

    def __init__(self):
        self.module = torch.nn.Linear(1, 1, bias=False)

    def learn(self, epoch):
        torch.nn.init.constant_(self.module.weight, float(epoch))


def judge(folder, step, evidence):
    held = HeldOut(folder, step, np.arange(30), epochs=8, seed=0)
    held.measure = lambda: evidence[int(step.module.weight.item())]
    return held


def test_training_stops_where_held_out_particles_are_described_worse(tmp_path):
    """The best model is kept; a run that was killed before it could stop, stops all the same."""
    noise = np.random.default_rng(0).normal(0, 0.1, (8, 30))
    evidence = np.array([9, 0, 0, 0, 1, 3, 2.99, 2])[:, None] + noise
    step = _Step()
    with JobFolder.start(tmp_path / "job", "structural", {}) as folder:
        held = judge(folder, step, evidence)
        for epoch in range(7):  # in half of the training not all shells are in use
            step.learn(epoch)
            assert not held.look(epoch, {})
        for _ in range(2):
            step.learn(7)
            assert judge(folder, step, evidence).look(7, {})
            assert step.module.weight.item() == 5
    assert "the model of epoch 6 is kept" in (tmp_path / "job" / "log.txt").read_text()


def test_stopped_training_ends_with_the_best_model(two_domains, tmp_path, monkeypatch):
    calls = itertools.count()
    monkeypatch.setattr(HeldOut, "measure", lambda *_, **__: np.full(50, -1.0 - next(calls)))
    options = two_domains.options | QUICK
    found = cs.structural(two_domains.particles, tmp_path / "job", **options)
    assert found.info["training"]["steps"] == 5 * -(-150 // 32)
    assert "the model of epoch 4 is kept" in (tmp_path / "job" / "log.txt").read_text()
    assert found.info["held_out"]["better"] == "model"


def test_particles_that_are_not_trained_on_start_from_the_prior():
    motion = Motion(torch.zeros(4, 3), torch.zeros(1, 4, 3), torch.ones(3, 2, 1), torch.ones(9))
    groups = BeadGroups(("B",), np.array([0, 0, 1, 1]))
    presence = Presence(groups, torch.tensor([0.5, 0.5]), torch.zeros(3, 1))
    motion, presence = spread_start(motion, presence, np.array([0, 2, 3]), 5)
    assert motion.latents[:, 0, 0].tolist() == [1, 0, 1, 1, 0]
    assert presence.present[:, 0].tolist() == [0, 1, 0, 0, 1]


def test_samples_weigh_as_much_as_the_evidence():
    """Where the posterior is exact, every sample gives the evidence of a linear image."""
    generator = torch.Generator().manual_seed(0)
    slope, data = torch.tensor([0.7, -1.2]), 1.5
    sd = torch.tensor([1.0, 0.5])
    # y = slope · u + noise of variance ½, u ~ N(0, sd²).
    covariance = torch.linalg.inv(2 * torch.outer(slope, slope) + torch.diag(sd**-2))
    mean = 2 * covariance @ slope * data
    exact = UnknownPosterior(mean[None], covariance[None])
    variance = 0.5 + float((slope * sd).square().sum())
    evidence = -0.5 * data**2 / variance + 0.5 * np.log(0.5 / variance)
    for _ in range(3):
        u = exact.draw(generator)
        likelihood = -((data - float(u[0] @ slope)) ** 2)
        assert float(log_ratio(exact, u, sd)[0]) + likelihood == pytest.approx(evidence, abs=1e-4)


def test_gain_is_sure_from_three_standard_errors():
    rng = np.random.default_rng(0)
    theirs = rng.normal(0, 100, 400)  # particles differ much more than the models
    noise = rng.normal(0, 1, 400)
    assert Gain.measure(theirs + 0.3 + noise, theirs).better
    assert Gain.measure(theirs - 0.3 + noise, theirs).worse
    even = Gain.measure(theirs + noise, theirs)
    assert not even.better
    assert not even.worse
    assert not Gain.measure(theirs[:1] + 9, theirs[:1]).better


def test_rows_are_those_of_the_seed():
    rows = choose_held_out(100, 0.1, 3)
    assert len(np.unique(rows)) == 10
    assert (rows == choose_held_out(100, 0.1, 3)).all()
    assert len(choose_held_out(100, 0.0, 3)) == 0
