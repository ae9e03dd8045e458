"""Half-set models of `structural`, on two domains: where they disagree, what they foretell."""

import gemmi
import numpy as np
import pytest
import torch

import cryosway as cs
from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.engine import read_json, read_table
from cryosway.methods._audit.density import judge_region
from cryosway.methods._structural.bead_ensemble import read_uncertainty, uncertainty_to_b_factor
from cryosway.methods._structural.disagreement import latent_spread
from cryosway.methods._structural.halves import Fitted, average_beads, open_halves
from cryosway.methods._structural.latents import ModelViews, infer_rows
from cryosway.methods._structural.residues import judge_motion
from cryosway.methods._structural.unseen import (
    Conformations,
    chessboard,
    fit_amplitudes,
    judge_unseen,
)
from cryosway.particles import read_particles

CONTRAST_SD = 0.1


@pytest.fixture(scope="module")
def fitted(two_domains):
    return Fitted.open(two_domains.job.path)


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


def test_tables_say_how_sure_every_residue_and_particle_is(two_domains):
    job = two_domains.job
    residues = read_table(job.path / "residues.parquet")
    named = ["chain", "residue_number", "insertion_code", "residue_name"]
    assert list(residues)[:4] == named
    assert residues["residue_number"].tolist() == list(range(1, 2 * two_domains.size + 1))
    assert rms(residues["disagreement"]) == pytest.approx(rms(job.particles["disagreement"]))
    assert rms(residues["uncertainty"]) == pytest.approx(rms(job.particles["uncertainty"]))
    # Only the second domain moves, and there the models are less sure.
    still, moving = residues[: two_domains.size], residues[two_domains.size :]
    assert moving["displacement"].mean() > 4 * still["displacement"].mean()
    assert moving["uncertainty"].mean() > still["uncertainty"].mean()
    assert np.allclose(read_uncertainty(job.path, len(residues)), residues["uncertainty"])


def test_models_carry_the_uncertainty_as_b_factors(two_domains):
    known = read_table(two_domains.job.path / "residues.parquet")["uncertainty"].to_numpy()
    expected = uncertainty_to_b_factor(known)
    for model in gemmi.read_structure(str(two_domains.job.path / "models" / "direction1.cif")):
        found = [r[0].b_iso for chain in model for r in chain]
        assert np.allclose(found, expected, atol=0.01)


def test_uncertainty_is_that_of_the_data(two_domains, fitted):
    """The error of the noise, which falls with the data, is what the uncertainty foretells."""
    found = fitted.model.beads(fitted.job.latents).double().numpy()
    error = rms(np.linalg.norm(found - two_domains.truth, axis=-1))
    said = fitted.job.info["halves"]["uncertainty_angstrom"]
    still = rms(np.linalg.norm(two_domains.reference - two_domains.truth, axis=-1))
    assert 0.4 * error < said < 1.5 * error
    assert said < 0.3 * still


def test_disagreement_grows_with_noise(two_domains, two_noisy_domains):
    clear, noisy = (each.job.info["halves"] for each in (two_domains, two_noisy_domains))
    assert noisy["disagreement_angstrom"] > 1.5 * clear["disagreement_angstrom"]
    assert noisy["uncertainty_angstrom"] > 1.5 * clear["uncertainty_angstrom"]


def test_half_set_models_have_seen_their_own_images_only(two_domains, fitted):
    def numbers(job):
        return [name.split("@")[0] for name in job.particles["image_name"]]

    names = np.array(numbers(two_domains.job))
    half = two_domains.job.particles["half"].to_numpy()
    for number, model in enumerate(open_halves(fitted), start=1):
        assert numbers(model.job) == names[half == number].tolist()
        assert model.job.info["config"]["halves"] is False


def test_motion_explains_images_that_were_not_seen(two_domains):
    said = two_domains.job.info["halves"]
    assert said["gain_over_mean"] > 10 * said["gain_over_mean_error"]
    assert judge_motion(said) == "supported"
    section = read_json(two_domains.job.path / "supplement.json")
    assert "The motion is in the data" in section["sentences"][0]
    assert (two_domains.job.path / section["figures"][0]["file"]).exists()


def test_a_motion_that_is_made_up_does_not(fitted):
    """The first domain, which is still, is made to move along with the second one."""
    model = Fitted.open(fitted.job.path).model
    size = len(model.coarse) // 2
    model.deformation.base[0, :size, 1] += 3.0
    mean = average_beads(model, fitted.job.latents)
    source = fitted.data.open_source(torch.device("cpu")).with_noise(noise_of(fitted))
    score = judge(model, source, np.arange(100), mean)
    found = fit_amplitudes(score.information, score.match)
    verdicts = [
        judge_region(3.0, amplitude, error)
        for amplitude, error in zip(found.values, found.errors, strict=True)
    ]
    assert verdicts == ["not supported", "supported"]


def noise_of(fitted):
    from cryosway.methods._consensus import read_noise

    return read_noise(fitted.job.path, fitted.data.box)


