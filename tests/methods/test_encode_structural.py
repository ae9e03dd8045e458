"""`encode` of a structural job: latents of images under a model that is fixed."""

import numpy as np
import pytest

import cryosway as cs
from cryosway._errors import CryoswayError
from cryosway.engine import read_json
from cryosway.methods._consensus import read_noise
from cryosway.methods._structural.bead_ensemble import BeadEnsemble
from cryosway.particles import read_particles

QUICK = {"threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def particles(two_domains):
    return read_particles(two_domains.particles)


@pytest.fixture(scope="module")
def encoded(two_domains, particles, tmp_path_factory):
    """Every other image of the training."""
    out = tmp_path_factory.mktemp("encoded") / "job"
    return cs.encode(particles[::2], out, job=two_domains.job.path, **QUICK)


def test_latents_of_the_training_images_come_back(two_domains, encoded):
    """Those of the table were found together with the model, these anew from the origin."""
    job = two_domains.job
    apart = np.abs(encoded.latents - job.latents[::2])
    assert np.median(apart) < 0.1 * np.median(job.latent_sd)
    assert apart.max() < 3 * job.latent_sd.max()
    assert np.allclose(encoded.latent_sd, job.latent_sd[::2], rtol=0.1)
    for name in ("contrast", "displacement"):
        theirs = job.particles[name].to_numpy()[::2]
        assert np.median(np.abs(encoded.particles[name] - theirs)) < 0.01 * theirs.max()


def test_an_encoded_job_has_models_and_maps(encoded, two_domains, tmp_path):
    z = encoded.latents[3]
    assert np.allclose(encoded.volume(z), two_domains.job.volume(z), atol=1e-6)
    ensemble = BeadEnsemble(encoded)
    error = ensemble.beads(encoded.latents) - ensemble.offset - two_domains.truth[::2]
    still = two_domains.reference - two_domains.truth
    assert np.square(error).mean() < 0.2 * np.square(still).mean()
    cs.write_models(encoded, tmp_path, particles=(0,))
    assert encoded.fsc(z).shape == (16,)


def test_an_encoded_job_encodes_in_turn(encoded, particles, tmp_path):
    again = cs.encode(particles[:20:2], tmp_path / "again", job=encoded.path, **QUICK)
    assert np.allclose(again.latents, encoded.latents[:10], atol=1e-4)


def test_images_are_whitened_by_their_own_optics_group(two_domains, particles, encoded, tmp_path):
    """Groups that the training has not seen take the mean noise of those it has."""
    table = particles.ctf.copy()
    table["optics_group"] = np.arange(len(table)) % 2 + 1
    two_groups = particles.with_ctf(table)
    out = cs.encode(two_groups[:20], tmp_path / "job", job=two_domains.job.path, **QUICK)
    assert np.allclose(out.latents[::2], encoded.latents[:10], atol=1e-4)
    assert len(read_noise(out.path, 32).power) == 2
    said = [one["why"] for one in read_json(out.path / "decisions.json") if one["what"] == "noise"]
    assert said == ["it knows no optics group 2"]
    own = cs.encode(two_groups[1:20:2], tmp_path / "own", job=out.path, **QUICK)
    assert np.allclose(own.latents, out.latents[1::2], atol=1e-4)
    assert [one["optics_group"] for one in read_json(own.path / "curves.json")["noise"]] == [2]


def test_says_which_particles_do_not_fit(two_domains, one_state, tmp_path):
    with pytest.raises(CryoswayError, match=r"32 px of 4.5 Å, but .* was trained on 32 px of 3 Å"):
        cs.encode(one_state.particles, tmp_path / "job", job=two_domains.job.path, **QUICK)
