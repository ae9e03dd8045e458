"""`audit` of a job whose second domain moves, in truth and by hand."""

import numpy as np
import pytest
import torch

import cryosway as cs
from cryosway._errors import CryoswayError
from cryosway.engine import read_json
from cryosway.inference import ImageSource, NoiseModel
from cryosway.methods._audit.controls import sample_ensemble, show_reference
from cryosway.methods._audit.density import (
    Judged,
    compare_regions,
    judge_particles,
    judge_region,
    map_differences,
)
from cryosway.methods._audit.regions import find_regions, remove_region, turn_region
from cryosway.methods._audit.words import describe_audit, sum_up
from cryosway.methods._consensus import read_noise
from cryosway.methods._structural.halves import Fitted, open_halves
from cryosway.methods._structural.latents import ModelViews
from cryosway.methods._validate.null_images import NullImages
from cryosway.protein import coarse_grain
from cryosway.report import gather_contents
from cryosway.report._verdict import write_verdict

CONTROLS = {"particles": 100, "epochs": 2, "threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def audited(two_domains, tmp_path_factory):
    return cs.audit(two_domains.job, tmp_path_factory.mktemp("audit") / "audit", **CONTROLS)


@pytest.fixture(scope="module")
def fitted(two_domains):
    return Fitted.open(two_domains.job.path)


@pytest.fixture(scope="module")
def regions(fitted):
    return find_regions(fitted.model.coarse, sample_ensemble(fitted, 100, 0))


def test_a_domain_that_moves_is_supported(audited):
    first, second = audited.info["audit"]["regions"]
    assert (first["residues"], second["residues"]) == (16, 16)
    moving, still = sorted((first, second), key=lambda region: -region["motion_angstrom"])
    assert moving["verdict"] == "supported"
    assert moving["amplitude"] == pytest.approx(1.0, abs=0.1)
    assert moving["correlation_of_halves"] > 3 * moving["null_of_halves"]
    assert still["verdict"] == "still"


def test_noise_moves_far_less_than_the_images(audited):
    """A hundred images of 32 px bend 32 residues somewhat even so; the figure is told."""
    found = audited.info["audit"]
    assert found["noise"]["bent_angstrom"] < 0.05
    assert found["still"]["motion_angstrom"] < 0.3 * found["job"]["motion_angstrom"]
    assert found["still"]["bent_angstrom"] < 0.6 * found["job"]["bent_angstrom"]


def test_a_turned_domain_is_turned_back(audited):
    turned = audited.info["audit"]["turned"]
    assert turned["angle_before_degrees"] == pytest.approx(20, abs=3)
    assert turned["angle_after_degrees"] < 0.7 * turned["angle_before_degrees"]
    assert turned["returned"] > 0.5


def test_says_it_in_sentences(audited):
    found = read_json(audited.path / "audit.json")
    sentences = describe_audit(found)
    assert read_json(audited.path / "supplement.json")["sentences"] == sentences
    assert sentences[0].startswith("The motion of the region that moves is in the images")
    assert "100 images of pure noise" in sentences[1]
    assert "100 images of the reference, standing still" in sentences[2]
    assert sentences[0] in write_verdict(gather_contents(audited.path))
    assert any("supported, amplitude" in line for line in sentences)
    assert (audited.path / "differences" / "half1.mrc").exists()


def test_the_job_is_left_alone_and_the_audit_resumes(audited, two_domains):
    again = cs.audit(two_domains.job, audited.path, **CONTROLS)
    assert again.info["audit"] == audited.info["audit"]
    assert not (two_domains.job.path / "audit.json").exists()


def test_shuffled_latents_make_no_difference_map(fitted, regions):
    """Where particles are not where the ends say, the half-sets' differences are noise."""
    images = fitted.data.open_source(torch.device("cpu"))
    images = images.with_noise(read_noise(fitted.job.path, fitted.data.box))
    rows = np.arange(len(fitted.data))
    judged = judge_particles(fitted, open_halves(fitted), images, rows, regions, 0.1, 0)
    order = np.random.default_rng(1).permutation(len(rows))
    shuffled = Judged(judged.rows[order], judged.half[order], judged.unseen, independent=True)
    maps = map_differences(fitted, images, shuffled, regions, 0)
    for region in compare_regions(shuffled, regions, maps, ["one", "two"]):
        assert abs(region["correlation_of_halves"]) < 4 * region["null_of_halves"]


def test_a_still_model_looks_as_particles_at_rest_do(fitted, tmp_path):
    """Without noise, its images are what the fit expects of the reference, shifts and all."""
    particles, box = fitted.data.particles[np.arange(40)], fitted.data.box
    silent = NoiseModel(1e-12 * read_noise(fitted.job.path, box).power)
    images = NullImages(particles, show_reference(fitted.model), silent, np.ones(40), 0.0, 0.0)
    made = images.write(tmp_path / "still.mrcs", 0, lambda _: None)
    source = ImageSource(made, 10)
    slices = source.read(np.arange(40)).slices
    views = ModelViews(fitted.model, source)
    shown = views.of_beads(slices, fitted.model.deformation.reference) * slices.filters[..., None]
    found = torch.view_as_real(slices.values)
    assert float((found - shown).square().mean()) < 1e-3 * float(shown.square().mean())


def test_a_region_is_taken_away_or_turned(fitted, regions):
    coarse = fitted.model.coarse
    members = regions.choose(None)
    assert len(coarse_grain(remove_region(coarse, members))) == len(coarse) - len(members)
    turned = coarse_grain(turn_region(coarse, members, 20.0)).coordinates
    rest = np.setdiff1d(np.arange(len(coarse)), members)
    assert np.allclose(turned[rest], coarse.coordinates[rest])
    moved = np.linalg.norm(turned[members] - coarse.coordinates[members], axis=1)
    assert moved.max() > 1.0


@pytest.mark.parametrize(
    ("motion", "amplitude", "error", "verdict"),
    [
        (0.1, 1.0, 0.01, "still"),
        (3.0, 0.9, 0.1, "supported"),
        (3.0, 0.1, 0.1, "not supported"),
        (3.0, 0.9, 0.5, "cannot tell"),
    ],
)
def test_verdict_on_a_region(motion, amplitude, error, verdict):
    assert judge_region(motion, amplitude, error) == verdict


@pytest.mark.parametrize(
    ("verdicts", "bent", "said"),
    [
        (["supported", "still"], 0.1, "of the region that moves is in the images; where nothing"),
        (["supported"] * 2, 0.5, "all 2 regions that move is in the images; but where nothing"),
        (["still"], 0.1, "no motion to be borne out"),
        (["supported", "not supported", "cannot tell"], 0.1, "support 1, do not support 1, and"),
    ],
)
def test_sums_up(verdicts, bent, said):
    regions = [{"verdict": verdict} for verdict in verdicts]
    assert said in sum_up({"regions": regions, "still": {"bent_angstrom": bent}})


def test_says_which_region_cannot_be_taken_away(regions):
    with pytest.raises(CryoswayError, match="region /A:1-2 has 2 of 32 residues"):
        regions.choose("/A:1-2")
    with pytest.raises(CryoswayError, match="60 % of the model at most"):
        regions.choose("/A:1-30")
    with pytest.raises(CryoswayError, match="there is no chain"):
        regions.choose("nothing at all")


def test_says_which_job_cannot_be_audited(audited, tmp_path):
    with pytest.raises(CryoswayError, match="audit job; give a job of cryosway structural"):
        cs.audit(audited, tmp_path / "audit")