def judge(model, source, rows, mean):
    count = len(model.coarse)
    regions = torch.arange(count)[None] // (count // 2) == torch.arange(2)[:, None]
    nothing = torch.zeros(count, 3)
    against = Conformations(mean, model.deformation.reference, regions, nothing)
    return judge_unseen(ModelViews(model, source), source, rows, against, CONTRAST_SD, 0)


def test_amplitude_of_a_true_motion_is_one(fitted):
    source = fitted.data.open_source(torch.device("cpu")).with_noise(noise_of(fitted))
    mean = average_beads(fitted.model, fitted.job.latents)
    score = judge(fitted.model, source, np.arange(100), mean)
    found = fit_amplitudes(score.information, score.match)
    assert found.values[1] == pytest.approx(1.0, abs=0.1)
    assert found.errors[1] < 0.05


def test_latents_are_found_anew_from_images(fitted):
    """The posterior of an image does not depend on where the search starts."""
    source = fitted.data.open_source(torch.device("cpu")).with_noise(noise_of(fitted))
    rows = np.arange(0, 100, 3)
    found = infer_rows(ModelViews(fitted.model, source), source, rows, CONTRAST_SD)
    trained = fitted.job.latents[rows]
    assert np.median(np.abs(found.numpy() - trained)) < 0.5 * np.median(fitted.latent_sd[rows])


def test_chessboard_parts_all_points():
    ky, kx = torch.meshgrid(torch.arange(-3, 4), torch.arange(0, 4), indexing="ij")
    white, black = chessboard(torch.stack([kx.flatten(), ky.flatten()], dim=1).float())
    assert torch.equal(white + black, torch.ones_like(white))
    grid = white.view(7, 4)
    assert (grid[1:] != grid[:-1]).all() and (grid[:, 1:] != grid[:, :-1]).all()


def test_amplitudes_are_those_of_a_regression():
    """With b given and noise of variance ½ per part, values and errors are the textbook's."""
    rng = np.random.default_rng(0)
    change = rng.normal(size=(400, 2, 30))
    left = np.einsum("r,nrp->np", [1.0, 0.3], change) + rng.normal(size=(400, 30)) * np.sqrt(0.5)
    information = np.einsum("nrp,nsp->nrs", change, change)
    found = fit_amplitudes(information, np.einsum("nrp,np->nr", change, left))
    textbook = np.sqrt(0.5 / np.diagonal(information.sum(0)))
    assert np.allclose(found.errors, textbook, rtol=0.2)
    assert np.abs((found.values - [1.0, 0.3]) / found.errors).max() < 4


def test_spread_of_latents_is_carried_to_beads(fitted):
    """Twice the spread of a latent moves the beads about twice as far."""
    z, sd = fitted.job.latents[:5], fitted.latent_sd[:5]
    once, twice = (latent_spread(fitted.model, z, scale * sd) for scale in (0.1, 0.2))
    assert np.allclose(np.sqrt(twice), 2 * np.sqrt(once), rtol=0.1, atol=0.01)


@pytest.mark.parametrize(("gain", "verdict"), [(5.0, "supported"), (-5.0, "not supported"),
                                               (0.5, "cannot tell")])  # fmt: skip
def test_verdict_needs_three_standard_errors(gain, verdict):
    assert judge_motion({"gain_over_mean": gain, "gain_over_mean_error": 1.0}) == verdict


def test_resumes_with_the_same_answer(two_domains, tmp_path):
    """A half-set model that is there already is not fitted again, and says the same."""
    path = two_domains.job.path
    before = (path / "halves" / "half1" / "job.json").read_text()
    again = cs.structural(two_domains.particles, path, **two_domains.options)
    assert (path / "halves" / "half1" / "job.json").read_text() == before
    assert again.info["halves"] == two_domains.job.info["halves"]


def test_warns_of_motion_that_unseen_images_do_not_show(two_domains, fitted, make_noise, tmp_path):
    noise = make_noise(fitted.data.particles[:60], noise_of(fitted), 0)
    options = {**two_domains.options, "epochs": 1}
    with pytest.warns(CryoswayWarning, match="half-set models have learnt"):
        cs.structural(noise, tmp_path / "job", **options)


def test_no_halves_leaves_them_out(two_domains, tmp_path):
    particles = read_particles(two_domains.particles)[:60]
    options = {**two_domains.options, "epochs": 1, "halves": False}
    job = cs.structural(particles, tmp_path / "job", **options)
    assert "halves" not in job.info
    assert not (job.path / "halves").exists()
    assert open_halves(Fitted.open(job.path)) == []


def test_other_images_are_as_many_as_particles(two_domains):
    particles = read_particles(two_domains.particles)
    stack = two_domains.particles.with_suffix(".mrcs")
    with pytest.raises(CryoswayError, match="but there are 10 particles"):
        particles[:10].with_images(stack)
    swapped = particles[::-1].with_images(stack)
    assert np.array_equal(swapped.images([0]), particles.images([0]))
    with pytest.raises(CryoswayError, match="signs of contrast"):
        particles[:10].with_contrast(np.zeros(10))
