"""`density`: maps from a structural job of a molecule of two domains."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import cryosway as cs
from cryosway._errors import CryoswayError
from cryosway.engine import read_json, write_json
from cryosway.methods._density import deformed as density_deformed_module
from cryosway.methods._density import run as density_run_module
from cryosway.methods._density.data import DensityData
from cryosway.methods._density.density import density
from cryosway.methods._density.motions import HalfMotions, Motions, ParticleFrames
from cryosway.methods._density.regions import find_moving, mask_around, mask_model, mask_region
from cryosway.methods._density.results import describe_sets
from cryosway.methods._density.state import find_state
from cryosway.methods._structural.composition import Composition
from cryosway.methods._structural.groups import BeadGroups
from cryosway.methods._structural.model import StructuralDecoder
from cryosway.particles import read_map
from cryosway.protein import MovingFrames
from cryosway.validate import auc_fsc, fsc

BOX, PIXEL, COUNT = 32, 3.0, 200
HOW = {"threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def job(two_domains):
    """Of a molecule whose second domain turns, with the middle of the motion as reference."""
    return two_domains.job


@pytest.fixture(scope="module")
def moved(job, tmp_path_factory):
    return density(job, tmp_path_factory.mktemp("moved") / "out", by="deformed", **HOW)


@pytest.fixture(scope="module")
def near(job, tmp_path_factory):
    return density(job, tmp_path_factory.mktemp("near") / "out", clusters=2, **HOW)


def read(job, name):
    return read_map(job.path / "volumes" / f"{name}.mrc")[0]


def test_moving_particles_sharpens_the_reference(moved, two_domains):
    """In what moves, the map of the true reference is found better than by averaging."""
    truth = read_map(two_domains.particles.parent / "volumes" / "state_002.mrc")[0]
    region = read(moved, "region")

    def agreement(name):
        halves = [read(moved, f"{name}_half{number}") for number in (1, 2)]
        return auc_fsc(fsc(np.mean(halves, axis=0), truth, region))

    assert agreement("mean") > agreement("unmoved") + 0.01
    gain = moved.info["density"]
    assert gain["auc_fsc_region_after"] > gain["auc_fsc_region_before"]


def test_job_of_one_state_answers_without_a_latent(moved):
    assert moved.volume().shape == (BOX, BOX, BOX)
    first, second = moved.half_maps()
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.3
    curves = read_json(moved.path / "curves.json")["fsc"]
    assert len(curves) == 4
    assert np.allclose(moved.fsc(), curves[0]["value"])
    assert moved.latents.shape == (COUNT, 0)
    assert (moved.particles["displacement"] > 0).all()


def test_tells_what_was_done_and_the_report_shows_it(moved):
    told = {entry["what"]: entry for entry in read_json(moved.path / "decisions.json")}
    assert told["state"]["value"] == "the reference"
    assert told["half-sets"]["value"] == "maps and motions apart"
    assert moved.info["density"]["motions_of_half_sets"] is True
    assert "beads that move most" in told["moving region"]["why"]
    page = cs.report(moved).read_text()
    assert "Deformed backprojection" in page
    assert "moving region, as they are" in page


def test_resumes_where_it_stopped(job, tmp_path, monkeypatch):
    """What the first run has solved, the second does not solve again."""
    options = {"by": "deformed", "iterations": 1, "region": "none", **HOW}

    def stop(*_):
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(density_deformed_module, "write_moved", stop)
        with pytest.raises(RuntimeError):
            density(job, tmp_path / "out", **options)
    monkeypatch.setattr(density_deformed_module, "solve_moved", stop)
    monkeypatch.setattr(density_run_module, "accumulate_weighted", stop)
    done = density(job, tmp_path / "out", **options)
    assert done.status == "finished"
    assert "auc_fsc_region_after" not in done.info["density"]


def test_another_state_is_another_map(job, moved, tmp_path):
    """At the latent of a particle of the last state, the map is more of that state."""
    far = int(np.argmax(np.abs(job.latents[:, 0])))
    out = density(
        job, tmp_path / "out", by="deformed", state=f"particle:{far}", iterations=4, **HOW
    )
    entry = next(one for one in out.volumes if one["kind"] == "mean")
    assert entry["z"] == pytest.approx(job.latents[far].tolist())
    model = job.volume(job.latents[far])
    mask = read(out, "mask")

    def like(volume):
        return np.corrcoef((volume * mask).ravel(), (model * mask).ravel())[0, 1]

    assert like(out.volume()) > like(moved.volume())


def test_kernel_maps_lie_beside_the_models(near, job):
    """The map of each cluster is that of its own model, rather than of the other's."""
    kinds = [entry["kind"] for entry in near.volumes]
    assert kinds.count("cluster") == 2
    mask = read(near, "mask")

    def likeness(number, other):
        pair = (read(near, f"cluster_{number}"), read(near, f"model_{other}"))
        return np.corrcoef(*((density * mask).ravel() for density in pair))[0, 1]

    for number, other in ((1, 2), (2, 1)):
        entry = next(one for one in near.volumes if one["file"] == f"cluster_{number}.mrc")
        assert likeness(number, number) > max(0.4, likeness(number, other))
        assert len(entry["half_maps"]) == 2
        assert entry["population"] > 10
    z = near.latents[0]
    np.testing.assert_allclose(near.latents, job.latents)
    assert near.volume(z).shape == (BOX, BOX, BOX)
    assert near.fsc(z).shape == (BOX // 2,)
    assert 1 < near.n_effective(z) <= COUNT


def test_network_learns_density_on_the_latents_that_are_there(job, tmp_path):
    made = density(job, tmp_path / "out", by="network", epochs=1, **HOW)
    np.testing.assert_allclose(made.latents, job.latents, atol=1e-6)
    z = job.latents[0]
    consensus = read(made, "mean")
    assert np.corrcoef(made.volume(z).ravel(), consensus.ravel())[0, 1] > 0.8
    assert made.half_maps(z)[0].shape == (BOX, BOX, BOX)


def test_poses_of_all_images_are_owned_up_to(job, tmp_path):
    """Half-sets whose poses were refined together are not said to have nothing in common."""
    motions = HalfMotions.open(DensityData.open(job))
    assert describe_sets(motions)[0] == "maps and motions apart"
    copied = cs.open_job(shutil.copytree(job.path, tmp_path / "job"))
    write_json(copied.path / "decisions.json", [{"what": "poses of the network"}])
    found = HalfMotions.open(DensityData.open(copied))
    assert found.share_poses
    assert "poses that were refined with all images" in describe_sets(found)[1]


def test_each_half_set_moves_by_its_own_model(job):
    """Gold standard: nothing that moves the one half-set's images has seen the other's."""
    data = DensityData.open(job)
    motions = HalfMotions.open(data)
    assert motions.are_apart
    for number, found in enumerate(motions.of_half):
        own = (data.data.half == number).numpy()
        inner = cs.open_job(job.path / "halves" / f"half{number + 1}")
        np.testing.assert_allclose(found.latents[own], inner.latents)
        assert np.isnan(found.latents[~own]).all()
        assert found.contrast[torch.from_numpy(~own)].isnan().all()
        rows = np.flatnonzero(own)[:3]
        expected = StructuralDecoder(inner).beads(inner.latents[0])[0, 0]
        np.testing.assert_allclose(found.beads(rows)[0, 0], expected, atol=0.02)
        both_sets = data.model.beads(data.latents[rows]).double().numpy()
        assert np.abs(found.beads(rows) - both_sets).max() > 0.01


def test_job_without_half_set_models_has_motions_in_common(job, tmp_path):
    shutil.copytree(job.path, tmp_path / "job", ignore=shutil.ignore_patterns("halves"))
    out = density(tmp_path / "job", tmp_path / "out", by="deformed", iterations=1, **HOW)
    told = {entry["what"]: entry for entry in read_json(out.path / "decisions.json")}
    assert told["half-sets"]["value"] == "maps apart, motions in common"
    assert out.info["density"]["motions_of_half_sets"] is False


def test_beads_of_a_group_are_there_as_often_as_the_particle_has_them(job):
    data = DensityData.open(job)
    plain = Motions.of(job, data.model, np.arange(COUNT), COUNT)
    assert plain.missing == ()
    assert (plain.present(np.arange(3)) == 1).all()
    part = np.zeros(len(data.model.coarse), np.int64)
    part[16:] = 1
    composition = Composition(data.model.views, BeadGroups(("B",), part))
    model = replace(data.model, composition=composition)
    lacking = replace(plain, model=model, share=torch.linspace(0, 1, COUNT)[:, None])
    assert lacking.missing == ("B",)
    present = lacking.present(np.array([0, COUNT - 1]))
    assert (present[0, 16:] == 0).all()
    assert (present[0, :16] == 1).all()
    assert (present[1] == 1).all()


def test_frames_are_the_same_kept_or_made_anew(job):
    data = DensityData.open(job)
    moving = MovingFrames(data.model.coarse.neighbourhoods)
    frames = ParticleFrames(Motions.of(job, data.model, np.arange(COUNT), COUNT), moving)
    rows = np.array([3, 7, 4])
    first = frames(rows)
    torch.testing.assert_close(frames(rows), first)
    frames._kept = None
    torch.testing.assert_close(frames(rows), first)
    # A frame takes its own bead to where the model has it.
    beads = data.model.beads(data.latents[rows])
    own = torch.from_numpy(moving.reference).float()
    at = (first[..., :3] @ own[..., None])[..., 0] + first[..., 3]
    torch.testing.assert_close(at, beads, atol=1e-3, rtol=0)


def test_region_is_what_moves(job):
    data = DensityData.open(job)
    coarse = data.model.coarse
    motion = np.linspace(0, 1, len(coarse))
    region = find_moving(motion)
    assert region.chosen.sum() == round(len(coarse) / 4)
    assert motion[region.chosen].min() > motion[~region.chosen].max()
    mask = mask_model(coarse, coarse.coordinates, data.mask, PIXEL)
    part = mask_region(coarse, coarse.coordinates, region, mask, PIXEL)
    assert (mask >= data.mask).all()
    assert 0.05 < float(part.sum() / mask.sum()) < 0.7
    assert mask_around(np.array([[500.0, 0, 0]]), BOX, PIXEL).sum() == 0


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("cluster:1", "run cryosway landscape"),
        ("state:1", "run cryosway states"),
        ("particle:900", f"rows go from 0 to {COUNT - 1}"),
        ("open", "is no place in this landscape: give state:2, cluster:3"),
        ("1,2", "is no place in this landscape"),
    ],
)
def test_says_which_state_is_not_there(job, state, message):
    with pytest.raises(CryoswayError, match=message):
        find_state(state, job)


def test_latent_may_be_given_as_numbers(job):
    assert find_state("-0.5", job).latent.tolist() == [-0.5]
    assert find_state("reference", job).latent is None


def test_states_of_the_landscape_are_found(job, tmp_path):
    axes = {"mean": [0.5], "scale": [2], "directions": [[1.0]], "variance": [1]}
    copied = cs.open_job(shutil.copytree(job.path, tmp_path / "job"))
    states = [{"state": 1, "centre": [0]}, {"state": 2, "centre": [-0.5]}]
    write_json(copied.path / "states.json", {"axes": axes, "states": states})
    found = find_state("state:2", copied)
    assert (found.label, found.latent.tolist()) == ("state 2", [-0.5])
    with pytest.raises(CryoswayError, match=r"no state 3 in .*; there are 1, 2"):
        find_state("state:3", copied)


def test_refuses_other_jobs(moved, tmp_path):
    with pytest.raises(CryoswayError, match="give a job of cryosway structural"):
        density(moved, tmp_path / "out")
